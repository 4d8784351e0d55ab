//! Many jobs on some threads, with results in order of the job: what comes out is the same whatever the number of threads.
//!
//! Each job is known by its index and takes nothing from another. Threads take the next index that nobody has taken.
//! Not here: what the jobs are. Tested: below.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How to run many.
#[derive(Clone, Copy)]
pub struct Crew<'a> {
    /// So many at once. At least 1.
    pub threads: usize,
    /// Hold the invariants after every event, in each run.
    pub check: bool,
    /// Told now and then how much of all is done, from 0 to 1. Called by any thread.
    pub progress: Option<&'a (dyn Fn(f64) + Sync)>,
}

impl Crew<'_> {
    /// So many threads and nothing else.
    #[must_use]
    pub const fn of(threads: usize) -> Crew<'static> {
        Crew { threads, check: false, progress: None }
    }

    /// Does `count` jobs. Each is given its index and what to tell its own progress to.
    pub fn work<T: Send>(
        &self,
        count: usize,
        job: impl Fn(usize, &(dyn Fn(f64) + Sync)) -> T + Sync,
    ) -> Vec<T> {
        let done = Done { parts: AtomicU64::new(0), all: count as f64, tell: self.progress };
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
        let hand = || {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= count {
                    return;
                }
                let before = AtomicU64::new(0);
                let result = job(nth, &|part| done.grew(&before, part));
                done.grew(&before, 1.0);
                results
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push((nth, result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(count) {
                scope.spawn(hand);
            }
            hand();
        });
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_unstable_by_key(|(nth, _)| *nth);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// One job is so many parts, in [`Done`].
const PARTS: f64 = 1e6;

/// How much of all jobs is done.
struct Done<'a> {
    parts: AtomicU64,
    all: f64,
    tell: Option<&'a (dyn Fn(f64) + Sync)>,
}

impl Done<'_> {
    /// A job that had told `before` is at `part` of itself.
    fn grew(&self, before: &AtomicU64, part: f64) {
        let Some(tell) = self.tell else { return };
        let now = (part.clamp(0.0, 1.0) * PARTS) as u64;
        let was = before.fetch_max(now, Ordering::Relaxed);
        let more = now.saturating_sub(was);
        let parts = self.parts.fetch_add(more, Ordering::Relaxed) + more;
        tell((parts as f64 / PARTS / self.all).min(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_of_the_job_with_any_number_of_threads() {
        let expected: Vec<usize> = (0..100).map(|n| n * n).collect();
        for threads in [1, 2, 3, 200] {
            // Early jobs take longest.
            let job = |n: usize, _: &(dyn Fn(f64) + Sync)| {
                (0..(100 - n) * 1000).fold(n * n, |x, y| std::hint::black_box(x ^ y ^ y))
            };
            assert_eq!(Crew::of(threads).work(100, job), expected);
        }
        assert!(Crew::of(4).work(0, |n, _| n).is_empty());
    }

    #[test]
    fn progress_grows_to_the_whole() {
        let told = Mutex::new(Vec::new());
        let tell = |x: f64| told.lock().expect("lock").push(x);
        let crew = Crew { threads: 1, check: false, progress: Some(&tell) };
        let _ = crew.work(4, |_, part| {
            part(0.5);
            part(0.25);
        });
        assert_eq!(
            told.into_inner().expect("lock"),
            [0.125, 0.125, 0.25, 0.375, 0.375, 0.5, 0.625, 0.625, 0.75, 0.875, 0.875, 1.0]
        );
    }
}
