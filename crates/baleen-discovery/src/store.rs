//! Delegation tables in a store: one record for each namespace, its history, and changes that a share of the fleet takes first.
//!
//! | key | value |
//! |---|---|
//! | `tables/NS/current` | the [`Record`]: the table and, while there is one, the staged change |
//! | `history/NS/VERSION` | a version that was replaced; the last [`HISTORY_MAX`] |
//! | `reports/NS/CHANGE/PROXY` | a [`staged::Report`], kept there by a proxy that has the staged change, while it lives |
//!
//! Every change is a compare-and-set of the record. What is replaced is written to the history first, so that a writer who
//! dies on the way leaves nothing that is not true and forgets nothing. A deleted namespace is a record without a table.
//!
//! Bounds: [`NAMESPACES_MAX`], [`HISTORY_MAX`], [`REPORTS_MAX`], those of `record.rs`. Not here: what a table means
//! (`baleen-names`), stores ([`crate::kv`]), who takes a staged change and when it ends ([`staged`]), a proxy's side ([`follower`]). Tested: `store/tests.rs`,
//! and end to end with real stores.

pub mod follower;
mod record;
pub mod staged;
pub mod standing;

use std::collections::BTreeMap;

use tokio::sync::mpsc;

pub use record::{
    BAKE, BY_BYTES_MAX, GRACE, NOTE_BYTES_MAX, Note, Record, STEPS_MAX, Staged, TABLE_BYTES_MAX,
    check_bake, check_shares,
};
use staged::Report;

use crate::kv::{Expect, Kv, KvError, KvEvent, Value};

/// Most namespaces that are listed, deleted ones included; those after are left out.
pub const NAMESPACES_MAX: usize = 1024;
/// Versions that are kept besides the current one.
pub const HISTORY_MAX: u64 = 100;
/// Most reports of a change that are looked at.
pub const REPORTS_MAX: usize = 16_384;
/// How often a change without a condition is tried anew when somebody else was first.
const TRIES: usize = 8;
/// Events of a store that wait to be looked at.
const EVENTS_MAX: usize = 16;

/// Why the store did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// What is asked makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// There is no such namespace, version or change.
    #[error("{0}")]
    Missing(String),
    /// There is one already.
    #[error("the namespace `{0}` exists")]
    Exists(String),
    /// It has changed meanwhile.
    #[error("the table is at version {0} now: somebody else changed it")]
    Changed(u64),
    /// Somebody's staged change is on its way.
    #[error("a change staged by {by} is at {percent} % (`{id}`)")]
    Busy {
        /// Its id.
        id: String,
        /// Who drives it.
        by: String,
        /// Percent of proxies that have it, as it is written.
        percent: String,
        /// When its driver should have gone on, in milliseconds since 1970.
        deadline_ms: u64,
    },
    /// What the store has can't be read.
    #[error("the store's `{key}` can't be read: {why}")]
    Broken {
        /// Which key.
        key: String,
        /// Why.
        why: String,
    },
    /// The store itself.
    #[error("the store: {0}")]
    Kv(#[from] KvError),
}

/// What is heard of a namespace.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// Its record now; nothing when there is none, or none any more.
    Record(Option<Box<Record>>),
    /// The store answered, and nothing has changed.
    Alive,
    /// There is a record that can't be read.
    Wrong(String),
}

/// Tables in a store.
#[derive(Debug)]
pub struct Store<K> {
    kv: K,
}

/// A record, and the store's own version of it.
struct Found {
    record: Record,
    at: u64,
}

/// Whether a namespace can be called so: 1 to 64 letters, digits, `.`, `_` and `-`, the first no `.`.
///
/// # Errors
///
/// Why not.
pub fn check_namespace(ns: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if ns.is_empty() || ns.len() > 64 || ns.starts_with('.') || !ns.bytes().all(fits) {
        return Err(
            "a namespace is 1 to 64 letters, digits, `.`, `_` and `-`, the first no `.`".to_owned()
        );
    }
    Ok(())
}

fn current(ns: &str) -> String {
    format!("tables/{ns}/current")
}

fn old(ns: &str, version: u64) -> String {
    format!("history/{ns}/{version:020}")
}

fn read(key: &str, value: &Value) -> Result<Record, StoreError> {
    Record::read(&value.bytes).map_err(|why| StoreError::Broken { key: key.to_owned(), why })
}

impl<K: Kv> Store<K> {
    /// Tables below the root of this store.
    pub const fn new(kv: K) -> Store<K> {
        Store { kv }
    }

    /// The store itself.
    pub const fn kv(&self) -> &K {
        &self.kv
    }

