//! A folder as a store, for proxies of one machine (or of a file system with working locks).
//!
//! - A key is a file: `web/a:1` is `web.d/a:1`. What a file's name can't have is written `%XX`; names of folders end in `.d`.
//! - A value is replaced by a rename, after it is on the disk: a reader sees the old or the new one, also after a crash. Its
//!   version stands in the file and is counted for the whole store (`.version`), so it never comes again.
//! - Writers hold a lock (`.lock`, by `flock`): of two processes that change a key under a condition one loses. Who dies holding it
//!   holds it no more.
//! - A held key says for how long; its file's time is renewed. After that time it counts as not there, and the next writer of
//!   the same folder takes the file away.
//! - A file that is damaged, or that somebody wrote by hand, is refused with its name, and so is everything that would have to
//!   leave it out: a list without it would look as if the key were gone.
//!
//! Bounds: `KEYS_MAX` keys and `LIST_BYTES_MAX` bytes below one prefix, [`LOCK_MAX`] for the lock. Not here: what values mean.
//! Tested: in `tests/folder.rs`; the form of a file is fuzzed (`folder_value`).

mod follow;
mod format;
pub mod fuzz;
mod hold;
mod names;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::kv::{Expect, Kv, KvError, KvEvent, VALUE_BYTES_MAX, Value, check_key};
use store::Store;

/// Longest wait for another writer.
pub const LOCK_MAX: Duration = Duration::from_secs(5);

/// A folder as a store.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Store>);

impl Folder {
    /// Opens a folder; makes it when it is not there.
    ///
    /// # Errors
    ///
    /// It can't be made or is no folder.
    pub fn open(root: &Path) -> Result<Folder, KvError> {
        let fail = |e: std::io::Error| store::broke("make", root, &e);
        std::fs::create_dir_all(root).map_err(fail)?;
        let root: PathBuf = root.canonicalize().map_err(fail)?;
        Ok(Folder(Arc::new(Store::new(root))))
    }

    /// Does it where it may wait for the disk.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let store = Arc::clone(&self.0);
        let ended = |e| KvError::Unreachable(format!("the folder's worker ended: {e}"));
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(ended)?
    }
}

fn key(key: &str) -> Result<String, KvError> {
    check_key(key).map_err(KvError::Refused)?;
    Ok(key.to_owned())
}

fn prefix(prefix: &str) -> Result<String, KvError> {
    if prefix.is_empty() { Ok(String::new()) } else { key(prefix) }
}

fn check_value(bytes: &[u8]) -> Result<(), KvError> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(KvError::Refused(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

impl Kv for Folder {
    async fn get(&self, name: &str) -> Result<Option<Value>, KvError> {
        let name = key(name)?;
        self.work(move |store| Ok(store.get(&name)?.map(|stored| stored.value))).await
    }

    async fn list(&self, below: &str) -> Result<Vec<(String, Value)>, KvError> {
        let below = prefix(below)?;
        let seen = self.work(move |store| store.scan(&below, &store::Keys::new())).await?;
        Ok(seen.into_iter().map(|(key, seen)| (key, seen.value)).collect())
    }

    async fn put(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        check_value(bytes)?;
        let (name, bytes) = (key(name)?, bytes.to_vec());
        self.work(move |store| store.put(&name, &bytes, expect)).await
    }

    async fn delete(&self, name: &str, expect: Expect) -> Result<(), KvError> {
        let name = key(name)?;
        self.work(move |store| store.delete(&name, expect)).await
    }

    async fn follow(&self, below: &str, to: mpsc::Sender<KvEvent>) -> KvError {
        match prefix(below) {
            Ok(below) => follow::follow(self, &below, to).await,
            Err(error) => error,
        }
    }

    async fn hold(
        &self,
        name: &str,
        bytes: &[u8],
        ttl: Duration,
        told: mpsc::Sender<bool>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        check_value(bytes)?;
        hold::hold(self, &key(name)?, bytes, ttl, told, stop).await
    }
}
