//! What a server tells of itself, on its way out: kept in memory, written by a thread of its own.
//!
//! So a reader that is slow never holds up a request. Bounds: [`EVENTS_MAX`] events wait to be written; further ones are dropped,
//! counted, and told on standard error as soon as the reader reads again, and at the end. A reader that has gone is told once; from then on
//! nothing is kept. Not here: what is told (`crate::events`). Tested: below.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::LOST;
use crate::cast::monotonic;
use crate::events::{Event, RECORD_BYTES, What};

/// Most events that wait to be written.
pub(super) const EVENTS_MAX: usize = 1_000_000;
/// How long events gather before they are written.
const GATHER: Duration = Duration::from_millis(10);
/// How long a server that ends waits for its last events to be written.
const LAST: Duration = Duration::from_millis(500);

/// Takes events.
pub(super) struct Teller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    events: Mutex<Events>,
    more: Condvar,
    written: Condvar,
    most: usize,
}

#[derive(Default)]
struct Events {
    bytes: Vec<u8>,
    dropped: u64,
    /// They are being written.
    writing: bool,
    /// Write what there is, now.
    hurry: bool,
    /// Nobody reads any more.
    deaf: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Teller> {
        Teller::with_bound(out, EVENTS_MAX)
    }

    fn with_bound(out: impl Write + Send + 'static, most: usize) -> io::Result<Teller> {
        let (events, more, written) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { events, more, written, most });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("tell".to_owned());
        let thread = thread.spawn(move || write_all(&own, out))?;
        Ok(Teller { shared, thread: Some(thread) })
    }

    /// Something happens now.
    pub(super) fn now(&self, what: What) {
        self.tell(Event { at: monotonic(), what });
    }

    pub(super) fn tell(&self, event: Event) {
        let mut events = self.shared.lock();
        if events.deaf || events.ended {
            return;
        }
        if events.bytes.len() >= self.shared.most * RECORD_BYTES {
            events.dropped += 1;
            return;
        }
        let first = events.bytes.is_empty();
        events.bytes.extend_from_slice(&event.to_bytes());
        if first {
            self.shared.more.notify_one();
        }
    }

    /// From now on nothing is told: what ends with a server was there to the end.
    pub(super) fn close(&self) {
        self.shared.lock().ended = true;
        self.shared.more.notify_one();
    }

    /// What was told is written now; a reader that does not read is waited for a little.
    pub(super) fn flush(&self) {
        let mut events = self.shared.lock();
        events.hurry = true;
        self.shared.more.notify_one();
        let unwritten = |e: &mut Events| (!e.bytes.is_empty() || e.writing) && !e.deaf;
        drop(self.shared.written.wait_timeout_while(events, LAST, unwritten));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.close();
        self.flush();
        let events = self.shared.lock();
        let stuck = events.writing && !events.deaf;
        let left = (events.bytes.len() / RECORD_BYTES) as u64 + events.dropped;
        drop(events);
        match self.thread.take() {
            // One that is stuck with a reader that does not read ends with the process.
            Some(thread) if !stuck => drop(thread.join()),
            _ => {}
        }
        if stuck {
            eprintln!("{}", unread(left));
        }
    }
}

fn unread(left: u64) -> String {
    format!("{LOST}nobody reads what this server tells: at least {left} events are lost")
}

fn dropped_in_time(dropped: u64) -> String {
    format!("{LOST}{dropped} events of this server are lost: they were not read in time")
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let mut taken = Vec::new();
    loop {
        let mut events = shared.lock();
        while events.bytes.is_empty() && !events.ended {
            events.hurry = false;
            events = shared.more.wait(events).unwrap_or_else(PoisonError::into_inner);
        }
        if events.bytes.is_empty() {
            return;
        }
        let gathers = |e: &mut Events| !e.hurry && !e.ended;
        let gathered = shared.more.wait_timeout_while(events, GATHER, gathers);
        events = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut events.bytes, &mut taken);
        events.writing = true;
        drop(events);
        let written = out.write_all(&taken).and_then(|()| out.flush());
        taken.clear();
        let mut events = shared.lock();
        (events.writing, events.deaf) = (false, written.is_err());
        let dropped = std::mem::take(&mut events.dropped);
        shared.written.notify_all();
        drop(events);
        if dropped > 0 {
            eprintln!("{}", dropped_in_time(dropped));
        }
        if let Err(e) = written {
            eprintln!("{LOST}what this server tells can't be written any more: {e}");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn all_is_written_in_order() {
        let (mut from, to) = io::pipe().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| bytes)
        });
        let teller = Teller::start(to).expect("a thread");
        for at in 0..10_000 {
            teller.tell(Event { at, what: What::Arrived });
        }
        drop(teller);
        let bytes = reader.join().expect("it ends").expect("it reads");
        let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
        assert!(rest.is_empty());
        let ats = records.iter().map(|r| Event::from_bytes(r).expect("an event").at);
        assert!(ats.eq(0..10_000));
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody() {
        let (from, to) = io::pipe().expect("a pipe");
        let teller = Teller::with_bound(to, 5_000).expect("a thread");
        for at in 0..100_000 {
            teller.tell(Event { at, what: What::Arrived });
        }
        assert!(teller.shared.lock().bytes.len() <= 5_000 * RECORD_BYTES);
        assert!(teller.shared.lock().dropped > 0);
        drop(teller);
        drop(from);
    }

    #[test]
    fn without_a_reader_nothing_is_kept() {
        let (from, to) = io::pipe().expect("a pipe");
        drop(from);
        let teller = Teller::start(to).expect("a thread");
        teller.now(What::Arrived);
        teller.flush();
        teller.now(What::Arrived);
        let events = teller.shared.lock();
        assert!(events.deaf && events.bytes.is_empty());
    }
}
