//! What strings in rules may be: paths, what takes their place, hosts, addresses of redirects.
//!
//! Tested: `rule/tests.rs`.

use std::net::Ipv6Addr;

use super::RulePath;
use crate::name::is_label;
use crate::nearest::nearest;
use crate::value::Wrong;

/// Longest path of a rule, and longest address of a redirect.
const PATH_BYTES_MAX: usize = 1024;
/// What can stand in the address of a redirect.
const REDIRECT_PARTS: [&str; 4] = ["scheme", "host", "path", "rest"];

/// `None` for `/`, which is any path.
pub(super) fn path(text: &str) -> Result<Option<RulePath>, Wrong> {
    let exact = text.starts_with('=');
    let path = text.strip_prefix('=').unwrap_or(text);
    if !path.starts_with('/') {
        let wrong = Wrong::new("expected a path that starts with `/`, or with `=/` for it alone");
        let graphic = !path.is_empty() && path.bytes().all(|b| b.is_ascii_graphic());
        let sign = if exact { "=" } else { "" };
        let hint = format!("did you mean \"{sign}/{path}\"?");
        return Err(if graphic { wrong.hint(hint) } else { wrong });
    }
    if let Some(end) = path.strip_suffix("/*").or_else(|| path.strip_suffix('*')) {
        let hint = format!(
            "did you mean \"{}\"? A prefix matches all below it",
            if end.is_empty() { "/" } else { end }
        );
        return Err(Wrong::new("expected a path without `*`").hint(hint));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains(['?', '#']) {
        return Err(Wrong::new(
            "a path has no `?`, `#`, spaces or letters outside ASCII, as requests do not",
        ));
    }
    if has_dots(path) {
        return Err(Wrong::new(
            "a path has no `.` or `..` segments: requests with them are refused",
        ));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Wrong::new(format!("a path has at most {PATH_BYTES_MAX} bytes")));
    }
    let prefix = path.trim_end_matches('/');
    Ok(match (prefix, exact) {
        ("", false) => None,
        ("", true) => Some(RulePath { prefix: "/".into(), exact }),
        _ => Some(RulePath { prefix: prefix.to_owned(), exact }),
    })
}

fn has_dots(path: &str) -> bool {
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    plain.split('/').any(|s| s == "." || s == "..")
}

/// RFC 3986 section 2, `%` included, but without `#`.
fn is_of_address(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b)
}

pub(super) fn rewritten_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        let wrong = Wrong::new("expected a path that starts with `/`");
        let plain = !text.is_empty() && text.bytes().all(is_of_address) && !text.contains(':');
        return Err(if plain { wrong.hint(format!("did you mean \"/{text}\"?")) } else { wrong });
    }
    if text.contains(['{', '}']) {
        return Err(Wrong::new(
            "nothing is filled in here: what lies below the rule's path follows",
        ));
    }
    if text.contains(['?', '#']) {
        return Err(Wrong::new(
            "expected a path without `?` and `#`: the query follows as it came",
        ));
    }
    if text.contains("//") || has_dots(text) {
        return Err(Wrong::new("a path has no empty, `.` or `..` segments"));
    }
    if !text.bytes().all(is_of_address) || !well_encoded(text) {
        return Err(Wrong::new("this has no place in a path; write it as `%` and two hex digits"));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(Wrong::new(format!("a path has at most {PATH_BYTES_MAX} bytes")));
    }
    let path = text.trim_end_matches('/');
    Ok(if path.is_empty() { "/".into() } else { path.to_owned() })
}

fn well_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|p| p.len() >= 2 && p.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

pub(super) fn rewritten_host(text: &str) -> Result<String, Wrong> {
    let expected =
        || Wrong::new("expected a host such as \"web.internal\" or \"web.internal:8080\"");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_label(host),
    };
    let is_port = port.is_none_or(|p| {
        !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok()
    });
    if is_host && is_port {
        return Ok(text.to_owned());
    }
    let after = text.split_once("://").map(|(_, host)| host.trim_end_matches('/'));
    Err(match after {
        Some(host) if is_label(host) => expected().hint(format!("did you mean \"{host}\"?")),
        _ => expected(),
    })
}

pub(super) fn redirect_to(text: &str) -> Result<String, Wrong> {
    let mut left = text;
    while let Some(at) = left.find(['{', '}']) {
        let found = left.get(at..).unwrap_or("");
        let word = found.strip_prefix('{').and_then(|w| w.split_once('}'));
        let Some((word, after)) = word else {
            return Err(Wrong::new("a brace stands alone here"));
        };
        if !REDIRECT_PARTS.contains(&word) {
            let label = format!(
                "`{{{word}}}` is not known; `{{scheme}}`, `{{host}}`, `{{path}}` and `{{rest}}` can be filled in"
            );
            let meant =
                nearest(word, REDIRECT_PARTS).or(word.starts_with("path").then_some("path"));
            let hint = meant.map(|near| {
                let to = text.replace(&format!("{{{word}}}"), &format!("{{{near}}}"));
                format!("did you mean \"{to}\"?")
            });
            return Err(Wrong { label, hint });
        }
        left = after;
    }
    if text.contains('#') {
        return Err(Wrong::new("a redirect has no `#`: the query could not follow it"));
    }
    let plain = text.replace(['{', '}'], "");
    if !plain.bytes().all(is_of_address) || !well_encoded(text) {
        return Err(Wrong::new(
            "this has no place in an address; write it as `%` and two hex digits",
        ));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(Wrong::new(format!("an address has at most {PATH_BYTES_MAX} bytes")));
    }
    let path = |text: &str| text.starts_with("{path}") || text.starts_with("{rest}");
    if path(text) || (text.starts_with('/') && !text.starts_with("//")) {
        return Ok(text.to_owned());
    }
    let wrong = || Wrong::new("expected an address such as \"https://{host}{path}\" or a path");
    let schemes = ["https://", "http://", "{scheme}://"];
    match schemes.into_iter().find_map(|scheme| text.strip_prefix(scheme)) {
        Some(to) if to.is_empty() || to.starts_with(['/', '?']) || path(to) => {
            Err(Wrong::new("the host is missing")
                .hint("write for example \"https://{host}{path}\""))
        }
        Some(_) => Ok(text.to_owned()),
        None => Err(match text.strip_prefix("//").unwrap_or(text) {
            _ if text.contains("://") => wrong(),
            host if host.split('/').next().is_some_and(|h| h.contains('.') || h == "{host}") => {
                wrong().hint(format!("did you mean \"https://{host}\"?"))
            }
            _ => wrong(),
        }),
    }
}
