//! Retry pools: how many attempts a route may make beyond the first of each call, for the whole process.
//!
//! # Why
//!
//! Retries help while few calls fail and do harm when all do. A pool that is filled by *calls* pays as many retries at total
//! failure as ever: load stays at `1 + share` as long as the outage lasts, which can be what keeps it going. This one is
//! filled by *successes*, as in the AWS SDKs and gRPC (retry throttling, proposal A6) and as Brooker describes it ("Fixing
//! retries with token buckets and circuit breakers", 2022): with failure probability `f` and share `b` the pool runs dry at
//! a share `s = (1-f) / (1 - b(1-f))` of calls that succeed and load `1 + b*s`; at total failure load is 1.000 exactly. The
//! window with its three numbers is Finagle's `RetryBudget` (`percentCanRetry`, `minRetriesPerSec`, `ttl`).
//!
//! # The rule
//!
//! Allowed in a window: `share * successes + floor_per_second * window`, rounded down. The window is counted in ten parts, so
//! that nothing but counters is kept and the bound can be read off.
//!
//! - [`Spend::Retry`] has its floor only while a success lies in the window. An outage that fails everything would else be
//!   kept up by the floors of all callers together, however small each is (metastable failures, Bronson et al., HotOS 2021).
//! - [`Spend::Requeue`] has its floor always: nothing was sent, so the upstream has no more work from it. Both have accounts of
//!   their own over the same successes; the windows of a route's two pools must be the same.
//!
//! # Small callers
//!
//! A bucket that is full from the start behaves like no budget when each of many callers makes few calls: every one of a
//! thousand clients has its own burst to spend. So nothing is saved up but one: a caller whose window allows none, because
//! too few calls lie in it, may make one after `1 / share` successes (rounded up) since its last withdrawal, however long
//! they took. One request a minute at a share of 20 % gets a retry for every five successes and never more than its share.
//!
//! Each account has its own mark for this: where the number of all successes stood at its last withdrawal. That number is
//! what the parts hold now and what they held before they began again, so a success costs nothing more for it. A success that
//! moves from the one to the other is for a moment in neither: then a caller may be refused, and never served too much.
//!
//! Cold start: no retry until a success was seen, then the floor of a window; requeues have their floor at once.
//!
//! # Threads
//!
//! A withdrawal counts itself first and takes itself back if that was too much: threads that race for the last retry may
//! both be refused, but never both be served. A deposit is one load and one addition; one that was held up for six parts of
//! the window between these two counts in the part that has begun since.
//!
//! Bounds: 512 bytes a route. Counts of a part have 32 bits; at four billion a part it begins again, and less is allowed.
//!
//! Not here: who may retry (`route.rs`). Tested: `tests/ledger.rs`.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use baleen_base::{Pool, Spend, Tick};

/// Parts that a window is counted in.
const PARTS: u64 = 10;
/// Counters kept; more than [`PARTS`], so that a worker whose clock is a little behind still finds its part.
const RING: usize = 16;
const COUNT: u64 = 0xffff_ffff;

/// Counters of the parts, each with the number of its part in the upper half.
type Ring = [AtomicU64; RING];

/// A route's successes, and what was paid from them.
#[derive(Default)]
pub(super) struct Account {
    successes: Ring,
    retries: Spent,
    requeues: Spent,
    /// Successes of parts that have begun again.
    older: AtomicU64,
}

#[derive(Default)]
struct Spent {
    parts: Ring,
    /// All successes there were at the last withdrawal.
    mark: AtomicU64,
}

impl Account {
    /// Calls succeeded.
    #[inline]
    pub(super) fn deposit(&self, now: Tick, pool: &Pool, calls: u32) {
        let part = part_of(now, pool);
        let cell = &self.successes[part as usize % RING];
        if is_believed(cell.load(Relaxed), part) {
            cell.fetch_add(u64::from(calls), Relaxed);
        } else {
            self.begin(cell, part, calls);
        }
    }

    /// The first successes of a part: what its counter held before moves to `older`.
    #[cold]
    fn begin(&self, cell: &AtomicU64, part: u64, calls: u32) {
        let (_, before) = add(cell, part, calls);
        if before > 0 {
            self.older.fetch_add(before, SeqCst);
        }
    }

