//! The names below `/$/` that are the same everywhere: `/$/nil`, `/$/fail`, and those that rewrite a path.
//!
//! After `Namer.scala` of Finagle and `http.scala`, `hostport.scala`, `rinet.scala` of linkerd 1, under the names these have there:
//!
//! | path | leads to |
//! |---|---|
//! | `/$/nil/…` | `$` |
//! | `/$/fail/…` | `!` |
//! | `/$/io.buoyant.rinet/PORT/HOST/…` | what `/$/inet/HOST/PORT/…` is; no entry is asked about that |
//! | `/$/io.buoyant.hostportPfx/p/HOST:PORT/…` | `/p/HOST/PORT/…` |
//! | `/$/io.buoyant.porthostPfx/p/HOST:PORT/…` | `/p/PORT/HOST/…` |
//! | `/$/io.buoyant.http.anyMethod/GET/…` | `/…` |
//! | `/$/io.buoyant.http.anyMethodPfx/p/GET/…` | `/p/…` |
//! | `/$/io.buoyant.http.anyHost/a.b/…` | `/…` |
//! | `/$/io.buoyant.http.anyHostPfx/p/a.b/…` | `/p/…` |
//! | `/$/io.buoyant.http.subdomainOf/a.b/web.a.b:80/…` | `/web/…` |
//! | `/$/io.buoyant.http.subdomainOfPfx/a.b/p/web.a.b:80/…` | `/p/web/…` |
//! | `/$/io.buoyant.http.domainToPath/web.a.b/…` | `/b/a/web/…` |
//! | `/$/io.buoyant.http.domainToPathPfx/p/web.a.b/…` | `/p/b/a/web/…` |
//!
//! What does not fit is negative. So is what would give an empty label (`a..b`), where linkerd throws. `/$/inet/…` is no utility: it is
//! a cluster. Not here: any other name below `/$/` (whoever implements `Namers`). Tested: in `utility/tests.rs`.

use crate::Path;
use crate::path::Builder;

/// What a utility makes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Utility {
    /// Another path, which is looked up in turn.
    To(Path),
    /// Another path, which no entry is asked about.
    Ask(Path),
    Neg,
    Fail,
    Empty,
}

/// What a path below `/$/` leads to, if its second label is a utility's.
pub(crate) fn utility(path: &Path) -> Option<Utility> {
    let rewrite: fn(&[&[u8]], &mut Builder) -> Option<usize> = match path.label(1)? {
        b"nil" => return Some(Utility::Empty),
        b"fail" => return Some(Utility::Fail),
        b"io.buoyant.rinet" => {
            let asked = rewritten(path, |labels, to| {
                let [port, host, ..] = labels else { return None };
                [b"$".as_slice(), b"inet", host, port]
                    .iter()
                    .try_for_each(|label| to.push(label).ok())?;
                Some(2)
            });
            return Some(asked.map_or(Utility::Neg, Utility::Ask));
        }
        b"io.buoyant.hostportPfx" => |labels, to| {
            let (host, port) = host_port(labels.get(1)?)?;
            all(to, &[labels[0], host, port])
        },
        b"io.buoyant.porthostPfx" => |labels, to| {
            let (host, port) = host_port(labels.get(1)?)?;
            all(to, &[labels[0], port, host])
        },
        b"io.buoyant.http.anyMethod" => |labels, _| is_method(labels.first()?).then_some(1),
        b"io.buoyant.http.anyMethodPfx" => {
            |labels, to| is_method(labels.get(1)?).then(|| all(to, &labels[..1])).flatten()
        }
        b"io.buoyant.http.anyHost" => |labels, _| is_host(labels.first()?).then_some(1),
        b"io.buoyant.http.anyHostPfx" => {
            |labels, to| is_host(labels.get(1)?).then(|| all(to, &labels[..1])).flatten()
        }
        b"io.buoyant.http.subdomainOf" => {
            |labels, to| all(to, &[subdomain(labels.first()?, labels.get(1)?)?])
        }
        b"io.buoyant.http.subdomainOfPfx" => |labels, to| {
            all(to, &[labels.get(1)?, subdomain(labels[0], labels.get(2)?)?])?;
            Some(3)
        },
        b"io.buoyant.http.domainToPath" => |labels, to| domain(to, labels.first()?).map(|()| 1),
        b"io.buoyant.http.domainToPathPfx" => |labels, to| {
            to.push(labels[0]).ok()?;
            domain(to, labels.get(1)?).map(|()| 2)
        },
        _ => return None,
    };
    Some(rewritten(path, rewrite).map_or(Utility::Neg, Utility::To))
}

/// What `rewrite` makes of the labels behind the utility's name: it adds some, and says how many of those given it used up.
fn rewritten(
    path: &Path,
    rewrite: impl FnOnce(&[&[u8]], &mut Builder) -> Option<usize>,
) -> Option<Path> {
    // No utility looks at more than three.
    let mut labels = [[].as_slice(); 3];
    let mut count = 0;
    for (place, label) in labels.iter_mut().zip(path.labels().skip(2)) {
        *place = label;
        count += 1;
    }
    let labels = (count > 0).then_some(&labels[..count])?;
    let mut to = Builder::new();
    let used = rewrite(labels, &mut to)?;
    Some(to.finish().join(&path.drop(2 + used)))
}

/// Adds labels; two were used up.
fn all(to: &mut Builder, labels: &[&[u8]]) -> Option<usize> {
    labels.iter().try_for_each(|label| to.push(label).ok())?;
    Some(2)
}

fn is_method(label: &[u8]) -> bool {
    !label.is_empty() && label.iter().all(u8::is_ascii_uppercase)
}

fn is_host(label: &[u8]) -> bool {
    !label.is_empty()
        && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte))
}

/// What is before the domain and a dot in a host, whose port is no matter.
fn subdomain<'a>(domain: &[u8], host: &'a [u8]) -> Option<&'a [u8]> {
    if !is_host(domain) || !is_host(host) {
        return None;
    }
    let colon = host.iter().position(|&byte| byte == b':').filter(|&at| at > 0);
    let host = &host[..colon.unwrap_or(host.len())];
    host.strip_suffix(domain)?.strip_suffix(b".").filter(|label| !label.is_empty())
}

/// Adds the labels of a host, last first. Dots at its end are no matter.
fn domain(to: &mut Builder, host: &[u8]) -> Option<()> {
    if !is_host(host) {
        return None;
    }
    let end = host.iter().rposition(|&byte| byte != b'.').map_or(0, |last| last + 1);
    if end == 0 {
        return Some(());
    }
    host[..end].split(|&byte| byte == b'.').rev().try_for_each(|label| to.push(label).ok())
}

/// A host and a port, which may be a name as in DNS. Colons at the end are no matter.
fn host_port(label: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = label.iter().rposition(|&byte| byte != b':').map_or(0, |last| last + 1);
    let mut parts = label[..end].split(|&byte| byte == b':');
    let (host, port) = (parts.next()?, parts.next()?);
    let (first, rest) = port.split_first()?;
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits =
        port.len() <= 63 && lower(first) && rest.iter().all(|byte| lower(byte) || *byte == b'-');
    (parts.next().is_none() && fits).then_some((host, port))
}

#[cfg(test)]
mod tests;
