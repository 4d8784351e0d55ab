//! One client thread: takes what is due, gives it to a connection, and accounts for it.
//!
//! No task, no allocation and no timer per request: a request is a few words in the slot of its connection, all time limits
//! are equally long and so wait in one list in the order in which they began, and the kernel is asked for events once for all
//! connections. Where a free connection is kept, the one used last is taken first.
//!
//! In a closed loop the thread itself makes the next request of a client when the last has ended. Times are nanoseconds since
//! the start of the load. Bounds: connections and waiting requests are this thread's share of [`Load::connections_max`] and
//! [`WAITING_MAX`]; `ready` and `later` hold at most one request per client, or those that wait for another try: at most
//! [`WAITING_MAX`] too, further tries are not made then.
//! Not here: sockets (`wire.rs`), when requests are due (`pace.rs`), sums (`tally.rs`). Tested: in `tests/loopback.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_telemetry::Hist;

use super::epoll::{END, Epoll};
use super::live::{self, Live};
use super::pace::{Due, Sleeper, Unsaid};
use super::record::{Failure, Head, Outcome, Record};
use super::response::Parser;
use super::tally::{Over, Summary, Tally};
use super::target::Targets;
use super::wire::{Conn, Queue};
use super::{Load, Pacing, Stop, WAITING_MAX};

/// Longest wait for events, so that a stop is noticed.
const WAIT_MAX: u64 = 50_000_000;
/// What is due within so long after something was is begun with the next, so that a high rate is not a wake-up per request.
const GRAIN: u64 = 50_000;
/// Events after which what is due is looked for again.
const EVENTS_BETWEEN: usize = 16;
/// A client of a closed loop that could not connect waits so long.
const BACKOFF: u64 = 10_000_000;
/// A client of a closed loop that thinks does so at least so long (as simulated ones do).
const THINK_MIN: u64 = 100_000;
/// The key of the bell among those of connections.
const BELL: u64 = u64::MAX;

/// Who is told of each request.
pub(super) type OnResult<'a> = &'a (dyn Fn(&Record) + Sync);

/// What all client threads share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) load: &'a Load,
    pub(super) targets: &'a Targets,
    pub(super) start: Instant,
    pub(super) stop: &'a Stop,
    pub(super) live: Option<&'a Live>,
    pub(super) on_result: Option<OnResult<'a>>,
}

/// A request that is not over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) due: u64,
    /// When it was first sent.
    pub(super) sent: Option<u64>,
    pub(super) target: u32,
    pub(super) tries: u16,
    /// It had to wait for a connection.
    pub(super) waited: bool,
}

/// How a try of a request ended.
pub(super) struct Tried {
    pub(super) outcome: Outcome,
    pub(super) good: bool,
    pub(super) wrong_body: bool,
    pub(super) head: Option<(u64, u16)>,
    pub(super) body_bytes: u64,
    pub(super) reused: bool,
    pub(super) tag: Option<String>,
}

impl Tried {
    pub(super) fn failed(why: Failure) -> Tried {
        Tried {
            outcome: Outcome::Failed(why),
            good: false,
            wrong_body: false,
            head: None,
            body_bytes: 0,
            reused: false,
            tag: None,
        }
    }
}

