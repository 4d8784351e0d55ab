//! The client thread: begins calls that are due, runs closed loops, and keeps the books.
//!
//! A task per call in flight, and one per client of a closed loop. A client is made when it first calls.
//! Bounds: see `mod.rs`. Not here: when calls are due (`pacer.rs`). Tested: `tests/calls/workload.rs`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_scenario::model::{Arrivals, Scenario, Side, Workload, WorkloadId};
use baleen_scenario::outcome::CallEnd;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::task::LocalSet;

use super::pacer::{Due, Poison, stream};
use super::{DONE_MAX, Done, IN_FLIGHT_MAX, LATE_NS, Live, Stop, Sum, Told, WAITING_MAX};
use crate::caller::{Caller, Said, Way};
use crate::cast::{Cast, monotonic};

/// What is taken at once of what is due.
const BATCH: usize = 256;
/// Between two looks at whether to stop.
const TICK_MAX: Duration = Duration::from_millis(100);

/// A call in flight.
struct Open {
    workload: WorkloadId,
    id: u64,
    due: u64,
    sent: u64,
}

/// A place for a call in flight; its counter is used again.
struct Place {
    open: Option<Open>,
    attempts: Rc<Cell<u32>>,
}

/// What is counted.
struct Book {
    told: Told,
    places: Vec<Place>,
    free: Vec<usize>,
    /// Calls of open loops in flight.
    in_flight: usize,
    /// Clients of closed loops that go on.
    looping: usize,
    waiting: VecDeque<Due>,
    next_id: u64,
    /// By workload: the slot that lasts.
    slot: u64,
    sums: Vec<Sum>,
}

/// Clients of one workload.
struct Crowd {
    way: Rc<Way>,
    seed: u64,
    clients: RefCell<Vec<Option<Rc<Caller>>>>,
}

struct Desk {
    epoch: u64,
    end: u64,
    in_flight_max: usize,
    live: Live,
    crowds: Vec<Crowd>,
    book: RefCell<Book>,
    quiet: Notify,
}

/// A client of a closed loop.
struct Loop {
    workload: WorkloadId,
    client: u32,
    think: Rc<Distribution>,
    rng: Prng,
    /// Shared by the clients of a workload.
    poison: Rc<RefCell<Poison>>,
}

pub(super) fn run(
    scenario: &Scenario,
    cast: &Cast,
    epoch: u64,
    stop: &Stop,
    live: &Live,
    dues: Receiver<Due>,
) -> io::Result<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let desk = Rc::new(Desk::new(scenario, cast, epoch, live));
    let local = LocalSet::new();
    local.block_on(&runtime, desk.drive(scenario, cast.seed, stop, dues));
    // Callers that are still there leave.
    drop((local, runtime));
    Ok(desk.close(stop.is_stopped()))
}

impl Desk {
    fn new(scenario: &Scenario, cast: &Cast, epoch: u64, live: &Live) -> Desk {
        let crowd = |(nth, w): (u16, &Workload)| Crowd {
            way: Way::new(scenario, &w.call, Side::Workload(WorkloadId(nth)), cast),
            seed: stream(cast.seed, (8 << 32) + u64::from(nth)).bits(),
            clients: RefCell::new(Vec::new()),
        };
        let book = Book {
            told: Told::default(),
            places: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            looping: 0,
            waiting: VecDeque::new(),
            next_id: 0,
            slot: live.slot(monotonic()),
            sums: vec![Sum::default(); scenario.workloads.len()],
        };
        Desk {
            epoch,
            end: epoch + scenario.duration.as_nanos() as u64,
            in_flight_max: in_flight_max(!cast.doors.is_empty()),
            live: live.clone(),
            crowds: (0..).zip(&scenario.workloads).map(crowd).collect(),
            book: RefCell::new(book),
            quiet: Notify::new(),
        }
    }

