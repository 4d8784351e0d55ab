//! What JSON says about proxies and toxics, read and written as Toxiproxy 2.12 does.
//!
//! Types and attributes that Toxiproxy has mean what they mean there: what is not given is zero, what is not known is passed
//! over, a number of the wrong kind is refused. For our own types an unknown attribute is a mistake and is refused. Names of
//! fields count without their case, as there.
//!
//! Not here: what is done about it (`hub.rs`). Tested: in `spec/tests.rs`.

use std::time::Duration;

use baleen_base::Tick;
use baleen_fault::{Direction, HttpRule, Scope, Times, Toxic};
use baleen_scenario::Distribution;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::rules::Rule;

/// Longest name, address, path or header.
const TEXT_BYTES_MAX: usize = 512;
/// A share of 1.
const WHOLE_PPM: u32 = 1_000_000;

/// Which connections a toxic is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Only {
    All,
    /// Those that stand when it begins.
    Established,
    /// Those that come after it began.
    New,
}

/// What a toxic does.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    Bytes(Toxic),
    Http(Rule),
    /// The port does not listen; connections that stand go on.
    Refuse,
}

/// The same, for others that inject faults.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// On bytes.
    Bytes(Toxic),
    /// On HTTP exchanges; always on, for all of what fits.
    Http(HttpRule),
    /// New connections are refused.
    Refuse,
}

/// A toxic as it was asked for.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct ToxicSpec {
    pub(super) name: String,
    pub(super) type_name: String,
    /// As it was written.
    pub(super) stream: String,
    pub(super) direction: Direction,
    pub(super) toxicity: f64,
    /// All that the type has.
    pub(super) attributes: Map<String, Value>,
    pub(super) kind: Kind,
    pub(super) start_ms: Option<u64>,
    pub(super) for_ms: Option<u64>,
    pub(super) lease_ms: Option<u64>,
    pub(super) only: Only,
}

/// A proxy as it was asked for. `None`: not said.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct ProxySpec {
    pub(super) name: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) toxics: Option<Vec<ToxicSpec>>,
}

fn bad(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(400, format!("bad request body: {why}"))
}

/// The JSON in a body. What comes after it is not looked at, as in Toxiproxy.
pub(super) fn value(body: &[u8]) -> Result<Value, Refusal> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match values.next() {
        None => Err(bad("EOF")),
        Some(Err(e)) => Err(bad(e)),
        Some(Ok(value)) => Ok(value),
    }
}

/// An object's fields, with names in lower case.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(value: Value) -> Result<Fields, Refusal> {
        match value {
            Value::Object(map) => {
                Ok(Fields(map.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect()))
            }
            Value::Null => Ok(Fields(Map::new())),
            other => Err(bad(format_args!("expected an object, not {}", what(&other)))),
        }
    }

    /// A field that is there and not null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(s)) if s.len() <= TEXT_BYTES_MAX => Ok(Some(s)),
            Some(Value::String(_)) => {
                Err(bad(format_args!("`{name}` is longer than {TEXT_BYTES_MAX} bytes")))
            }
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    fn share(&mut self, name: &str) -> Result<Option<f64>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(n)) => Ok(n.as_f64()),
            Some(other) => Err(wrong(name, "a number", &other)),
        }
    }

    fn millis(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(n) => Ok(Some(n)),
                None => Err(wrong(name, "a whole number, not below zero", &value)),
            },
        }
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn wrong(name: &str, wanted: &str, got: &Value) -> Refusal {
    bad(format_args!("`{name}` is {wanted}; got {}", what(got)))
}