/// One client thread.
pub(super) struct Worker<'a> {
    pub(super) shared: Shared<'a>,
    sleeper: &'a Sleeper,
    line: Receiver<Due>,
    /// Taken from the line and not due yet.
    first: Option<Due>,
    /// When something due was last begun.
    began: u64,
    pub(super) epoll: Epoll,
    pub(super) parser: Parser,
    pub(super) buf: Vec<u8>,
    pub(super) conns: Vec<Conn>,
    pub(super) free: Vec<u32>,
    /// By address.
    pub(super) idle: Vec<Vec<u32>>,
    /// Requests under way, by when their try began.
    pub(super) queue: Queue,
    /// Connections that have more to read than was read at once, with their generation.
    pub(super) again: Vec<(u32, u32)>,
    pub(super) open: usize,
    pub(super) busy: usize,
    pub(super) tally: Tally,
    connections_max: usize,
    waiting_max: usize,
    waiting: VecDeque<Job>,
    ready: VecDeque<Job>,
    later: BinaryHeap<Reverse<(u64, Job)>>,
    rng: Prng,
    /// More may become due.
    taking: bool,
    nth: usize,
    made: u64,
    end: u64,
    shown: (u64, [u64; 7], Hist),
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        shared: Shared<'a>,
        nth: usize,
        sleeper: &'a Sleeper,
        line: Receiver<Due>,
    ) -> io::Result<Worker<'a>> {
        let load = shared.load;
        let share = |all: usize| (all / load.threads) + usize::from(nth < all % load.threads);
        let epoll = Epoll::new()?;
        epoll.watch(&sleeper.bell, BELL)?;
        Ok(Worker {
            shared,
            sleeper,
            line,
            first: None,
            began: 0,
            epoll,
            parser: Parser::new(load.tag.as_deref()),
            buf: vec![0; super::wire::READ_BYTES],
            conns: Vec::new(),
            free: Vec::new(),
            idle: vec![Vec::new(); shared.targets.addrs.len()],
            queue: Queue::default(),
            again: Vec::new(),
            open: 0,
            busy: 0,
            tally: Tally::new(load),
            connections_max: share(load.connections_max).max(1),
            waiting_max: share(WAITING_MAX),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            later: BinaryHeap::new(),
            rng: Prng::new(load.seed.wrapping_add(0x9e37_79b9).wrapping_mul(nth as u64 + 1)),
            taking: true,
            nth,
            made: 0,
            end: nanos(load.duration),
            shown: (0, [0; 7], Hist::new()),
        })
    }

    pub(super) fn now(&self) -> u64 {
        nanos(self.shared.start.elapsed())
    }

    /// Until nothing more is due and everything is over.
    pub(super) fn run(mut self, unsaid: &Mutex<Unsaid>) -> io::Result<Summary> {
        super::pace::least_slack();
        self.clients_begin();
        loop {
            let now = self.now();
            self.intake(now);
            self.take_later(now);
            self.take_ready();
            self.expire(now);
            self.take_ready();
            self.show(now);
            if !self.taking && self.busy == 0 && self.later.is_empty() {
                break;
            }
            self.wait(now)?;
            self.read_again();
            self.events();
        }
        self.show(u64::MAX);
        // The first thread counts what could not even be said; the pacing thread has ended, for it let go of the line.
        if self.nth == 0 {
            let unsaid = unsaid.lock().unwrap_or_else(PoisonError::into_inner);
            unsaid.iter().for_each(|(second, n)| self.tally.unpaced(*second, *n));
        }
        let (now, interrupted) = (self.now(), self.shared.stop.is_stopped());
        Ok(self.tally.finish(now, interrupted))
    }

    /// What the last wait found. Connections that end come first, so that nothing is sent on one that is known to be over.
    fn events(&mut self) {
        let found = self.epoll.found();
        for nth in 0..found {
            let (key, flags) = self.epoll.event(nth);
            if flags & END != 0 && key != BELL {
                self.event(key, flags);
            }
        }
        self.take_ready();
        for nth in 0..found {
            let (key, flags) = self.epoll.event(nth);
            if flags & END == 0 && key != BELL {
                self.event(key, flags);
                self.take_ready();
            }
            if nth % EVENTS_BETWEEN == EVENTS_BETWEEN - 1 {
                self.take_due();
            }
        }
    }

    /// The first request of each client of a closed loop.
    fn clients_begin(&mut self) {
        if let Pacing::Closed { .. } = self.shared.load.pacing {
            (0..self.connections_max).for_each(|_| self.client_next(0, false));
        }
    }

    /// A client of a closed loop makes its next request.
    fn client_next(&mut self, now: u64, refused: bool) {
        let Pacing::Closed { think } = &self.shared.load.pacing else { return };
        if !self.taking {
            return;
        }
        let pause = match think {
            Some(think) => Some(nanos(think.sample(&mut self.rng)).max(THINK_MIN)),
            None => refused.then_some(BACKOFF),
        };
        let at = now + pause.unwrap_or(0);
        if at >= self.end {
            return;
        }
        // Numbers of threads do not meet.
        let id = self.made * self.shared.load.threads as u64 + self.nth as u64 + 1;
        self.made += 1;
        let target = self.shared.targets.draw(&mut self.rng);
        let job = Job { id, due: at, target, ..Job::default() };
        match pause {
            Some(_) => self.later.push(Reverse((at, job))),
            None => self.ready.push_back(job),
        }
    }

    /// Takes what is due; at the end, what waits is skipped.
    fn intake(&mut self, now: u64) {
        if !self.taking {
            return;
        }
        let over = match self.shared.load.pacing {
            Pacing::Open { .. } => self.take_due(),
            Pacing::Closed { .. } => now >= self.end || self.shared.stop.is_stopped(),
        };
        if over {
            self.taking = false;
            self.end = self.end.min(now);
            let drop = std::mem::take(&mut self.ready);
            // Of a closed loop: not begun, so never due.
            debug_assert!(drop.iter().all(|job| job.sent.is_none()));
            self.later.retain(|Reverse((_, job))| job.sent.is_some());
            while let Some(job) = self.waiting.pop_front() {
                self.skip(job);
            }
        }
    }

    /// Starts what is due by now. Whether nothing more will be.
    fn take_due(&mut self) -> bool {
        loop {
            let due = match self.first.take() {
                Some(due) => due,
                None => match self.line.try_recv() {
                    Ok(due) => due,
                    Err(TryRecvError::Empty) => return false,
                    Err(TryRecvError::Disconnected) => return self.taking,
                },
            };
            if due.at > self.now() {
                self.first = Some(due);
                return false;
            }
            let Due { id, at, target } = due;
            self.began = self.now();
            self.begin(Job { id, due: at, target, ..Job::default() });
        }
    }

    /// Starts what was to wait until now.
    fn take_later(&mut self, now: u64) {
        while self.later.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, job))) = self.later.pop() {
                self.ready.push_back(job);
            }
        }
    }

    /// Starts what can be started.
    #[inline]
    fn take_ready(&mut self) {
        while let Some(job) = self.ready.pop_front() {
            self.begin(job);
        }
        while !self.waiting.is_empty() && self.has_room() {
            if let Some(job) = self.waiting.pop_front() {
                self.begin(job);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.open < self.connections_max || self.idle.iter().any(|idle| !idle.is_empty())
    }

    /// Gives a request to a connection, or lets it wait for one.
    fn begin(&mut self, mut job: Job) {
        let addr = self.shared.targets.all[job.target as usize].addr;
        if let Some(slot) = self.idle[addr].pop() {
            return self.send(slot, job);
        }
        if self.open < self.connections_max || self.drop_idle() {
            return self.connect(addr, job);
        }
        if self.waiting.len() < self.waiting_max {
            job.waited = true;
            self.waiting.push_back(job);
        } else {
            self.skip(job);
        }
    }

    /// Waits for events: until the bell rings, a time limit is over, or something is to start.
    fn wait(&mut self, now: u64) -> io::Result<()> {
        let mut until = now + WAIT_MAX;
        if let Some(at) = self.next_expiry() {
            until = until.min(at);
        }
        if let Some(Reverse((at, _))) = self.later.peek() {
            until = until.min(*at);
        }
        if self.taking && matches!(self.shared.load.pacing, Pacing::Closed { .. }) {
            until = until.min(self.end);
        }
        let asleep = &self.sleeper.asleep;
        asleep.store(true, Ordering::Relaxed);
        // See `Sleeper::wake`.
        fence(Ordering::SeqCst);
        if self.taking && self.first.is_none() {
            match self.line.try_recv() {
                Ok(due) => self.first = Some(due),
                // Of a closed loop nobody holds the other end; of an open one it has ended, which `intake` is to see.
                Err(TryRecvError::Disconnected)
                    if matches!(self.shared.load.pacing, Pacing::Open { .. }) =>
                {
                    until = now;
                }
                Err(_) => {}
            }
        }
        if let Some(due) = self.first {
            until = until.min(due.at.max(self.began + GRAIN));
        }
        if !self.again.is_empty() {
            until = now;
        }
        // What was done since then has taken time.
        let most = Duration::from_nanos(until.saturating_sub(self.now()));
        let waited = self.epoll.wait(most);
        asleep.store(false, Ordering::Relaxed);
        waited
    }

    /// When the next time limit is over.
    fn next_expiry(&self) -> Option<u64> {
        let began = self.conns.get(self.queue.first()? as usize)?.began;
        Some(began.saturating_add(self.limit()))
    }

    /// The load has ended, and waits no longer for what is under way.
    fn is_drained(&self, now: u64) -> bool {
        !self.taking && now >= self.end.saturating_add(nanos(self.shared.load.drain))
    }

    /// Time limit of a try.
    fn limit(&self) -> u64 {
        nanos(self.shared.load.timeout)
    }

    fn expire(&mut self, now: u64) {
        while let Some(slot) = self.queue.first() {
            let began = self.conns[slot as usize].began;
            if began.saturating_add(self.limit()) > now && !self.is_drained(now) {
                break;
            }
            self.fail(slot, Failure::Timeout, now);
        }
    }

    fn skip(&mut self, job: Job) {
        let now = self.now();
        self.over(job, Tried { outcome: Outcome::Skipped, ..Tried::failed(Failure::Local) }, now);
    }

    /// A try has ended: another one, or the request is over.
    pub(super) fn tried(&mut self, job: Job, tried: Tried, now: u64) {
        let load = self.shared.load;
        let more = job.tries < load.tries && self.later.len() < WAITING_MAX;
        if !tried.good && more && !self.is_drained(now) {
            let wait = load
                .wait
                .as_ref()
                .map_or(Duration::ZERO, |w: &Distribution| w.sample(&mut self.rng));
            self.later.push(Reverse((now.saturating_add(nanos(wait)), job)));
            return;
        }
        let refused = matches!(tried.outcome, Outcome::Failed(Failure::Connect | Failure::Local));
        self.over(job, tried, now);
        self.client_next(now, refused);
    }

    /// A request is over.
    fn over(&mut self, job: Job, tried: Tried, end: u64) {
        let Tried { outcome, good, wrong_body, body_bytes, .. } = tried;
        self.tally.add(&Over {
            target: job.target,
            due: job.due,
            sent: job.sent,
            head: tried.head.is_some(),
            end,
            body_bytes,
            outcome,
            good,
            wrong_body,
            waited: job.waited,
            tries: job.tries,
        });
        if good && self.shared.live.is_some() {
            self.shown.2.record(Duration::from_nanos(end.saturating_sub(job.due)));
        }
        let Some(on_result) = self.shared.on_result else { return };
        let record = Record {
            id: job.id,
            target: job.target as usize,
            due: Duration::from_nanos(job.due),
            sent: job.sent.map(Duration::from_nanos),
            head: tried.head.map(|(at, status)| Head { at: Duration::from_nanos(at), status }),
            end: Duration::from_nanos(end),
            body_bytes,
            outcome,
            good,
            tries: job.tries,
            tag: tried.tag,
            reused: tried.reused,
        };
        on_result(&record);
    }

    /// Tells those who look, now and then, and at the end.
    fn show(&mut self, now: u64) {
        let Some(live) = self.shared.live else { return };
        let (last, before, recent) = &mut self.shown;
        if now.saturating_sub(*last) < nanos(live::EVERY) {
            return;
        }
        let [over, ok, done, skipped, late] = self.tally.so_far();
        let counts = [over, ok, done, skipped, late, self.busy as u64, self.waiting.len() as u64];
        live.add(before, &counts, recent);
        self.shown = (now, counts, Hist::new());
    }
}

pub(super) fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
