//! How a proxy and a toxic are written on a command line, and the JSON they become.
//!
//! Not here: whether the JSON makes sense (the fault server says). Tested: below.

use std::fmt;

use serde_json::{Map, Value, json};

/// `[NAME=]LISTEN->UPSTREAM`.
#[derive(Clone, PartialEq, Debug)]
pub struct Proxy {
    name: String,
    listen: String,
    upstream: String,
}

impl Proxy {
    /// From what was written.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let (before, upstream) = text.split_once("->").or_else(|| text.split_once(',')).ok_or(
            "expected [NAME=]LISTEN->UPSTREAM, such as 'web=127.0.0.1:8001->127.0.0.1:9001'",
        )?;
        let (name, listen) = before.split_once('=').unwrap_or(("proxy", before));
        let [name, listen, upstream] = [name, listen, upstream].map(|s| s.trim().to_owned());
        match [("name", &name), ("place to listen", &listen), ("upstream", &upstream)]
            .iter()
            .find(|(_, s)| s.is_empty())
        {
            Some((what, _)) => Err(format!("the {what} is empty")),
            None => Ok(Proxy { name, listen, upstream }),
        }
    }

    pub fn json(&self) -> Value {
        json!({"name": self.name, "listen": self.listen, "upstream": self.upstream})
    }
}

/// `[PROXY/]TYPE[:KEY=VALUE,...]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Toxic {
    text: String,
    /// Of which proxy; `None` for all.
    pub proxy: Option<String>,
    fields: Map<String, Value>,
}

/// Keys that are not attributes.
const FIELDS: &[&str] = &[
    "name",
    "stream",
    "toxicity",
    "start_ms",
    "for_ms",
    "lease_ms",
    "only_established",
    "only_new",
];

impl Toxic {
    /// From what was written.
    pub fn parse(text: &str) -> Result<Toxic, String> {
        let (head, list) = text.split_once(':').unwrap_or((text, ""));
        let (proxy, type_name) = match head.rsplit_once('/') {
            Some((proxy, type_name)) => (Some(proxy.to_owned()), type_name),
            None => (None, head),
        };
        if type_name.is_empty() {
            return Err("expected [PROXY/]TYPE[:KEY=VALUE,...], such as latency:latency=100".into());
        }
        let mut fields = Map::from_iter([("type".to_owned(), Value::from(type_name))]);
        let mut attributes = Map::new();
        for pair in parts(list) {
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key.trim(), read(value.trim())),
                None if pair == "upstream" || pair == "downstream" => ("stream", json!(pair)),
                None => (pair, Value::Bool(true)),
            };
            let to = if FIELDS.contains(&key) { &mut fields } else { &mut attributes };
            if to.insert(key.to_owned(), value).is_some() {
                return Err(format!("`{key}` is given twice"));
            }
        }
        fields.insert("attributes".to_owned(), Value::Object(attributes));
        Ok(Toxic { text: text.to_owned(), proxy, fields })
    }

    /// The same, where it is said elsewhere of which proxy.
    pub fn parse_alone(text: &str) -> Result<Toxic, String> {
        match Toxic::parse(text)? {
            Toxic { proxy: Some(proxy), .. } => Err(format!("write it without `{proxy}/`")),
            toxic => Ok(toxic),
        }
    }

    pub fn json(&self) -> Value {
        Value::Object(self.fields.clone())
    }
}

impl fmt::Display for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Split at commas that are not within brackets, as in `uniform(1ms, 2ms)`.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0i32;
    let at_comma = move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    list.split(at_comma).map(str::trim).filter(|s| !s.is_empty())
}

/// A number, true or false, or else text.
fn read(value: &str) -> Value {
    let read: Option<Value> = serde_json::from_str(value).ok();
    read.filter(|v| v.is_number() || v.is_boolean()).unwrap_or_else(|| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies() {
        let want = json!({"name": "web", "listen": "127.0.0.1:1", "upstream": "[::1]:2"});
        for text in
            ["web=127.0.0.1:1->[::1]:2", "web = 127.0.0.1:1 -> [::1]:2", "web=127.0.0.1:1,[::1]:2"]
        {
            assert_eq!(Proxy::parse(text).expect("a proxy").json(), want);
        }
        let short = Proxy::parse(":1->:2").expect("a proxy").json();
        assert_eq!(short, json!({"name": "proxy", "listen": ":1", "upstream": ":2"}));
        for text in ["", "web", "web=:1", "=:1->:2", "a=->:2", "a=:1->"] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn toxics() {
        let toxic = Toxic::parse("web/latency:latency=100,jitter=20,upstream,toxicity=0.5");
        let toxic = toxic.expect("a toxic");
        let want = json!({"type": "latency", "stream": "upstream", "toxicity": 0.5,
            "attributes": {"latency": 100, "jitter": 20}});
        assert_eq!((toxic.proxy.as_deref(), toxic.json()), (Some("web"), want));
        let toxic = Toxic::parse("delay:distribution=uniform(1ms, 2ms),only_new").expect("a toxic");
        let want = json!({"type": "delay", "only_new": true,
            "attributes": {"distribution": "uniform(1ms, 2ms)"}});
        assert_eq!((toxic.proxy.as_deref(), toxic.json()), (None, want));
        assert!(
            Toxic::parse_alone("web/latency").is_err() && Toxic::parse_alone("latency").is_ok()
        );
        for text in ["", "web/", ":latency=1", "latency:latency=1,latency=2"] {
            assert!(Toxic::parse(text).is_err(), "{text}");
        }
    }
}
