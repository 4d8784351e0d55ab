//! Running a recording again.
//!
//! Not here: what one would look for in it. Tested: `tests.rs`, and by every scenario of the virtual harness.

use alloc::format;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::time::Duration;

use baleen_base::{
    ClusterId, Cx, Event, Level, Limit, Pool, Prng, Rate, RouteId, Shared, Sink, Spend, Tick,
    WorkerId,
};

use super::Recording;
use super::code::{Answer, Entry, Reader};
use crate::{Action, Core, Input};

/// A recording that replayed to the same decisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Replayed {
    /// Inputs fed.
    pub inputs: u64,
    /// Actions that came out, each as recorded.
    pub decisions: u64,
}

/// Where a replay differed from its recording, or the recording made no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Which entry: inputs and actions counted from 0.
    pub index: u64,
    /// What was recorded.
    pub expected: String,
    /// What happened.
    pub got: String,
}

impl core::fmt::Display for Divergence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at entry {}: recorded {}, but got {}", self.index, self.expected, self.got)
    }
}

impl core::error::Error for Divergence {}

/// What happens in a replay, in order.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// An input is fed.
    Input(Tick, &'a Input),
    /// The core did this.
    Event(Tick, Event),
    /// The core told this.
    Action(Tick, &'a Action),
}

/// Run a recording again. Errors: the first difference.
pub fn replay(recording: &Recording) -> Result<Replayed, Divergence> {
    replay_with(recording, &mut |_| {})
}

/// The same, with a look at every step.
pub fn replay_with(
    recording: &Recording,
    look: &mut dyn FnMut(Step<'_>),
) -> Result<Replayed, Divergence> {
    let decoded = postcard::from_bytes::<(Core, Prng)>(&recording.snapshot);
    let (mut core, mut rng) =
        decoded.map_err(|e| differs(0, "a snapshot".to_string(), format!("bytes: {e}")))?;
    core.check().map_err(|e| differs(0, "a sound snapshot".to_string(), e.to_string()))?;
    let answers = Answers {
        reader: Cell::new(Reader::new(&recording.entries, recording.base)),
        broken: Cell::new(None),
    };
    let (mut done, mut index, mut now) = (Replayed::default(), 0, recording.base);
    let look = RefCell::new(look);
    loop {
        let mut reader = answers.reader.get();
        if reader.is_at_end() {
            return Ok(done);
        }
        let entry = reader.next();
        answers.reader.set(reader);
        match entry {
            Some(Entry::Input(at, input)) => {
                now = at;
                (look.borrow_mut())(Step::Input(at, &input));
                let mut sink = Looking(&look);
                let mut cx = Cx { now, rng: &mut rng, sink: &mut sink, shared: &answers };
                core.input(&mut cx, input);
                done.inputs += 1;
            }
            Some(Entry::Action(expected)) => {
                let mut sink = Looking(&look);
                let mut cx = Cx { now, rng: &mut rng, sink: &mut sink, shared: &answers };
                let got = core.poll(&mut cx);
                if got != Some(expected) {
                    return Err(differs(index, format!("{expected:?}"), format!("{got:?}")));
                }
                (look.borrow_mut())(Step::Action(now, &expected));
                done.decisions += 1;
            }
            Some(Entry::Answer(a)) => {
                let expected = format!("a question answered by {a:?}");
                return Err(differs(index, expected, "none".to_string()));
            }
            None => {
                return Err(differs(
                    index,
                    "an entry".to_string(),
                    "bytes without sense".to_string(),
                ));
            }
        }
        if let Some(asked) = answers.broken.get() {
            let expected = "another entry".to_string();
            return Err(differs(index, expected, format!("a question of {asked}")));
        }
        index += 1;
    }
}

fn differs(index: u64, expected: String, got: String) -> Divergence {
    Divergence { index, expected, got }
}

struct Looking<'a, 'b>(&'a RefCell<&'b mut dyn FnMut(Step<'_>)>);

impl Sink for Looking<'_, '_> {
    fn emit(&mut self, at: Tick, event: Event) {
        (self.0.borrow_mut())(Step::Event(at, event));
    }
}

/// Answers as they were recorded.
struct Answers<'a> {
    reader: Cell<Reader<'a>>,
    /// The first question that was not recorded.
    broken: Cell<Option<&'static str>>,
}

impl Answers<'_> {
    fn next(&self, asked: &'static str) -> Option<Answer> {
        let mut reader = self.reader.get();
        match reader.next() {
            Some(Entry::Answer(a)) => {
                self.reader.set(reader);
                Some(a)
            }
            _ => {
                self.broken.set(self.broken.get().or(Some(asked)));
                None
            }
        }
    }

    fn yes_or_no(&self, asked: &'static str) -> bool {
        match self.next(asked) {
            Some(Answer::Bool(b)) => b,
            _ => {
                self.broken.set(self.broken.get().or(Some(asked)));
                false
            }
        }
    }
}

impl Shared for Answers<'_> {
    fn acquire(&self, _: Limit, _: u32) -> bool {
        self.yes_or_no("a slot")
    }

    fn release(&self, _: Limit) -> Option<WorkerId> {
        match self.next("who waits") {
            Some(Answer::Worker(w)) => w,
            _ => {
                self.broken.set(self.broken.get().or(Some("who waits")));
                None
            }
        }
    }

    fn waiting(&self, _: Limit, _: WorkerId, _: bool) {}

    fn deposit(&self, _: RouteId, _: Tick, _: &Pool, _: u32) {}

    fn withdraw(&self, _: RouteId, _: Tick, _: &Pool, _: Spend) -> bool {
        self.yes_or_no("a retry")
    }

    fn rate(&self, _: u64, _: Tick, _: &Rate) -> Duration {
        match self.next("a token") {
            Some(Answer::Wait(wait)) => wait,
            _ => {
                self.broken.set(self.broken.get().or(Some("a token")));
                Duration::ZERO
            }
        }
    }

    fn level(&self, _: ClusterId) -> Level {
        match self.next("a limit") {
            Some(Answer::Level(level)) => level,
            _ => {
                self.broken.set(self.broken.get().or(Some("a limit")));
                Level::default()
            }
        }
    }

    fn adapt(&self, _: ClusterId, _: u32, _: u32) {}
}
