//! Delegation tables on a running proxy's control interface: the store that the proxy follows, for namerd's clients.
//!
//! A change is checked as `baleen dtab set` checks it, and conditional on what it was checked against. Not here: requests and
//! tokens (`baleen-admin`), the store (`baleen_discovery::store`). Tested: in `tests/it/dtab.rs`.

use std::future::Future;
use std::sync::Arc;

use baleen_admin::control::{TableEntry, TableError, TableText, TableView, Tables, When};
use baleen_discovery::kv::{Expect, Kv, KvError};
use baleen_discovery::store::{Note, Record, Store, StoreError};
use baleen_names::{Dentry, Dtab, NameTree, Prefix};
use tokio::time::timeout;

use super::check::{self, Names};
use super::{STORE_TIMEOUT, now_ms};

/// How often it is checked again because somebody else was first.
const TRIES: usize = 5;
/// Who writes, in the history.
const BY: &str = "control interface";

/// Tables in a store.
pub struct Api<K>(Arc<Store<K>>);

impl<K: Kv> Api<K> {
    /// Those of this store.
    pub const fn new(store: Arc<Store<K>>) -> Api<K> {
        Api(store)
    }

    async fn asked<T>(
        &self,
        asks: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, TableError> {
        match timeout(STORE_TIMEOUT, asks).await {
            Ok(answer) => answer.map_err(error),
            Err(_) => {
                let why = format!("the store does not answer within {STORE_TIMEOUT:?}");
                Err(TableError::Failed(why))
            }
        }
    }

    /// Which version of the store may be changed, as far as `when` goes.
    async fn version(&self, ns: &str, when: When) -> Result<Option<Record>, TableError> {
        let record = self.asked(self.0.get(ns)).await?;
        let is = record.as_ref().map(|record| record.version);
        match (when, is) {
            (When::Any, _) | (When::Absent, None) | (When::Present, Some(_)) => Ok(record),
            (When::Absent, Some(_)) => Err(error(StoreError::Exists(ns.to_owned()))),
            (When::Version(wanted), Some(is)) if wanted == is => Ok(record),
            (When::Version(_), Some(is)) => Err(error(StoreError::Changed(is))),
            (When::Present | When::Version(_), None) => Err(missing(ns)),
        }
    }

    async fn put_once(
        &self,
        ns: &str,
        text: &str,
        new: &Dtab,
        when: When,
        force: bool,
    ) -> Result<u64, TableError> {
        let now = self.version(ns, when).await?;
        let old = now.as_ref().and_then(|record| record.dtab.as_deref()).map(Dtab::parse);
        if let (Some(Ok(old)), false) = (old, force) {
            let losses = check::losses(&old, new, &Names::default());
            if !losses.is_empty() {
                let said = format!("{}\n?force=true does it nevertheless", check::told(&losses));
                return Err(TableError::Refused(said));
            }
        }
        let expect = now.map_or(Expect::Absent, |record| Expect::Version(record.version));
        let note = Note::new(BY, now_ms(), "");
        self.asked(self.0.put(ns, text, expect, &note, force)).await
    }
}

impl<K: Kv> Tables for Api<K> {
    async fn list(&self) -> Result<Vec<String>, TableError> {
        let all = self.asked(self.0.list()).await?;
        Ok(all.into_iter().map(|(ns, _)| ns).collect())
    }

    async fn get(&self, ns: String) -> Result<Option<TableView>, TableError> {
        let Some(record) = self.asked(self.0.get(&ns)).await? else { return Ok(None) };
        let text = record.dtab.unwrap_or_default();
        let dtab = Dtab::parse(&text)
            .map_err(|e| TableError::Failed(format!("the store's table is none: {e}")))?;
        let entry = |entry: &Dentry| TableEntry {
            prefix: entry.prefix.to_string(),
            dst: entry.dst.to_string(),
        };
        let entries = dtab.entries().iter().map(entry).collect();
        Ok(Some(TableView { text, entries, version: record.version }))
    }

    async fn put(
        &self,
        ns: String,
        table: TableText,
        when: When,
        force: bool,
    ) -> Result<u64, TableError> {
        let text = match table {
            TableText::Text(text) => text,
            TableText::Entries(entries) => text(&entries)?,
        };
        let new = Dtab::parse(&text)
            .map_err(|e| TableError::Wrong(format!("{e}\n{}", e.caret(&text))))?;
        for _ in 1..TRIES {
            match self.put_once(&ns, &text, &new, when, force).await {
                // Somebody else was first; there was no condition, so it is checked again.
                Err(TableError::Changed(_) | TableError::Exists(_)) if when == When::Any => {}
                done => return done,
            }
        }
        self.put_once(&ns, &text, &new, when, force).await
    }

    async fn delete(&self, ns: String, when: When) -> Result<(), TableError> {
        let record = self.version(&ns, when).await?.ok_or_else(|| missing(&ns))?;
        let expect = match when {
            When::Version(_) => Expect::Version(record.version),
            When::Any | When::Absent | When::Present => Expect::Any,
        };
        let note = Note::new(BY, now_ms(), "");
        self.asked(self.0.delete(&ns, expect, &note)).await
    }
}

/// A table of entries, each of which is one by itself.
fn text(entries: &[TableEntry]) -> Result<String, TableError> {
    let mut all = String::new();
    for TableEntry { prefix, dst } in entries {
        let wrong = |e: baleen_names::ParseError, text: &str| {
            TableError::Wrong(format!("{e}\n{}", e.caret(text)))
        };
        let parsed = Prefix::parse(prefix).map_err(|e| wrong(e, prefix))?;
        let tree = NameTree::parse(dst).map_err(|e| wrong(e, dst))?;
        all.push_str(&format!("{parsed} => {tree};\n"));
    }
    Ok(all)
}

fn missing(ns: &str) -> TableError {
    TableError::Missing(format!("there is no namespace `{ns}`"))
}

fn error(error: StoreError) -> TableError {
    let said = error.to_string();
    match error {
        StoreError::Wrong(_) => TableError::Wrong(said),
        StoreError::Missing(_) => TableError::Missing(said),
        StoreError::Exists(_) | StoreError::Busy { .. } => TableError::Exists(said),
        StoreError::Changed(_) | StoreError::Kv(KvError::Conflict) => TableError::Changed(said),
        StoreError::Broken { .. } | StoreError::Kv(_) => TableError::Failed(said),
    }
}
