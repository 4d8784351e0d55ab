//! Signals as futures: to end (SIGTERM, SIGINT) and to reopen logs (SIGUSR1).
//!
//! Not here: what is done about them. Tested: in `tests/cli.rs`.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a verb listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listen from now on. Must be called within a runtime.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next wish that the process ends.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The wish that logs are opened anew, for rotation.
pub fn reopen() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}
