//! Endpoints as they are written, in the configuration and in the files of the files namer: `127.0.0.1:9001`,
//! `127.0.0.1:9001 2`, the second being a weight, or `127.0.0.1:9001 2 zone=eu-1`.
//!
//! Not here: watching files (`baleen-discovery`). Tested: below.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::number;
use crate::shell::zone_hash;
use crate::span::{Place, Source};
use crate::value::{self, Wrong};

/// Most endpoints in one cluster.
pub const ENDPOINTS_MAX: usize = baleen_policy::params::ENDPOINTS_MAX;
/// Largest weight of an endpoint.
pub const WEIGHT_MAX: u32 = 65_535;
/// Errors shown of one services file.
const ERRORS_MAX: usize = 20;

/// One address of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its share of traffic in relation to the others; 1 unless said otherwise.
    pub weight: u32,
    /// Its zone ([`crate::zone_hash`]); 0 when it has none.
    pub zone: u32,
}

/// Why a line is no endpoint, and which bytes of it are to blame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineError {
    /// Bytes of the line.
    pub span: Range<usize>,
    /// In one line.
    pub title: String,
    /// What was expected and what to try.
    pub wrong: Wrong,
}

/// Reads `host:port [weight] [zone=NAME]`. Spaces around it are allowed.
pub fn parse_endpoint(line: &str) -> Result<Endpoint, LineError> {
    let mut words = words(line);
    let fail = |span: Range<usize>, title: &str, wrong: Wrong| LineError {
        span,
        title: title.into(),
        wrong,
    };
    let Some((span, text)) = words.next() else {
        let wrong = Wrong::new("expected an address and a port, such as \"127.0.0.1:9001\"");
        return Err(fail(0..line.len(), "an endpoint is empty", wrong));
    };
    let not = "not an endpoint";
    let addr = value::address(text).map_err(|wrong| fail(span.clone(), not, wrong))?;
    if addr.port() == 0 {
        return Err(fail(span, not, Wrong::new("port 0 can not be connected to")));
    }
    if addr.ip().is_unspecified() {
        return Err(fail(span, not, Wrong::new("this address can only be listened on")));
    }
    let (mut weight, mut zone) = (None, None);
    for (span, text) in words {
        let again = Wrong::new("it was said before in this line");
        if let Some(name) = text.strip_prefix("zone=") {
            let part = span.end - name.len()..span.end;
            let name = number::zone(name).map_err(|wrong| fail(part, "not a zone", wrong))?;
            if zone.replace(zone_hash(&name)).is_some() {
                return Err(fail(span, "two zones in one line", again));
            }
        } else if zone.is_none() && weight.is_none() {
            let number = self::weight(text).map_err(|wrong| fail(span, "not a weight", wrong))?;
            weight = Some(number);
        } else {
            let wrong = Wrong::new(
                "expected the end of the line: an address, then at most a weight, then at most a zone",
            );
            let end = line.trim_end().len();
            return Err(fail(span.start..end, "too much in one line", wrong));
        }
    }
    Ok(Endpoint { addr, weight: weight.unwrap_or(1), zone: zone.unwrap_or(0) })
}

fn weight(text: &str) -> Result<u32, Wrong> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|n| digits && (1..=WEIGHT_MAX).contains(n));
    number.ok_or_else(|| {
        let wrong = Wrong::new(format!("expected a whole number from 1 to {WEIGHT_MAX}"));
        match text.split_once(['=', ':']) {
            Some((key, name)) if nearest(key, ["zone"]).is_some() => {
                wrong.hint(format!("did you mean `zone={name}`?"))
            }
            _ if text == "0" => wrong.hint("leave the line out to send nothing there"),
            _ => wrong,
        }
    })
}

fn words(line: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at + rest.find(|c: char| !c.is_whitespace())?;
        let rest = line.get(start..)?;
        let end = start + rest.find(char::is_whitespace).unwrap_or(rest.len());
        at = end;
        Some((start..end, line.get(start..end)?))
    })
}

