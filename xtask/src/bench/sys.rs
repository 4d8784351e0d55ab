//! The few Linux calls that the standard library does not have: epoll, affinity, limits.
//!
//! All `unsafe` of this program is here. Tested by everything in `bench`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Readable.
pub const IN: u32 = libc::EPOLLIN as u32;
/// Writable.
pub const OUT: u32 = libc::EPOLLOUT as u32;

/// Level-triggered readiness for descriptors named by a number.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// An epoll that reports at most `batch` events at once.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just made and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; batch] })
    }

    /// Starts watching.
    pub fn add(&self, fd: &impl AsRawFd, token: usize, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, interest)
    }

    /// Changes what is watched for.
    pub fn change(&self, fd: &impl AsRawFd, token: usize, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, interest)
    }

    fn control(&self, op: i32, fd: RawFd, token: usize, interest: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token as u64 };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd, &raw mut event) }).map(|_| ())
    }

    /// Waits, and fills `ready` with `(token, events)`. Nanosecond timeouts, for pacing.
    pub fn wait(&mut self, timeout: Duration, ready: &mut Vec<(usize, u32)>) -> io::Result<()> {
        ready.clear();
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the buffer and its length belong together; the mask is absent.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len(),
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match check(n as i32) {
            Ok(n) => {
                ready.extend(self.events[..n as usize].iter().map(|e| (e.u64 as usize, e.events)))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Takes up to `len` bytes off a TCP socket without copying them.
pub fn discard(fd: &impl AsRawFd, len: usize) -> io::Result<usize> {
    let fd = fd.as_raw_fd();
    // SAFETY: with MSG_TRUNC TCP drops the bytes and writes nothing to the null buffer.
    let n = unsafe { libc::recv(fd, std::ptr::null_mut(), len, libc::MSG_TRUNC) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Keeps this process, and what it starts, on one core.
pub fn pin_to(core: usize) -> io::Result<()> {
    // SAFETY: the set is plain data made here; 0 is this thread.
    check(unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    })
    .map(|_| ())
}

/// Asks for `wanted` file descriptors; says how many there are.
pub fn raise_descriptors(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the calls.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let raised = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
    // SAFETY: as above. Only root may raise the hard limit; else take what is allowed.
    if check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) }).is_err() {
        limit.rlim_cur = limit.rlim_max.min(wanted);
        // SAFETY: as above.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
        return Ok(limit.rlim_cur);
    }
    Ok(wanted)
}

/// Timers of this process fire when asked, not up to 50 us later.
pub fn exact_timers() {
    // SAFETY: no pointers. Failure only makes pacing coarser.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize) };
}

/// This process ends when the one that started it does.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) }).map(|_| ())
}

/// Sends a signal to one process that we started.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: no pointers; a process that is gone is no error here.
    unsafe { libc::kill(pid as i32, signal) };
}

/// How a child ended, and what it used.
pub struct Ended {
    pub success: bool,
    /// User and system, all its threads.
    pub cpu_s: f64,
    /// The most that was resident.
    pub resident_max_bytes: u64,
}

/// Waits for a child that nobody has waited for yet.
pub fn wait_with_usage(pid: u32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: plain data, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both live through the call.
        let done = unsafe { libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) };
        match check(done) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Ended {
        success: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // In KiB, on Linux.
        resident_max_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

/// Cores of the machine, whatever this process is pinned to.
pub fn cores() -> usize {
    // SAFETY: no pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
}

/// The kernel's pages are this large.
pub fn page_bytes() -> u64 {
    // SAFETY: no pointers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A child to be: on its core if one is named, and gone when we are.
pub fn prepare(command: &mut std::process::Command, core: Option<usize>) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only system calls are made, nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            die_with_parent()?;
            core.map_or(Ok(()), pin_to)
        });
    }
}
