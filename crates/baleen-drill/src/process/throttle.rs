//! So much of the time stopped: what a slow replica is when it is a real program.
//!
//! A thread stops and continues it within periods of [`PERIOD`], so that over a period it runs the share that is asked for. A ramp
//! goes in a straight line from full speed. Not exact: what waits (sleeps, disks) is hardly slowed. Tested: in `troupe`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::signal_group;

/// In each, it runs for a part and is stopped for the rest.
const PERIOD: Duration = Duration::from_millis(20);

/// A process that is slowed down for as long as this lives.
#[derive(Debug)]
pub(super) struct Throttle {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Slow a process group down: everything takes `factor` times as long; with a ramp, that grows from 1 over so long.
    pub(super) fn new(pid: u32, factor: f64, ramp: Option<Duration>) -> std::io::Result<Throttle> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let run = move || {
            let begun = Instant::now();
            while !seen.load(Ordering::Acquire) {
                let part = ramp.filter(|r| !r.is_zero()).map_or(1.0, |ramp| {
                    (begun.elapsed().as_secs_f64() / ramp.as_secs_f64()).min(1.0)
                });
                let now = 1.0 + (factor - 1.0).max(0.0) * part;
                let runs = PERIOD.div_f64(now.max(1.0));
                std::thread::sleep(runs);
                if runs < PERIOD {
                    signal_group(pid, libc::SIGSTOP);
                    std::thread::sleep(PERIOD - runs);
                    signal_group(pid, libc::SIGCONT);
                }
            }
        };
        let thread = std::thread::Builder::new().name("throttle".to_owned()).spawn(run)?;
        Ok(Throttle { ended, thread: Some(thread) })
    }
}

impl Drop for Throttle {
    /// The process runs at full speed again. Whoever waits for its end drops this first: then its number may be another's.
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
