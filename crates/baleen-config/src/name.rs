//! Names: labels (one segment), logical names (`/svc/images`), and the hosts that rules are for.
//!
//! A label is also the name of a cluster and of a services file, so it holds nothing that a path or a shell would trip over.
//! Not here: names with places to fill in (`template.rs`), which cluster a name leads to (`target.rs`). Tested: below.

use crate::value::Wrong;

/// Longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 253;
/// Longest logical name, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// Where names of single clusters live.
const SERVICES: &str = "/svc/";

/// Whether this can be the name of a cluster: letters, digits, `-`, `_` and `.`, not starting with `.` or `-`.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let first = text.as_bytes().first().is_some_and(|b| !matches!(b, b'.' | b'-'));
    first && text.len() <= LABEL_BYTES_MAX && text.bytes().all(inner)
}

/// Checks the name of a cluster.
pub fn label(text: &str) -> Result<String, Wrong> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err(match text.strip_prefix(SERVICES) {
        Some(name) if is_label(name) => {
            Wrong::new("expected the name of a cluster").hint(format!("did you mean \"{name}\"?"))
        }
        _ => Wrong::new("expected the name of a cluster: letters, digits, `-`, `_` and `.`"),
    })
}

/// Checks a logical name: `/` and labels, such as `/svc/images`.
pub fn logical(text: &str) -> Result<String, Wrong> {
    let segments = text.strip_prefix('/').map(|rest| rest.split('/').all(is_label));
    if segments == Some(true) && text.len() <= NAME_BYTES_MAX {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new("expected a logical name such as \"/svc/images\"");
    Err(match text.trim_matches('/') {
        name if is_label(name) && name != "svc" => {
            wrong.hint(format!("did you mean \"/svc/{name}\"?"))
        }
        _ => wrong,
    })
}

/// The cluster that a logical name of the form `/svc/NAME` leads to when nothing else is said.
#[must_use]
pub fn cluster_of(logical: &str) -> Option<&str> {
    logical.strip_prefix(SERVICES).filter(|name| is_label(name))
}

/// A host without its port and final dot. An IPv6 address keeps its brackets.
fn host_only(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Which hosts a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostPattern {
    /// This one, in lower case.
    Exact(String),
    /// Every name below this one, which starts with a dot: `.example.com`.
    Below(String),
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<HostPattern, Wrong> {
        let expected = "expected a host such as \"api.example.com\" or \"*.example.com\"";
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text).to_ascii_lowercase();
        if let Some((host, port)) = name.rsplit_once(':')
            && is_label(host)
            && port.bytes().all(|b| b.is_ascii_digit())
        {
            let hint = format!("did you mean \"{host}\"?");
            return Err(Wrong::new("a rule's host has no port; the listener has").hint(hint));
        }
        if !is_label(&name) || name.ends_with('.') {
            return Err(Wrong::new(expected));
        }
        Ok(if below.is_some() {
            HostPattern::Below(format!(".{name}"))
        } else {
            HostPattern::Exact(name)
        })
    }

    /// Whether a request for this host is meant. Its port and a final dot do not count.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host_only(host);
        match self {
            HostPattern::Exact(name) => host.eq_ignore_ascii_case(name),
            HostPattern::Below(end) => {
                let at = host.len().checked_sub(end.len()).filter(|at| *at > 0);
                at.and_then(|at| host.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
            }
        }
    }

    /// Whether every host that `other` matches is matched by this too.
    pub(crate) fn covers(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (HostPattern::Below(a), HostPattern::Below(b)) => b.ends_with(a.as_str()),
            (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
            (HostPattern::Below(_), HostPattern::Exact(b)) => self.matches(b),
            (HostPattern::Exact(_), HostPattern::Below(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert!(["web", "web-v1", "a.b", "_x", "9"].into_iter().all(is_label));
        assert!(
            !["", ".web", "-web", "we b", "web/", "wéb", "..", "a:1"].into_iter().any(is_label)
        );
        assert!(!is_label(&"a".repeat(254)));
    }

    #[test]
    fn hosts_match_by_whole_labels() {
        let exact = HostPattern::parse("API.example.com").unwrap();
        let below = HostPattern::parse("*.example.com").unwrap();
        assert!(exact.matches("api.example.com:443") && exact.matches("Api.Example.Com."));
        assert!(!exact.matches("api.example.com.evil"));
        assert!(below.matches("a.b.example.com") && !below.matches("example.com"));
        assert!(!below.matches("badexample.com") && !below.matches(".example.com"));
        assert!(below.covers(&exact) && !exact.covers(&below));
    }
}
