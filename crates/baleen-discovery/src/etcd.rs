//! etcd v3, asked over the JSON gateway that every etcd since 3.4 has on its client port.
//!
//! - The version of a value is its `mod_revision`.
//! - Lists come in pages at one revision; a page that is too large is asked for again with half as many keys.
//! - [`Kv::follow`] lists at a revision and watches from the next; what the watch told is held against an ordinary read every
//!   [`CHECK_EVERY`]. History that was compacted, a watch that ends and a watch that is stuck end it, and it is begun anew.
//! - [`Kv::hold`] binds the key to a lease.
//!
//! Bounds: those of `kv.rs` and `http.rs`. Not here: members (`members.rs`), the client's connections (`http.rs`). Tested: in
//! `tests/etcd.rs` against etcd, in `etcd/tests.rs` against servers that misbehave.

pub mod answer;
mod call;
mod follow;
pub mod fuzz;
mod hold;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};

use crate::http::{Bearer, Client, Origin, Timeouts, Tls};
use crate::kv::{
    Expect, KEYS_MAX, Kv, KvError, KvEvent, LIST_BYTES_MAX, VALUE_BYTES_MAX, Value, check_key,
};
use answer::{KeyValue, Range, Written};
use call::Caller;

pub use follow::CHECK_EVERY;

/// Keys in one page of a list, at first.
const PAGE_KEYS: u64 = 1_000;

/// Who we are to the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// This.
    Text(String),
    /// What the file says, without the end of its line; read again whenever a token is wanted.
    File(PathBuf),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Password::Text(_) => f.write_str("Text(..)"),
            Password::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Where the store is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its addresses; any of them will do.
    pub endpoints: Vec<Origin>,
    /// What all keys begin with, up to a `/`: `/services`.
    pub root: String,
    /// For `https`.
    pub tls: Option<Tls>,
    /// Where it wants a user.
    pub login: Option<Login>,
    /// How long answers may take.
    pub timeouts: Timeouts,
}

impl Options {
    /// Plain, with the usual timeouts.
    #[must_use]
    pub fn new(endpoints: Vec<Origin>, root: impl Into<String>) -> Options {
        let timeouts = Timeouts::default();
        Options { endpoints, root: root.into(), tls: None, login: None, timeouts }
    }
}

/// A client of etcd.
#[derive(Debug)]
pub struct Etcd {
    caller: Caller,
    /// What all keys begin with, `/` included.
    root: String,
    /// Keys in one page: halved when a page is too large.
    page: AtomicU64,
}

impl Etcd {
    /// A client. Connects when something is asked.
    ///
    /// # Errors
    ///
    /// Addresses, TLS or the root are wrong.
    pub fn new(options: Options) -> Result<Etcd, String> {
        let Options { endpoints, root, tls, login, timeouts } = options;
        let root = root.trim_end_matches('/');
        if !root.is_empty() {
            check_key(root.strip_prefix('/').unwrap_or(root))?;
        }
        let http =
            Client::new(endpoints, tls, Bearer::None, timeouts).map_err(|e| e.to_string())?;
        let page = AtomicU64::new(PAGE_KEYS);
        Ok(Etcd { caller: Caller::new(http, login), root: format!("{root}/"), page })
    }

    /// The whole key.
    fn full(&self, key: &str) -> Result<Vec<u8>, KvError> {
        check_key(key).map_err(KvError::Refused)?;
        Ok([self.root.as_bytes(), key.as_bytes()].concat())
    }

    /// All keys below a prefix: from, and up to but without.
    fn span(&self, prefix: &str) -> Result<(Vec<u8>, Vec<u8>), KvError> {
        let mut from = if prefix.is_empty() {
            self.root.clone().into_bytes()
        } else {
            [&self.full(prefix)?[..], b"/"].concat()
        };
        let start = from.clone();
        // It ends in `/`, and `0` is the next byte.
        from.pop();
        from.push(b'0');
        Ok((start, from))
    }

    /// A key as we name it. What is no text is shown as such, and refused by whoever reads it.
    fn relative(&self, key: &[u8]) -> Result<String, KvError> {
        let rest = key.strip_prefix(self.root.as_bytes()).ok_or_else(|| {
            KvError::Refused(format!("it answered with a key not asked for: {}", shown(key)))
        })?;
        Ok(String::from_utf8_lossy(rest).into_owned())
    }

