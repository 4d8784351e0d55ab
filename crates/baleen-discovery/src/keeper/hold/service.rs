//! One service: what the registry names, what went, what came.
//!
//! Not here: what is held and when it is let go (`hold.rs`). Tested: there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Tick;
use baleen_config::{ENDPOINTS_MAX, Endpoint};

use super::Loss;

/// An endpoint that the registry named, and names no more.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub(super) endpoint: Endpoint,
    /// When it went; nothing when that was before the start.
    pub(super) at: Option<Tick>,
    /// It is told on nevertheless.
    pub(super) held: Option<Held>,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) until: Tick,
    pub(super) why: Arc<str>,
}

impl Gone {
    pub(super) fn is_recent(&self, now: Tick, window: Duration) -> bool {
        self.at.is_some_and(|at| at + window > now)
    }
}

#[derive(Debug, Default)]
pub(super) struct Service {
    /// The registry names it.
    pub(super) present: bool,
    /// What the registry names, each address once.
    pub(super) named: Vec<Endpoint>,
    /// What went: all that is held, and what went within the window.
    pub(super) gone: BTreeMap<SocketAddr, Gone>,
    /// What came within the window and is no endpoint that had gone.
    pub(super) added: BTreeMap<SocketAddr, Tick>,
    /// What came since something is held.
    pub(super) replaced: BTreeSet<SocketAddr>,
    /// What was told last.
    pub(super) told: Option<Vec<Endpoint>>,
}

impl Service {
    pub(super) fn held(&self) -> impl Iterator<Item = (&Gone, &Held)> {
        self.gone.values().filter_map(|gone| gone.held.as_ref().map(|held| (gone, held)))
    }

    /// Something went that is not held.
    pub(super) fn unheld(&self) -> bool {
        self.gone.values().any(|gone| gone.held.is_none())
    }

    /// What was lost since the window began, of what was there then. Less what came instead.
    pub(super) fn loss(&self, now: Tick, window: Duration) -> Loss {
        let went = self.gone.values().filter(|gone| gone.is_recent(now, window)).count();
        let came = self.added.len();
        Loss { lost: went.saturating_sub(came), of: self.named.len().saturating_sub(came) + went }
    }

    pub(super) fn told_len(&self) -> usize {
        self.named.len() + self.held().count()
    }

    /// In the order of addresses: another order is no change.
    pub(super) fn to_tell(&self) -> Option<Vec<Endpoint>> {
        let mut told = self.named.clone();
        told.extend(self.held().map(|(gone, _)| gone.endpoint));
        told.truncate(ENDPOINTS_MAX);
        told.sort_unstable();
        (self.present || !told.is_empty()).then_some(told)
    }

    /// Nothing is left to know.
    pub(super) fn is_nothing(&self) -> bool {
        !self.present && self.gone.is_empty() && self.told.is_none()
    }
}
