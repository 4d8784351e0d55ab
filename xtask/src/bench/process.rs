//! Child processes: pinned, counted with everything they start, and always stopped.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{procfs, sys};

/// How long a process may take to stop when asked.
const STOP_MAX: Duration = Duration::from_secs(3);

/// A child and its children, stopped when dropped.
pub struct Running {
    child: Child,
    pids: Vec<u32>,
}

/// Starts a child, on one core if named.
pub fn start(mut command: Command, core: Option<usize>) -> Result<Running> {
    sys::prepare(&mut command, core);
    let child = command.spawn().with_context(|| format!("{command:?}"))?;
    let pids = vec![child.id()];
    Ok(Running { child, pids })
}

impl Running {
    /// The child's pipes and status.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Every process of it that was seen.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Looks which processes there are by now.
    pub fn look_again(&mut self) {
        self.pids = procfs::tree(self.child.id());
    }

    /// Stops it, with this long to finish what it does.
    pub fn stop(mut self, max: Duration) {
        self.end(max);
    }

    fn end(&mut self, max: Duration) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        self.look_again();
        sys::signal(self.child.id(), libc::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < max {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        // Not reaped yet, so the numbers still mean what they meant.
        for pid in &self.pids {
            sys::signal(*pid, libc::SIGKILL);
        }
        // Nothing to do about an error here: the process was told twice.
        self.child.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(STOP_MAX);
    }
}
