//! The one clock of a process: real time as ticks since its start, the same for all workers and the control thread.
//!
//! Not here: policy, which is told. Tested: by everything.

use std::time::Instant;

use baleen_base::Tick;

/// Reads time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock at zero.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// What it shows.
    #[inline]
    pub fn now(self) -> Tick {
        Tick::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// When it will show `tick`; `None` if that is never.
    pub fn at(self, tick: Tick) -> Option<Instant> {
        self.origin.checked_add(tick.since(Tick::ZERO))
    }
}