/// Reads a services file: one endpoint a line, `#` starts a comment, blank lines are nothing. All of it or none: the
/// diagnostics say what is wrong with the file.
pub fn parse_services(path: &Path, text: &str) -> Result<Vec<Endpoint>, Vec<Diagnostic>> {
    let source = Source::new(path, text);
    let mut errors = Vec::new();
    let mut seen: BTreeMap<SocketAddr, Place> = BTreeMap::new();
    let mut found = Vec::new();
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or("").trim_end();
        let place = Place { source: Arc::clone(&source), span: at..at + content.len() };
        at += line.len();
        if content.trim().is_empty() {
            continue;
        }
        match parse_endpoint(content).map_err(|e| line_error(&place, e)) {
            Ok(endpoint) => {
                let place = place.within(content.len() - content.trim_start().len()..content.len());
                if let Some(first) = seen.insert(endpoint.addr, place.clone()) {
                    errors.push(duplicate(&place, &first, endpoint.addr));
                }
                found.push(endpoint);
            }
            Err(error) => errors.push(error),
        }
        if found.len() > ENDPOINTS_MAX {
            errors.push(Diagnostic::error(&place, format!("more than {ENDPOINTS_MAX} endpoints")));
            break;
        }
        if errors.len() >= ERRORS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The diagnostic for a line that is no endpoint; `place` is the line's.
pub(crate) fn line_error(place: &Place, error: LineError) -> Diagnostic {
    Diagnostic::error(&place.within(error.span), error.title)
        .label(error.wrong.label)
        .maybe_hint(error.wrong.hint)
}

/// The diagnostic for an address that is there twice.
pub(crate) fn duplicate(place: &Place, first: &Place, addr: SocketAddr) -> Diagnostic {
    Diagnostic::error(place, format!("{addr} is there twice"))
        .label("again here")
        .related(first, "first here")
        .hint("give it a weight to send more there: \"host:port weight\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let addr: SocketAddr = "127.0.0.1:9001".parse().unwrap();
        assert_eq!(parse_endpoint("127.0.0.1:9001"), Ok(Endpoint { addr, weight: 1, zone: 0 }));
        assert_eq!(
            parse_endpoint("  localhost:9001\t 7 "),
            Ok(Endpoint { addr, weight: 7, zone: 0 })
        );
        let zone = zone_hash("eu-1");
        assert_eq!(
            parse_endpoint("127.0.0.1:9001 zone=eu-1"),
            Ok(Endpoint { addr, weight: 1, zone })
        );
        assert_eq!(
            parse_endpoint("127.0.0.1:9001 3 zone=eu-1"),
            Ok(Endpoint { addr, weight: 3, zone })
        );
        for (bad, span) in [
            ("", 0..0),
            ("web:80", 0..6),
            ("127.0.0.1:0", 0..11),
            ("0.0.0.0:80", 0..10),
            ("127.0.0.1:80 0", 13..14),
            ("127.0.0.1:80 x", 13..14),
            ("127.0.0.1:80 +1", 13..15),
            ("127.0.0.1:80 1 2 3 ", 15..18),
            ("127.0.0.1:80 65536", 13..18),
            ("127.0.0.1:80 zone=", 18..18),
            ("127.0.0.1:80 zone=a/b", 18..21),
            ("127.0.0.1:80 zone=a zone=b", 20..26),
            ("127.0.0.1:80 zone=a 2", 20..21),
            ("127.0.0.1:80 1 zone:a", 15..21),
        ] {
            assert_eq!(parse_endpoint(bad).unwrap_err().span, span, "{bad}");
        }
    }

    #[test]
    fn a_services_file_is_taken_whole_or_not_at_all() {
        let text = "# web\n\n127.0.0.1:1 # first\r\n  [::1]:2 3\n";
        let found = parse_services(Path::new("web"), text).unwrap();
        assert_eq!(
            found.iter().map(|e| (e.addr.port(), e.weight)).collect::<Vec<_>>(),
            [(1, 1), (2, 3)]
        );
        assert_eq!(parse_services(Path::new("web"), ""), Ok(vec![]));
        let errors =
            parse_services(Path::new("web"), "127.0.0.1:1\nx\n127.0.0.1:1\ny y").unwrap_err();
        let places: Vec<_> = errors.iter().map(Diagnostic::line_column).collect();
        assert_eq!(places, [(2, 1), (3, 1), (4, 1)]);
    }

    #[test]
    fn too_many_endpoints() {
        let line = |i: usize| format!("10.0.{}.{}:80\n", i / 250, i % 250 + 1);
        let text: String = (0..ENDPOINTS_MAX).map(line).collect();
        assert_eq!(parse_services(Path::new("web"), &text).unwrap().len(), ENDPOINTS_MAX);
        let text: String = (0..=ENDPOINTS_MAX).map(line).collect();
        assert_eq!(parse_services(Path::new("web"), &text).unwrap_err().len(), 1);
    }
}
