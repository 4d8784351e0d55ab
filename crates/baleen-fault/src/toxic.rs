//! What can go wrong with one direction of a connection.
//!
//! Those that Toxiproxy has mean exactly what they mean there (version 2.12), so that its clients see what they expect:
//! `latency`, `bandwidth`, `slow_close`, `timeout`, `reset_peer`, `slicer`, `limit_data`, `packet_loss`. The others are ours.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Prng;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the client to the upstream.
    Up = 0,
    /// And back.
    Down = 1,
}

/// Times that are drawn, by whoever knows how they are written.
#[derive(Clone)]
pub struct Times(Arc<dyn Fn(&mut Prng) -> Duration + Send + Sync>);

impl Times {
    /// From a function that draws one.
    pub fn new(draw: impl Fn(&mut Prng) -> Duration + Send + Sync + 'static) -> Times {
        Times(Arc::new(draw))
    }

    /// Draw one.
    pub(crate) fn draw(&self, rng: &mut Prng) -> Duration {
        (self.0)(rng)
    }
}

/// Only a copy is the same: what a function draws can't be compared.
impl PartialEq for Times {
    fn eq(&self, other: &Times) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Times(..)")
    }
}

/// What goes wrong with one direction of a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Toxic {
    /// Each chunk comes later by `latency`, give or take an even draw up to `jitter`. Order is kept.
    Latency {
        /// In the middle.
        latency: Duration,
        /// Either way.
        jitter: Duration,
    },
    /// Each chunk comes later by a drawn time. Order is kept.
    Delay(Times),
    /// At most so many bytes a second.
    Bandwidth {
        /// 0: none pass.
        bytes_per_second: u64,
    },
    /// The end comes later.
    SlowClose {
        /// By so much.
        delay: Duration,
    },
    /// Nothing passes, and the connection is closed after a time; or, with none, when the toxic is taken away.
    Timeout {
        /// From the toxic's first moment on this connection.
        after: Option<Duration>,
    },
    /// The connection is reset, so long after the first bytes came.
    ResetPeer {
        /// See there.
        after: Duration,
    },
    /// Chunks are cut into slices, with a pause between two.
    Slicer {
        /// Mean size of a slice, in bytes.
        average: u64,
        /// Give or take.
        variation: u64,
        /// Between two slices.
        delay: Duration,
    },
    /// The connection is closed after so many bytes have passed.
    LimitData {
        /// Since the connection began, toxic or not.
        bytes: u64,
    },
    /// So many chunks are dropped, and so many more of those that come right after a dropped one.
    PacketLoss {
        /// In parts per million.
        share_ppm: u32,
        /// Added for a chunk after a dropped one, in parts per million.
        correlation_ppm: u32,
    },
    /// Nothing passes and nothing is closed, as if the cable had been pulled. When the toxic is taken away, what came meanwhile
    /// is lost and what comes then passes.
    Silent {
        /// Only once the connection is so old.
        after: Duration,
    },
    /// The rest is lost after so many bytes, without an end.
    Stall {
        /// Since the connection began, toxic or not.
        bytes: u64,
    },
    /// So many bytes have one bit changed.
    Corrupt {
        /// In parts per million.
        share_ppm: u32,
    },
}

impl Toxic {
    /// As Toxiproxy's interface writes it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Toxic::Latency { .. } => "latency",
            Toxic::Delay(_) => "delay",
            Toxic::Bandwidth { .. } => "bandwidth",
            Toxic::SlowClose { .. } => "slow_close",
            Toxic::Timeout { .. } => "timeout",
            Toxic::ResetPeer { .. } => "reset_peer",
            Toxic::Slicer { .. } => "slicer",
            Toxic::LimitData { .. } => "limit_data",
            Toxic::PacketLoss { .. } => "packet_loss",
            Toxic::Silent { .. } => "silent",
            Toxic::Stall { .. } => "stall",
            Toxic::Corrupt { .. } => "corrupt",
        }
    }
}
