//! Requests that kill servers, told to all workers.
//!
//! Why: a worker that saw several servers die under one request spares the others only if all workers refuse its like.
//!
//! Trip: a worker says so. While a quarantine that began within the last minute runs, further reports of the same fingerprint
//! only tell it once more, for what is left of it (a worker may have missed it). Recovery: by time, in the workers.
//!
//! Bounds: [`BEGUN_MAX`] begun per minute and cluster; further ones are ignored. A storm of deaths is not one bad request: the
//! servers die of something else, and to refuse one page after the other would add to the harm.
//!
//! Scope: process. Source: ours.
//!
//! Not here: what counts as a death, and refusing (`core`, `poison.rs`). Tested: `tests/rules.rs`.

use alloc::collections::VecDeque;
use core::time::Duration;

use baleen_base::{ClusterId, Cx, EndpointId, Event, Tick};

use super::Fleet;
use crate::{To, Verdict};

/// Most quarantines begun per minute and cluster.
pub(super) const BEGUN_MAX: usize = 16;

/// The time in which so many may begin.
pub(super) const PER: Duration = Duration::from_secs(60);

/// Those begun lately, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(VecDeque<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Tick,
    fingerprint: u32,
    until: Tick,
}

impl Begun {
    /// How long this fingerprint is to be refused, and whether that is new; `None` when the report is ignored.
    fn begin(&mut self, now: Tick, fingerprint: u32, time: Duration) -> Option<(Duration, bool)> {
        while self.0.pop_front_if(|e| now.since(e.at) >= PER).is_some() {}
        if fingerprint == 0 || time.is_zero() {
            return None;
        }
        if let Some(e) = self.0.iter().find(|e| e.fingerprint == fingerprint && e.until > now) {
            return Some((e.until.since(now), false));
        }
        if self.0.len() >= BEGUN_MAX {
            return None;
        }
        self.0.push_back(Entry { at: now, fingerprint, until: now + time });
        Some((time, true))
    }
}

impl Fleet {
    /// Servers died under requests with this fingerprint; the endpoint is the last of them, which may be gone by now.
    pub(super) fn poison(
        &mut self,
        cx: &mut Cx<'_>,
        id: ClusterId,
        endpoint: EndpointId,
        fingerprint: u32,
        time: Duration,
    ) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some((time, new)) = cluster.quarantines.begin(cx.now, fingerprint, time) else {
            return;
        };
        self.tell(To::All, id, endpoint, Verdict::Quarantine { fingerprint, time });
        if new {
            let until = cx.now + time;
            cx.emit(Event::Quarantined { cluster: id, fingerprint, until });
        }
    }
}
