//! One call and its attempt: what is known of them, and when something must be done.
//!
//! A call is one request from arrival to its one ending. Its state says which of its times counts, and [`Call::due`] is the
//! earliest of them.
//!
//! Not here: all of them together (`calls.rs`), what moves a call from state to state. Tested: by the core's tests.

use core::time::Duration;

use baleen_base::{Cause, ClusterId, ConnId, EndpointId, RetryDenied, Sent, Tick};
use serde::{Deserialize, Serialize};

use crate::CallFacts;
use crate::queue::Place;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;
/// Endpoints of earlier tries that are remembered; with more tries the oldest are forgotten.
pub(super) const TRIED_MAX: usize = 8;
/// Endpoints that died under a call that are told apart.
const DEATHS_MAX: usize = 4;

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum State {
    /// No call.
    Free,
    /// Just arrived, or between two attempts.
    Deciding,
    /// Waits for a slot.
    Queued,
    /// Waits before the next try.
    Backoff,
    /// Its attempt has no connection yet.
    Connecting,
    /// Its attempt waits for a response head.
    Waiting,
    /// The response head may go downstream.
    Forwarded,
    /// It went downstream, at least in part.
    Committed,
    /// Both sides talk freely.
    Tunnel,
}

impl State {
    /// Whether an attempt is in flight.
    #[inline]
    pub(crate) fn in_flight(self) -> bool {
        matches!(
            self,
            State::Connecting
                | State::Waiting
                | State::Forwarded
                | State::Committed
                | State::Tunnel
        )
    }

    /// Whether something may have been sent: from the start on a pooled connection, else once there is one. That nothing
    /// was after all only a failure can tell.
    pub(crate) fn may_have_sent(self) -> Sent {
        if self == State::Connecting { Sent::Nothing } else { Sent::Maybe }
    }

    /// Whether a response head was accepted.
    #[inline]
    pub(crate) fn has_head(self) -> bool {
        matches!(self, State::Forwarded | State::Committed | State::Tunnel)
    }
}

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) facts: CallFacts,
    pub(crate) arrived: Tick,
    /// When it must have a head; never until the request's body was sent whole.
    pub(crate) total_at: Tick,
    /// The cluster of its attempt or queue.
    pub(crate) cluster: Option<ClusterId>,
    /// The number of its last attempt.
    pub(crate) nth: u16,
    /// Attempts made, with those that don't count as tries.
    pub(crate) made: u16,
    pub(crate) tries: u16,
    /// The slot of its other attempt.
    pub(crate) twin: u32,
    /// This is the second of two attempts; the call is its twin.
    pub(crate) second: bool,
    /// When a second attempt is due beside the first.
    pub(crate) hedge_at: Tick,
    /// It holds a slot of its route.
    pub(crate) counted: bool,
    /// It goes another route's way.
    pub(crate) fell_back: bool,
    /// The last wait before a try, in nanoseconds.
    pub(crate) waited: u64,
    /// Its next attempt is not to use a pooled connection.
    pub(crate) fresh: bool,
    /// Endpoints that died under it.
    pub(crate) deaths: Deaths,
    /// When the upstream, or a limit, wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// Something of an attempt that is over may have been sent.
    pub(crate) sent: bool,
    /// Pooled connections found dead in this try.
    pub(crate) stale: u8,
    /// The request's body is still whole in the replay buffer.
    pub(crate) replayable: bool,
    pub(super) tried_len: u8,
    pub(super) tried: [EndpointId; TRIED_MAX],
    /// What the last attempt died of, and on which endpoint.
    pub(crate) last: Option<(Cause, EndpointId)>,
    pub(crate) denied: Option<RetryDenied>,
    pub(crate) at: Attempt,
    /// When the state's own time is up: of the queue, the backoff, the connection, or silence.
    pub(crate) phase_at: Tick,
    /// When the attempt must have a head.
    pub(crate) try_at: Tick,
    pub(crate) place: Place,
    /// While free: the next free slot.
    pub(super) next_free: u32,
}

