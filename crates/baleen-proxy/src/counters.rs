//! What only the shell knows and no event says: bytes, buffers, accepts, odd bytes on the wire.
//!
//! One set per worker, written by that worker alone with plain loads and stores, read by anyone at any time.
//! Not here: what policy decides (`Event`s, counted in telemetry). Tested: where they are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use baleen_http1::Rule;

/// A number that one thread changes and any thread reads.
#[derive(Default, Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// One worker's counters.
        #[derive(Default, Debug)]
        pub struct ShellCounters {
            $($(#[$doc])* pub $name: Count,)*
            /// Requests that the codec refused, by rule (index: `rule as usize`).
            pub requests_refused: ByRule,
            /// Responses that the codec refused, by rule.
            pub responses_refused: ByRule,
        }

        impl ShellCounters {
            /// Every plain counter with its name, in a fixed order.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

counters! {
    /// Connections from downstreams now (gauge).
    clients;
    /// Connections accepted.
    accepted;
    /// Connections handed to a worker with fewer.
    handed_over;
    /// Accepts that failed for want of descriptors or memory; each was followed by a pause.
    accept_paused;
    /// Accepts that failed in another way.
    accept_failed;
    /// Buffers held (gauge).
    buffers_in_use;
    /// Bytes of buffers held (gauge).
    buffer_bytes;
    /// Bytes read from downstreams.
    downstream_bytes_in;
    /// Bytes written to downstreams.
    downstream_bytes_out;
    /// Bytes read from upstreams.
    upstream_bytes_in;
    /// Bytes written to upstreams.
    upstream_bytes_out;
    /// Upstream connections closed because bytes followed a complete response.
    response_bytes_extra;
    /// Idle upstream connections closed because bytes came that nobody asked for.
    idle_bytes_unsolicited;
    /// Idle upstream connections that the other side closed.
    idle_closed;
    /// Connections that were switched to another protocol.
    tunnels;
    /// Observations that found the control thread's queue full and were dropped.
    observations_dropped;
}

/// A counter for each rule of the codec.
#[derive(Debug)]
pub struct ByRule(Box<[Count]>);

impl Default for ByRule {
    fn default() -> Self {
        ByRule(Rule::ALL.iter().map(|_| Count::default()).collect())
    }
}

impl ByRule {
    pub(crate) fn add(&self, rule: Rule) {
        if let Some(count) = self.0.get(rule as usize) {
            count.add(1);
        }
    }

    /// Rules that were broken, with how often.
    pub fn broken(&self) -> impl Iterator<Item = (Rule, u64)> + '_ {
        Rule::ALL.iter().zip(&self.0).map(|(rule, n)| (*rule, n.get())).filter(|(_, n)| *n != 0)
    }
}
