//! What built-in servers tell on their standard output, read as it comes by one thread for each of their lives.
//!
//! A life is what one process of a replica told, from its start to its end. Bounds: [`EVENTS_MAX`] of all lives together are kept;
//! those beyond are counted, and then the run is void.
//! Not here: what is made of it (`run/record.rs`). Tested: below.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::events::{Event, RECORD_BYTES};

/// Most events that are kept: at 32 bytes each, and again about 80 when they are put in order. Together less than 500 MB.
pub const EVENTS_MAX: u64 = 4_000_000;
/// What is read at a time.
const READ_BYTES: usize = 64 << 10;

/// What all lives share.
#[derive(Debug, Default)]
pub(super) struct Counted {
    kept: AtomicU64,
    dropped: AtomicU64,
}

impl Counted {
    /// Events that were not kept.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What one process of a replica told.
#[derive(Debug)]
pub struct Life {
    /// In the order it was told.
    pub events: Vec<Event>,
    /// When it ended, on the machine's monotonic clock; `None`: it lived when all was over.
    pub ended: Option<u64>,
}

/// A life that is being told.
#[derive(Debug)]
pub(super) struct Telling {
    events: Arc<Mutex<Vec<Event>>>,
    thread: JoinHandle<()>,
    pub(super) ended: Option<u64>,
}

impl Telling {
    /// Reads until the other side closes.
    pub(super) fn new(
        from: impl Read + Send + 'static,
        counted: &Arc<Counted>,
    ) -> io::Result<Telling> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (into, counted) = (Arc::clone(&events), Arc::clone(counted));
        let thread = std::thread::Builder::new().name("telling".to_owned()).stack_size(256 << 10);
        let thread = thread.spawn(move || read(from, &into, &counted))?;
        Ok(Telling { events, thread, ended: None })
    }

    /// All of it. Waits for the other side to close.
    pub(super) fn into_life(self) -> Life {
        let _ = self.thread.join();
        let events =
            std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        Life { events, ended: self.ended }
    }
}

fn read(mut from: impl Read, into: &Mutex<Vec<Event>>, counted: &Counted) {
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => return,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        let (records, _) = buffer[..filled].as_chunks::<RECORD_BYTES>();
        let came: Vec<Event> = records.iter().filter_map(Event::from_bytes).collect();
        let (bytes, number) = (records.len() * RECORD_BYTES, came.len() as u64);
        let before = counted.kept.fetch_add(number, Ordering::Relaxed);
        if before + number <= EVENTS_MAX {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend(came);
        } else {
            counted.kept.fetch_sub(number, Ordering::Relaxed);
            counted.dropped.fetch_add(number, Ordering::Relaxed);
        }
        // What was cut off by the end of the read is kept for the next.
        buffer.copy_within(bytes..filled, 0);
        filled -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::What;
    use std::io::Write;

    #[test]
    fn records_come_in_any_pieces() {
        let (from, mut to) = io::pipe().expect("a pipe");
        let counted = Arc::new(Counted::default());
        let telling = Telling::new(from, &counted).expect("a thread");
        let told: Vec<Event> = (0..100).map(|at| Event { at, what: What::Arrived }).collect();
        let bytes: Vec<u8> = told.iter().flat_map(|e| e.to_bytes()).collect();
        for piece in bytes.chunks(7) {
            to.write_all(piece).expect("write");
        }
        // A record that was cut off.
        to.write_all(&bytes[..20]).expect("write");
        drop(to);
        assert_eq!(telling.into_life().events, told);
        assert_eq!(counted.dropped(), 0);
    }
}
