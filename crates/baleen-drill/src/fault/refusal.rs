//! Why the interface does not do what it was asked: a status, and Toxiproxy's words where it has them.
//!
//! Not here: which case it is. Tested: where they are made.

use std::borrow::Cow;
use std::io;

use serde_json::{Value, json};

/// A refusal, as clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: Cow<'static, str>,
}

impl Refusal {
    pub(super) const PROXY_NOT_FOUND: Refusal = Refusal::said(404, "proxy not found");
    pub(super) const PROXY_EXISTS: Refusal = Refusal::said(409, "proxy already exists");
    pub(super) const STREAM: Refusal =
        Refusal::said(400, "stream was invalid, can be either upstream or downstream");
    pub(super) const TYPE: Refusal = Refusal::said(400, "invalid toxic type");
    pub(super) const TOXIC_EXISTS: Refusal = Refusal::said(409, "toxic already exists");
    pub(super) const TOXIC_NOT_FOUND: Refusal = Refusal::said(404, "toxic not found");

    const fn said(status: u16, message: &'static str) -> Refusal {
        Refusal { status, message: Cow::Borrowed(message) }
    }

    pub(super) fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: Cow::Owned(message.into()) }
    }

    pub(super) fn missing(field: &str) -> Refusal {
        Refusal::new(400, format!("missing required field: {field}"))
    }

    /// What the system said about an address to listen on, in Toxiproxy's form:
    /// `listen tcp 127.0.0.1:80: bind: address already in use`.
    pub(super) fn listen(address: &str, doing: &str, error: &io::Error) -> Refusal {
        let words = error.to_string();
        let words = words.split(" (os error").next().unwrap_or(&words).to_owned();
        let mut chars = words.chars();
        let first = chars.next().map(|c| c.to_ascii_lowercase()).into_iter();
        let words: String = first.chain(chars).collect();
        Refusal::new(500, format!("listen tcp {address}: {doing}: {words}"))
    }

    pub(super) fn json(&self) -> Value {
        json!({ "error": self.message, "status": self.status })
    }
}
