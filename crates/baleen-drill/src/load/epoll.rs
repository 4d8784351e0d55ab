//! `epoll` with nanoseconds, and the bell that wakes a thread that waits in it.
//!
//! Connections are watched once, edge-triggered, for both directions: nothing is registered anew per request. Linux only.
//! Not here: what is done about events (`worker.rs`). Tested: with the worker.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Something can be read, or the other side is done.
pub(super) const IN: u32 = libc::EPOLLIN as u32;
/// Something can be written.
pub(super) const OUT: u32 = libc::EPOLLOUT as u32;
/// The other side sends no more, or the connection broke.
pub(super) const END: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// Most events taken at a time; more wait in the kernel.
const BATCH: usize = 256;

/// Of one thread.
pub(super) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// The kernel has no waiting by the nanosecond (before 5.11).
    coarse: bool,
}

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: makes a descriptor, touches no memory.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, events: Vec::with_capacity(BATCH), coarse: false })
    }

    /// Watch it, edge-triggered, until it is closed.
    pub(super) fn watch(&self, fd: &impl AsRawFd, key: u64) -> io::Result<()> {
        let events = IN | OUT | END | libc::EPOLLET as u32;
        let mut event = libc::epoll_event { events, u64: key };
        let (epoll, fd) = (self.fd.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the event is on this stack and only read.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Wait this long for events.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<()> {
        self.events.clear();
        let found = if self.coarse { self.wait_ms(most) } else { self.wait_ns(most) };
        match usize::try_from(found) {
            // SAFETY: the kernel has filled so many, within the capacity it was told.
            Ok(found) => unsafe { self.events.set_len(found.min(BATCH)) },
            Err(_) => {
                let e = io::Error::last_os_error();
                match e.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::ENOSYS | libc::EPERM) if !self.coarse => self.coarse = true,
                    _ => return Err(e),
                }
            }
        }
        Ok(())
    }

    fn wait_ns(&mut self, most: Duration) -> libc::c_long {
        let most = libc::timespec {
            tv_sec: most.as_secs() as libc::time_t,
            tv_nsec: most.subsec_nanos() as libc::c_long,
        };
        // SAFETY: the kernel writes at most `BATCH` events where there is room for so many, and reads the timespec.
        unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                BATCH as libc::c_int,
                &raw const most,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        }
    }

    fn wait_ms(&mut self, most: Duration) -> libc::c_long {
        let most = libc::c_int::try_from(most.as_nanos().div_ceil(1_000_000)).unwrap_or(1000);
        let (events, fd) = (self.events.as_mut_ptr(), self.fd.as_raw_fd());
        // SAFETY: the kernel writes at most `BATCH` events where there is room for so many.
        libc::c_long::from(unsafe { libc::epoll_wait(fd, events, BATCH as libc::c_int, most) })
    }

    /// How many events the last wait found.
    pub(super) fn found(&self) -> usize {
        self.events.len()
    }

    /// One of them: its key and what happened.
    pub(super) fn event(&self, nth: usize) -> (u64, u32) {
        self.events.get(nth).map_or((u64::MAX, 0), |event| (event.u64, event.events))
    }
}

/// Wakes the thread that watches it: each ring is an edge, so it is never read.
pub(super) struct Bell(File);

impl Bell {
    pub(super) fn new() -> io::Result<Bell> {
        // SAFETY: makes a descriptor, touches no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and nobody else has it.
        Ok(Bell(unsafe { File::from_raw_fd(fd) }))
    }

    /// Ring.
    pub(super) fn ring(&self) {
        // It only fails when it has been rung 2^64 times and not heard.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}
