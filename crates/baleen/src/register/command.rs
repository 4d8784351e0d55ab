//! The command that `baleen register` runs, and the signals that are for it.
//!
//! It has a process group of its own, so that Ctrl-C reaches us alone: we take the service out of the registry first. Not here: when
//! it ends (`register.rs`). Tested: in `tests/it/register.rs`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// A running command.
pub struct Command {
    child: Child,
    pid: libc::pid_t,
}

impl Command {
    /// Starts it, if there is one.
    pub fn start(words: &[OsString]) -> Result<Option<Command>, Failure> {
        let Some((program, args)) = words.split_first() else { return Ok(None) };
        let shown = program.to_string_lossy();
        let failed = |why: &dyn std::fmt::Display| {
            let hint = "after `--` comes a program and its arguments";
            Failure::environment(format!("can't start `{shown}`: {why}")).hint(hint)
        };
        let child = tokio::process::Command::new(program)
            .args(args)
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let pid = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok());
        let pid = pid.ok_or_else(|| failed(&"it has no process id"))?;
        Ok(Some(Command { child, pid }))
    }

    /// Sends a signal to it and to what it started.
    pub fn signal(&self, number: i32) {
        // Only while it was not waited for: its id may be another's afterwards.
        if self.child.id().is_some() {
            // SAFETY: a signal to the group of a child that was not waited for.
            unsafe { libc::kill(-self.pid, number) };
        }
    }

    /// Its exit code, as shells say it: 128 and the signal's number when a signal ended it.
    pub async fn wait(&mut self) -> i32 {
        self.child.wait().await.map_or(1, code)
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(1)
}

/// When it exits; never, when there is none.
pub async fn exited(command: Option<&mut Command>) -> i32 {
    match command {
        Some(command) => command.wait().await,
        None => std::future::pending().await,
    }
}

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Which.
    pub number: i32,
    /// Whether it asks to end; others are for the command alone.
    pub ends: bool,
}

/// The signals that we listen to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Listen from now on.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Wish {
        let (number, ends) = tokio::select! {
            _ = self.terminate.recv() => (libc::SIGTERM, true),
            _ = self.interrupt.recv() => (libc::SIGINT, true),
            _ = self.quit.recv() => (libc::SIGQUIT, true),
            _ = self.hangup.recv() => (libc::SIGHUP, false),
            _ = self.user1.recv() => (libc::SIGUSR1, false),
            _ = self.user2.recv() => (libc::SIGUSR2, false),
        };
        Wish { number, ends }
    }
}
