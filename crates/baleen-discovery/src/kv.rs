//! A few small values with versions, kept where a fleet can see them: in etcd, in ZooKeeper, or in a folder.
//!
//! What is kept: members of services, delegation tables and their history, reports of staged changes. Keys are paths of labels
//! joined by `/`, below a root that is part of the store: `web/10.0.0.1:80`. Nothing here knows what values mean. A store that
//! needs something above a key (a folder, a node) makes it by itself; it is no key and is not listed while there is something below
//! it.
//!
//! Bounds: [`KEY_BYTES_MAX`], [`VALUE_BYTES_MAX`], [`KEYS_MAX`], [`LIST_BYTES_MAX`]; beyond them a store refuses. Not here: each store's client. Tested: with each of them, by the same tests
//! (`tests/kv.rs`).

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;

/// Most bytes of a value (ZooKeeper's own limit, and near etcd's).
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Most keys below one prefix that are looked at.
pub const KEYS_MAX: usize = 65_536;
/// Most bytes of all values below one prefix.
pub const LIST_BYTES_MAX: usize = 64 << 20;

/// A value and the version it has: another value always has another version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its version.
    pub version: u64,
}

/// Under which condition something is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// In any case.
    Any,
    /// Only if there is no such key.
    Absent,
    /// Only if the value has this version.
    Version(u64),
}

/// Why the store did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KvError {
    /// The condition did not hold.
    #[error("somebody else changed it meanwhile")]
    Conflict,
    /// The store can't be asked.
    #[error("{0}")]
    Unreachable(String),
    /// The store refused, or answered what makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// Whether a key can be written to every kind of store: labels that are not empty and neither `.` nor `..`, joined by `/`, without
/// control characters.
///
/// # Errors
///
/// In one line, for people.
pub fn check_key(key: &str) -> Result<(), String> {
    let shown = crate::http::brief(key.as_bytes());
    if key.len() > KEY_BYTES_MAX {
        return Err(format!("the key `{shown}` is longer than {KEY_BYTES_MAX} bytes"));
    }
    if key.chars().any(char::is_control) {
        return Err(format!("the key `{shown}` has a control character"));
    }
    match key.split('/').find(|label| matches!(*label, "" | "." | "..")) {
        Some(label) => Err(format!("the key `{shown}` has the label `{label}`")),
        None => Ok(()),
    }
}

/// What is heard of the keys below a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KvEvent {
    /// All there is, complete; what is not in it is gone. First of all.
    All(Vec<(String, Value)>),
    /// Keys that changed together, each with its new value or nothing when it is gone.
    Changed(Vec<(String, Option<Value>)>),
    /// The store answered, and nothing has changed.
    Alive,
}

/// A store. All keys are relative to its root.
pub trait Kv: Send + Sync + 'static {
    /// One value.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Value>, KvError>> + Send;

    /// All values below a prefix (a whole key or `""`), in the order of their keys. What the prefix itself has, as a key, is not
    /// in it.
    fn list(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, KvError>> + Send;

    /// Write a value; gives its version.
    fn put(
        &self,
        key: &str,
        bytes: &[u8],
        expect: Expect,
    ) -> impl Future<Output = Result<u64, KvError>> + Send;

    /// Take a key away. One that is not there is no error unless a version is expected.
    fn delete(&self, key: &str, expect: Expect)
    -> impl Future<Output = Result<(), KvError>> + Send;

    /// Follow the keys below a prefix until something goes wrong or nobody listens. Says something at least every
    /// [`crate::registry::ALIVE_EVERY`], and only when the store really answered; notices by itself when what it
    /// follows and what the store holds have come apart, and ends then.
    fn follow(
        &self,
        prefix: &str,
        to: mpsc::Sender<KvEvent>,
    ) -> impl Future<Output = KvError> + Send;

    /// Keep a key as long as this future is polled, and for at most `ttl` after; when the store forgot it, write it again. Says
    /// `true` over `told` when it is there and `false` when it may not be. Ends only on what asking again can't mend.
    /// `stop`: take the key away and return `Ok`.
    fn hold(
        &self,
        key: &str,
        bytes: &[u8],
        ttl: Duration,
        told: mpsc::Sender<bool>,
        stop: tokio::sync::oneshot::Receiver<()>,
    ) -> impl Future<Output = Result<(), KvError>> + Send;
}

/// Says whether a held key is there: only when that changed, and without ever waiting for who is told.
pub(crate) struct Told {
    to: mpsc::Sender<bool>,
    said: Option<bool>,
}

impl Told {
    pub(crate) fn new(to: mpsc::Sender<bool>) -> Told {
        Told { to, said: None }
    }

    /// Call it again with the same word now and then: one that found no room is said then.
    pub(crate) fn say(&mut self, held: bool) {
        if self.said != Some(held) && self.to.try_send(held).is_ok() {
            self.said = Some(held);
        }
    }
}
