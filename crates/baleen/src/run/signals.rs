//! Signals as futures: to end (SIGTERM, SIGINT) and to reopen logs (SIGUSR1).
//!
//! Not here: what is done about them. Tested: in `tests/cli.rs`.

use std::io;
use std::sync::mpsc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};

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

/// For programs without a runtime of their own: turns true at the first signal to end; a second one ends the process.
pub fn stop_on_signal() -> Result<watch::Receiver<bool>, Failure> {
    let (stop, stopped) = watch::channel(false);
    let (ready, is_ready) = mpsc::sync_channel(1);
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let signals = Signals::new();
            let failed = signals.is_err();
            let _ = ready.send(signals.as_ref().err().map(ToString::to_string));
            if failed {
                return Ok(());
            }
            let mut signals = signals?;
            signals.end().await;
            let _ = stop.send(true);
            signals.end().await;
            std::process::exit(Exit::Fine as i32)
        })
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let failed = match thread.spawn(move || listen() as std::io::Result<()>) {
        Ok(_) => is_ready.recv().unwrap_or(Some("no runtime".to_owned())),
        Err(e) => Some(e.to_string()),
    };
    match failed {
        None => Ok(stopped),
        Some(why) => Err(Failure::environment(format!("can't listen for signals: {why}"))),
    }
}
