//! Keeps what a registry said: runs its client, holds back what looks like the registry's own failure, and remembers over a
//! restart.
//!
//! ```text
//! Client --Report--> Hold --> Update --> whoever receives        one task for each namer
//!                      |-> Snapshot on disk, at most once a second
//! ```
//!
//! - At a start the snapshot, if there is one, is served at once ([`Keeper::take_cold`]); whatever of it the registry lacks when
//!   it is heard falls under the rules of [`hold`].
//! - When a session ends nothing changes but the health. The next one begins after a wait ([`backoff`]); one that says nothing
//!   for `stuck_after` is ended.
//! - A receiver that is slow gets the newest set of each service, not every one that there was: those that only lost endpoints
//!   first, then who has waited longest.
//! - Of a registry that can't be listed ([`Settings::on_demand`]) somebody has to want a service ([`Asker::want`]); each new
//!   session is asked for all that are wanted. That its first report lacks a service means nothing there.
//!
//! Use, within a runtime:
//!
//! ```text
//! let settings = Settings { source: namer.source(), hold: namer.hold, ..Settings::default() };
//! let mut keeper = Keeper::start("etcd", client, settings, state_dir.as_deref());
//! for update in keeper.take_cold() { .. }                // before traffic is let in
//! let asker = keeper.asker();                            // any thread: health(), want(), forget(), release()
//! while let Some(update) = keeper.recv().await { .. }    // beside other things: select! { update = keeper.recv() => .. }
//! keeper.stop().await;                                   // writes what is not written yet
//! ```
//!
//! Bounds: [`UPDATES_MAX`] updates that wait, beyond them one for each service; `registry::SERVICES_MAX` services that are wanted.
//! Not here: how a registry is asked, what is done with endpoints. Tested: in `tests/keeper.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use baleen_base::Tick;
use baleen_config::{Endpoint, Hold as Rules};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::registry::{Client, SERVICES_MAX};

pub mod backoff;
mod health;
pub mod hold;
mod pending;
mod run;
mod saver;
pub mod snapshot;

pub use health::{Failing, Health, Held, REFUSED_MAX, SnapshotHealth, State};

/// Updates that wait to be taken.
pub const UPDATES_MAX: usize = 64;
/// Releases that wait to be done; more are refused.
const RELEASES_MAX: usize = 1024;

/// How to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which registry this is, for people and programs: a snapshot of another one is not served.
    pub source: String,
    /// Which removals are held back.
    pub hold: Rules,
    /// A session that says nothing for so long is ended.
    pub stuck_after: Duration,
    /// The registry can't be listed: it is asked for what somebody wants.
    pub on_demand: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            source: String::new(),
            hold: Rules::default(),
            stuck_after: Duration::from_secs(15),
            on_demand: false,
        }
    }
}

/// What a service has now.
#[derive(Clone, PartialEq, Debug)]
pub struct Update {
    /// The namer's name.
    pub namer: Arc<str>,
    /// The service.
    pub service: String,
    /// All of its endpoints; nothing when it is gone.
    pub endpoints: Option<Vec<Endpoint>>,
}

/// A running namer; it ends when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    updates: mpsc::Receiver<Update>,
    cold: VecDeque<Update>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts to ask a registry, mounted as `name`. `state`: the folder for the last good sets. Must be called within a
    /// runtime, on which a task is started; the snapshot is read before this returns.
    #[must_use]
    pub fn start(
        name: &str,
        client: impl Client,
        settings: Settings,
        state: Option<&Path>,
    ) -> Keeper {
        let (sender, updates) = mpsc::channel(UPDATES_MAX);
        let shared = Arc::new(Shared {
            origin: Instant::now(),
            on_demand: settings.on_demand,
            known: Mutex::default(),
            asked: Mutex::default(),
            notify: Notify::new(),
        });
        let seed = RandomState::new().hash_one(name);
        let state: Option<PathBuf> = state.map(Path::to_owned);
        let mut runner = run::Runner::new(name, settings, Arc::clone(&shared), sender, seed);
        let cold = runner.load(state.as_deref());
        let task = tokio::spawn(runner.run(client));
        Keeper { updates, cold: cold.into(), shared, task }
    }

    /// What the snapshot says, to be served before the registry was heard. Once; without it [`Keeper::recv`] begins with it.
    pub fn take_cold(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.cold).into()
    }

    /// The next change. Nothing is lost when the future is dropped. `None` when the runtime is shutting down.
    pub async fn recv(&mut self) -> Option<Update> {
        match self.cold.pop_front() {
            Some(update) => Some(update),
            None => self.updates.recv().await,
        }
    }

    /// A handle to ask and to be asked, for any thread.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker(Arc::clone(&self.shared))
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.asker().health()
    }

    /// Stops, after the last good sets were written.
    pub async fn stop(mut self) {
        self.updates.close();
        while self.updates.recv().await.is_some() {}
        // It ends by itself; only a panic would be an error, and is on stderr then.
        let _ = (&mut self.task).await;
    }
}

/// A handle of a running namer.
#[derive(Clone, Debug)]
pub struct Asker(Arc<Shared>);

impl Asker {
    /// How the namer is.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.0.tick();
        self.0.known().health(now, SystemTime::now())
    }

    /// Somebody wants a service of a registry that can't be listed. `false`: too many are wanted. Of others it does nothing.
    pub fn want(&self, service: &str) -> bool {
        if !self.0.on_demand {
            return true;
        }
        let mut asked = self.0.asked();
        if !asked.wanted.contains(service) {
            if asked.wanted.len() >= SERVICES_MAX || asked.waiting.len() >= 2 * SERVICES_MAX {
                return false;
            }
            asked.wanted.insert(service.to_owned());
        }
        asked.waiting.insert(service.to_owned(), Ask::Want);
        self.0.notify.notify_one();
        true
    }

    /// Nobody wants a service any more: it is told to be gone, and not asked for.
    pub fn forget(&self, service: &str) {
        let mut asked = self.0.asked();
        if asked.wanted.remove(service) {
            asked.waiting.insert(service.to_owned(), Ask::Forget);
            self.0.notify.notify_one();
        }
    }

    /// Believe the registry: let go what is held of a service, or of all. `false`: too many such wishes wait.
    pub fn release(&self, service: Option<&str>) -> bool {
        let mut asked = self.0.asked();
        if asked.release.len() >= RELEASES_MAX {
            return false;
        }
        asked.release.insert(service.map(str::to_owned));
        self.0.notify.notify_one();
        true
    }
}

/// What is to become of a service that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Want,
    Forget,
}

#[derive(Debug, Default)]
struct Asked {
    wanted: BTreeSet<String>,
    /// What the task has not seen yet, the last word for each service.
    waiting: BTreeMap<String, Ask>,
    release: BTreeSet<Option<String>>,
}

/// Between the task and the handles.
#[derive(Debug)]
struct Shared {
    origin: Instant,
    on_demand: bool,
    known: Mutex<health::Known>,
    asked: Mutex<Asked>,
    notify: Notify,
}

impl Shared {
    fn tick(&self) -> Tick {
        Tick::ZERO + self.origin.elapsed()
    }

    fn known(&self) -> MutexGuard<'_, health::Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
