//! Asking etcd's JSON gateway: one request and its answer, with a token where the store wants a user.
//!
//! Not here: what is asked (`etcd.rs`, `follow.rs`, `hold.rs`), how answers are read (`answer.rs`). Tested: in `tests/etcd.rs`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{self, Authenticated, Wrong};
use super::{Login, Password};
use crate::http::{Answer, Client, HttpError, Request, Stream};
use crate::kv::KvError;

/// gRPC codes whose cause may pass: cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable.
const PASSING: [u64; 7] = [1, 2, 4, 8, 10, 13, 14];
/// The token is not known, or no longer.
const UNAUTHENTICATED: u64 = 16;

/// A client, and the token it got.
#[derive(Debug)]
pub(super) struct Caller {
    http: Client,
    login: Option<Login>,
    token: Mutex<Option<String>>,
}

impl Caller {
    pub(super) fn new(http: Client, login: Option<Login>) -> Caller {
        Caller { http, login, token: Mutex::new(None) }
    }

    /// Ask another of the store's addresses next.
    pub(super) fn avoid(&self) {
        self.http.avoid();
    }

    /// Ask, and give the body of the answer. `again`: asking twice does no harm.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &Value,
        again: bool,
    ) -> Result<Vec<u8>, KvError> {
        let mut renewed = false;
        loop {
            let answer = self.http.send(self.request(path, body, again).await?).await;
            let answer = answer.map_err(unanswered)?;
            if answer.is_success() {
                return Ok(answer.body);
            }
            if !self.renew(&answer, &mut renewed) {
                return Err(self.refused(&answer));
            }
        }
    }

    /// Begin a stream.
    pub(super) async fn open(&self, path: &str, body: &Value) -> Result<Stream, KvError> {
        let mut renewed = false;
        loop {
            let stream = self.http.open(self.request(path, body, true).await?).await;
            let stream = stream.map_err(unanswered)?;
            if stream.is_success() {
                return Ok(stream);
            }
            let answer = stream.whole(Duration::from_secs(5)).await.map_err(unanswered)?;
            if !self.renew(&answer, &mut renewed) {
                return Err(self.refused(&answer));
            }
        }
    }

    /// The token is no good.
    pub(super) fn forget_token(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn request(&self, path: &str, body: &Value, again: bool) -> Result<Request, KvError> {
        let request = Request::post_json(path, body);
        let request = if again { request.again() } else { request };
        match &self.login {
            None => Ok(request),
            Some(login) => Ok(request.field("authorization", &self.token(login).await?)),
        }
    }

    async fn token(&self, login: &Login) -> Result<String, KvError> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = known {
            return Ok(token);
        }
        let password = match &login.password {
            Password::Text(text) => text.clone(),
            Password::File(path) => {
                let bytes = crate::http::read_bounded(path).map_err(KvError::Refused)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| KvError::Refused(format!("{} is no text", path.display())))?;
                text.trim_end_matches(['\n', '\r']).to_owned()
            }
        };
        let body = json!({ "name": login.user, "password": password });
        let request = Request::post_json("/v3/auth/authenticate", &body).again();
        let answer = self.http.send(request).await.map_err(unanswered)?;
        if !answer.is_success() {
            return Err(self.refused(&answer));
        }
        let Authenticated { token } = answer::read(&answer.body).map_err(KvError::Refused)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    /// Whether it is worth asking again with a new token.
    fn renew(&self, answer: &Answer, renewed: &mut bool) -> bool {
        let wrong: Wrong = answer::read(&answer.body).unwrap_or_default();
        let old = wrong.code == UNAUTHENTICATED
            || wrong.message.contains("invalid auth token")
            || wrong.message.contains("revision of auth store is old");
        if self.login.is_none() || !old || *renewed {
            return false;
        }
        self.forget_token();
        *renewed = true;
        true
    }

    fn refused(&self, answer: &Answer) -> KvError {
        let origin = self.http.origin();
        let Ok(wrong) = answer::read::<Wrong>(&answer.body) else {
            self.avoid();
            return KvError::Unreachable(format!("{origin} answered {}", answer.brief()));
        };
        let message = crate::http::brief(wrong.message.as_bytes());
        if PASSING.contains(&wrong.code) || (answer.status >= 500 && wrong.code == 0) {
            self.avoid();
            return KvError::Unreachable(format!("{origin}: {message}"));
        }
        if wrong.message.contains("user name is empty") {
            return KvError::Refused(format!("{origin} wants a user and a password ({message})"));
        }
        KvError::Refused(format!("{origin}: {message}"))
    }
}

/// Why there was no answer, as a store's client says it.
pub(super) fn unanswered(error: HttpError) -> KvError {
    match error {
        HttpError::Unreachable(why) | HttpError::Broken(why) => KvError::Unreachable(why),
        HttpError::TooLarge(why) | HttpError::Bad(why) => KvError::Refused(why),
    }
}