    /// All values below a prefix, and the revision at which that was so.
    async fn list_at(&self, prefix: &str) -> Result<(Vec<KeyValue>, u64), KvError> {
        let (mut from, to) = self.span(prefix)?;
        let (mut found, mut bytes, mut revision) = (Vec::new(), 0, 0);
        loop {
            let page = self.page(&from, &to, revision).await?;
            if revision == 0 {
                revision = page.header.revision;
            }
            let last = page.kvs.last().map(|kv| kv.key.clone());
            for kv in page.kvs {
                bytes += kv.value.len() + kv.key.len();
                found.push(kv);
            }
            if found.len() > KEYS_MAX || page.count > KEYS_MAX as u64 {
                let why = format!("there are more than {KEYS_MAX} keys below {}", shown(&from));
                return Err(KvError::Refused(why));
            }
            if bytes > LIST_BYTES_MAX {
                let below = shown(&from);
                let why = format!("there are more than {LIST_BYTES_MAX} bytes below {below}");
                return Err(KvError::Refused(why));
            }
            match last {
                Some(last) if page.more && last >= from && last < to => {
                    from = [&last[..], &[0]].concat();
                }
                Some(_) | None if page.more => {
                    return Err(KvError::Refused("its pages are out of order".to_owned()));
                }
                _ => return Ok((found, revision)),
            }
        }
    }

    async fn page(&self, from: &[u8], to: &[u8], revision: u64) -> Result<Range, KvError> {
        loop {
            let limit = self.page.load(Ordering::Relaxed);
            let mut body = range(from, Some(to));
            body["limit"] = json!(limit.to_string());
            if revision > 0 {
                body["revision"] = json!(revision.to_string());
            }
            match self.caller.ask("/v3/kv/range", &body, true).await {
                Ok(bytes) => return answer::read_range(&bytes).map_err(KvError::Refused),
                Err(KvError::Refused(why) | KvError::Unreachable(why))
                    if limit > 1 && too_large(&why) =>
                {
                    self.page.store(limit / 2, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn written(&self, path: &str, body: &Json, again: bool) -> Result<Written, KvError> {
        let bytes = self.caller.ask(path, body, again).await?;
        answer::read_written(&bytes).map_err(KvError::Refused)
    }

    /// Do something under a condition.
    async fn under(&self, key: &[u8], expect: Expect, then: Json) -> Result<u64, KvError> {
        let compare = match expect {
            Expect::Any => json!([]),
            Expect::Absent => json!([
                { "key": encode(key), "target": "CREATE", "create_revision": "0" }
            ]),
            Expect::Version(version) => json!([
                { "key": encode(key), "target": "MOD", "mod_revision": version.to_string() }
            ]),
        };
        let body = json!({ "compare": compare, "success": [then] });
        // Without a condition, doing it twice is doing it.
        let done = self.written("/v3/kv/txn", &body, expect == Expect::Any).await?;
        if done.succeeded { Ok(done.header.revision) } else { Err(KvError::Conflict) }
    }
}

impl Kv for Etcd {
    async fn get(&self, key: &str) -> Result<Option<Value>, KvError> {
        let full = self.full(key)?;
        let bytes = self.caller.ask("/v3/kv/range", &range(&full, None), true).await?;
        let Range { kvs, .. } = answer::read_range(&bytes).map_err(KvError::Refused)?;
        Ok(kvs.into_iter().find(|kv| kv.key == full).map(value))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>, KvError> {
        let (found, _) = self.list_at(prefix).await?;
        found.into_iter().map(|kv| Ok((self.relative(&kv.key)?, value(kv)))).collect()
    }

    async fn put(&self, key: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        let full = self.full(key)?;
        if bytes.len() > VALUE_BYTES_MAX {
            let why =
                format!("{} bytes are more than a value has ({VALUE_BYTES_MAX})", bytes.len());
            return Err(KvError::Refused(why));
        }
        let put = json!({ "request_put": { "key": encode(&full), "value": encode(bytes) } });
        self.under(&full, expect, put).await
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), KvError> {
        let full = self.full(key)?;
        let delete = json!({ "request_delete_range": { "key": encode(&full) } });
        self.under(&full, expect, delete).await.map(|_| ())
    }

    async fn follow(&self, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
        follow::follow(self, prefix, to).await
    }

    async fn hold(
        &self,
        key: &str,
        bytes: &[u8],
        ttl: Duration,
        told: mpsc::Sender<bool>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        hold::hold(self, key, bytes, ttl, told, stop).await
    }
}

fn value(kv: KeyValue) -> Value {
    Value { bytes: kv.value, version: kv.mod_revision }
}

/// A page that is larger than we, or the gateway's own connection to the server, take.
fn too_large(why: &str) -> bool {
    why.contains("answered with more than") || why.contains("larger than max")
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn shown(key: &[u8]) -> String {
    crate::http::brief(key)
}

/// One key, or those up to another.
fn range(key: &[u8], end: Option<&[u8]>) -> Json {
    match end {
        None => json!({ "key": encode(key) }),
        Some(end) => json!({ "key": encode(key), "range_end": encode(end) }),
    }
}
