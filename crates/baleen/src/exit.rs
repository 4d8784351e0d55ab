//! How the program ends: exit codes, and failures that say what, why and what to try.
//!
//! Documented for people in `docs/reference/exit-codes.md`. Tested: in `tests/cli.rs`.

use std::process::ExitCode;

use crate::out;

/// What an exit code means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Everything held.
    Fine = 0,
    /// An expectation did not hold.
    Broke = 1,
    /// The command line or a file is wrong.
    BadInput = 2,
    /// This machine or system could not do what was asked.
    Environment = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A reason to end that a person should read.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The command line or a file is wrong.
    pub fn input(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::BadInput, message: message.into(), hint: None }
    }

    /// This machine or system could not do what was asked.
    pub fn environment(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Environment, message: message.into(), hint: None }
    }

    /// An expectation did not hold.
    pub fn broke(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Broke, message: message.into(), hint: None }
    }

    /// What to try.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// An address could not be listened on.
    pub fn bind(message: impl Into<String>, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind;
        let failure = Failure::environment(message);
        match error.kind() {
            ErrorKind::AddrInUse => {
                failure.hint("another program listens there; `ss -ltnp` shows which one")
            }
            ErrorKind::PermissionDenied => failure.hint(
                "ports below 1024 need a privilege: take a higher port, or \
                 `setcap cap_net_bind_service=+ep` on the program",
            ),
            ErrorKind::AddrNotAvailable => {
                failure.hint("no network interface of this machine has that address")
            }
            _ => failure,
        }
    }

    /// Say it.
    pub fn tell(&self) {
        let paint = out::Paint::stderr();
        out::say(format_args!("{}: {}", paint.red("error"), self.message));
        if let Some(hint) = &self.hint {
            out::say(format_args!("{}: {hint}", paint.cyan("hint")));
        }
    }

    /// Say it and end.
    pub fn report(self) -> ExitCode {
        self.tell();
        self.exit.into()
    }
}
