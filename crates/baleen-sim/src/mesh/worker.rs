//! One worker: its engine, its connections, and what its attempts are doing.
//!
//! Connections are a slab whose slots the engine indexes by; attempts lie beside their call's slot, which the engine chose, so
//! that nothing is searched. A call has at most two attempts at a time: a hedge and the one it helps.
//!
//! Bounds: calls are bounded by the engine's `calls_max`, connections by attempts in flight and what the engine keeps idle.
//!
//! Not here: what is done when (`drive.rs`). Tested: `tests/mesh.rs`.

use baleen_base::{AttemptId, CallId, ConnId, Tick};
use baleen_policy::{EndpointSet, Engine};
use std::sync::Arc;

use crate::slab::Key;
use crate::world::{CallKey, ReplicaId, TaskKey, Wire};

/// A connection.
#[derive(Clone, Copy)]
pub(super) struct Conn {
    pub(super) generation: u32,
    pub(super) open: bool,
    /// The other side is gone; the worker does not know yet.
    pub(super) doomed: bool,
    pub(super) replica: ReplicaId,
    pub(super) wire: Wire,
    /// Which attempt is on it.
    pub(super) user: Option<AttemptId>,
}

/// What an attempt does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// There is none here.
    None,
    /// A connection is being opened, on this path, to the replica's this life; it stands then. Of an attempt of an earlier life of
    /// the process none is due.
    Connecting { path: u32, life: u32, due: Tick },
    /// A connection will be refused then.
    Refused { due: Tick },
    /// A request is out, or was lost on a connection that is dead.
    Sent(Option<TaskKey>),
    /// The answer is there.
    Answered(u16),
}

/// An attempt.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) nth: u16,
    pub(super) reused: bool,
    pub(super) stage: Stage,
    pub(super) replica: ReplicaId,
    pub(super) conn: Option<ConnId>,
}

const NOTHING: Run =
    Run { nth: 0, reused: false, stage: Stage::None, replica: ReplicaId(0), conn: None };

/// A call's slot.
#[derive(Clone, Copy)]
struct Slot {
    generation: u32,
    /// The call in it.
    key: Option<CallKey>,
    poison: bool,
    began: Tick,
    deadline: Tick,
    runs: [Run; 2],
}

/// What a process that dies leaves behind.
#[derive(Default)]
pub(super) struct Left {
    pub(super) tasks: Vec<TaskKey>,
    pub(super) calls: Vec<CallKey>,
}

/// One worker.
pub(super) struct Worker {
    pub(super) engine: Engine,
    pub(super) process: u32,
    pub(super) cells: usize,
    /// The next deadline event that counts.
    pub(super) due: Tick,
    pub(super) conns: Vec<Conn>,
    free: Vec<u32>,
    slots: Vec<Slot>,
    /// By cluster: what it was told last.
    pub(super) sets: Vec<Option<Arc<EndpointSet>>>,
    /// Attempts that have not ended.
    pub(super) running: u32,
    /// Calls that have not ended.
    pub(super) calls: u32,
    pub(super) probing: u32,
}

impl Worker {
    pub(super) fn new(engine: Engine, process: u32, cells: usize) -> Worker {
        Worker {
            engine,
            process,
            cells,
            due: Tick::NEVER,
            conns: Vec::new(),
            free: Vec::new(),
            slots: Vec::new(),
            sets: Vec::new(),
            running: 0,
            calls: 0,
            probing: 0,
        }
    }

    /// The process dies: whom that leaves.
    pub(super) fn die(&mut self, left: &mut Left) {
        left.tasks.extend(self.runs().filter_map(|(.., run)| match run.stage {
            Stage::Sent(task) => task,
            _ => None,
        }));
        left.calls.extend(self.slots.iter().filter_map(|slot| slot.key));
        self.slots.clear();
        self.sets.clear();
        (self.running, self.calls, self.probing, self.due) = (0, 0, 0, Tick::NEVER);
        // The last to be free is the first to be used.
        for slot in (0..self.conns.len() as u32).rev() {
            let conn = &mut self.conns[slot as usize];
            if conn.open {
                (conn.open, conn.user) = (false, None);
                self.free.push(slot);
            }
        }
    }

