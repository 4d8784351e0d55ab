//! What all connections of a backend share: settings, slots, the random stream, counts, the log.
//!
//! Single-threaded, behind an `Rc`. Not here: I/O on sockets. Tested: in `tests/loopback.rs`.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use baleen_base::Prng;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Params;
use super::burn::Burners;

/// How much the last request counts in the mean of times.
pub(crate) const LATENCY_GAIN: f64 = 1.0 / 8.0;

/// What a backend counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed at once because there were too many.
    pub refused_connections: u64,
    /// Requests whose head was whole and valid.
    pub requests: u64,
    /// Requests answered as they should be, with an error drawn for them included.
    pub answered: u64,
    /// Of those, with the drawn error.
    pub errors: u64,
    /// Requests answered 503 because the queue was full.
    pub queue_full: u64,
    /// Requests whose downstream left before they were answered.
    pub gone: u64,
    /// Requests that were not HTTP as we accept it.
    pub invalid: u64,
}

pub(super) struct State {
    pub(super) params: RefCell<Params>,
    pub(super) name: String,
    rng: RefCell<Prng>,
    slots: Semaphore,
    waiting: Cell<u32>,
    in_flight: Cell<u32>,
    /// Mean time of requests, in microseconds; nothing before the first.
    latency_us: Cell<Option<f64>>,
    burners: RefCell<Option<Burners>>,
    counts: Cell<Counts>,
    log: RefCell<Option<File>>,
}

/// What was drawn for a request.
pub(super) struct Draw {
    pub(super) time: Duration,
    pub(super) error: bool,
}

/// Counts one request for as long as it lives.
pub(super) struct Counted<'a>(&'a Cell<u32>);

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<u32>) -> Counted<'a> {
        count.set(count.get() + 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl State {
    pub(super) fn new(params: Params, addr: SocketAddr, log: Option<File>) -> io::Result<State> {
        let burners = if params.burn { Some(Burners::start(params.slots)?) } else { None };
        Ok(State {
            name: params.name.clone().unwrap_or_else(|| addr.to_string()),
            rng: RefCell::new(Prng::new(params.seed)),
            slots: Semaphore::new(params.slots as usize),
            waiting: Cell::new(0),
            in_flight: Cell::new(0),
            latency_us: Cell::new(None),
            burners: RefCell::new(burners),
            counts: Cell::new(Counts::default()),
            log: RefCell::new(log),
            params: RefCell::new(params),
        })
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Count a connection and number it.
    pub(super) fn connection(&self) -> u64 {
        self.count(|c| c.connections += 1);
        self.counts.get().connections
    }

    /// Requests that wait for a slot.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.get()
    }

    /// Counts a request as in flight, waiting or being served, until this is dropped.
    pub(super) fn arrive(&self) -> Counted<'_> {
        Counted::new(&self.in_flight)
    }

    /// A request took so long, with its wait.
    pub(super) fn took(&self, time: Duration) {
        let time = time.as_secs_f64() * 1e6;
        let mean = self.latency_us.get().map_or(time, |mean| mean + (time - mean) * LATENCY_GAIN);
        self.latency_us.set(Some(mean));
    }

    /// Requests in flight, and their mean time in microseconds.
    pub(super) fn load(&self) -> (u32, u64) {
        (self.in_flight.get(), self.latency_us.get().unwrap_or(0.0) as u64)
    }

    /// Slots that are taken.
    pub(super) fn serving(&self) -> usize {
        (self.params.borrow().slots as usize).saturating_sub(self.slots.available_permits())
    }

    /// A slot, now or after a wait in order of arrival; `None` when the queue is full.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.slots.try_acquire() {
            return Some(permit);
        }
        if self.waiting.get() >= self.params.borrow().queue {
            return None;
        }
        let _waiting = Counted::new(&self.waiting);
        self.slots.acquire().await.ok()
    }

    /// Decide about a request that has a slot.
    pub(super) fn draw(&self) -> Draw {
        let params = self.params.borrow();
        let mut rng = self.rng.borrow_mut();
        let time = params.time.sample(&mut rng);
        let error = params.error > 0.0 && rng.unit() < params.error;
        Draw { time, error }
    }

    /// Spend a request's service time.
    pub(super) async fn serve(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let job = self.burners.borrow().as_ref().map(|burners| burners.burn(time));
        match job {
            Some(done) => {
                let _ = done.await;
            }
            None => tokio::time::sleep(time).await,
        }
    }

    /// One line in the log, if there is one. A log that can't be written any more ends.
    pub(super) fn log(&self, line: std::fmt::Arguments<'_>) {
        let mut log = self.log.borrow_mut();
        if let Some(file) = log.as_mut() {
            let written = file.write_all(format!("{line}\n").as_bytes());
            if let Err(e) = written {
                eprintln!("the log can't be written any more: {e}");
                *log = None;
            }
        }
    }
}