impl ProxySpec {
    /// From a body or an element of a list.
    pub(super) fn read(value: Value, toxics_max: usize) -> Result<ProxySpec, Refusal> {
        let mut fields = Fields::of(value)?;
        let toxics = match fields.take("toxics") {
            None => None,
            Some(Value::Array(list)) if list.len() <= toxics_max => {
                Some(list.into_iter().map(ToxicSpec::read).collect::<Result<Vec<_>, _>>()?)
            }
            Some(Value::Array(_)) => {
                return Err(bad(format_args!("more than {toxics_max} toxics")));
            }
            Some(other) => return Err(wrong("toxics", "a list", &other)),
        };
        for (at, toxic) in toxics.iter().flatten().enumerate() {
            if toxics.iter().flatten().take(at).any(|t| t.name == toxic.name) {
                return Err(Refusal::TOXIC_EXISTS);
            }
        }
        Ok(ProxySpec {
            name: fields.text("name")?,
            listen: fields.text("listen")?,
            upstream: fields.text("upstream")?,
            enabled: fields.flag("enabled")?,
            toxics,
        })
    }
}

impl ToxicSpec {
    /// From a body or an element of a list.
    pub(super) fn read(value: Value) -> Result<ToxicSpec, Refusal> {
        let mut fields = Fields::of(value)?;
        let (name, type_name) = (fields.text("name")?, fields.text("type")?.unwrap_or_default());
        let stream = fields.text("stream")?.unwrap_or_else(|| "downstream".to_owned());
        let toxicity = fields.share("toxicity")?.unwrap_or(1.0);
        let only = match (fields.flag("only_established")?, fields.flag("only_new")?) {
            (Some(true), Some(true)) => {
                return Err(bad("`only_established` and `only_new` exclude each other"));
            }
            (Some(true), _) => Only::Established,
            (_, Some(true)) => Only::New,
            _ => Only::All,
        };
        let (start_ms, for_ms) = (fields.millis("start_ms")?, fields.millis("for_ms")?);
        let lease_ms = fields.millis("lease_ms")?;
        let direction = match stream.to_ascii_lowercase().as_str() {
            "upstream" => Direction::Up,
            "downstream" => Direction::Down,
            _ => return Err(Refusal::STREAM),
        };
        let name =
            name.filter(|n| !n.is_empty()).unwrap_or_else(|| format!("{type_name}_{stream}"));
        let blank = blank(&type_name).ok_or(Refusal::TYPE)?;
        let attributes = merged(&type_name, blank, fields.take("attributes"))?;
        let kind = kind(&type_name, &attributes)?;
        if kind == Kind::Refuse && (toxicity != 1.0 || only == Only::Established) {
            return Err(bad("`refuse` is for all connections that come"));
        }
        Ok(ToxicSpec {
            name,
            type_name,
            stream,
            direction,
            toxicity,
            attributes,
            kind,
            start_ms,
            for_ms,
            lease_ms,
            only,
        })
    }

    /// With the attributes, toxicity and times that a body changes.
    pub(super) fn changed(&self, value: Value) -> Result<ToxicSpec, Refusal> {
        let mut fields = Fields::of(value)?;
        let given = fields.take("attributes");
        let attributes = merged(&self.type_name, self.attributes.clone(), given)?;
        let same = attributes == self.attributes;
        let kind = if same { self.kind.clone() } else { kind(&self.type_name, &attributes)? };
        let toxicity = fields.share("toxicity")?.unwrap_or(self.toxicity);
        if kind == Kind::Refuse && toxicity != 1.0 {
            return Err(bad("`refuse` is for all connections that come"));
        }
        Ok(ToxicSpec {
            toxicity,
            for_ms: fields.millis("for_ms")?.or(self.for_ms),
            lease_ms: fields.millis("lease_ms")?.or(self.lease_ms),
            attributes,
            kind,
            ..self.clone()
        })
    }

    /// Its scope, when it comes now.
    pub(super) fn scope(&self, now: Tick) -> Scope {
        let from = now + Duration::from_millis(self.start_ms.unwrap_or(0));
        let to = self.for_ms.map_or(Tick::NEVER, |ms| from + Duration::from_millis(ms));
        let lease = self.lease_ms.map(Duration::from_millis);
        Scope { share_ppm: ppm(self.toxicity), from, to, lease, renewed: now }
    }

