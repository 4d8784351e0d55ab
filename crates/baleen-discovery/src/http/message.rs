//! What is sent, and what comes back whole.
//!
//! Not here: sending (`http.rs`), answers that go on (`stream.rs`). Tested: in `tests.rs`.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::BODY_BYTES_MAX;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) again: bool,
    pub(super) most: usize,
    pub(super) answer: Option<Duration>,
    pub(super) wrong: Option<String>,
}

impl Request {
    /// With this method, path (and query) and body. GET and HEAD may be sent again.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        let again = method == Method::GET || method == Method::HEAD;
        Request {
            method,
            path: path.into(),
            fields: HeaderMap::new(),
            body: Bytes::from(body.into()),
            again,
            most: BODY_BYTES_MAX,
            answer: None,
            wrong: None,
        }
    }

    /// `GET PATH`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Request {
        Request::new(Method::GET, path, Vec::new())
    }

    /// `POST PATH` with JSON.
    #[must_use]
    pub fn post_json(path: impl Into<String>, body: &serde_json::Value) -> Request {
        let mut request = Request::new(Method::POST, path, body.to_string());
        request.fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// With this field. One that can't be written makes sending fail.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Request {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.fields.append(name, value);
            }
            _ => self.wrong = Some(format!("the field `{name}` can't be sent")),
        }
        self
    }

    /// It changes nothing at the registry (or nothing more, the second time): it may be sent again when no answer came.
    #[must_use]
    pub fn again(mut self) -> Request {
        self.again = true;
        self
    }

    /// Most bytes of the answer's body, or of each line of a stream.
    #[must_use]
    pub fn most(mut self, bytes: usize) -> Request {
        self.most = bytes;
        self
    }

    /// The answer may take this long, instead of [`super::Timeouts::answer`].
    #[must_use]
    pub fn within(mut self, answer: Duration) -> Request {
        self.answer = Some(answer);
        self
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a field, where it is text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and the beginning of the body, for people.
    #[must_use]
    pub fn brief(&self) -> String {
        format!("{} {}", self.status, brief(&self.body)).trim_end().to_owned()
    }
}

/// The beginning of what a stranger sent, in one line that is safe to print.
#[must_use]
pub fn brief(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes));
    let mut line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if bytes.len() > SHOWN {
        line.push('…');
    }
    line
}