    async fn find(&self, ns: &str) -> Result<Option<Found>, StoreError> {
        check_namespace(ns).map_err(StoreError::Wrong)?;
        let key = current(ns);
        let Some(value) = self.kv.get(&key).await? else { return Ok(None) };
        Ok(Some(Found { record: read(&key, &value)?, at: value.version }))
    }

    /// A namespace's record.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being read. There being none is no error.
    pub async fn get(&self, ns: &str) -> Result<Option<Record>, StoreError> {
        let found = self.find(ns).await?.map(|found| found.record);
        Ok(found.filter(|record| record.dtab.is_some()))
    }

    /// All namespaces that have a table, in the order of their names.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from being read.
    pub async fn list(&self) -> Result<Vec<(String, Record)>, StoreError> {
        let mut all = Vec::new();
        for (key, value) in self.kv.list("tables").await?.into_iter().take(NAMESPACES_MAX) {
            let ns = key.strip_prefix("tables/").and_then(|rest| rest.strip_suffix("/current"));
            let Some(ns) = ns.filter(|ns| check_namespace(ns).is_ok()) else { continue };
            let record = read(&key, &value)?;
            if record.dtab.is_some() {
                all.push((ns.to_owned(), record));
            }
        }
        Ok(all)
    }

    /// Write a table; gives its version. `expect` is about the version of the table. A staged change must be withdrawn first,
    /// but with `over_staged`.
    ///
    /// # Errors
    ///
    /// When the condition does not hold, a change is staged, or the store can't.
    pub async fn put(
        &self,
        ns: &str,
        dtab: &str,
        expect: Expect,
        note: &Note,
        over_staged: bool,
    ) -> Result<u64, StoreError> {
        self.replace(ns, expect, over_staged, note, |_| Ok(Some(dtab.to_owned()))).await
    }

    /// Delete a namespace. Its history stays, and its versions go on counting when there is one of this name again.
    ///
    /// # Errors
    ///
    /// When there is none, the condition does not hold, or the store can't.
    pub async fn delete(&self, ns: &str, expect: Expect, note: &Note) -> Result<(), StoreError> {
        let gone = |old: Option<&Record>| match old.and_then(|record| record.dtab.as_ref()) {
            Some(_) => Ok(None),
            None => Err(missing(ns)),
        };
        self.replace(ns, expect, true, note, gone).await.map(drop)
    }

    /// The table of a version again, as a new version.
    ///
    /// # Errors
    ///
    /// When the version is not known, or not a table's; when a change is staged, or the store can't.
    pub async fn rollback(
        &self,
        ns: &str,
        version: u64,
        note: &Note,
        over_staged: bool,
    ) -> Result<u64, StoreError> {
        let dtab = self.version(ns, version).await?.dtab.ok_or_else(|| {
            StoreError::Missing(format!("version {version} of `{ns}` is its deletion"))
        })?;
        self.put(ns, &dtab, Expect::Any, note, over_staged).await
    }

    /// One version of a table, current or old.
    ///
    /// # Errors
    ///
    /// When it is not known, or the store can't.
    pub async fn version(&self, ns: &str, version: u64) -> Result<Record, StoreError> {
        let found = self.find(ns).await?.ok_or_else(|| missing(ns))?;
        if found.record.version == version {
            return Ok(found.record);
        }
        let key = old(ns, version);
        match self.kv.get(&key).await? {
            Some(value) => read(&key, &value),
            None => Err(StoreError::Missing(format!(
                "`{ns}` has no version {version}; it is at {}, and the last {HISTORY_MAX} are kept",
                found.record.version
            ))),
        }
    }

    /// All versions that are kept, the newest first.
    ///
    /// # Errors
    ///
    /// When there is no such namespace and never was, or the store can't.
    pub async fn history(&self, ns: &str) -> Result<Vec<Record>, StoreError> {
        let found = self.find(ns).await?.ok_or_else(|| missing(ns))?;
        let mut all = vec![found.record];
        let old = self.kv.list(&format!("history/{ns}")).await?;
        for (key, value) in old.iter().rev() {
            let record = read(key, value)?;
            // One that its writer did not come to replace after all is the current one.
            if record.version < all[0].version {
                all.push(record);
            }
        }
        all.truncate(HISTORY_MAX as usize + 1);
        Ok(all)
    }

