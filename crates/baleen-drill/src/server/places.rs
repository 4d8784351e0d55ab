//! Places of a server, and the queue for them: as the simulator has them (`baleen-sim/src/world/server`).
//!
//! A request takes a place if one is free and nobody waits, waits if the queue has room, and finds everything full otherwise. A
//! place that becomes free goes to the first or the last that waits, at once. Each change is told.
//! Bounds: the queue's, or that of all connections. Not here: what is done in a place (`state.rs`). Tested: below and in `tests/server/`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use baleen_scenario::model::{Order, Service};
use tokio::sync::oneshot;

use super::tell::Teller;
use crate::events::What;

pub(super) struct Places {
    line: RefCell<Line>,
    teller: Rc<Teller>,
}

struct Line {
    /// As the scenario says.
    usual: Option<u32>,
    /// Now.
    places: u32,
    busy: u32,
    /// Those that wait, in the order in which they came.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    bound: usize,
    order: Order,
    nth: u64,
}

/// What a request finds.
pub(super) enum Entry<'a> {
    Place(Place<'a>),
    Wait(Waiting<'a>),
    Full,
}

/// A place, for as long as this lives.
pub(super) struct Place<'a>(&'a Places);

/// A place in the queue, for as long as this lives.
pub(super) struct Waiting<'a> {
    places: &'a Places,
    nth: u64,
    called: oneshot::Receiver<()>,
    over: bool,
}

impl Places {
    pub(super) fn new(service: &Service, teller: Rc<Teller>) -> Places {
        let line = Line {
            usual: service.concurrency,
            places: service.concurrency.unwrap_or(u32::MAX),
            busy: 0,
            waiting: VecDeque::new(),
            bound: service.queue.map_or(usize::MAX, |bound| bound as usize),
            order: service.order,
            nth: 0,
        };
        Places { line: RefCell::new(line), teller }
    }

    /// A request comes.
    pub(super) fn enter(&self) -> Entry<'_> {
        let mut line = self.line.borrow_mut();
        if line.busy < line.places && line.waiting.is_empty() {
            line.busy += 1;
            drop(line);
            self.tell();
            return Entry::Place(Place(self));
        }
        if line.waiting.len() >= line.bound {
            return Entry::Full;
        }
        let (call, called) = oneshot::channel();
        line.nth += 1;
        let nth = line.nth;
        line.waiting.push_back((nth, call));
        drop(line);
        self.tell();
        Entry::Wait(Waiting { places: self, nth, called, over: false })
    }

    /// Worked on, and waiting.
    pub(super) fn level(&self) -> (u32, u32) {
        let line = self.line.borrow();
        (line.busy, u32::try_from(line.waiting.len()).unwrap_or(u32::MAX))
    }

    /// How many there are now; `None`: any number.
    pub(super) fn places(&self) -> Option<u32> {
        let line = self.line.borrow();
        line.usual.map(|_| line.places)
    }

    /// Only this share of the usual places is there from now on, but at least one. Those that are taken stay taken.
    pub(super) fn cut(&self, share: f64) {
        let mut line = self.line.borrow_mut();
        // A little more, so that a third of three is one.
        let places = line.usual.map(|n| ((f64::from(n) * share + 1e-6) as u32).max(1));
        line.places = places.unwrap_or(u32::MAX);
        drop(line);
        self.fill();
    }

    /// Those that wait take the places that are free.
    fn fill(&self) {
        let mut line = self.line.borrow_mut();
        while line.busy < line.places {
            let next = match line.order {
                Order::Fifo => line.waiting.pop_front(),
                Order::Lifo => line.waiting.pop_back(),
            };
            let Some((_, call)) = next else { break };
            line.busy += 1;
            // One that has left is not in the queue, so somebody hears this.
            let _ = call.send(());
        }
        drop(line);
        self.tell();
    }

    fn vacate(&self) {
        self.line.borrow_mut().busy -= 1;
        self.fill();
    }

    fn tell(&self) {
        let (busy, queued) = self.level();
        self.teller.now(What::Level { busy, queued });
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.vacate();
    }
}

impl<'a> Waiting<'a> {
    /// Resolves with the place.
    pub(super) async fn place(mut self) -> Place<'a> {
        // Its other end is in the queue until it is called.
        let _ = (&mut self.called).await;
        self.over = true;
        Place(self.places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut line = self.places.line.borrow_mut();
        match line.waiting.binary_search_by_key(&self.nth, |(nth, _)| *nth) {
            Ok(at) => {
                line.waiting.remove(at);
                drop(line);
                self.places.tell();
            }
            // It was called, and has left before it heard.
            Err(_) => {
                drop(line);
                self.places.vacate();
            }
        }
    }
}
