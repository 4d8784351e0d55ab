//! What a driver holds: a core, its random stream, and the flight recorder around both.
//!
//! Proxy workers, simulators and test harnesses drive this and nothing else, so whatever any of them saw can be replayed.
//!
//! Not here: what a recording looks like (`flight`). Tested: by the virtual harness, which replays every run.

use baleen_base::{AttemptId, CallId, ClusterId, Cx, CxFor, Prng, Shared, Sink, Tick, WorkerId};

use crate::flight::{Recording, Tape, Taped};
use crate::view::View;
use crate::{Action, AttemptEvent, AttemptFacts, CallFacts, Core, Input};

/// How much the flight recorder keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecorderParams {
    /// Most inputs and actions kept; 0 for no recording. Memory: at most 64 bytes for each, in practice about ten, and two
    /// snapshots of the core.
    pub entries: usize,
}

impl Default for RecorderParams {
    fn default() -> Self {
        RecorderParams { entries: 65_536 }
    }
}

/// One worker's policy with its recorder.
pub struct Engine {
    core: Core,
    rng: Prng,
    tape: Tape,
}

impl Engine {
    /// The engine of one of `workers` workers. Settings, targets and endpoints come as inputs.
    #[must_use]
    pub fn new(worker: WorkerId, workers: u16, seed: u64, recorder: RecorderParams) -> Engine {
        Engine {
            core: Core::new(worker, workers),
            rng: Prng::new(seed),
            tape: Tape::new(recorder.entries),
        }
    }

    /// Take any input. `Some` for [`Input::Arrive`]. Poll next.
    pub fn input(
        &mut self,
        now: Tick,
        sink: &mut dyn Sink,
        shared: &dyn Shared,
        input: Input,
    ) -> Option<CallId> {
        if self.tape.is_on() {
            return self.record(now, sink, shared, input);
        }
        let Engine { core, rng, .. } = self;
        core.input(&mut Cx { now, rng, sink, shared }, input)
    }

    /// [`Input::Arrive`], which each call begins with, without a detour through [`Input`].
    #[inline(always)]
    pub fn arrive<S: Sink, H: Shared>(
        &mut self,
        now: Tick,
        sink: &mut S,
        shared: &H,
        facts: CallFacts,
    ) -> CallId {
        if self.tape.is_on() {
            let id = self.record(now, sink, shared, Input::Arrive(facts));
            return id.unwrap_or_default();
        }
        let Engine { core, rng, .. } = self;
        core.arrive(&mut CxFor { now, rng, sink, shared }, facts)
    }

    /// [`Input::Attempt`], likewise.
    #[inline(always)]
    pub fn attempt<S: Sink, H: Shared>(
        &mut self,
        now: Tick,
        sink: &mut S,
        shared: &H,
        id: AttemptId,
        event: AttemptEvent,
    ) {
        if self.tape.is_on() {
            self.record(now, sink, shared, Input::Attempt(id, event));
            return;
        }
        let Engine { core, rng, .. } = self;
        core.attempt(&mut CxFor { now, rng, sink, shared }, id, event);
    }

    #[inline(never)]
    fn record(
        &mut self,
        now: Tick,
        sink: &mut dyn Sink,
        shared: &dyn Shared,
        input: Input,
    ) -> Option<CallId> {
        let Engine { core, rng, tape } = self;
        tape.input(now, &input, core, rng);
        let taped = Taped::new(shared, tape);
        core.input(&mut Cx { now, rng, sink, shared: &taped }, input)
    }

    /// The next thing to do; poll until there is none.
    #[inline(always)]
    pub fn poll<S: Sink, H: Shared>(
        &mut self,
        _now: Tick,
        _sink: &mut S,
        _shared: &H,
    ) -> Option<Action> {
        if self.tape.is_on() {
            return self.poll_taped();
        }
        self.core.take_action()
    }

    #[inline(never)]
    fn poll_taped(&mut self) -> Option<Action> {
        let action = self.core.take_action()?;
        self.tape.action(&action);
        Some(action)
    }

    /// When to send [`Input::Deadline`]; a lower bound.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.core.next_deadline()
    }

    /// What can be seen now.
    #[must_use]
    pub fn view(&self, now: Tick) -> View {
        self.core.view(now)
    }

    /// What a driver writes into an attempt's request; `None` when it is over.
    #[inline]
    #[must_use]
    pub fn attempt_facts(&self, id: AttemptId) -> Option<AttemptFacts> {
        self.core.attempt_facts(id)
    }

    /// The level up to which calls to a cluster are admitted.
    #[inline]
    #[must_use]
    pub fn admission_level(&self, cluster: ClusterId) -> u16 {
        self.core.admission_level(cluster)
    }

    /// The worker this engine belongs to.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.core.worker()
    }

    /// What the recorder holds: a snapshot and everything since. Without recording: a snapshot of now.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.tape.recording(&self.core, &self.rng)
    }

    /// The core, to look at.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }
}
