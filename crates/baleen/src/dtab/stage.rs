//! Driving a staged change: look at reports, go on step by step, or withdraw it.
//!
//! When this is ended, the change is withdrawn; when it is killed, proxies drop the change by themselves. Not here: deciding
//! (`baleen_discovery::store::staged`). Tested: in `tests/it/dtab.rs`.

use std::time::{Duration, Instant};

use baleen_base::Tick;
use baleen_discovery::kv::Kv;
use baleen_discovery::store::staged::{Drive, Driver};
use baleen_discovery::store::{GRACE, Staged, Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::{STORE_TIMEOUT, asked, now_ms};
use crate::exit::Failure;
use crate::out;

/// Longest between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Until it is the table, and then its version.
pub async fn drive<K: Kv>(store: &Store<K>, ns: &str, staged: Staged) -> Result<u64, Failure> {
    let end = |kind| {
        signal(kind).map_err(|e| Failure::environment(format!("signals can't be heard: {e}")))
    };
    let (mut interrupt, mut terminate) =
        (end(SignalKind::interrupt())?, end(SignalKind::terminate())?);
    let id = staged.id.clone();
    let mut drive = Driving::new(store, ns, staged);
    let ended = tokio::select! {
        done = drive.run() => return done,
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "asked to end",
    };
    asked(store.withdraw(ns, &id)).await?;
    Err(Failure::broke(format!("{ended}: the change is withdrawn, `{ns}` is as it was")))
}

struct Driving<'a, K> {
    store: &'a Store<K>,
    ns: &'a str,
    driver: Driver,
    origin: Instant,
    /// How many proxies had said something when it was told last.
    told: usize,
    /// Since when the store does not answer.
    silent: Option<Instant>,
}

impl<'a, K: Kv> Driving<'a, K> {
    fn new(store: &'a Store<K>, ns: &'a str, staged: Staged) -> Driving<'a, K> {
        let driver = Driver::new(Tick::ZERO, staged);
        Driving { store, ns, driver, origin: Instant::now(), told: 0, silent: None }
    }

    fn now(&self) -> Tick {
        Tick::ZERO + self.origin.elapsed()
    }

    async fn run(&mut self) -> Result<u64, Failure> {
        self.say_step();
        loop {
            let look = timeout(STORE_TIMEOUT, self.look());
            match look.await.unwrap_or_else(|_| Err(silent())) {
                Ok(Some(version)) => return Ok(version),
                Ok(None) => self.silent = None,
                Err(Stop::Failure(failure)) => return Err(failure),
                Err(Stop::Store(why)) => self.bear(&why)?,
            }
            sleep(LOOK_EVERY.min(self.driver.staged().bake() / 4)).await;
        }
    }

    /// One look: what was reported, and what to do. Gives the version once it is the table.
    async fn look(&mut self) -> Result<Option<u64>, Stop> {
        let id = self.driver.staged().id.clone();
        let record = self.store.get(self.ns).await?;
        let reports = self.store.reports(self.ns, &id).await?;
        self.driver.heard(reports);
        let is_there =
            record.as_ref().and_then(|r| r.staged.as_ref()).is_some_and(|staged| staged.id == id);
        let now = self.now();
        match self.driver.poll(now) {
            Drive::Withdraw(why) => {
                self.store.withdraw(self.ns, &id).await?;
                Err(Stop::Failure(self.withdrawn(&why)))
            }
            _ if !is_there => {
                Err(Stop::Failure(self.withdrawn("somebody else took it back, or wrote over it")))
            }
            Drive::Wait(_) => {
                self.say_reports();
                Ok(None)
            }
            Drive::Step(step) => {
                self.say_reports();
                let staged = self.store.step(self.ns, &id, step, now_ms()).await?;
                self.driver.stepped(now, staged);
                self.say_step();
                Ok(None)
            }
            Drive::Finish => {
                let version = self.store.finish(self.ns, &id, now_ms()).await?;
                out::say(format_args!("it is the table of all now: version {version}"));
                Ok(Some(version))
            }
        }
    }

    /// A store that does not answer is waited for, but not so long that proxies have dropped the change.
    fn bear(&mut self, why: &str) -> Result<(), Failure> {
        let since = *self.silent.get_or_insert_with(|| {
            out::say(format_args!("the store does not answer: {why}"));
            Instant::now()
        });
        match since.elapsed() < GRACE {
            true => Ok(()),
            false => Err(Failure::environment(format!("the store does not answer: {why}")).hint(
                "proxies that have the change drop it by themselves; then the table is as it was",
            )),
        }
    }

    fn withdrawn(&self, why: &str) -> Failure {
        Failure::broke(format!("the change is withdrawn, `{}` is as it was: {why}", self.ns))
    }

    fn say_step(&self) {
        let staged = self.driver.staged();
        let percent = staged.share() * 100.0;
        out::say(format_args!(
            "step {} of {}: {percent} % of proxies for {:?}",
            staged.step + 1,
            staged.shares.len(),
            staged.bake()
        ));
    }

    fn say_reports(&mut self) {
        let takers = self.driver.takers();
        if takers == self.told {
            return;
        }
        self.told = takers;
        let (before, after) = self.driver.sums();
        out::say(format_args!(
            "{takers} proxies have it: {} calls, {} failed; before it {} calls, {} failed",
            after.calls, after.failures, before.calls, before.failures
        ));
    }
}

/// Why a look was no look.
enum Stop {
    Failure(Failure),
    /// To be tried again.
    Store(String),
}

fn silent() -> Stop {
    Stop::Store(format!("no answer within {STORE_TIMEOUT:?}"))
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error.to_string())
    }
}