    /// Write the next version.
    async fn replace(
        &self,
        ns: &str,
        expect: Expect,
        over_staged: bool,
        note: &Note,
        next: impl Fn(Option<&Record>) -> Result<Option<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        for _ in 0..TRIES {
            let found = self.find(ns).await?;
            let live = found.as_ref().map(|f| &f.record).filter(|r| r.dtab.is_some());
            expected(ns, expect, live)?;
            if let Some(staged) = live.and_then(|r| r.staged.as_ref()).filter(|_| !over_staged) {
                return Err(busy(staged));
            }
            let dtab = next(found.as_ref().map(|f| &f.record))?;
            let version = found.as_ref().map_or(0, |f| f.record.version) + 1;
            let record = Record::new(version, dtab, note);
            match self.write(ns, found.as_ref(), &record).await {
                Err(StoreError::Kv(KvError::Conflict)) => {}
                done => return done.map(|()| version),
            }
        }
        Err(StoreError::Kv(KvError::Conflict))
    }

    /// Put a record in place of another.
    async fn write(
        &self,
        ns: &str,
        old_one: Option<&Found>,
        record: &Record,
    ) -> Result<(), StoreError> {
        let bytes = record.write().map_err(StoreError::Wrong)?;
        let expect = old_one.map_or(Expect::Absent, |old| Expect::Version(old.at));
        let Some(replaced) = old_one.map(|o| &o.record).filter(|o| o.version != record.version)
        else {
            self.kv.put(&current(ns), &bytes, expect).await?;
            return Ok(());
        };
        let kept = Record { staged: None, ..replaced.clone() };
        let kept = kept.write().map_err(StoreError::Wrong)?;
        // Whoever wrote it before wrote the same.
        match self.kv.put(&old(ns, replaced.version), &kept, Expect::Absent).await {
            Ok(_) | Err(KvError::Conflict) => {}
            Err(e) => return Err(e.into()),
        }
        self.kv.put(&current(ns), &bytes, expect).await?;
        // What is left of the oldest; one more, should somebody have died before.
        for beyond in [HISTORY_MAX, HISTORY_MAX + 1] {
            if let Some(version) = replaced.version.checked_sub(beyond).filter(|v| *v > 0) {
                let _ = self.kv.delete(&old(ns, version), Expect::Any).await;
            }
        }
        Ok(())
    }

    /// Begin a staged change; gives its id. With `over_staged` one that is on its way is dropped.
    ///
    /// # Errors
    ///
    /// When there is no such namespace, the condition does not hold, a change is staged, or the store can't.
    pub async fn stage(
        &self,
        ns: &str,
        plan: &Plan,
        expect: Expect,
        note: &Note,
        over_staged: bool,
    ) -> Result<Staged, StoreError> {
        let found = self.find(ns).await?.ok_or_else(|| missing(ns))?;
        let live = Some(&found.record).filter(|r| r.dtab.is_some());
        expected(ns, expect, live)?;
        live.ok_or_else(|| missing(ns))?;
        if let Some(staged) = found.record.staged.as_ref().filter(|_| !over_staged) {
            return Err(busy(staged));
        }
        let id = format!("{}-{}", found.record.version + 1, note.at_ms);
        let staged = Staged::new(id, plan.dtab.clone(), plan.shares.clone(), plan.bake, note);
        let record = Record { staged: Some(staged.clone()), ..found.record.clone() };
        self.write(ns, Some(&found), &record).await.map_err(|e| self.changed(&found, e))?;
        Ok(staged)
    }

    /// A staged change goes on to another step.
    ///
    /// # Errors
    ///
    /// When it is there no more, or the store can't.
    pub async fn step(
        &self,
        ns: &str,
        id: &str,
        step: usize,
        now_ms: u64,
    ) -> Result<Staged, StoreError> {
        let (found, staged) = self.find_staged(ns, id).await?;
        let staged = staged.at(step, now_ms);
        let record = Record { staged: Some(staged.clone()), ..found.record.clone() };
        self.write(ns, Some(&found), &record).await.map_err(|e| self.changed(&found, e))?;
        Ok(staged)
    }

    /// A staged change is the table now; gives its version.
    ///
    /// # Errors
    ///
    /// When it is there no more, or the store can't.
    pub async fn finish(&self, ns: &str, id: &str, now_ms: u64) -> Result<u64, StoreError> {
        let (found, staged) = self.find_staged(ns, id).await?;
        let note = Note::new(&staged.by, now_ms, &staged.note);
        let record = Record::new(found.record.version + 1, Some(staged.dtab), &note);
        self.write(ns, Some(&found), &record).await.map_err(|e| self.changed(&found, e))?;
        Ok(record.version)
    }

