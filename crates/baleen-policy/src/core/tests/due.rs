//! The deadline that a core names is never too late, with random inputs of every kind.
//!
//! Two cores get the same inputs. One gets `Input::Deadline` only when its own `next_deadline` has come; the other one gets
//! it at every whole millisecond besides (at every 41 ms once nothing was said for 3 s). What they do is the same at every
//! moment, so whatever is due happens at a deadline that was named, and a deadline too early or too often changes nothing.
//! Timers are kept in granules of 2^20 ns (`wheel.rs`): what is due at `t` happens at a named deadline between `t` and
//! `t + 1.05 ms`. Reports to the fleet are due exactly. In which order things are done that are due in one granule is not
//! fixed: it depends on which granules were looked at before.

use alloc::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::random::{Op, Run, op};
use super::*;

struct Pair {
    sparse: Run,
    dense: Bench,
    /// What deadlines caused.
    seen: BTreeSet<&'static str>,
}

/// What a deadline caused, by name.
fn kind(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Start { .. } => "start",
        Action::Cancel { why: Cancel::Timeout(Cause::ConnectTimeout), .. } => "connect timeout",
        Action::Cancel { why: Cancel::Timeout(Cause::ResponseTimeout), .. } => "response timeout",
        Action::Cancel { why: Cancel::Timeout(Cause::IdleTimeout), .. } => "idle timeout",
        Action::Answer { refusal, .. } => match refusal.kind {
            RefusalKind::QueueTimeout => "queue timeout",
            RefusalKind::TotalTimeout => "total timeout",
            RefusalKind::DeadlineExceeded => "deadline",
            _ => return None,
        },
        Action::CloseConn { .. } => "idle connection",
        Action::CloseClient { .. } => "client",
        Action::Report(Observation { what: Observed::Window { .. }, .. }) => "report",
        _ => return None,
    })
}

/// The same, in whatever order.
#[track_caller]
fn same<T: ::core::fmt::Debug>(one: &[T], other: &[T]) {
    let sorted = |all: &[T]| {
        let mut all: Vec<_> = all.iter().map(|t| alloc::format!("{t:?}")).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(one), sorted(other));
}

impl Pair {
    fn new(more: u32) -> Pair {
        let warm = || {
            let mut run = Run::new(more);
            run.warm();
            run
        };
        let (sparse, dense) = (warm(), warm().b);
        let mut both = Pair { sparse, dense, seen: BTreeSet::new() };
        both.same_events();
        both
    }

    /// Feed both, and give what the first did.
    fn feed(&mut self, input: &Input) -> Vec<Action> {
        self.dense.now = self.sparse.b.now;
        self.dense.tell(input.clone());
        let actions = self.sparse.feed(input.clone());
        same(&actions, &self.dense.actions());
        actions
    }

    fn same_events(&mut self) -> Vec<Event> {
        let events = ::core::mem::take(&mut self.sparse.b.log.0);
        same(&events, &::core::mem::take(&mut self.dense.log.0));
        events
    }

    /// Where several calls are due at once, let both do them in one order: what they draw depends on it. All else in the two
    /// is the same up to here.
    fn agree_on_order(&mut self, at: Tick) {
        let core = &self.sparse.b.core;
        if core.calls.iter().filter(|c| c.due() <= at).count() > 1 {
            self.dense.core = core.clone();
        }
    }

    /// Let time pass.
    fn pass(&mut self, span: Duration) {
        let (began, end) = (self.sparse.b.now, self.sparse.b.now + span);
        loop {
            let named = self.sparse.b.core.next_deadline();
            let wake = named.filter(|t| *t <= end).map(|t| t.max(self.sparse.b.now));
            let until = wake.unwrap_or(end);
            let mut now = self.sparse.b.now;
            loop {
                let step = if now.since(began) < ms(3_000) { 1_000_000 } else { 41_000_000 };
                now = Tick::from_nanos((now.as_nanos() / step + 1) * step);
                if now >= until {
                    break;
                }
                // Not `tell`: the invariants of so many steps in which nothing changes would take minutes.
                let Bench { core, rng, log, ledger, .. } = &mut self.dense;
                core.input(&mut Cx { now, rng, sink: log, shared: ledger }, Input::Deadline);
                let did = (self.dense.actions(), ::core::mem::take(&mut self.dense.log.0));
                assert_eq!(did, (Vec::new(), Vec::new()), "at {now:?}, but {named:?} was named");
            }
            self.sparse.b.now = until;
            if wake.is_none() {
                return;
            }
            self.agree_on_order(until);
            let actions = self.feed(&Input::Deadline);
            self.seen.extend(actions.iter().filter_map(kind));
            for e in self.same_events() {
                if matches!(e, Event::HedgeStarted { .. }) {
                    self.seen.insert("hedge");
                }
            }
            let next = self.sparse.b.core.next_deadline();
            assert!(next.is_none_or(|t| t > until), "a driver that asks again would spin");
        }
    }

    /// One call that no server answers, and one that leaves an idle connection: random inputs seldom do.
    fn unanswered_and_answered(&mut self) {
        let about_newest = |pair: &mut Pair, event| {
            let id = *pair.sparse.attempts.last().expect("an attempt");
            pair.feed(&Input::Attempt(id, event));
        };
        self.feed(&Input::Arrive(CallFacts::new(ROUTE, TARGET)));
        for slot in 20..40 {
            about_newest(self, AttemptEvent::Connected { conn: conn_id(slot) });
            self.same_events();
            self.pass(ms(400));
        }
        self.feed(&Input::Arrive(CallFacts::new(ROUTE, TARGET)));
        about_newest(self, AttemptEvent::Connected { conn: conn_id(40) });
        about_newest(self, AttemptEvent::Head { status: 200, facts: None });
        about_newest(self, AttemptEvent::End { reusable: true });
        self.same_events();
        self.pass(ms(60_000));
    }

    fn run(&mut self, ops: &[Op]) {
        for (i, op) in (0u64..).zip(ops) {
            if let Op::Pass { ms: n } = op {
                self.pass(ms(*n));
                continue;
            }
            // Not at whole milliseconds, nor at whole granules.
            self.pass(Duration::from_nanos(i * 7_654_321 % 2_500_000));
            let input = self.sparse.input(op.clone());
            self.feed(&input);
            self.same_events();
        }
        self.pass(ms(200_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_is_due_before_the_deadline_that_is_named(
        ops in proptest::collection::vec(op(), 1..80),
        more in any::<u32>(),
    ) {
        Pair::new(more & !4 | 1).run(&ops);
    }
}

/// The same with one seed, and each kind of time does run out.
#[test]
fn all_kinds_of_times_run_out() {
    let mut runner = TestRunner::deterministic();
    let strategy = (proptest::collection::vec(op(), 60..100), any::<u32>());
    let mut seen = BTreeSet::new();
    // Without hedges, which would be the tries of the call that is not answered.
    let mut pair = Pair::new(0);
    pair.unanswered_and_answered();
    seen.extend(pair.seen);
    for _ in 0..80 {
        let (ops, more) = strategy.new_tree(&mut runner).expect("a value").current();
        let mut pair = Pair::new(more & !4 | 1);
        pair.run(&ops);
        seen.extend(pair.seen);
    }
    let all = [
        "client",
        "connect timeout",
        "deadline",
        "hedge",
        "idle connection",
        "idle timeout",
        "queue timeout",
        "report",
        "response timeout",
        "start",
        "total timeout",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
