//! Threads that spend a service time as CPU time.
//!
//! The time is measured with the thread's own CPU clock: on a busy machine a request then takes as long as it really would,
//! instead of ending on time without having done its work. Bound: [`super::BURNERS_MAX`] threads; jobs come only from
//! requests that have a slot. Not here: sleeping. Tested: below.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

struct Job {
    time: Duration,
    done: oneshot::Sender<()>,
}

/// The threads. They end when this is dropped.
pub(crate) struct Burners {
    jobs: Sender<Job>,
}

impl Burners {
    pub(crate) fn start(threads: u32) -> io::Result<Burners> {
        // Not bounded here: each job holds one of the backend's slots.
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..threads.clamp(1, super::BURNERS_MAX) {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("burn {i}")).spawn(move || work(&queue))?;
        }
        Ok(Burners { jobs })
    }

    /// Have a thread burn this long. Resolves when it has.
    pub(crate) fn burn(&self, time: Duration) -> oneshot::Receiver<()> {
        let (done, burnt) = oneshot::channel();
        // Fails only when all threads have ended; the receiver then resolves at once.
        let _ = self.jobs.send(Job { time, done });
        burnt
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        // Nobody waits any more when the downstream left.
        if !job.done.is_closed() {
            spend(job.time, || job.done.is_closed());
        }
        let _ = job.done.send(());
    }
}

/// Compute for this much CPU time, or until nobody cares.
fn spend(time: Duration, given_up: impl Fn() -> bool) {
    let until = cpu_time() + time;
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    while cpu_time() < until && !given_up() {
        for _ in 0..2_000 {
            x = std::hint::black_box(x.rotate_left(5) ^ x.wrapping_mul(0x2545_f491_4f6c_dd1d));
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to; the clock exists on every Linux and macOS.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_cpu_time_and_not_only_time() {
        let before = cpu_time();
        spend(Duration::from_millis(20), || false);
        assert!(cpu_time() - before >= Duration::from_millis(20));
        let before = cpu_time();
        spend(Duration::from_secs(3600), || true);
        assert!(cpu_time() - before < Duration::from_secs(60), "gives up when nobody waits");
    }

    #[test]
    fn jobs_are_done_by_threads() {
        let burners = Burners::start(2).expect("threads");
        for done in [1, 2, 3].map(|ms| burners.burn(Duration::from_millis(ms))) {
            done.blocking_recv().expect("burnt");
        }
    }
}
