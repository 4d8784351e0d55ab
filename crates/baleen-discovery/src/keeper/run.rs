//! The task of one namer: sessions one after another, what they say into the hold, what comes out to the receiver and the disk.
//!
//! Not here: what is held (`hold.rs`), when to write (`saver.rs`). Tested: in `tests/keeper.rs`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use baleen_base::Tick;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::health::Failing;
use super::hold::{Hold, Kept, Told};
use super::pending::Pending;
use super::saver::{Came, Outcome, Saver};
use super::snapshot::{Service, Snapshot, Store};
use super::{Ask, Settings, Shared, Update};
use crate::registry::{Client, Ended, Report, Reports};

/// Names that were said to a client and wait to be taken.
const WANTED_MAX: usize = 64;
/// A client that was told of so many more names than are wanted now begins anew.
const WANTED_SLACK: usize = 1024;
/// Far enough for a timer that is not set.
const FAR: Duration = Duration::from_secs(3600);

pub(super) struct Runner {
    name: Arc<str>,
    settings: Settings,
    shared: Arc<Shared>,
    updates: mpsc::Sender<Update>,
    /// What was not sent yet, the newest set of each service.
    pending: Pending,
    hold: Hold,
    saver: Saver,
    backoff: Backoff,
    /// What this session was not asked for yet.
    to_ask: VecDeque<String>,
    /// How often this session was asked for something.
    asked: usize,
    /// When the registry was last heard, in milliseconds since 1970.
    heard_ms: u64,
}

/// What a step of the task came to.
enum Step {
    /// Go on.
    On,
    /// Nobody receives any more.
    Stop,
}

/// What there is to do.
enum Woken {
    Sent,
    Closed,
    Asked,
    Saved(Outcome),
    Due,
}

/// How a session ended.
enum End {
    Why(String),
    /// Not for anything that is wrong.
    Again,
    Stop,
}