/// The attempt in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) endpoint: EndpointId,
    /// The endpoint's slot in the cluster.
    pub(crate) slot: u32,
    pub(crate) conn: Option<ConnId>,
    /// The connection is in the table; else it is closed after use.
    pub(crate) conn_known: bool,
    pub(crate) reused: bool,
    /// It is the endpoint's trial.
    pub(crate) trial: bool,
    pub(crate) request_ended: bool,
    /// Health has learnt that it went well, or badly.
    pub(crate) told: bool,
    /// The response's status is held against the endpoint.
    pub(crate) bad_status: bool,
    /// The response is one that callers want: it pays for retries.
    pub(crate) good: bool,
    /// It holds a slot of its endpoint.
    pub(crate) counted: bool,
    /// When it began; while the call is queued, when that began.
    pub(crate) started: Tick,
    /// From when its latency counts.
    pub(crate) clock_from: Tick,
    pub(crate) head_at: Tick,
    pub(crate) status: u16,
}

impl Attempt {
    /// One that begins now.
    pub(crate) fn new(now: Tick) -> Attempt {
        Attempt {
            endpoint: EndpointId(0),
            slot: 0,
            conn: None,
            conn_known: true,
            reused: false,
            trial: false,
            request_ended: false,
            told: false,
            bad_status: false,
            good: false,
            counted: false,
            started: now,
            clock_from: now,
            head_at: Tick::ZERO,
            status: 0,
        }
    }
}

impl Call {
    /// When something must be done about it.
    #[inline]
    pub(crate) fn due(&self) -> Tick {
        match self.state {
            State::Free | State::Deciding => Tick::NEVER,
            State::Forwarded | State::Committed | State::Tunnel => self.phase_at,
            State::Queued | State::Backoff => self.phase_at.min(self.total_at),
            State::Connecting | State::Waiting => self.due_for_head(),
        }
    }

    /// The same while its attempt has no head.
    #[inline(always)]
    pub(crate) fn due_for_head(&self) -> Tick {
        self.phase_at.min(self.try_at).min(self.total_at).min(self.hedge_at)
    }

    /// Whether it has two attempts.
    #[inline]
    pub(crate) fn hedged(&self) -> bool {
        self.twin != NONE
    }

    #[inline]
    pub(crate) fn tried(&self) -> &[EndpointId] {
        &self.tried[..usize::from(self.tried_len).min(TRIED_MAX)]
    }

    /// It goes another route's way, with all its tries before it.
    pub(crate) fn begin_again(&mut self) {
        (self.fell_back, self.tries, self.stale, self.tried_len) = (true, 0, 0, 0);
        (self.last, self.denied, self.retry_after, self.waited) = (None, None, None, 0);
        (self.deaths, self.fresh) = (Deaths::default(), false);
    }

    pub(crate) fn add_tried(&mut self, id: EndpointId) {
        if usize::from(self.tried_len) < TRIED_MAX {
            self.tried[usize::from(self.tried_len)] = id;
            self.tried_len += 1;
        } else {
            self.tried.rotate_left(1);
            self.tried[TRIED_MAX - 1] = id;
        }
    }
}

/// Endpoints that died under a call: their connection ended after something was sent and before a head came.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deaths {
    pub(crate) count: u8,
    /// On a new connection: one that had idled may just have been closed.
    pub(crate) fresh: bool,
    /// Which they were; those after are counted each time.
    which: [EndpointId; DEATHS_MAX],
}

impl Deaths {
    pub(crate) fn died(&mut self, endpoint: EndpointId, reused: bool) {
        self.fresh |= !reused;
        let n = usize::from(self.count);
        if !self.which[..n.min(DEATHS_MAX)].contains(&endpoint) {
            if let Some(at) = self.which.get_mut(n) {
                *at = endpoint;
            }
            self.count = self.count.saturating_add(1);
        }
    }
}