    pub(super) fn withdraw(&self, now: Tick, pool: &Pool, spend: Spend) -> bool {
        let part = part_of(now, pool);
        let account = self.spent(spend);
        let mine = &account.parts[part as usize % RING];
        let (counted_in, _) = add(mine, part, 1);
        let used = sum(&account.parts, part);
        let allowed = self.allowed(part, pool, spend);
        let all = self.all();
        if allowed > 0 && used <= allowed {
            account.mark.fetch_max(all, SeqCst);
            return true;
        }
        if allowed == 0 && used <= 1 {
            let mark = account.mark.load(SeqCst);
            let taken = || account.mark.compare_exchange(mark, all, SeqCst, SeqCst).is_ok();
            if is_saved_up(all.saturating_sub(mark), pool) && taken() {
                return true;
            }
        }
        take_back(mine, counted_in);
        false
    }

    /// How many withdrawals would succeed now.
    pub(super) fn level(&self, now: Tick, pool: &Pool, spend: Spend) -> u64 {
        let part = part_of(now, pool);
        let account = self.spent(spend);
        let used = sum(&account.parts, part);
        let allowed = self.allowed(part, pool, spend);
        if allowed == 0 && used == 0 {
            let since = self.all().saturating_sub(account.mark.load(SeqCst));
            return u64::from(is_saved_up(since, pool));
        }
        allowed.saturating_sub(used)
    }

    fn spent(&self, spend: Spend) -> &Spent {
        match spend {
            Spend::Retry => &self.retries,
            Spend::Requeue => &self.requeues,
        }
    }

    /// What the window that ends with `part` allows.
    fn allowed(&self, part: u64, pool: &Pool, spend: Spend) -> u64 {
        let successes = sum(&self.successes, part);
        let share = u128::from(successes) * u128::from(pool.share_ppm) / 1_000_000;
        let floor = if successes > 0 || spend == Spend::Requeue {
            u128::from(pool.floor_per_second) * pool.window.as_nanos() / 1_000_000_000
        } else {
            0
        };
        u64::try_from(floor + share).unwrap_or(u64::MAX)
    }

    /// All successes there ever were. What is older is read first: what moves there meanwhile is missed, not counted twice.
    fn all(&self) -> u64 {
        let older = self.older.load(SeqCst);
        older + self.successes.iter().map(|c| c.load(SeqCst) & COUNT).sum::<u64>()
    }
}

/// Whether so many successes pay for one more.
fn is_saved_up(successes: u64, pool: &Pool) -> bool {
    u128::from(successes) * u128::from(pool.share_ppm) >= 1_000_000
}

/// What counters hold of the window that ends with `part`.
fn sum(ring: &Ring, part: u64) -> u64 {
    let oldest = part.saturating_sub(PARTS - 1);
    let of = |cell: &AtomicU64| {
        let v = cell.load(SeqCst);
        if v >> 32 >= oldest && v >> 32 <= part + PARTS { v & COUNT } else { 0 }
    };
    ring.iter().map(of).sum()
}

/// The number of the part of the window in which `now` lies. Counted from one: zero marks a counter never used.
#[inline]
fn part_of(now: Tick, pool: &Pool) -> u64 {
    let nanos = (Tick::ZERO + pool.window).as_nanos();
    (now.as_nanos() / (nanos / PARTS).max(1) + 1) & COUNT
}

/// Whether a counter may go on when it is `part` now. One a little newer than now was begun by a worker whose clock is a little
/// ahead: it counts. One much newer was numbered in shorter parts, before the window was made longer by a reload.
#[inline]
fn is_believed(v: u64, part: u64) -> bool {
    (v >> 32).wrapping_sub(part) <= PARTS
}

/// Count some in `part`; a counter that holds an older part, or one that can't be, begins again. Returns the part it was
/// counted in (a newer one if this worker's clock is behind), and what a counter that began again held before.
fn add(cell: &AtomicU64, part: u64, n: u32) -> (u64, u64) {
    let mut v = cell.load(SeqCst);
    loop {
        let goes_on = is_believed(v, part);
        let next = if goes_on { v + u64::from(n) } else { part << 32 | u64::from(n) };
        match cell.compare_exchange_weak(v, next, SeqCst, SeqCst) {
            Ok(_) => return (next >> 32, if goes_on { 0 } else { v & COUNT }),
            Err(seen) => v = seen,
        }
    }
}

/// Count one less, unless the counter has begun again.
fn take_back(cell: &AtomicU64, part: u64) {
    let mut v = cell.load(SeqCst);
    while v >> 32 == part && v & COUNT > 0 {
        match cell.compare_exchange_weak(v, v - 1, SeqCst, SeqCst) {
            Ok(_) => return,
            Err(seen) => v = seen,
        }
    }
}