impl Runner {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        shared: Arc<Shared>,
        updates: mpsc::Sender<Update>,
        seed: u64,
    ) -> Runner {
        Runner {
            name: Arc::from(name),
            hold: Hold::new(settings.hold),
            saver: Saver::new(None, shared.origin),
            settings,
            shared,
            updates,
            pending: Pending::default(),
            backoff: Backoff::new(seed),
            to_ask: VecDeque::new(),
            asked: 0,
            heard_ms: 0,
        }
    }

    /// Reads the snapshot.
    pub(super) fn load(&mut self, state: Option<&Path>) -> Vec<Update> {
        let Some(dir) = state else { return Vec::new() };
        let loaded = Store::open(dir, &self.name)
            .map_err(|error| format!("{}: {error}", dir.display()))
            .map(|store| (store.load(), store));
        let shared = Arc::clone(&self.shared);
        let mut known = shared.known();
        let loaded = match loaded {
            Ok((loaded, store)) => {
                known.snapshot.on = true;
                let modified = store.path().metadata().and_then(|m| m.modified());
                known.snapshot_at = modified.ok().filter(|_| matches!(loaded, Ok(Some(_))));
                self.saver = Saver::new(Some(store), shared.origin);
                loaded
            }
            Err(why) => Err(why),
        };
        let snapshot = match loaded {
            Ok(Some(snapshot)) if snapshot.source == self.settings.source => snapshot,
            Ok(Some(snapshot)) => {
                let why = format!("the snapshot is of another registry: {}", snapshot.source);
                known.snapshot.error = Some(why);
                return Vec::new();
            }
            Ok(None) => return Vec::new(),
            Err(why) => {
                known.snapshot.error = Some(why);
                return Vec::new();
            }
        };
        known.cold = true;
        self.heard_ms = snapshot.heard_ms;
        known.heard_before =
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(snapshot.heard_ms));
        drop(known);
        let told = self.seed(snapshot);
        let update =
            |(service, endpoints)| Update { namer: Arc::clone(&self.name), service, endpoints };
        let updates = told.into_iter().map(update).collect();
        self.show();
        updates
    }

    fn seed(&mut self, snapshot: Snapshot) -> Vec<Told> {
        let (now, clock) = (self.shared.tick(), clock_ms());
        let kept = |service: Service| {
            let until = |ms: u64| now + Duration::from_millis(ms.saturating_sub(clock));
            let held = service.held.into_iter().map(|(endpoint, ms)| (endpoint, until(ms)));
            Kept {
                service: service.name,
                present: service.present,
                named: service.named,
                held: held.collect(),
            }
        };
        self.hold.seed(now, snapshot.services.into_iter().map(kept).collect())
    }

    pub(super) async fn run(mut self, mut client: impl Client) {
        loop {
            let begun = Instant::now();
            let mut good = None;
            let end = self.session(&mut client, &mut good).await;
            let wait = match end {
                End::Stop => break,
                End::Again => Duration::ZERO,
                End::Why(why) => {
                    self.failed(why);
                    self.backoff.after(good.map(|at: Instant| at.max(begun).elapsed()))
                }
            };
            if let Step::Stop = self.wait(Instant::now() + wait).await {
                break;
            }
        }
        self.finish().await;
    }

    /// One session. `good`: when everything was heard.
    async fn session(&mut self, client: &mut impl Client, good: &mut Option<Instant>) -> End {
        let (reports, mut said) = Reports::channel();
        let (wanted, mut wanted_end) = mpsc::channel(WANTED_MAX);
        self.begin_session();
        let mut heard = Instant::now();
        let mut session = pin!(caught(client.session(&reports, &mut wanted_end)));
        loop {
            let stuck = heard + self.settings.stuck_after;
            tokio::select! {
                biased;
                Some(report) = said.recv() => {
                    heard = Instant::now();
                    if matches!(report, Report::All(_)) {
                        good.get_or_insert(heard);
                    }
                    self.heard(report);
                }
                ended = &mut session => {
                    // What it said before it ended still counts.
                    while let Ok(report) = said.try_recv() {
                        self.heard(report);
                    }
                    return End::Why(ended.to_string());
                }
                Ok(room) = wanted.reserve(), if !self.to_ask.is_empty() => {
                    if let Some(service) = self.to_ask.pop_front() {
                        self.asked += 1;
                        room.send(service);
                    }
                }
                () = sleep_until(stuck) => {
                    self.shared.known().stuck += 1;
                    let after = baleen_config::show_duration(self.settings.stuck_after);
                    return End::Why(format!("nothing was heard for {after}"));
                }
                step = self.step() => match step {
                    Step::On if self.asked_too_much() => return End::Again,
                    Step::On => {}
                    Step::Stop => return End::Stop,
                }
            }
        }
    }

    fn begin_session(&mut self) {
        let asked = self.shared.asked();
        self.to_ask = asked.wanted.iter().cloned().collect();
        drop(asked);
        self.asked = 0;
        let mut known = self.shared.known();
        known.sessions += 1;
        known.refused.clear();
        known.refused_more = 0;
    }

    fn asked_too_much(&self) -> bool {
        self.asked > WANTED_SLACK && self.asked > 2 * self.shared.asked().wanted.len()
    }

    /// The session ended for a reason.
    fn failed(&mut self, why: String) {
        let mut known = self.shared.known();
        known.fresh = false;
        let since = known.failing.take().map_or_else(SystemTime::now, |failing| failing.since);
        known.failing = Some(Failing { since, why });
    }

    /// Waits, and does meanwhile what else there is to do.
    async fn wait(&mut self, until: Instant) -> Step {
        loop {
            tokio::select! {
                step = self.step() => if let Step::Stop = step { return Step::Stop },
                () = sleep_until(until) => return Step::On,
            }
        }
    }

    /// Does the next thing that is no session's. Nothing is lost when the future is dropped.
    async fn step(&mut self) -> Step {
        let hold = self.hold.next_deadline().map(|at| self.shared.origin + at.since(Tick::ZERO));
        let due = hold.into_iter().chain(self.saver.next_deadline()).min();
        let due = due.unwrap_or_else(|| Instant::now() + FAR);
        let woken = tokio::select! {
            biased;
            room = self.updates.reserve(), if !self.pending.is_empty() => match room {
                Ok(room) => {
                    if let Some((service, endpoints)) = self.pending.pop() {
                        room.send(Update { namer: Arc::clone(&self.name), service, endpoints });
                    }
                    Woken::Sent
                }
                Err(_) => Woken::Closed,
            },
            () = self.updates.closed() => Woken::Closed,
            () = self.shared.notify.notified() => Woken::Asked,
            outcome = self.saver.done() => Woken::Saved(outcome),
            () = sleep_until(due) => Woken::Due,
        };
        match woken {
            Woken::Sent => {}
            Woken::Closed => return Step::Stop,
            Woken::Asked => self.was_asked(),
            Woken::Saved(outcome) => self.saved(outcome),
            Woken::Due => self.due(),
        }
        Step::On
    }

    /// It is time for something.
    fn due(&mut self) {
        let told = self.hold.poll(self.shared.tick());
        self.tell(told);
        let now = Instant::now();
        if self.saver.is_due(now) {
            self.save(now);
        }
    }

    fn heard(&mut self, report: Report) {
        let now = self.shared.tick();
        let shared = Arc::clone(&self.shared);
        let mut known = shared.known();
        let all = matches!(report, Report::All(_));
        if all {
            (known.fresh, known.failing) = (true, None);
            self.saver.touch();
        }
        // Signs of life before that say nothing of what is known.
        if known.fresh {
            known.heard = Some(now);
            self.heard_ms = clock_ms();
            self.saver.heard(Instant::now());
        }
        if let Report::Refused { key, why } = report {
            known.refuse(key, why);
            return;
        }
        drop(known);
        let report = match self.settings.on_demand {
            true => self.only_wanted(report),
            false => report,
        };
        let gone = self.gone(&report);
        let mut told = self.hold.report(now, report);
        let unsaid = |name: &String| !told.iter().any(|(of, _)| of == name);
        let gone: Vec<String> =
            gone.into_iter().filter(|name| unsaid(name) && !self.hold.is_told(name)).collect();
        told.extend(gone.into_iter().map(|name| (name, None)));
        self.tell(told);
    }

    /// What somebody wants and is not there. Who waits for it is told, though it never was there: whoever lists what there is
    /// need not be, but of what can't be listed nothing else says so.
    fn gone(&self, report: &Report) -> Vec<String> {
        match report {
            Report::Changed(changes) if self.settings.on_demand => {
                let gone = changes.iter().filter(|(_, set)| set.is_none());
                gone.map(|(name, _)| name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Of a registry that can't be listed: a service that is not mentioned is as it was.
    fn only_wanted(&self, report: Report) -> Report {
        let mut changes = match report {
            Report::All(all) => all.into_iter().map(|(name, set)| (name, Some(set))).collect(),
            Report::Changed(changes) => changes,
            other => return other,
        };
        let asked = self.shared.asked();
        changes.retain(|(name, _)| asked.wanted.contains(name));
        Report::Changed(changes)
    }

    fn was_asked(&mut self) {
        let now = self.shared.tick();
        let mut asked = self.shared.asked();
        let (waiting, release) =
            (std::mem::take(&mut asked.waiting), std::mem::take(&mut asked.release));
        drop(asked);
        for (service, ask) in waiting {
            match ask {
                Ask::Want => self.to_ask.push_back(service),
                Ask::Forget => {
                    self.to_ask.retain(|name| *name != service);
                    let told = self.hold.forget(now, &service);
                    self.tell(told);
                }
            }
        }
        for service in release {
            let told = self.hold.release(now, service.as_deref());
            self.tell(told);
        }
    }

    fn tell(&mut self, told: Vec<Told>) {
        if !told.is_empty() {
            self.saver.touch();
        }
        for told in told {
            let grows = self.hold.has_grown(&told.0);
            self.pending.put(told, grows);
        }
        self.show();
    }

    /// What the hold knows, for whoever asks.
    fn show(&mut self) {
        let mut known = self.shared.known();
        (known.services, known.endpoints) = self.hold.counts();
        for (name, held) in self.hold.take_held() {
            match held {
                Some(held) => known.held.insert(name, held),
                None => known.held.remove(&name),
            };
        }
        known.left_out = self.hold.left_out();
        known.unheld = self.hold.unheld();
    }

    fn snapshot(&self) -> Snapshot {
        let (now, clock) = (self.shared.tick(), clock_ms());
        let ms = |until: Tick| clock.saturating_add(until.since(now).as_millis() as u64);
        let service = |kept: Kept| Service {
            name: kept.service,
            present: kept.present,
            named: kept.named,
            held: kept.held.into_iter().map(|(endpoint, until)| (endpoint, ms(until))).collect(),
        };
        Snapshot {
            source: self.settings.source.clone(),
            heard_ms: self.heard_ms,
            services: self.hold.kept().into_iter().map(service).collect(),
        }
    }

    fn saved(&mut self, outcome: Outcome) {
        let mut known = self.shared.known();
        known.snapshot.others = matches!(outcome, Ok(Came::NotOurs));
        match outcome {
            Ok(Came::Written) => {
                known.snapshot.written += 1;
                known.snapshot.error = None;
                known.snapshot_at = Some(SystemTime::now());
            }
            Ok(Came::Locked | Came::NotOurs) => {}
            Err(why) => known.snapshot.error = Some(why),
        }
    }

    /// Writes what is not written yet: once more, whatever comes of it.
    async fn finish(&mut self) {
        if self.saver.is_writing() {
            let outcome = self.saver.done().await;
            self.saved(outcome);
        }
        if self.saver.next_deadline().is_some() && !self.saver.is_ours() {
            self.saver.lock();
            let outcome = self.saver.done().await;
            self.saved(outcome);
        }
        if self.saver.next_deadline().is_some() && self.saver.is_ours() {
            self.save(Instant::now());
            let outcome = self.saver.done().await;
            self.saved(outcome);
        }
    }

    /// Only who may write looks for what there is to write.
    fn save(&mut self, now: Instant) {
        if self.saver.is_ours() {
            let snapshot = self.snapshot();
            self.saver.begin(now, snapshot);
        } else {
            self.saver.lock();
        }
    }
}

/// A session that panics has ended, too: the next one begins.
async fn caught(session: impl Future<Output = Ended>) -> Ended {
    let mut session = pin!(session);
    poll_fn(|cx| {
        // It is not asked again after a panic, and its client keeps only what it needs to ask anew.
        let polled = catch_unwind(AssertUnwindSafe(|| session.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Ended("its client panicked: a bug".to_owned())))
    })
    .await
}

fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