    /// As the interface shows it.
    pub(super) fn json(&self) -> Value {
        let mut out = json!({
            "attributes": self.attributes,
            "name": self.name,
            "type": self.type_name,
            "stream": self.stream,
            "toxicity": number(self.toxicity),
        });
        let times =
            [("start_ms", self.start_ms), ("for_ms", self.for_ms), ("lease_ms", self.lease_ms)];
        for (name, value) in times {
            if let Some(value) = value {
                out[name] = value.into();
            }
        }
        match self.only {
            Only::All => {}
            Only::Established => out["only_established"] = true.into(),
            Only::New => out["only_new"] = true.into(),
        }
        out
    }
}

/// What a toxic of this type does, with attributes that are all there: what is not given has its default.
///
/// # Errors
/// In words: an unknown type, an attribute that the type does not have, a value that makes no sense.
pub fn read_effect(
    type_name: &str,
    attributes: Option<Value>,
) -> Result<(Effect, Map<String, Value>), String> {
    let types = || TYPES.map(|t| t.0).join(", ");
    let blank =
        blank(type_name).ok_or_else(|| format!("no type `{type_name}`; there are: {}", types()))?;
    let plain = |refusal: Refusal| {
        let said = refusal.message.strip_prefix("bad request body: ").map(str::to_owned);
        said.unwrap_or_else(|| refusal.message.into_owned())
    };
    let attributes = merged(type_name, blank, attributes).map_err(plain)?;
    let effect = match kind(type_name, &attributes).map_err(plain)? {
        Kind::Bytes(toxic) => Effect::Bytes(toxic),
        Kind::Http(rule) => Effect::Http(rule.rule(WHOLE_PPM)),
        Kind::Refuse => Effect::Refuse,
    };
    Ok((effect, attributes))
}

/// Whole numbers without a point, as Toxiproxy writes them.
fn number(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { json!(n as i64) } else { json!(n) }
}

/// A share in parts per million. Little is not nothing.
fn ppm(share: f64) -> u32 {
    let most = f64::from(WHOLE_PPM);
    (share * most).ceil().clamp(0.0, most) as u32
}

/// What an attribute is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// A whole number, 0 unless given.
    Whole,
    /// A number, so many thousandths unless given.
    Share(u16),
    /// A string; without a value unless given.
    Text,
    /// A whole number; without a value unless given.
    Maybe,
}

use Form::{Maybe, Share, Text, Whole};

