//! Follows the folder: what changed since the last look, as updates over a bounded channel.
//!
//! Inotify says when to look; a slow poll looks anyway, for file systems that do not tell and for events that were lost.
//! A file that only the poll saw is read when it looks the same twice in a row, so that one that is still being written is
//! left alone. While the receiver is slow nothing piles up: the next look finds the newest state.
//!
//! Not here: reading a file (`folder.rs`). Tested: in `tests/files.rs`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use baleen_config::{Diagnostic, Endpoint};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::folder::{self, Read, Signature};
use super::inotify::{Events, Inotify};
use super::{FILES_MAX, Services};

/// Updates that wait to be taken; then the watch waits.
const UPDATES_MAX: usize = 64;

/// A change of one cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Update {
    /// The cluster.
    pub cluster: String,
    /// What became of it.
    pub change: Change,
}

/// What became of a cluster.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// These are its endpoints now, all of them.
    Endpoints(Vec<Endpoint>),
    /// Its file is gone.
    Removed,
    /// A new version of its file has mistakes; what it had before stays.
    Refused(Vec<Diagnostic>),
}

/// How the watch is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Files that are in force.
    pub files: usize,
    /// Entries of the folder that are no services files.
    pub ignored: usize,
    /// The kernel tells of changes; else only the poll sees them.
    pub notified: bool,
    /// How often a folder was begun to be watched: once, and again each time another one took its place.
    pub attached: u64,
    /// When something last changed for good.
    pub last_change: Option<SystemTime>,
    /// Clusters whose newest file was refused, with the reason.
    pub refused: BTreeMap<String, Vec<Diagnostic>>,
    /// Why the folder can not be read; everything stays as it was.
    pub folder_error: Option<String>,
}

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How often to look without being told.
    pub poll: Duration,
    /// Ask the kernel to tell.
    pub notify: bool,
    /// Changes that come within this time are one: a file that is moved away and replaced was never gone.
    pub settle: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        WatchOptions {
            poll: Duration::from_secs(1),
            notify: true,
            settle: Duration::from_millis(20),
        }
    }
}

/// A running watch; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    updates: mpsc::Receiver<Update>,
    health: Arc<Mutex<Health>>,
}

impl Watch {
    /// The next change. Nothing is lost when the future is dropped. `None` when the runtime is shutting down.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// A handle to ask how the watch is, from any thread.
    #[must_use]
    pub fn health(&self) -> Arc<Mutex<Health>> {
        Arc::clone(&self.health)
    }
}

/// Watches the folder from what `load` saw on. Must be called within a tokio runtime, on which a task is started.
#[must_use]
pub fn watch(dir: &Path, from: Services, options: WatchOptions) -> Watch {
    let (sender, updates) = mpsc::channel(UPDATES_MAX);
    let health = Arc::new(Mutex::new(Health { ignored: from.ignored, ..Health::default() }));
    let Services { clusters, mut signatures, .. } = from;
    let entry = |(name, endpoints): (String, Vec<Endpoint>)| {
        let signature = signatures.remove(&name);
        (name, Entry { signature, endpoints: Some(endpoints) })
    };
    let known = clusters.into_iter().map(entry).collect();
    let mut watcher = Watcher {
        dir: dir.to_path_buf(),
        options,
        inotify: None,
        identity: None,
        known,
        seen: BTreeMap::new(),
        health: Arc::clone(&health),
    };
    watcher.attach();
    watcher.tell(|_| {});
    tokio::spawn(watcher.run(sender));
    Watch { updates, health }
}

/// What is known of one file.
#[derive(Debug)]
struct Entry {
    /// The version that was last read, be it refused.
    signature: Option<Signature>,
    /// The last that was good.
    endpoints: Option<Vec<Endpoint>>,
}

struct Watcher {
    dir: PathBuf,
    options: WatchOptions,
    inotify: Option<Inotify>,
    /// Which folder is watched.
    identity: Option<(u64, u64)>,
    known: BTreeMap<String, Entry>,
    /// Versions that a poll saw and that are read if the next one sees them, too.
    seen: BTreeMap<String, Signature>,
    health: Arc<Mutex<Health>>,
}

/// Why to look at a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    /// Its writer is done with it.
    Told,
    /// It is time to look.
    Poll,
}

