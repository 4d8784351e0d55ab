//! The wish that a drill ends: SIGINT (Ctrl-C) and SIGTERM, noted where everybody can look.
//!
//! No thread listens, because a drill may have to enter a network of its own before it has any. A second signal ends the process
//! at once; then the kernel and the watcher clean up. Tested: in `crates/baleen/tests/it/drill.rs`.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

static ASKED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    if ASKED.swap(signal, Ordering::Relaxed) != 0 {
        // SAFETY: it ends the process, and may be called in a signal handler.
        unsafe { libc::_exit(128 + signal) };
    }
}

/// From now on these signals are noted.
///
/// # Errors
/// The kernel refuses.
pub fn listen() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: zeros are a valid action, to which a handler is set that does only what handlers may.
        let set = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The signal that asked the drill to end, if one did.
#[must_use]
pub fn asked() -> Option<i32> {
    Some(ASKED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}