/// A type, its attributes, and whether it is Toxiproxy's.
type Type = (&'static str, &'static [(&'static str, Form)], bool);

const TYPES: [Type; 15] = [
    ("noop", &[], true),
    ("latency", &[("latency", Whole), ("jitter", Whole)], true),
    ("bandwidth", &[("rate", Whole)], true),
    ("slow_close", &[("delay", Whole)], true),
    ("timeout", &[("timeout", Whole)], true),
    ("reset_peer", &[("timeout", Whole)], true),
    ("slicer", &[("average_size", Whole), ("size_variation", Whole), ("delay", Whole)], true),
    ("limit_data", &[("bytes", Whole)], true),
    ("packet_loss", &[("loss_rate", Share(100)), ("correlation", Share(0))], true),
    ("silent", &[("after", Whole)], false),
    ("refuse", &[], false),
    ("stall", &[("bytes", Whole)], false),
    ("corrupt", &[("share", Share(0))], false),
    ("delay", &[("distribution", Text)], false),
    ("http", &HTTP, false),
];

const HTTP: [(&str, Form); 8] = [
    ("status", Maybe),
    ("retry_after", Maybe),
    ("delay", Maybe),
    ("cut", Maybe),
    ("length", Maybe),
    ("first", Maybe),
    ("path", Text),
    ("header", Text),
];

/// The attributes of a type, and whether it is Toxiproxy's.
fn attributes(type_name: &str) -> Option<(&'static [(&'static str, Form)], bool)> {
    TYPES.iter().find(|t| t.0 == type_name).map(|t| (t.1, t.2))
}

/// A type's attributes before any is given.
fn blank(type_name: &str) -> Option<Map<String, Value>> {
    let (list, _) = attributes(type_name)?;
    let default = |form: &Form| match form {
        Form::Whole => Some(json!(0)),
        Form::Share(thousandths) => Some(number(f64::from(*thousandths) / 1000.0)),
        Form::Text | Form::Maybe => None,
    };
    Some(list.iter().filter_map(|(n, form)| Some(((*n).to_owned(), default(form)?))).collect())
}

/// Those at hand, with those given over them.
fn merged(
    type_name: &str,
    mut at_hand: Map<String, Value>,
    given: Option<Value>,
) -> Result<Map<String, Value>, Refusal> {
    let Some(given) = given else { return Ok(at_hand) };
    let mut given = match given {
        Value::Object(_) => Fields::of(given)?,
        other => return Err(wrong("attributes", "an object", &other)),
    };
    let (list, theirs) = attributes(type_name).ok_or(Refusal::TYPE)?;
    for (name, form) in list {
        let Some(value) = given.take(name) else { continue };
        let fits = match form {
            Form::Whole | Form::Maybe => value.as_i64().is_some(),
            Form::Share(_) => value.is_number(),
            Form::Text => value.as_str().is_some_and(|s| s.len() <= TEXT_BYTES_MAX),
        };
        if !fits {
            let wanted = match form {
                Form::Whole | Form::Maybe => "a whole number",
                Form::Share(_) => "a number",
                Form::Text => "a string of at most 512 bytes",
            };
            return Err(wrong(name, wanted, &value));
        }
        at_hand.insert((*name).to_owned(), value);
    }
    match given.0.keys().next() {
        Some(name) if !theirs => {
            let has: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
            let has = has.join(", ");
            Err(bad(format_args!("`{type_name}` has no attribute `{name}`; it has: {has}")))
        }
        _ => Ok(at_hand),
    }
}

/// What a type does with these attributes.
fn kind(type_name: &str, attributes: &Map<String, Value>) -> Result<Kind, Refusal> {
    // Less than nothing is nothing, as there.
    let whole = |name: &str| {
        let n = attributes.get(name).and_then(Value::as_i64).unwrap_or(0);
        u64::try_from(n).unwrap_or(0)
    };
    let ms = |name: &str| Duration::from_millis(whole(name));
    let share = |name: &str| ppm(attributes.get(name).and_then(Value::as_f64).unwrap_or(0.0));
    Ok(Kind::Bytes(match type_name {
        "noop" => Toxic::Latency { latency: Duration::ZERO, jitter: Duration::ZERO },
        "latency" => Toxic::Latency { latency: ms("latency"), jitter: ms("jitter") },
        "bandwidth" => Toxic::Bandwidth { bytes_per_second: whole("rate").saturating_mul(1000) },
        "slow_close" => Toxic::SlowClose { delay: ms("delay") },
        "timeout" => Toxic::Timeout { after: Some(ms("timeout")).filter(|t| !t.is_zero()) },
        "reset_peer" => Toxic::ResetPeer { after: ms("timeout") },
        "slicer" => Toxic::Slicer {
            average: whole("average_size"),
            variation: whole("size_variation"),
            delay: Duration::from_micros(whole("delay")),
        },
        "limit_data" => Toxic::LimitData { bytes: whole("bytes") },
        "packet_loss" => Toxic::PacketLoss {
            share_ppm: share("loss_rate"),
            correlation_ppm: share("correlation"),
        },
        "silent" => Toxic::Silent { after: ms("after") },
        "stall" => Toxic::Stall { bytes: whole("bytes") },
        "corrupt" => Toxic::Corrupt { share_ppm: share("share") },
        "delay" => {
            let text = attributes.get("distribution").and_then(Value::as_str);
            let text = text.ok_or_else(|| bad("`delay` needs `distribution`, as `exp(100ms)`"))?;
            let times: Distribution =
                text.parse().map_err(|e| bad(format_args!("`distribution`: {e}")))?;
            Toxic::Delay(Times::new(move |rng| times.sample(rng)))
        }
        "refuse" => return Ok(Kind::Refuse),
        "http" => return Rule::read(attributes).map(Kind::Http).map_err(bad),
        _ => return Err(Refusal::TYPE),
    }))
}

#[cfg(test)]
mod tests;
