//! When the last good sets are written: after a change, at most once a second, and at the end.
//!
//! Writing waits for the disk, so it is done on a thread for such things; one write at a time. Also without a change a snapshot
//! is written now and then while the registry answers, so that it says how old its news are.
//!
//! The file is locked before the first write. While another process has it, it is tried again only every [`AFTER_OTHERS`], and
//! nobody need look for what there is to write.
//!
//! Not here: the file (`snapshot.rs`). Tested: in `tests/keeper.rs`, and below.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::snapshot::{Saved, Snapshot, Store};

/// At most one write in this time.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// One write in this time at least, while the registry answers.
const REFRESH: Duration = Duration::from_secs(60);
/// The wait after a write that failed.
const AFTER_ERROR: Duration = Duration::from_secs(10);
/// The wait after another process was found to write.
const AFTER_OTHERS: Duration = Duration::from_secs(10);

/// What came of a write, or of an attempt to be allowed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// It is written.
    Written,
    /// It may be written.
    Locked,
    /// Another process writes it.
    NotOurs,
}

pub(super) type Outcome = Result<Came, String>;

#[derive(Debug)]
pub(super) struct Saver {
    /// Absent while it is written, and for good when there is none.
    store: Option<Store>,
    writing: Option<JoinHandle<(Store, Outcome)>>,
    /// It is locked by us.
    ours: bool,
    dirty: bool,
    not_before: Instant,
    refresh: Instant,
}

impl Saver {
    pub(super) fn new(store: Option<Store>, now: Instant) -> Saver {
        let (writing, refresh) = (None, now + REFRESH);
        Saver { store, writing, ours: false, dirty: false, not_before: now, refresh }
    }

    /// Something has changed.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// The registry answered.
    pub(super) fn heard(&mut self, now: Instant) {
        self.dirty |= now >= self.refresh;
    }

    /// When to write next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.dirty && self.store.is_some()).then_some(self.not_before)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_deadline().is_some_and(|at| at <= now)
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether it may be written; else it must be locked first.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Begins to lock it; [`Saver::done`] says what came of it.
    pub(super) fn lock(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let outcome = match store.may_write() {
                Ok(true) => Ok(Came::Locked),
                Ok(false) => Ok(Came::NotOurs),
                Err(error) => Err(format!("{}: {error}", store.path().display())),
            };
            (store, outcome)
        }));
    }

    /// Begins to write.
    pub(super) fn begin(&mut self, now: Instant, snapshot: Snapshot) {
        let Some(mut store) = self.store.take() else { return };
        (self.dirty, self.not_before, self.refresh) = (false, now + EVERY, now + REFRESH);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let outcome = store.save(&snapshot).map(|saved| match saved {
                Saved::Done => Came::Written,
                Saved::NotOurs => Came::NotOurs,
            });
            (store, outcome)
        }));
    }

    /// What came of the write that was begun; never when there is none. Nothing is lost when the future is dropped.
    pub(super) async fn done(&mut self) -> Outcome {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let written = writing.await;
        self.writing = None;
        let outcome = match written {
            Ok((store, outcome)) => {
                self.store = Some(store);
                outcome
            }
            // It can't be tried again: the store is gone with the thread.
            Err(error) => return Err(format!("the thread that writes it ended: {error}")),
        };
        match &outcome {
            Ok(Came::Written) => {}
            Ok(Came::Locked) => self.ours = true,
            Ok(Came::NotOurs) => {
                self.dirty = true;
                self.not_before = Instant::now() + AFTER_OTHERS;
            }
            Err(_) => {
                self.dirty = true;
                self.not_before = Instant::now() + AFTER_ERROR;
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn while_another_process_writes_it_is_tried_rarely() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Store::open(dir.path(), "etcd").expect("a store");
        let mut other = open();
        assert_eq!(other.save(&Snapshot::default()), Ok(Saved::Done));
        let now = Instant::now();
        let mut saver = Saver::new(Some(open()), now);
        saver.touch();
        assert!(saver.is_due(now) && !saver.is_ours());
        saver.lock();
        assert_eq!(saver.done().await, Ok(Came::NotOurs));
        assert!(!saver.is_ours());
        let again = saver.next_deadline().expect("there is something to write");
        assert!(again - now >= AFTER_OTHERS, "{:?}", again - now);
        drop(other);
        saver.lock();
        assert_eq!(saver.done().await, Ok(Came::Locked));
        assert!(saver.is_ours() && saver.is_due(again));
        saver.begin(again, Snapshot::default());
        assert_eq!(saver.done().await, Ok(Came::Written));
        assert_eq!(saver.next_deadline(), None);
    }
}
