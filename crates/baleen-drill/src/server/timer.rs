//! Waits that end when they should: to some tens of microseconds, where the runtime's own timer has whole milliseconds.
//!
//! All waits of a server share one `timerfd`, set to the earliest of them; the kernel makes it readable on time, by a
//! high-resolution timer without slack. Nothing spins. Bound: one entry for each wait under way, which are requests in their
//! places. Not here: who waits. Tested: below, by the median.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cast::monotonic;

/// Waits, by when they end. Needs [`Timers::drive`] to run.
pub(super) struct Timers {
    fd: AsyncFd<OwnedFd>,
    waits: RefCell<Waits>,
}

#[derive(Default)]
struct Waits {
    by_end: BTreeMap<(u64, u64), Waker>,
    nth: u64,
}

impl Timers {
    /// Within a runtime.
    pub(super) fn new() -> io::Result<Timers> {
        // SAFETY: a plain system call; what it gives is checked, and owned by nobody else.
        let fd = unsafe {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            match libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        // SAFETY: the `AsyncFd` owns the descriptor, which is the same all the while and closed after it is deregistered.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Timers { fd, waits: RefCell::default() })
    }

    /// Until this moment of the machine's monotonic clock, in nanoseconds.
    pub(super) fn until(&self, at: u64) -> Wait<'_> {
        Wait { timers: self, at, nth: None }
    }

    /// Ends those whose time has come, for ever.
    pub(super) async fn drive(&self) {
        loop {
            let Ok(mut ready) = self.fd.readable().await else { return };
            let mut times = [0u8; 8];
            // SAFETY: the descriptor is ours and the buffer is as long as it says.
            unsafe { libc::read(self.fd.as_raw_fd(), times.as_mut_ptr().cast(), times.len()) };
            ready.clear_ready();
            self.end_due();
        }
    }

    fn end_due(&self) {
        let mut waits = self.waits.borrow_mut();
        let now = monotonic();
        while let Some(first) = waits.by_end.first_entry() {
            if first.key().0 > now {
                break;
            }
            first.remove().wake();
        }
        if let Some((&(at, _), _)) = waits.by_end.first_key_value() {
            self.set(at);
        }
    }

    fn set(&self, at: u64) {
        let at = libc::timespec {
            tv_sec: libc::time_t::try_from(at / 1_000_000_000).unwrap_or(libc::time_t::MAX),
            tv_nsec: (at % 1_000_000_000) as libc::c_long,
        };
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: zero, it_value: at };
        // SAFETY: the descriptor is a timer of ours, and `spec` is valid. It fails only where one of these is not so.
        unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const spec,
                std::ptr::null_mut(),
            );
        }
    }
}

/// Resolves at its moment.
pub(super) struct Wait<'a> {
    timers: &'a Timers,
    at: u64,
    nth: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if monotonic() >= self.at {
            return Poll::Ready(());
        }
        let (timers, at) = (self.timers, self.at);
        let mut waits = timers.waits.borrow_mut();
        let nth = *self.nth.get_or_insert_with(|| {
            waits.nth += 1;
            waits.nth
        });
        waits.by_end.insert((at, nth), cx.waker().clone());
        if waits.by_end.first_key_value().is_some_and(|(first, _)| *first == (at, nth)) {
            timers.set(at);
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(nth) = self.nth {
            self.timers.waits.borrow_mut().by_end.remove(&(self.at, nth));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with_timers(what: impl AsyncFnOnce(&Timers)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let timers = Timers::new().expect("a timer");
            tokio::select! {
                () = timers.drive() => {}
                () = what(&timers) => {}
            }
        });
    }

    #[test]
    fn waits_end_on_time() {
        with_timers(async |timers| {
            let (mut late, mut slept) = (Vec::new(), Vec::new());
            for nth in 0..201 {
                let at = monotonic() + 200_000 + nth * 9_000;
                timers.until(at).await;
                let now = monotonic();
                assert!(now >= at, "never early");
                late.push(now - at);
                // How late this machine is today: a thread that only sleeps.
                std::thread::sleep(Duration::from_micros(500));
                slept.push(monotonic() - now - 500_000);
            }
            late.sort_unstable();
            slept.sort_unstable();
            let (median, p90, slept) = (late[100], late[180], slept[100]);
            println!("late: median {median} ns, p90 {p90} ns; a thread that sleeps: {slept} ns");
            // The runtime's own timer would be half a millisecond late on a machine that has nothing else to do.
            assert!(median < 200_000 + 2 * slept, "{late:?}");
        });
    }

    #[test]
    fn the_earliest_ends_first_and_one_that_is_left_is_forgotten() {
        with_timers(async |timers| {
            let now = monotonic();
            let long = timers.until(now + 3_600_000_000_000);
            tokio::pin!(long);
            tokio::select! {
                () = &mut long => panic!("an hour has not passed"),
                () = timers.until(now + 2_000_000) => {}
            }
            assert_eq!(timers.waits.borrow().by_end.len(), 1);
            timers.until(0).await;
        });
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_nothing() {
        with_timers(async |timers| {
            {
                let wait = timers.until(u64::MAX);
                tokio::pin!(wait);
                tokio::select! {
                    biased;
                    () = &mut wait => panic!("for ever"),
                    () = std::future::ready(()) => {}
                }
                assert_eq!(timers.waits.borrow().by_end.len(), 1);
            }
            assert!(timers.waits.borrow().by_end.is_empty());
        });
    }
}