    async fn drive(
        self: &Rc<Desk>,
        scenario: &Scenario,
        seed: u64,
        stop: &Stop,
        mut dues: Receiver<Due>,
    ) {
        self.begin_loops(scenario, seed);
        let last = self.end + scenario.drain.as_nanos() as u64;
        let mut tick = tokio::time::interval(self.live.slot_time().min(TICK_MAX));
        let (mut batch, mut open) = (Vec::with_capacity(BATCH), true);
        loop {
            tokio::select! {
                n = dues.recv_many(&mut batch, BATCH), if open => {
                    open = n > 0;
                    batch.drain(..).for_each(|due| self.due(due));
                }
                _ = tick.tick() => {
                    let now = monotonic();
                    self.roll(now);
                    if stop.is_stopped() || now >= last {
                        return;
                    }
                }
                () = self.quiet.notified() => {}
            }
            if !open && self.is_done() {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        let book = self.book.borrow();
        book.in_flight == 0 && book.waiting.is_empty() && book.looping == 0
    }

    /// A call of an open loop is due.
    fn due(self: &Rc<Desk>, due: Due) {
        let mut book = self.book.borrow_mut();
        if book.in_flight < self.in_flight_max {
            drop(book);
            self.spawn(due);
        } else if book.waiting.len() < WAITING_MAX {
            book.waiting.push_back(due);
        } else {
            book.told.skipped += 1;
            self.live.skipped(due.workload);
        }
    }

    fn spawn(self: &Rc<Desk>, due: Due) {
        let Some(caller) = self.caller(due.workload, due.client) else { return };
        self.book.borrow_mut().in_flight += 1;
        let desk = Rc::clone(self);
        tokio::task::spawn_local(async move {
            desk.make(&caller, due.workload, desk.epoch + due.at, due.poison).await;
            desk.left();
        });
    }

    /// A call of an open loop has ended: the next that waits begins.
    fn left(self: &Rc<Desk>) {
        let next = {
            let mut book = self.book.borrow_mut();
            book.in_flight -= 1;
            book.waiting.pop_front()
        };
        match next {
            Some(due) => self.spawn(due),
            None => self.quiet_perhaps(),
        }
    }

    fn quiet_perhaps(&self) {
        if self.is_done() {
            self.quiet.notify_one();
        }
    }

    /// Make a call and keep its record.
    async fn make(&self, caller: &Caller, workload: WorkloadId, due: u64, poison: bool) {
        let (place, id, attempts) = self.begin(workload, due);
        let how = caller.call_counted(Said { id, poison }, &attempts).await;
        self.ended(place, how, attempts.get());
    }

    fn begin(&self, workload: WorkloadId, due: u64) -> (usize, u64, Rc<Cell<u32>>) {
        let sent = monotonic();
        let late = sent.saturating_sub(due) > LATE_NS;
        let mut book = self.book.borrow_mut();
        let book = &mut *book;
        book.told.late += u64::from(late);
        book.next_id += 1;
        self.live.started(workload, late);
        let nth = book.free.pop().unwrap_or_else(|| {
            book.places.push(Place { open: None, attempts: Rc::default() });
            book.places.len() - 1
        });
        let place = &mut book.places[nth];
        place.open = Some(Open { workload, id: book.next_id, due, sent });
        place.attempts.set(0);
        (nth, book.next_id, Rc::clone(&place.attempts))
    }

    fn ended(&self, place: usize, how: CallEnd, attempts: u32) {
        let now = monotonic();
        self.roll(now);
        let mut book = self.book.borrow_mut();
        let Some(open) = book.places[place].open.take() else { return };
        book.free.push(place);
        self.tell(&mut book, &open, now, how, attempts);
    }

    fn tell(&self, book: &mut Book, open: &Open, end: u64, how: CallEnd, attempts: u32) {
        let &Open { workload, id, due, sent } = open;
        self.live.ended(workload, how.is_good());
        if let Some(sum) = book.sums.get_mut(workload.index()) {
            sum.add(how, attempts, end.saturating_sub(due));
        }
        if book.told.done.len() < DONE_MAX {
            book.told.done.push(Done { workload, id, due, sent, end, how, attempts });
        } else {
            book.told.left_out += 1;
        }
    }

    /// Slots that are over are handed to whoever watches.
    fn roll(&self, now: u64) {
        let slot = self.live.slot(now);
        let mut book = self.book.borrow_mut();
        if slot == book.slot {
            return;
        }
        let over = std::mem::replace(&mut book.slot, slot);
        for (nth, sum) in (0..).zip(&mut book.sums) {
            if sum.calls > 0 {
                self.live.publish(WorkloadId(nth), over, std::mem::take(sum));
            }
        }
    }

    /// The client of a workload, made when it first calls.
    fn caller(&self, workload: WorkloadId, client: u32) -> Option<Rc<Caller>> {
        let crowd = self.crowds.get(workload.index())?;
        let mut clients = crowd.clients.borrow_mut();
        let at = client as usize;
        if clients.len() <= at {
            clients.resize_with(at + 1, || None);
        }
        let seed = crowd.seed ^ u64::from(client).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let caller = clients[at].get_or_insert_with(|| Rc::new(crowd.way.caller(client, seed)));
        Some(Rc::clone(caller))
    }

    fn begin_loops(self: &Rc<Desk>, scenario: &Scenario, seed: u64) {
        for (nth, w) in (0..).zip(&scenario.workloads) {
            let Arrivals::Closed { think } = &w.arrivals else { continue };
            let workload = WorkloadId(nth);
            let think = Rc::new(think.clone());
            let poison = Rc::new(RefCell::new(Poison::new(scenario, workload, seed)));
            let mut draws = stream(seed, (3 << 32) + u64::from(nth));
            for client in 0..w.clients.max(1) {
                let rng = Prng::new(draws.bits());
                let (think, poison) = (Rc::clone(&think), Rc::clone(&poison));
                let one = Loop { workload, client, think, rng, poison };
                self.book.borrow_mut().looping += 1;
                tokio::task::spawn_local(Rc::clone(self).go_round(one));
            }
        }
    }

    /// A client of a closed loop thinks and calls until calls come no more.
    async fn go_round(self: Rc<Desk>, mut one: Loop) {
        let mut from = self.epoch;
        while let Some(caller) = self.caller(one.workload, one.client) {
            let at = from + one.think.sample_nanos(&mut one.rng);
            if at >= self.end {
                break;
            }
            sleep_until(at).await;
            let due = monotonic();
            if due >= self.end {
                break;
            }
            let poison = one.poison.borrow_mut().draw(due.saturating_sub(self.epoch));
            self.make(&caller, one.workload, due, poison).await;
            from = monotonic();
        }
        self.book.borrow_mut().looping -= 1;
        self.quiet_perhaps();
    }

    /// What is left of the last calls.
    fn close(&self, early: bool) -> Told {
        let now = monotonic();
        let mut book = self.book.borrow_mut();
        let book = &mut *book;
        let skipped = std::mem::take(&mut book.waiting);
        book.told.skipped += skipped.len() as u64;
        skipped.iter().for_each(|due| self.live.skipped(due.workload));
        for nth in 0..book.places.len() {
            let Some(open) = book.places[nth].open.take() else { continue };
            if early {
                book.told.cut += 1;
            } else {
                let attempts = book.places[nth].attempts.get();
                self.tell(book, &open, now, CallEnd::Timeout, attempts);
            }
        }
        book.told.starved = self.crowds.iter().map(|crowd| crowd.way.starved()).sum();
        std::mem::take(&mut book.told)
    }
}

/// Sleep until then, on the machine's monotonic clock.
async fn sleep_until(then: u64) {
    let wait = then.saturating_sub(monotonic());
    if wait > 0 {
        tokio::time::sleep(Duration::from_nanos(wait)).await;
    }
}

/// Half of the descriptors that there may be: the rest is for idle connections and everything else. Where calls may go through links,
/// a quarter: each has two more at the fault server, in this process.
fn in_flight_max(linked: bool) -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place to write to.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let most = if told == 0 { limit.rlim_cur / if linked { 4 } else { 2 } } else { 256 };
    usize::try_from(most).unwrap_or(usize::MAX).clamp(1, IN_FLIGHT_MAX)
}
