//! How a namer is: what it serves, how old that is, what is held, what goes wrong.
//!
//! Not here: who finds out (`run.rs`). Tested: in `tests/keeper.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baleen_base::Tick;

use super::hold::HeldService;

/// Most refused keys that are remembered; more are counted.
pub const REFUSED_MAX: usize = 100;

/// What a namer serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing: the registry was never heard, and there is no snapshot.
    NeverHeard,
    /// What a snapshot says; the registry has not been heard since the start.
    Cold,
    /// What the registry says now.
    Fresh,
    /// What the registry said last.
    Failing,
}

impl State {
    /// One word, for metrics and views.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            State::NeverHeard => "never-heard",
            State::Cold => "cold",
            State::Fresh => "fresh",
            State::Failing => "failing",
        }
    }
}

/// Since when the registry can't be asked, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failing {
    /// Since when.
    pub since: SystemTime,
    /// Why the last session ended.
    pub why: String,
}

/// What is held of one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The service.
    pub service: String,
    /// What is held.
    pub endpoints: Vec<SocketAddr>,
    /// Until the last of it is let go.
    pub left: Duration,
    /// Why.
    pub why: Arc<str>,
}

/// How a namer is.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    /// What it serves.
    pub state: State,
    /// The registry can't be asked at the moment; absent while nothing has gone wrong yet.
    pub failing: Option<Failing>,
    /// Time since the registry was last heard; over a restart, by the clock of the snapshot.
    pub age: Option<Duration>,
    /// Sessions begun.
    pub sessions: u64,
    /// Sessions ended because nothing was heard.
    pub stuck: u64,
    /// Services served.
    pub services: usize,
    /// Endpoints served, held ones included.
    pub endpoints: usize,
    /// What is held.
    pub held: Vec<Held>,
    /// What of the registry can't be read, and why.
    pub refused: BTreeMap<String, String>,
    /// How much more of it.
    pub refused_more: u64,
    /// Services left out: too many, or with a name that is too long.
    pub left_out: usize,
    /// Removals that should have been held, and for which there was no room.
    pub unheld: u64,
    /// The last good sets on disk.
    pub snapshot: SnapshotHealth,
}

impl Health {
    /// Endpoints that are held, of all services.
    #[must_use]
    pub fn held_endpoints(&self) -> usize {
        self.held.iter().map(|held| held.endpoints.len()).sum()
    }
}

/// How the last good sets on disk are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotHealth {
    /// They are kept.
    pub on: bool,
    /// Time since the file was written by this process, or was found at the start.
    pub age: Option<Duration>,
    /// Another process writes the file.
    pub others: bool,
    /// What was wrong with it last.
    pub error: Option<String>,
    /// How often it was written.
    pub written: u64,
}

/// What is known, as of some time.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Now, when it was last written down: a tick and the clock.
    pub(super) cold: bool,
    pub(super) heard: Option<Tick>,
    /// When the registry was last heard, of a snapshot.
    pub(super) heard_before: Option<SystemTime>,
    pub(super) fresh: bool,
    pub(super) failing: Option<Failing>,
    pub(super) sessions: u64,
    pub(super) stuck: u64,
    pub(super) services: usize,
    pub(super) endpoints: usize,
    pub(super) held: BTreeMap<String, HeldService>,
    pub(super) refused: BTreeMap<String, String>,
    pub(super) refused_more: u64,
    pub(super) left_out: usize,
    pub(super) unheld: u64,
    pub(super) snapshot: SnapshotHealth,
    pub(super) snapshot_at: Option<SystemTime>,
}

impl Known {
    pub(super) fn health(&self, now: Tick, clock: SystemTime) -> Health {
        let state = match (self.heard, self.fresh) {
            (Some(_), true) => State::Fresh,
            (Some(_), false) => State::Failing,
            (None, _) if self.cold => State::Cold,
            (None, _) => State::NeverHeard,
        };
        let since = |at: SystemTime| clock.duration_since(at).unwrap_or_default();
        let held = self.held.values().map(|held| Held {
            service: held.service.clone(),
            endpoints: held.endpoints.iter().map(|e| e.addr).collect(),
            left: held.until.since(now),
            why: Arc::clone(&held.why),
        });
        let age = self.heard.map(|heard| now.since(heard));
        Health {
            state,
            failing: self.failing.clone(),
            age: age.or_else(|| self.heard_before.map(since)),
            sessions: self.sessions,
            stuck: self.stuck,
            services: self.services,
            endpoints: self.endpoints,
            held: held.collect(),
            refused: self.refused.clone(),
            refused_more: self.refused_more,
            left_out: self.left_out,
            unheld: self.unheld,
            snapshot: SnapshotHealth { age: self.snapshot_at.map(since), ..self.snapshot.clone() },
        }
    }

    pub(super) fn refuse(&mut self, key: String, why: String) {
        if self.refused.len() < REFUSED_MAX || self.refused.contains_key(&key) {
            self.refused.insert(key, why);
        } else {
            self.refused_more += 1;
        }
    }
}
