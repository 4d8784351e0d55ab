//! A network of the drill's own: a namespace that ends with its last process, and the kernel's rules in it.
//!
//! | module | idea |
//! |---|---|
//! | `machine` | what this machine lets a drill do: each thing really tried, in a throw-away namespace |
//! | `rules` | one table of nftables, rewritten as a whole; classes of `tc` |
//! | `tool` | `nft` and `tc`, bounded in time |
//!
//! The host's network is never touched: [`Rules::new`] refuses wherever [`enter_private`] was not called before.
//! Not here: which fault is done by which rule (`inject`). Tested: in `tests/inject/`.

mod machine;
mod rules;
mod tool;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use machine::{Machine, Namespaces, Wish};
pub use rules::{Asker, Rate, Redirect, Rules, Way, What};

/// Bytes in a packet on the loopback of a private network: as on a wire, so that rates and losses are about pieces of that size.
const MTU: libc::c_int = 1500;

/// How long threads that were joined may still be seen: the kernel takes them off a moment after they were waited for.
const THREADS_WAIT: Duration = Duration::from_millis(100);

/// The namespace that this process made, by inode.
static PRIVATE: OnceLock<u64> = OnceLock::new();

/// The network namespace that this thread is in.
fn current() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
}

/// Whether this thread is in a network namespace that this process made.
#[must_use]
pub fn is_private() -> bool {
    PRIVATE.get().is_some_and(|private| current().is_ok_and(|now| now == *private))
}

/// Take this process to a network of its own, in which only loopback is, and that is up. It ends with the last process in it. Call it before
/// any thread is made. Whoever is not root becomes root of a user namespace of its own, with no more rights than before outside.
///
/// # Errors
/// The kernel does not let it, or it was done before.
pub fn enter_private() -> io::Result<()> {
    if PRIVATE.get().is_some() {
        return Err(io::Error::other("this process is in a network of its own already"));
    }
    let until = Instant::now() + THREADS_WAIT;
    let threads = || Ok::<_, io::Error>(std::fs::read_dir("/proc/self/task")?.count());
    while threads()? > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    if threads()? > 1 {
        return Err(io::Error::other("this process has more than one thread already"));
    }
    let before = current()?;
    let maps = Maps::of_now();
    // SAFETY: plain system calls on this process; what they are given outlives them.
    unsafe { unshare(&maps) }?;
    let now = current()?;
    if now == before {
        return Err(io::Error::other("the network is the same as before"));
    }
    let _ = PRIVATE.set(now);
    Ok(())
}

/// What a user namespace is told of its users, made before it is entered.
struct Maps {
    root: bool,
    uid: String,
    gid: String,
}

impl Maps {
    fn of_now() -> Maps {
        // SAFETY: these only say who we are.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        Maps { root: uid == 0, uid: format!("0 {uid} 1\n"), gid: format!("0 {gid} 1\n") }
    }
}

/// A network namespace of its own, by system calls alone: it may run between fork and exec.
///
/// # Safety
/// As system calls are: the process changes its namespaces.
unsafe fn unshare(maps: &Maps) -> io::Result<()> {
    // SAFETY: it takes flags only.
    let network = |flags| match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    if !(maps.root && network(libc::CLONE_NEWNET).is_ok()) {
        network(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
        // SAFETY: the paths end with a zero.
        unsafe {
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/uid_map", maps.uid.as_bytes())?;
            write(c"/proc/self/gid_map", maps.gid.as_bytes())?;
        }
    }
    loopback_up()
}

/// # Safety
/// As system calls are.
unsafe fn write(path: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: path and bytes live through the calls, and the descriptor is closed once.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let wrote = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        let result = if wrote < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        libc::close(fd);
        result
    }
}

/// Give `lo` its size of packets, and bring it up.
fn loopback_up() -> io::Result<()> {
    // SAFETY: a request of zeros with a name in it is what these calls take; the descriptor is closed once.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_mtu = MTU;
        let sized = libc::ioctl(fd, libc::SIOCSIFMTU, &raw mut request);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let up = libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw mut request);
        let result = if sized < 0 || up < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        libc::close(fd);
        result
    }
}
