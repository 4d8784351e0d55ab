//! Processes of a drill: started, killed, stopped, slowed, noticed when they end, and never left behind.
//!
//! Each has a process group of its own, so that Ctrl-C reaches only the drill and a program's helpers are hit with it; an
//! environment variable, [`MARKER`], that its children inherit; and the kernel's order to kill it when the drill dies
//! (PR_SET_PDEATHSIG). That order goes by the *thread* that started it, so one thread, the [`Spawner`]'s, starts all of them and
//! lives as long as the drill. What escapes all of this (grandchildren, after a kill -9 of the drill) is found by its marker: by
//! the watcher at once ([`watch`]), by the next drill otherwise ([`cleanup`]).
//!
//! | file | part |
//! |---|---|
//! | `spawner` | the thread that starts everything |
//! | `troupe` | all of them by who they are: kill, start, stop, go on, slow down |
//! | `telling` | what built-in servers tell on their standard output |
//! | `ready` | waiting until one answers |
//! | `throttle` | so much of the time stopped |
//! | `stop` | Ctrl-C |
//! | `leftover` | folders and processes of dead drills; the watcher |
//!
//! Bounds: [`telling::EVENTS_MAX`] events are kept, the rest is counted; waits have limits.
//! Not here: which programs (`stage`), when what happens to them (`run`, `inject`). Tested: beside the code and in
//! `crates/baleen/tests/it/drill.rs`.

mod leftover;
mod ready;
mod spawner;
pub mod stop;
pub mod telling;
mod throttle;
mod troupe;

pub use leftover::{Cleaned, Folder, MARKER, Watcher, cleanup, watch};
pub use ready::{Ready, wait_until_ready};
pub use spawner::{Program, Spawner};
pub use telling::Life;
pub use troupe::{Ended, Player, Troupe, Who};

/// A signal to a process group; that it is gone is no error.
fn signal_group(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 1
    {
        // SAFETY: a signal to the group of a child that was not waited for yet, whose number is still its own.
        unsafe { libc::kill(-pid, signal) };
    }
}
