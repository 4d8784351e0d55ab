//! The attributes of an `http` toxic.
//!
//! Not here: exchanges (`baleen_fault::Filter`), when a rule fits (`baleen_fault::Script`). Tested: below.

use std::time::Duration;

use baleen_base::Tick;
use baleen_fault::{HttpFault, HttpRule, Scope, Script};
use serde_json::{Map, Value};

/// What an `http` toxic does.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Rule {
    fault: HttpFault,
    path: String,
    header: Option<(String, String)>,
    first: Option<u64>,
}

impl Rule {
    /// From attributes of the right kinds.
    pub(super) fn read(attributes: &Map<String, Value>) -> Result<Rule, String> {
        let whole = |name: &str| attributes.get(name).and_then(Value::as_i64);
        let not_below_zero = |name: &str| match whole(name).map(u64::try_from) {
            None => Ok(None),
            Some(Ok(n)) => Ok(Some(n)),
            Some(Err(_)) => Err(format!("`{name}` is below zero")),
        };
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
        let retry_after = not_below_zero("retry_after")?;
        let retry_after = retry_after.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let mut faults = Vec::new();
        if let Some(status) = whole("status") {
            let status = u16::try_from(status).ok().filter(|s| (200..=599).contains(s));
            let status = status.ok_or("`status` is from 200 to 599")?;
            faults.push(HttpFault::Status { status, retry_after });
        } else if retry_after.is_some() {
            return Err("`retry_after` goes with `status`".to_owned());
        }
        if let Some(ms) = not_below_zero("delay")? {
            faults.push(HttpFault::DelayHead { delay: Duration::from_millis(ms) });
        }
        if let Some(bytes) = not_below_zero("cut")? {
            faults.push(HttpFault::CutBody { bytes });
        }
        if let Some(by) = whole("length") {
            faults.push(HttpFault::WrongLength { by });
        }
        let [fault] = faults[..] else {
            return Err("`http` needs one of `status`, `delay`, `cut`, `length`".to_owned());
        };
        let header = text("header");
        let header = header.split_once(':').unwrap_or((header, ""));
        let header = (header.0.trim().to_ascii_lowercase(), header.1.trim().to_owned());
        Ok(Rule {
            fault,
            path: text("path").to_owned(),
            header: Some(header).filter(|(name, _)| !name.is_empty()),
            first: not_below_zero("first")?,
        })
    }

    /// The rule, for this share of exchanges. Whether it is on at all is for others to say.
    pub(super) fn rule(&self, share_ppm: u32) -> HttpRule {
        HttpRule {
            fault: self.fault,
            scope: Scope { share_ppm, ..Scope::always(Tick::ZERO) },
            path: self.path.clone(),
            header: self.header.clone(),
            first: self.first,
        }
    }

    /// A machine that decides by it.
    pub(super) fn script(&self, share_ppm: u32, seed: u64) -> Script {
        Script::new(vec![self.rule(share_ppm)], seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Rule, String> {
        Rule::read(value.as_object().expect("an object"))
    }

    #[test]
    fn a_rule_does_one_thing() {
        let rule = read(json!({"status": 503, "retry_after": 2, "first": 2, "header": "X-A: b"}));
        let rule = rule.expect("a rule");
        let fault = HttpFault::Status { status: 503, retry_after: Some(2) };
        assert_eq!((rule.fault, rule.first), (fault, Some(2)));
        assert_eq!(rule.header, Some(("x-a".to_owned(), "b".to_owned())));
        for wrong in [
            json!({}),
            json!({"status": 503, "cut": 1}),
            json!({"status": 99}),
            json!({"delay": -1}),
            json!({"retry_after": 1, "cut": 1}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
