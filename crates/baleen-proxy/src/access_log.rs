//! One line of JSON for each request, formatted into a reused buffer and written in large pieces by a thread of its own.
//!
//! Each worker has a [`Writer`]: lines are collected there and handed over when there are more than [`BATCH_BYTES`], or when
//! the driver calls [`Writer::flush`], which it does at least every 200 ms. A worker never waits for the disk: when
//! [`BATCHES_MAX`] pieces wait to be written, a further one is dropped and its lines are counted. Requests go on, lines are
//! lost, and the count says how many. After [`AccessLog::reopen`] (for rotation) the file is opened anew by its path.
//!
//! What a line holds from the network is cut to a length, escaped, and made valid UTF-8; a line has at most 40 KiB.
//! Off by default. Not here: when a line is written, and with what. Tested: `access_log/tests.rs`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

mod line;

pub use line::{Entry, push_http_date, push_time};

/// Lines are handed over when a worker has more bytes of them than this.
pub const BATCH_BYTES: usize = 32 << 10;
/// Most pieces that wait to be written, of all workers together.
pub const BATCHES_MAX: usize = 64;

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Destination {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file, which is made if it is not there.
    File(PathBuf),
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: std::collections::VecDeque<Batch>,
    /// Empty buffers to use again; never more than `BATCHES_MAX`.
    spare: Vec<Vec<u8>>,
    reopen: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Common {
    queue: Mutex<Queue>,
    wake: Condvar,
    dropped: AtomicU64,
    /// Those of them that were not yet asked for.
    untold: AtomicU64,
}

impl Common {
    fn lost(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whatever panicked left a queue that is still whole: nothing is half done while it is locked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one or more listeners. When dropped it writes what was handed over, then ends its thread: drop writers first.
#[derive(Debug)]
pub struct AccessLog {
    common: Arc<Common>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens the log and starts its thread; nothing if it is off.
    ///
    /// # Errors
    ///
    /// The file can't be opened, or no thread started.
    pub fn open(to: &Destination) -> io::Result<Option<AccessLog>> {
        let out = match to {
            Destination::Off => return Ok(None),
            Destination::Stdout => Out::Stdout,
            Destination::File(path) => Out::File(open(path)?, path.clone()),
        };
        let common = Arc::new(Common::default());
        let theirs = Arc::clone(&common);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&theirs, out))?;
        Ok(Some(AccessLog { common, thread: Some(thread) }))
    }

    /// A place for one worker's lines.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer { common: Arc::clone(&self.common), batch: Batch::default() }
    }

    /// Opens the file anew before the next write. If that fails the old one stays in use.
    pub fn reopen(&self) {
        self.common.queue().reopen = true;
        self.common.wake.notify_one();
    }

    /// Lines that were lost: the disk did not keep up, or a write failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.common.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.common.queue().closed = true;
        self.common.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One worker's lines. Lines that were not handed over are when it is dropped.
#[derive(Debug)]
pub struct Writer {
    common: Arc<Common>,
    batch: Batch,
}

impl Writer {
    /// Adds a line.
    pub fn write(&mut self, entry: &Entry<'_>) {
        entry.push(&mut self.batch.bytes);
        self.batch.lines += 1;
        if self.batch.bytes.len() > BATCH_BYTES {
            self.flush();
        }
    }

    /// Lines that the whole log lost since any of its writers was last asked, so that each is told of once.
    #[must_use]
    pub fn newly_dropped(&self) -> u64 {
        self.common.untold.swap(0, Ordering::Relaxed)
    }

    /// Hands over what there is.
    pub fn flush(&mut self) {
        if self.batch.lines == 0 {
            return;
        }
        let mut queue = self.common.queue();
        if queue.closed || queue.waiting.len() >= BATCHES_MAX {
            drop(queue);
            self.common.lost(self.batch.lines);
            self.batch.bytes.clear();
            self.batch.lines = 0;
            return;
        }
        let spare = queue.spare.pop().unwrap_or_default();
        let full = std::mem::replace(&mut self.batch, Batch { bytes: spare, lines: 0 });
        queue.waiting.push_back(full);
        drop(queue);
        self.common.wake.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

enum Out {
    Stdout,
    File(File, PathBuf),
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Out::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Out::File(file, _) => file.write_all(bytes),
        }
    }

    fn reopen(&mut self) {
        if let Out::File(file, path) = self
            && let Ok(fresh) = open(path)
        {
            *file = fresh;
        }
    }
}

/// The log's thread.
fn write_all(common: &Common, mut out: Out) {
    loop {
        let mut queue = common.queue();
        while queue.waiting.is_empty() && !queue.reopen && !queue.closed {
            queue = common.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let reopen = std::mem::take(&mut queue.reopen);
        let batch = queue.waiting.pop_front();
        let closed = queue.closed;
        drop(queue);
        if reopen {
            out.reopen();
        }
        let Some(mut batch) = batch else {
            if closed {
                return;
            }
            continue;
        };
        if out.write(&batch.bytes).is_err() {
            common.lost(batch.lines);
        }
        batch.bytes.clear();
        let mut queue = common.queue();
        if queue.spare.len() < BATCHES_MAX {
            queue.spare.push(batch.bytes);
        }
    }
}

/// Shown for a client.
pub(crate) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{address}");
}

#[cfg(test)]
mod tests;
