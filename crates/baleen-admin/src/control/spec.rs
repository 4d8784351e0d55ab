//! A fault as it is asked for: JSON read strictly, with bounds.
//!
//! Not here: whether its type and attributes make sense, and whether the cluster exists (whoever implements
//! [`Control`](super::Control)). Tested: below.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::LEASE_MAX;

/// Longest name of a fault.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of anything else, path or header.
const TEXT_BYTES_MAX: usize = 512;
/// The latest start and the longest time, a day.
const TIME_MS_MAX: u64 = 86_400_000;

/// Which way the bytes go that a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// To the upstream.
    Upstream,
    /// From it.
    #[default]
    Downstream,
}

/// A fault as it is asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What goes wrong.
    #[serde(rename = "type")]
    pub kind: String,
    /// How, by type.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// Which way, for types that are about bytes.
    #[serde(default)]
    pub stream: Stream,
    /// The cluster whose attempts it hits.
    pub cluster: String,
    /// Only attempts to this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// Only requests of this logical name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Only requests whose path begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only requests with this header: `NAME` or `NAME: VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Share of what fits, from 0 to 1.
    #[serde(default = "whole")]
    pub share: f64,
    /// Of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// It ends when it was not renewed for so long.
    pub lease_ms: u64,
    /// It begins so much later.
    #[serde(default)]
    pub start_ms: u64,
    /// It ends so long after it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Only connections that stand when it begins.
    #[serde(default)]
    pub only_established: bool,
    /// Only connections that are made after it began.
    #[serde(default)]
    pub only_new: bool,
}

fn whole() -> f64 {
    1.0
}

impl FaultSpec {
    /// From a body.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(body: &[u8]) -> Result<FaultSpec, String> {
        let spec: FaultSpec = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let lease_max = u64::try_from(LEASE_MAX.as_millis()).unwrap_or(u64::MAX);
        if !(1..=lease_max).contains(&spec.lease_ms) {
            return Err(format!("`lease_ms` is from 1 to {lease_max}"));
        }
        if !(0.0..=1.0).contains(&spec.share) {
            return Err("`share` is from 0 to 1".to_owned());
        }
        if spec.start_ms > TIME_MS_MAX {
            return Err(format!("`start_ms` is at most {TIME_MS_MAX}"));
        }
        if spec.for_ms.is_some_and(|ms| !(1..=TIME_MS_MAX).contains(&ms)) {
            return Err(format!("`for_ms` is from 1 to {TIME_MS_MAX}"));
        }
        if spec.only_established && spec.only_new {
            return Err("`only_established` and `only_new` exclude each other".to_owned());
        }
        let texts = [
            ("type", Some(&spec.kind)),
            ("cluster", Some(&spec.cluster)),
            ("route", spec.route.as_ref()),
            ("path", spec.path.as_ref()),
            ("header", spec.header.as_ref()),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() {
                return Err(format!("`{name}` is empty"));
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(format!("`{name}` is longer than {TEXT_BYTES_MAX} bytes"));
            }
        }
        if spec.header.as_deref().is_some_and(|h| header(h).0.is_empty()) {
            return Err("`header` is `NAME` or `NAME: VALUE`".to_owned());
        }
        if spec.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            return Err("`path` begins with a slash".to_owned());
        }
        Ok(spec)
    }

    /// The header's name in lower case, and its value; an empty value stands for all.
    #[must_use]
    pub fn header(&self) -> Option<(String, String)> {
        self.header.as_deref().map(header)
    }
}

fn header(text: &str) -> (String, String) {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    (name.trim().to_ascii_lowercase(), value.trim().to_owned())
}

/// Whether a fault may be called so.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        let most = NAME_BYTES_MAX;
        return Err(format!("a name is 1 to {most} letters, digits, `-`, `_` and `.`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(change: Value) -> Result<FaultSpec, String> {
        let mut all = json!({"type": "refuse", "cluster": "web", "lease_ms": 5000});
        for (key, value) in change.as_object().expect("an object") {
            all[key] = value.clone();
        }
        FaultSpec::read(all.to_string().as_bytes())
    }

    #[test]
    fn what_is_not_given_fits_all() {
        let spec = read(json!({})).expect("a fault");
        assert_eq!((spec.share, spec.seed, spec.stream), (1.0, 0, Stream::Downstream));
        assert_eq!((spec.endpoint, spec.header(), spec.for_ms), (None, None, None));
        let spec = read(json!({"header": "X-Canary: yes", "endpoint": "127.0.0.1:9003"}));
        let spec = spec.expect("a fault");
        assert_eq!(spec.header(), Some(("x-canary".to_owned(), "yes".to_owned())));
        assert_eq!(spec.endpoint, "127.0.0.1:9003".parse().ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (change, said) in [
            (json!({"lease_ms": 0}), "`lease_ms` is from 1 to 3600000"),
            (json!({"lease_ms": 3_600_001}), "`lease_ms`"),
            (json!({"lease_ms": -1}), "integer"),
            (json!({"share": 1.1}), "`share` is from 0 to 1"),
            (json!({"share": "x"}), "invalid type"),
            (json!({"for_ms": 0}), "`for_ms`"),
            (json!({"start_ms": 86_400_001}), "`start_ms`"),
            (json!({"only_new": true, "only_established": true}), "exclude each other"),
            (json!({"cluster": ""}), "`cluster` is empty"),
            (json!({"route": "x".repeat(513)}), "longer than 512"),
            (json!({"header": ": x"}), "`NAME: VALUE`"),
            (json!({"path": "img"}), "begins with a slash"),
            (json!({"endpoint": "web"}), "socket address"),
            (json!({"stream": "sideways"}), "unknown variant"),
            (json!({"clutser": "web"}), "unknown field `clutser`"),
        ] {
            let wrong = read(change.clone()).expect_err("refused");
            assert!(wrong.contains(said), "{change}: {wrong}");
        }
        let wrong = FaultSpec::read(b"{\"type\":\"refuse\",\"cluster\":\"web\"}");
        assert!(wrong.expect_err("refused").contains("missing field `lease_ms`"));
        assert!(FaultSpec::read(b"").is_err() && FaultSpec::read(b"[]").is_err());
    }

    #[test]
    fn names() {
        for name in ["a", "slow-web_1.2"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "a b", "a\"b", "a/b", "ü", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
