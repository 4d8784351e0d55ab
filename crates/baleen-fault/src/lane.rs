//! One direction of one connection: what goes in comes out as its toxics say.
//!
//! The driver tells what it read ([`Lane::push`], [`Lane::end`]), asks what to write ([`Lane::poll`]) and keeps one timer
//! ([`Out::Wait`]). Toxics may change at any time: what was held back then leaves at once, as in Toxiproxy, and what comes later
//! meets the new ones.
//!
//! Bounds: while more than [`LANE_BYTES_MAX`] are held back ([`Lane::is_full`]) the driver reads no more; the sender waits, as
//! with any slow network.
//!
//! Not here: which toxics hit which connection (`scope.rs`), sockets. Tested: below.

use std::collections::VecDeque;

use baleen_base::{Prng, Tick};

use crate::Toxic;
use crate::stage::{Due, Item, Stage};

/// Bytes held back from which on the driver reads no more.
pub const LANE_BYTES_MAX: usize = 1 << 20;
/// Pieces held back from which on the driver reads no more, too: small slices cost more than their bytes.
const LANE_PIECES_MAX: usize = 4096;

/// What to do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Out {
    /// Write these.
    Bytes(Vec<u8>),
    /// Say that nothing more comes. The lane is done.
    End,
    /// Reset the connection. The lane is done.
    Reset,
    /// Nothing before this tick.
    Wait(Tick),
    /// Nothing until more is told.
    Idle,
}

/// One direction of one connection.
#[derive(Debug)]
pub struct Lane {
    born: Tick,
    rng: Prng,
    stages: Vec<Stage>,
    out: VecDeque<Due>,
    held: usize,
    /// Bytes that came in.
    carried: u64,
    ended: bool,
    /// The end has left the last stage.
    end_left: bool,
    done: bool,
}

impl Lane {
    /// A connection that begins now, with a random stream of its own.
    #[must_use]
    pub fn new(now: Tick, seed: u64) -> Lane {
        Lane {
            born: now,
            rng: Prng::new(seed),
            stages: Vec::new(),
            out: VecDeque::new(),
            held: 0,
            carried: 0,
            ended: false,
            end_left: false,
            done: false,
        }
    }

    /// These toxics, in this order, from now on. One that is the same as before in its place keeps what it knows.
    pub fn set(&mut self, now: Tick, toxics: &[Toxic]) {
        let same = |stage: &Stage, toxic: &Toxic| stage.toxic == *toxic;
        let unchanged = self.stages.len() == toxics.len()
            && self.stages.iter().zip(toxics).all(|(s, t)| same(s, t));
        if unchanged {
            return;
        }
        for (due, _) in &mut self.out {
            *due = now;
        }
        let closing = |stages: &[Stage]| stages.iter().filter(|s| s.closes_when_gone()).count();
        let before = closing(&self.stages);
        let mut old = std::mem::take(&mut self.stages);
        for toxic in toxics {
            let kept = old.iter().position(|s| same(s, toxic));
            let stage = match kept {
                Some(at) => old.swap_remove(at),
                None => Stage::new(toxic.clone(), now, self.carried),
            };
            self.stages.push(stage);
        }
        // One that was changed is not gone.
        if closing(&self.stages) < before {
            self.out.push_back((now, Item::End));
            (self.ended, self.end_left) = (true, true);
        } else if self.ended && !self.end_left {
            // An end that a toxic swallowed is passed on when it is gone.
            self.through(now, Item::End);
        }
    }

    /// The sender wrote these.
    pub fn push(&mut self, now: Tick, bytes: &[u8]) {
        if !bytes.is_empty() && !self.ended {
            self.carried += bytes.len() as u64;
            self.through(now, Item::Bytes(bytes.to_vec()));
        }
    }

    /// The sender ended.
    pub fn end(&mut self, now: Tick) {
        if !self.ended {
            self.ended = true;
            self.through(now, Item::End);
        }
    }

    /// So many bytes went past it, while it was [clear](Lane::is_clear).
    pub fn pass(&mut self, bytes: usize) {
        self.carried += bytes as u64;
    }

    /// Whether bytes may as well go past it: no toxics, and nothing held back.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.stages.is_empty() && self.out.is_empty() && !self.ended
    }

    /// Whether the driver should read no more for now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held >= LANE_BYTES_MAX || self.out.len() >= LANE_PIECES_MAX
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn through(&mut self, now: Tick, item: Item) {
        let mut items = VecDeque::from([(now, item)]);
        for stage in &mut self.stages {
            let mut next = VecDeque::new();
            for (at, item) in items.drain(..) {
                stage.take(at, item, self.born, &mut self.rng, &mut next);
            }
            items = next;
        }
        for (at, item) in items {
            match &item {
                Item::Bytes(bytes) => self.held += bytes.len(),
                Item::End | Item::Reset => self.end_left = true,
            }
            self.out.push_back((at, item));
        }
    }

    /// What to do now. Ask until it is `Wait` or `Idle`.
    pub fn poll(&mut self, now: Tick) -> Out {
        if self.done {
            return Out::Idle;
        }
        let closes = self.stages.iter().filter_map(Stage::closes_at).min();
        if closes.is_some_and(|at| at <= now) {
            self.done = true;
            return Out::End;
        }
        match self.out.front() {
            Some((at, _)) if *at <= now => {}
            Some((at, _)) => return Out::Wait(closes.map_or(*at, |c| c.min(*at))),
            None => return closes.map_or(Out::Idle, Out::Wait),
        }
        match self.out.pop_front() {
            Some((_, Item::Bytes(bytes))) => {
                self.held -= bytes.len();
                Out::Bytes(bytes)
            }
            Some((_, Item::End)) => {
                self.done = true;
                Out::End
            }
            Some((_, Item::Reset)) => {
                self.done = true;
                Out::Reset
            }
            None => Out::Idle,
        }
    }
}

#[cfg(test)]
mod tests;