impl Watcher {
    async fn run(mut self, sender: mpsc::Sender<Update>) {
        let mut poll = tokio::time::interval(self.options.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let events = tokio::select! {
                () = sender.closed() => return,
                events = next_events(self.inotify.as_ref()) => Some(events),
                _ = poll.tick() => None,
            };
            let updates = match events {
                Some(Ok(events)) => {
                    let events = self.settle(events).await;
                    self.told(events)
                }
                Some(Err(_)) => {
                    self.inotify = None;
                    self.poll()
                }
                None => self.poll(),
            };
            for update in updates {
                if sender.send(update).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Takes what else comes within the settling time.
    async fn settle(&self, mut events: Events) -> Events {
        let end = tokio::time::Instant::now() + self.options.settle;
        loop {
            let more = tokio::time::timeout_at(end, next_events(self.inotify.as_ref())).await;
            match more {
                Ok(Ok(more)) => events.merge(more),
                Ok(Err(_)) | Err(_) => return events,
            }
        }
    }

    fn told(&mut self, events: Events) -> Vec<Update> {
        if events.folder {
            // Another folder may have this one's name and even its number: begin anew.
            self.inotify = None;
            return self.poll();
        }
        if !self.reachable() {
            return Vec::new();
        }
        let mut updates = Vec::new();
        for name in events.names.iter().filter(|name| folder::is_services(name)) {
            updates.extend(self.look(name, Because::Told));
        }
        if events.all {
            updates.extend(self.look_at_all(Because::Told));
        }
        self.tell(|_| {});
        updates
    }

    /// Looks at everything without being told.
    fn poll(&mut self) -> Vec<Update> {
        if !self.reachable() {
            return Vec::new();
        }
        let other = folder::identity(&self.dir).ok() != self.identity;
        if other || (self.inotify.is_none() && self.options.notify) {
            self.attach();
        }
        let updates = self.look_at_all(Because::Poll);
        self.tell(|_| {});
        updates
    }

    /// Begins to watch the folder that is there now. Without help of the kernel the poll goes on alone.
    fn attach(&mut self) {
        self.identity = folder::identity(&self.dir).ok();
        self.inotify = match self.options.notify {
            true => Inotify::new(&self.dir).ok(),
            false => None,
        };
        self.tell(|health| health.attached += 1);
    }

    /// Whether the folder is there. If not, that is said and everything stays as it was.
    fn reachable(&self) -> bool {
        let error = std::fs::read_dir(&self.dir).err();
        let reachable = error.is_none();
        self.tell(|health| health.folder_error = error.map(|e| e.to_string()));
        reachable
    }

    fn look_at_all(&mut self, because: Because) -> Vec<Update> {
        let listing = match folder::list(&self.dir) {
            Ok(listing) => listing,
            Err(error) => {
                self.tell(|health| health.folder_error = Some(error.to_string()));
                return Vec::new();
            }
        };
        let too_many =
            listing.too_many.then(|| format!("more than {FILES_MAX} files; the rest is ignored"));
        self.tell(|health| {
            health.ignored = listing.ignored;
            health.folder_error = too_many;
        });
        self.seen.retain(|name, _| listing.names.contains(name));
        let gone = self.known.keys().filter(|name| !listing.names.contains(*name));
        let names: Vec<String> = gone.chain(&listing.names).cloned().collect();
        names.iter().filter_map(|name| self.look(name, because)).collect()
    }

    /// Looks at one file.
    fn look(&mut self, name: &str, because: Because) -> Option<Update> {
        let path = self.dir.join(name);
        // What can not even be looked at stays as it was.
        let now = folder::signature(&path).ok()?;
        let Some(now) = now else { return self.gone(name) };
        if self.known.get(name).is_some_and(|entry| entry.signature == Some(now)) {
            self.seen.remove(name);
            return None;
        }
        if !self.known.contains_key(name) && self.known.len() >= FILES_MAX {
            return None;
        }
        if because == Because::Poll && self.seen.insert(name.to_owned(), now) != Some(now) {
            return None;
        }
        self.seen.remove(name);
        match folder::read(&path) {
            Read::Good(signature, endpoints) => self.good(name, signature, endpoints),
            Read::Bad(signature, diagnostics) => Some(self.bad(name, signature, diagnostics)),
            Read::Gone => self.gone(name),
            // The poll will see it.
            Read::Unsettled => None,
        }
    }

    fn good(
        &mut self,
        name: &str,
        signature: Signature,
        endpoints: Vec<Endpoint>,
    ) -> Option<Update> {
        let entry = Entry { signature: Some(signature), endpoints: Some(endpoints.clone()) };
        let before = self.known.insert(name.to_owned(), entry);
        let changed = before.and_then(|e| e.endpoints).as_ref() != Some(&endpoints);
        self.tell(|health| {
            health.refused.remove(name);
            if changed {
                health.last_change = Some(SystemTime::now());
            }
        });
        changed.then(|| Update { cluster: name.to_owned(), change: Change::Endpoints(endpoints) })
    }

    fn bad(
        &mut self,
        name: &str,
        signature: Option<Signature>,
        diagnostics: Vec<Diagnostic>,
    ) -> Update {
        let entry = self.known.entry(name.to_owned());
        entry.or_insert(Entry { signature, endpoints: None }).signature = signature;
        self.tell(|health| {
            health.refused.insert(name.to_owned(), diagnostics.clone());
        });
        Update { cluster: name.to_owned(), change: Change::Refused(diagnostics) }
    }

    fn gone(&mut self, name: &str) -> Option<Update> {
        self.seen.remove(name);
        let was_good = self.known.remove(name)?.endpoints.is_some();
        self.tell(|health| {
            health.refused.remove(name);
            if was_good {
                health.last_change = Some(SystemTime::now());
            }
        });
        was_good.then(|| Update { cluster: name.to_owned(), change: Change::Removed })
    }

    fn tell(&self, change: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut health);
        health.files = self.known.values().filter(|e| e.endpoints.is_some()).count();
        health.notified = self.inotify.is_some();
    }
}

/// The next events; never any when the kernel does not tell.
async fn next_events(inotify: Option<&Inotify>) -> io::Result<Events> {
    match inotify {
        Some(inotify) => inotify.events().await,
        None => std::future::pending().await,
    }
}