    /// A staged change is no more. That it is gone already is no error.
    ///
    /// # Errors
    ///
    /// When the store can't.
    pub async fn withdraw(&self, ns: &str, id: &str) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let found = match self.find_staged(ns, id).await {
                Ok((found, _)) => found,
                Err(StoreError::Missing(_)) => return Ok(()),
                Err(e) => return Err(e),
            };
            let record = Record { staged: None, ..found.record.clone() };
            match self.write(ns, Some(&found), &record).await {
                Err(StoreError::Kv(KvError::Conflict)) => {}
                done => return done,
            }
        }
        Err(StoreError::Kv(KvError::Conflict))
    }

    async fn find_staged(&self, ns: &str, id: &str) -> Result<(Found, Staged), StoreError> {
        let found = self.find(ns).await?.ok_or_else(|| missing(ns))?;
        match found.record.staged.clone().filter(|staged| staged.id == id) {
            Some(staged) => Ok((found, staged)),
            None => Err(StoreError::Missing(format!("the change `{id}` is there no more"))),
        }
    }

    /// That somebody else was first is told with what there was.
    fn changed(&self, found: &Found, error: StoreError) -> StoreError {
        match error {
            StoreError::Kv(KvError::Conflict) => StoreError::Changed(found.record.version),
            other => other,
        }
    }

    /// Where a proxy says how it fares with a staged change.
    #[must_use]
    pub fn report_key(ns: &str, change: &str, proxy: &str) -> String {
        format!("reports/{ns}/{change}/{proxy}")
    }

    /// How those fare that have a staged change, by proxy. What can't be read is left out.
    ///
    /// # Errors
    ///
    /// When the store can't.
    pub async fn reports(
        &self,
        ns: &str,
        change: &str,
    ) -> Result<BTreeMap<String, Report>, StoreError> {
        let below = format!("reports/{ns}/{change}");
        let all = self.kv.list(&below).await?.into_iter().take(REPORTS_MAX);
        let report = |(key, value): (String, Value)| {
            let proxy = key.strip_prefix(&below)?.strip_prefix('/')?;
            Some((proxy.to_owned(), Report::read(&value.bytes)?))
        };
        Ok(all.filter_map(report).collect())
    }

    /// Follow a namespace until something goes wrong or nobody listens.
    pub async fn follow(&self, ns: &str, to: mpsc::Sender<Heard>) -> StoreError {
        if let Err(why) = check_namespace(ns) {
            return StoreError::Wrong(why);
        }
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let key = current(ns);
        let hear = async {
            while let Some(event) = events.recv().await {
                let Some(heard) = heard(&key, event) else { continue };
                if to.send(heard).await.is_err() {
                    break;
                }
            }
        };
        let below = format!("tables/{ns}");
        tokio::select! {
            ended = self.kv.follow(&below, sender) => ended.into(),
            () = hear => StoreError::Kv(KvError::Unreachable("nobody listens any more".to_owned())),
        }
    }
}

/// A change to be staged.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The table's text.
    pub dtab: String,
    /// Percent of proxies that take it, by steps; rising, to 100.
    pub shares: Vec<f64>,
    /// How long each step is watched.
    pub bake: std::time::Duration,
}

fn heard(key: &str, event: KvEvent) -> Option<Heard> {
    let value = match event {
        KvEvent::Alive => return Some(Heard::Alive),
        KvEvent::All(all) => all.into_iter().find(|(k, _)| k == key).map(|(_, value)| value),
        KvEvent::Changed(changed) => {
            changed.into_iter().rfind(|(k, _)| k == key).map(|(_, value)| value)?
        }
    };
    Some(match value.map(|value| Record::read(&value.bytes)).transpose() {
        Ok(record) => Heard::Record(record.filter(|r| r.dtab.is_some()).map(Box::new)),
        Err(why) => Heard::Wrong(format!("`{key}` can't be read: {why}")),
    })
}

fn expected(ns: &str, expect: Expect, live: Option<&Record>) -> Result<(), StoreError> {
    match (expect, live) {
        (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
        (Expect::Absent, Some(_)) => Err(StoreError::Exists(ns.to_owned())),
        (Expect::Version(_), None) => Err(missing(ns)),
        (Expect::Version(wanted), Some(is)) if wanted == is.version => Ok(()),
        (Expect::Version(_), Some(is)) => Err(StoreError::Changed(is.version)),
    }
}

fn missing(ns: &str) -> StoreError {
    StoreError::Missing(format!("there is no namespace `{ns}`"))
}

fn busy(staged: &Staged) -> StoreError {
    StoreError::Busy {
        id: staged.id.clone(),
        by: staged.by.clone(),
        percent: (staged.share() * 100.0).to_string(),
        deadline_ms: staged.deadline_ms,
    }
}

#[cfg(test)]
mod tests;
