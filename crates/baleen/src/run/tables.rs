//! The delegation table of a store: what it is at the start, who follows it, and which calls it is judged by.
//!
//! At the start the last good table is taken from disk, and where there is none the store is asked once; without an answer names
//! lead where the configuration itself says until there is one. The configuration's own entries come after the table's.
//!
//! Not here: following, staged changes (`baleen_discovery::store`), what a table does (`wire.rs`). Tested: in `tests/it/dtab.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baleen_config::{Config, Store as Place};
use baleen_discovery::folder::Folder;
use baleen_discovery::open::{AnyKv, open};
use baleen_discovery::store::Store;
use baleen_discovery::store::follower::{Now, Options, follow, last_good};
use baleen_discovery::store::staged::Calls;
use baleen_discovery::store::standing::Watched;
use baleen_proxy::Server;
use baleen_telemetry::{ShellCounter, Snapshot};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::dtab::api::Api;
use crate::out;

/// Longest wait for a store at the start, when nothing is known from before.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// What waits to be taken.
const NEWS_MAX: usize = 16;

/// A namespace in a store.
pub struct Tables {
    store: Arc<Store<AnyKv>>,
    ns: String,
    file: Option<PathBuf>,
    watched: Watched,
}

impl Tables {
    /// The store that the configuration names, if it names one. Errors: what can't be used, for people.
    pub fn open(config: &Config) -> Result<Option<Tables>, String> {
        let kv = match &config.names.store {
            None => return Ok(None),
            Some(Place::Folder(folder)) => {
                let folder = Folder::open(folder).map_err(|e| format!("[names] store: {e}"))?;
                AnyKv::Folder(folder)
            }
            Some(Place::Url(url)) => open(url).map_err(|e| format!("[names] store: {e}"))?,
        };
        let ns = config.names.namespace.clone();
        let file = config.names.state_dir.as_ref().map(|dir| dir.join(format!("{ns}.table")));
        let watched = Watched::new(&ns);
        Ok(Some(Tables { store: Arc::new(Store::new(kv)), ns, file, watched }))
    }

    /// The table to begin with.
    pub async fn first(&self) -> Option<String> {
        let ns = &self.ns;
        match self.file.as_deref().map(last_good) {
            Some(Ok(Some(record))) => {
                self.watched.from_disk(record.version);
                return record.dtab;
            }
            Some(Err(why)) => {
                out::say(format_args!("table {ns}: what was kept on disk is not used: {why}"));
            }
            Some(Ok(None)) | None => {}
        }
        let why = match timeout(FIRST_TIMEOUT, self.store.get(ns)).await {
            Ok(Ok(Some(record))) => {
                self.watched.table(record.version);
                return record.dtab;
            }
            Ok(Ok(None)) => "there is none in the store".to_owned(),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("the store does not answer within {FIRST_TIMEOUT:?}"),
        };
        self.watched.trouble(&why);
        out::say(format_args!(
            "table {ns}: {why}; only what the configuration says leads anywhere"
        ));
        None
    }

    /// How the table stands, to be looked at.
    pub fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// The tables of the store, for the control interface.
    pub fn api(&self) -> Arc<Api<AnyKv>> {
        Arc::new(Api::new(Arc::clone(&self.store)))
    }

    /// Follow the table, in the name of this proxy: its machine and where it listens.
    pub fn follow(self, server: &Arc<Server>) -> mpsc::Receiver<Now> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let places: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        let proxy = format!("{}-{}", host.trim(), places.join("-"));
        let options = Options { ns: self.ns, proxy, file: self.file, watched: self.watched };
        let (to, news) = mpsc::channel(NEWS_MAX);
        let server = Arc::clone(server);
        drop(tokio::spawn(follow(self.store, options, move || calls(&server), to)));
        news
    }
}

/// All calls so far. One fails that was answered with 5xx, refused here, or broken off, or whose name leads nowhere; where a table of
/// its own led it says nothing.
fn calls(server: &Server) -> Calls {
    let all = Snapshot::of(server.cells());
    let unbound = all.counter(ShellCounter::Unbound);
    let routes = all.routes;
    let mut sum = Calls { calls: unbound, failures: unbound };
    for counts in routes.by_id.values().chain(&routes.beyond) {
        let failures = counts.ended_class(503) + counts.refused() + counts.broken();
        let calls = counts.ended() + counts.refused() + counts.broken();
        sum = sum.and(Calls { calls, failures });
    }
    sum
}