    /// A call has come.
    #[inline]
    pub(super) fn begin(&mut self, now: Tick, id: CallId, key: CallKey, said: (bool, Tick)) {
        let at = id.slot as usize;
        if at >= self.slots.len() {
            let none = Slot {
                generation: 0,
                key: None,
                poison: false,
                began: Tick::ZERO,
                deadline: Tick::NEVER,
                runs: [NOTHING; 2],
            };
            self.slots.resize(at + 1, none);
        }
        let slot = &mut self.slots[at];
        (slot.generation, slot.key) = (id.generation, Some(key));
        (slot.poison, slot.deadline) = said;
        slot.began = now;
        self.calls += 1;
    }

    /// What has to be looked at to see all calls, connections and endpoints.
    pub(super) fn slots(&self) -> usize {
        let endpoints: usize = self.sets.iter().flatten().map(|set| set.endpoints.len()).sum();
        self.slots.len() + self.conns.len() + endpoints
    }

    #[inline]
    fn slot(&self, id: CallId) -> Option<&Slot> {
        self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    #[inline]
    fn slot_mut(&mut self, id: CallId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    /// The call of an id.
    #[inline]
    pub(super) fn call(&self, id: CallId) -> Option<CallKey> {
        self.slot(id)?.key
    }

    /// Whether the call's requests kill.
    #[inline]
    pub(super) fn poison(&self, id: CallId) -> bool {
        self.slot(id).is_some_and(|s| s.poison)
    }

    /// The call is over. Which it was.
    #[inline]
    pub(super) fn forget(&mut self, id: CallId) -> Option<CallKey> {
        let key = self.slot_mut(id)?.key.take()?;
        self.calls -= 1;
        Some(key)
    }

    /// An attempt begins.
    #[inline]
    pub(super) fn add(&mut self, id: AttemptId, run: Run) {
        let Some(slot) = self.slot_mut(id.call) else { return };
        let at = usize::from(slot.runs[0].stage != Stage::None);
        debug_assert!(slot.runs[at].stage == Stage::None, "a third attempt at once");
        slot.runs[at] = run;
        self.running += 1;
    }

    /// An attempt that has not ended.
    #[inline]
    pub(super) fn run(&mut self, id: AttemptId) -> Option<&mut Run> {
        let slot = self.slot_mut(id.call)?;
        slot.runs.iter_mut().find(|run| run.nth == id.nth && run.stage != Stage::None)
    }

    /// An attempt is no longer ours.
    #[inline]
    pub(super) fn off(&mut self, id: AttemptId) -> Option<Run> {
        let run = self.run(id)?;
        let was = *run;
        run.stage = Stage::None;
        self.running -= 1;
        if let Some(conn) = was.conn {
            self.conns[conn.slot as usize].user = None;
        }
        Some(was)
    }

    /// A new connection stands.
    pub(super) fn open(&mut self, replica: ReplicaId, wire: Wire, user: AttemptId) -> ConnId {
        let new =
            Conn { generation: 1, open: true, doomed: false, replica, wire, user: Some(user) };
        let Some(slot) = self.free.pop() else {
            self.conns.push(new);
            return ConnId { slot: self.conns.len() as u32 - 1, generation: 1 };
        };
        let conn = &mut self.conns[slot as usize];
        let generation = conn.generation.wrapping_add(1);
        *conn = Conn { generation, ..new };
        ConnId { slot, generation }
    }

    /// A connection that is open.
    #[inline]
    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(id.slot as usize)?;
        (conn.open && conn.generation == id.generation).then_some(conn)
    }

    /// A connection is gone. False if it was before.
    pub(super) fn close(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        (conn.open, conn.user) = (false, None);
        self.free.push(id.slot);
        true
    }

    /// All calls that have not ended: which, since when, and until when their callers wait.
    pub(super) fn calls(&self) -> impl Iterator<Item = (CallKey, Tick, Tick)> {
        self.slots.iter().filter_map(|s| Some((s.key?, s.began, s.deadline)))
    }

    /// All attempts that have not ended, with their calls.
    pub(super) fn runs(&self) -> impl Iterator<Item = (AttemptId, Option<Key>, &Run)> {
        (0..).zip(&self.slots).flat_map(|(slot, s)| {
            let call = CallId { slot, generation: s.generation };
            let of = move |run: &Run| AttemptId { call, nth: run.nth };
            let some = s.runs.iter().filter(|run| run.stage != Stage::None);
            some.map(move |run| (of(run), s.key, run))
        })
    }
}
