//! What a call looks like on the wire.
//!
//! | part | value |
//! |---|---|
//! | method | GET when the call may be made twice, else POST |
//! | path | `/`; `/poison` of a call that kills, so that Baleen's quarantine can tell them apart |
//! | `Host` | straight: the service's name; by name: `web` of `/svc/web` |
//! | `x-request-id` | `drill-N` |
//! | `x-drill-poison` | `1` of a call that kills |
//! | `baleen-deadline` | by name, with `deadline` and a time limit: milliseconds that are left of the try |
//! | `baleen-priority` | by name, unless it is the one that all have |
//! | `Connection` | `close` of a straight caller without a pool |
//! | body | as many bytes as the called service's `request_bytes` |
//!
//! Not here: sending. Tested: below.

use std::io::Write as _;
use std::time::Duration;

use baleen_http1::is_authority;
use baleen_scenario::model::{CallSpec, Scenario, To};

use super::Said;

/// Calls of this priority say nothing, and the route's counts.
const PRIORITY_USUAL: u8 = 3;
/// What the deadline field holds.
const DEADLINE_MS_MAX: u128 = 999_999_999;

/// The host that makes a listener of `/svc/{host}` route by this name.
pub(super) fn host(name: &str) -> Option<&str> {
    let host = name.strip_prefix("/svc/")?;
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (host.bytes().all(plain) && is_authority(host.as_bytes(), false)).then_some(host)
}

/// What is the same of all requests of one way of calling.
pub(super) struct Form {
    host: String,
    deadline: bool,
    priority: Option<u8>,
    close: bool,
    pub(super) body_bytes: u64,
}

impl Form {
    pub(super) fn new(scenario: &Scenario, spec: &CallSpec) -> Form {
        let (host, named) = match &spec.to {
            To::Service(s) => (scenario.services[s.index()].name.clone(), false),
            To::Name { name, .. } => (host(name).unwrap_or_default().to_owned(), true),
        };
        let service = scenario.services.iter().find(|s| s.name == host);
        Form {
            deadline: named && spec.deadline,
            priority: Some(spec.priority).filter(|&p| named && p != PRIORITY_USUAL),
            close: !named && spec.pool.order.is_none(),
            body_bytes: service.map_or(0, |s| s.request_bytes),
            host,
        }
    }

    /// The head of a request. `left`: how much longer the caller waits.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        said: Said,
        idempotent: bool,
        left: Option<Duration>,
    ) {
        let Said { id, poison } = said;
        let method = if idempotent { "GET" } else { "POST" };
        let path = if poison { "/poison" } else { "/" };
        // Writing to memory does not fail.
        let _ = write!(out, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        let _ = write!(out, "x-request-id: drill-{id}\r\n");
        if poison {
            out.extend_from_slice(b"x-drill-poison: 1\r\n");
        }
        if let Some(left) = left.filter(|_| self.deadline) {
            let left = left.as_millis().min(DEADLINE_MS_MAX);
            let _ = write!(out, "baleen-deadline: {left}\r\n");
        }
        if let Some(priority) = self.priority {
            let _ = write!(out, "baleen-priority: {priority}\r\n");
        }
        if self.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if self.body_bytes > 0 || !idempotent {
            let _ = write!(out, "Content-Length: {}\r\n", self.body_bytes);
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_hosts() {
        for (name, expected) in [
            ("/svc/web", Some("web")),
            ("/svc/a-b.c_d9", Some("a-b.c_d9")),
            ("/svc/", None),
            ("/svc/Web", None),
            ("/svc/web:80", None),
            ("/svc/web/x", None),
            ("/host/web", None),
            ("web", None),
        ] {
            assert_eq!(host(name), expected, "{name}");
        }
    }

    #[test]
    fn a_head() {
        let form = Form {
            host: "web".to_owned(),
            deadline: true,
            priority: Some(0),
            close: false,
            body_bytes: 7,
        };
        let mut out = Vec::new();
        let left = Some(Duration::from_micros(249_900));
        form.write(&mut out, Said { id: 41, poison: true }, true, left);
        let expected = "GET /poison HTTP/1.1\r\nHost: web\r\nx-request-id: drill-41\r\nx-drill-poison: 1\r\n\
            baleen-deadline: 249\r\nbaleen-priority: 0\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
        let form = Form { deadline: false, priority: None, close: true, body_bytes: 0, ..form };
        let mut out = Vec::new();
        form.write(&mut out, Said { id: 0, poison: false }, false, left);
        let expected = "POST / HTTP/1.1\r\nHost: web\r\nx-request-id: drill-0\r\nConnection: close\r\n\
            Content-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
