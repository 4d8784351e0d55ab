//! The interface of Toxiproxy 2.12: which request does what, and what is answered.
//!
//! Browsers are refused, as there: no page that someone happens to look at can drive it.
//! Not here: what is done (`hub.rs`, `link.rs`), bytes (`serve.rs`). Tested: in `tests/fault/`.

use std::rc::Rc;

use serde_json::Value;

use super::hub::{self, Hub};
use super::refusal::Refusal;
use super::serve::Request;
use super::spec::{self, ToxicSpec};

const JSON: &str = "application/json";

/// What goes back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn text(status: u16, body: String) -> Answer {
        Answer { status, content_type: "text/plain; charset=utf-8", body }
    }

    fn json(status: u16, value: &Value) -> Answer {
        Answer { status, content_type: JSON, body: value.to_string() }
    }

    fn nothing() -> Answer {
        Answer { status: 204, content_type: JSON, body: String::new() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let body = format!("{}\n", refusal.json());
        Answer { status: refusal.status, content_type: JSON, body }
    }
}

/// Do what was asked.
pub(super) async fn answer(hub: &Rc<Hub>, request: &Request) -> Answer {
    if request.user_agent.starts_with("Mozilla/") {
        return Answer::text(403, "User agent not allowed\n".to_owned());
    }
    let path = request.path.strip_prefix('/').unwrap_or_default();
    let parts: Option<Vec<String>> = path.split('/').map(decode).collect();
    let parts = parts.unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let known = matches!(
        parts.as_slice(),
        ["proxies" | "populate" | "reset" | "version" | "metrics"]
            | ["proxies", _]
            | ["proxies", _, "toxics"]
            | ["proxies", _, "toxics", _]
    );
    match route(hub, request, &parts).await {
        Some(Ok(answer)) => answer,
        Some(Err(refusal)) => refusal.into(),
        None if known => Answer::text(405, String::new()),
        None => Answer::text(404, "404 page not found\n".to_owned()),
    }
}

/// `None`: there is no such thing to do.
async fn route(
    hub: &Rc<Hub>,
    request: &Request,
    parts: &[&str],
) -> Option<Result<Answer, Refusal>> {
    let body = &request.body;
    let ok = |value: Value| Answer::json(200, &value);
    Some(match (request.method.as_str(), parts) {
        ("GET", ["proxies"]) => Ok(ok(hub.index())),
        ("POST", ["proxies"]) => hub.create(body).await.map(|v| Answer::json(201, &v)),
        ("POST", ["populate"]) => Ok(populate(hub, body).await),
        ("POST", ["reset"]) => hub.reset().await.map(|()| Answer::nothing()),
        ("GET", ["version"]) => Ok(version()),
        ("GET", ["metrics"]) => Ok(Answer {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: hub.metrics(),
        }),
        ("GET", ["proxies", proxy]) => hub.get(proxy).map(|link| ok(link.json())),
        ("POST" | "PATCH", ["proxies", proxy]) => hub.update(proxy, body).await.map(ok),
        ("DELETE", ["proxies", proxy]) => hub.remove(proxy).await.map(|()| Answer::nothing()),
        ("GET", ["proxies", proxy, "toxics"]) => hub.get(proxy).map(|link| ok(link.toxics_json())),
        ("POST", ["proxies", proxy, "toxics"]) => create_toxic(hub, proxy, body).map(ok),
        ("GET", ["proxies", proxy, "toxics", toxic]) => {
            hub.get(proxy).and_then(|link| Ok(ok(link.toxic(toxic)?.spec.json())))
        }
        ("POST" | "PATCH", ["proxies", proxy, "toxics", toxic]) => {
            change_toxic(hub, proxy, toxic, body).map(ok)
        }
        ("DELETE", ["proxies", proxy, "toxics", toxic]) => {
            hub.get(proxy).and_then(|link| link.remove_toxic(toxic)).map(|()| Answer::nothing())
        }
        _ => return None,
    })
}

fn version() -> Answer {
    let body = format!("{{\"version\": \"{}\"}}\n", env!("CARGO_PKG_VERSION"));
    Answer { status: 200, content_type: "application/json;charset=utf-8", body }
}

async fn populate(hub: &Rc<Hub>, body: &[u8]) -> Answer {
    let (done, wrong) = match hub::read_list(body) {
        Ok(specs) => hub.populate(specs).await,
        Err(refusal) => (Vec::new(), Some(refusal)),
    };
    let status = wrong.as_ref().map_or(201, |r| r.status);
    Answer::json(status, &hub::populated(&done, wrong.as_ref()))
}

fn create_toxic(hub: &Hub, proxy: &str, body: &[u8]) -> Result<Value, Refusal> {
    let link = hub.get(proxy)?;
    link.add_toxic(ToxicSpec::read(spec::value(body)?)?)
}

/// An empty body changes nothing and renews the lease.
fn change_toxic(hub: &Hub, proxy: &str, toxic: &str, body: &[u8]) -> Result<Value, Refusal> {
    let link = hub.get(proxy)?;
    let leased = link.toxic(toxic)?.spec.lease_ms.is_some();
    let change = if body.is_empty() && leased { Value::Null } else { spec::value(body)? };
    link.change_toxic(toxic, change)
}

/// Percent-decoding of a part of a path.
fn decode(part: &str) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let byte = match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            byte => byte,
        };
        out.push(byte);
    }
    String::from_utf8(out).ok()
}
