//! The virtual world: callers, servers, the network between them, faults, and proxies with the production policies.
//!
//! What is modelled how is told in `docs/internals/simulator-model.md`; each part has a test against theory. One thread, one
//! agenda; everything is decided by the scenario and the seed.
//!
//! | file | part |
//! |---|---|
//! | `mod.rs` | what there is, and the loop |
//! | `caller/` | clients, their arrivals, and the habits of whoever calls: time limits, naive tries, choice, connections |
//! | `server/` | replicas: queues, work, calls of their own, caches |
//! | `net.rs` | links: latency, loss, bandwidth, partitions; who can connect to whom |
//! | `limit.rs` | how long bytes take where a fault limits them |
//! | `fault/` | what breaks and is mended; deploys |
//! | `../mesh` | proxies: engines, their connections, fleets, what the registry tells them |
//!
//! Rules that keep it sound and fast: a request that arrives at a server never calls back into its caller, it only plans; a call
//! that ends in a proxy tells its caller through the agenda. So nothing is entered twice.

pub(crate) mod caller;
pub(crate) mod fault;
mod limit;
pub(crate) mod net;
pub(crate) mod server;

use std::time::Duration;

use baleen_base::{AttemptId, CallId, Prng, Tick};
use baleen_scenario::Recorder;
use baleen_scenario::model::{Scenario, ServiceId, WorkloadId};
use baleen_scenario::outcome::{CallEnd, Run};

use crate::agenda::{Agenda, EVENTS_MAX};
use crate::mesh::Mesh;
use crate::slab::{Key, Slab};
use crate::{CALLS_MAX, Options};

/// A call in [`World::calls`].
pub(crate) type CallKey = Key;
/// A request in [`World::tasks`].
pub(crate) type TaskKey = Key;

/// A replica, counted over all services: position in `World::replicas`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ReplicaId(pub(crate) u32);

/// A way of calling, counted over all workloads and all steps of services: position in `World::specs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpecId(pub(crate) u32);

/// A worker of a proxy, counted over all processes: position in `Mesh::workers`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WorkerIx(pub(crate) u32);

/// A link between two sides, as resolved from the scenario for these two: position in `Net::links`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LinkId(pub(crate) u16);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ev {
    /// The next call (or burst) of an open loop.
    Arrive(WorkloadId),
    /// A client of a closed loop has thought.
    Thought(WorkloadId, u32),
    /// A caller's patience with the `nth` try of a call is over.
    Patience(CallKey, u16),
    /// A caller tries again.
    Again(CallKey),
    /// A call that went through a proxy has ended there ([`Call::result`] says how).
    Returned(CallKey),
    /// A call arrives at its proxy.
    ToProxy(CallKey),
    /// A request arrives at its replica.
    Deliver(TaskKey),
    /// A replica's work on a request is done.
    Worked(TaskKey),
    /// An answer arrives at whom it is for.
    Reply(TaskKey),
    /// A connection of a naive caller stands, or is refused: for the `nth` try of a call.
    Connected(CallKey, u16),
    /// The `nth` try of a call that waited for a connection of its caller's pool has its turn.
    Turn(CallKey, u16),
    /// Something of the mesh; see `mesh::MeshEv`.
    Mesh(crate::mesh::MeshEv),
    /// A fault starts; a fault ends. Position in the scenario.
    FaultStart(u16),
    FaultEnd(u16),
    /// A replica starts anew, if it is still in this life.
    Restart(ReplicaId, u32),
    /// A deploy's next step: which deploy, which step.
    Deploy(u16, u32),
    /// The registry takes a replica out, if it is still down in this life.
    Expire(ReplicaId, u32),
}

/// Who sent a request to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    /// A naive caller: the `nth` try of a call.
    Direct(CallKey, u16),
    /// An attempt of a proxy's worker.
    Attempt(WorkerIx, AttemptId),
}

/// What a request or a connection travels on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wire {
    pub(crate) link: LinkId,
    /// Which of the link's paths.
    pub(crate) path: u32,
    /// When the connection was opened; `Tick::NEVER` for one that is made for this request and was not modelled.
    pub(crate) opened: Tick,
}

/// What a request says besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    /// It kills who works on it.
    pub(crate) poison: bool,
}

/// Who makes a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A client of a workload.
    Client(WorkloadId, u32),
    /// A request at a server: for its step of this position.
    Task(TaskKey, u16),
}

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flight {
    /// Nowhere: before its first try, or between two.
    Waiting,
    /// A naive caller waits until one of its connections is free; true when it is its turn.
    Pooled(bool),
    /// A naive caller connects to this replica.
    Connecting(ReplicaId, Wire),
    /// At a server, on this connection of its caller's pool if it has one.
    Direct(TaskKey, ReplicaId, Option<u32>),
    /// On the way to a proxy.
    ToProxy,
    /// In a proxy's worker, under this id.
    Proxy(WorkerIx, CallId),
    /// On the way back from a proxy.
    Returning,
}

/// One call of a caller, with all its naive tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) owner: Owner,
    pub(crate) spec: SpecId,
    /// Which instance of its side makes it: the client's number, or the replica's within its service. Each has its own counts,
    /// connections and proxy.
    pub(crate) instance: u32,
    pub(crate) start: Tick,
    /// Which try it is at, counted from 1; and when that began.
    pub(crate) nth: u16,
    pub(crate) began: Tick,
    /// Requests sent to servers for it, by its caller or by proxies.
    pub(crate) attempts: u32,
    pub(crate) flight: Flight,
    pub(crate) idempotent: bool,
    pub(crate) poison: bool,
    /// How the try that was in a proxy ended; read by `Ev::Returned`.
    pub(crate) result: CallEnd,
    /// When `Ev::ToProxy` or `Ev::Returned` is to happen; one of a try that was given up comes at another time and is ignored.
    pub(crate) due: Tick,
    /// The replica of the last try, if the caller chose one.
    pub(crate) tried: Option<u32>,
    /// The owner's other calls under way: a list that begins at [`Task::calls`].
    pub(crate) before: Option<CallKey>,
    pub(crate) after: Option<CallKey>,
}

/// One request to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) sender: Sender,
    pub(crate) replica: ReplicaId,
    pub(crate) wire: Wire,
    pub(crate) said: Said,
    /// At the replica.
    pub(crate) arrived: Tick,
    pub(crate) state: TaskState,
    /// Its sender listens no more.
    pub(crate) gone: bool,
    /// The answer's status; 0: the connection was reset.
    pub(crate) status: u16,
    /// Of its own calls: the next step, and those that have not come back.
    pub(crate) step: u16,
    pub(crate) open: u32,
    /// A required call failed.
    pub(crate) failed: bool,
    /// The first of its own calls under way.
    pub(crate) calls: Option<CallKey>,
    /// Until when it is worked on.
    pub(crate) until: Tick,
    /// The replica knows that the sender has gone.
    pub(crate) told: bool,
    /// Until when it passes the limit of the replica that it has come to; `NEVER`: it has not come to one.
    pub(crate) passes: Tick,
    /// Until when its answer passes the limit of the replica that it leaves.
    pub(crate) left: Tick,
}

/// Where a request is. Freed when its sender has the answer or is gone, and no server has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TaskState {
    /// On its way there.
    Travelling,
    /// Lost on its way, there or back: its sender will find out by itself.
    Lost,
    /// Waits in a replica's queue.
    Queued,
    /// Is worked on until `Ev::Worked`.
    Working,
    /// Waits for calls of its own.
    Calling,
    /// Its answer is on its way.
    Answered,
}

/// Everything there is.
pub(crate) struct World<'s> {
    pub(crate) model: &'s Scenario,
    pub(crate) options: &'s Options<'s>,
    pub(crate) now: Tick,
    pub(crate) agenda: Agenda<Ev>,
    pub(crate) record: Recorder,
    pub(crate) calls: Slab<Call>,
    pub(crate) tasks: Slab<Task>,
    pub(crate) callers: caller::Callers<'s>,
    pub(crate) servers: server::Servers,
    pub(crate) net: net::Net,
    pub(crate) faults: fault::Faults,
    pub(crate) mesh: Mesh,
    /// Random streams of their own, so that a change of one part leaves the others as they were.
    pub(crate) rng_serve: Prng,
    pub(crate) rng_net: Prng,
    pub(crate) rng_call: Prng,
    /// Events handled, and their hash.
    pub(crate) events: u64,
    pub(crate) hash: u64,
    /// No more calls come.
    pub(crate) draining: bool,
    /// The run is over, and everything is held in full.
    pub(crate) over: bool,
    /// From this event on everything is held in full again.
    full_at: u64,
    /// The run can't go on.
    pub(crate) stopped: Option<String>,
}

/// Everything is counted anew after at least so many events; between, only what has just changed is looked at.
const FULL_EVERY: u64 = 32;

/// A stream of its own for each use, from one seed.
pub(crate) fn stream(seed: u64, which: u64) -> Prng {
    let mut mix = Prng::new(seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Prng::new(mix.bits())
}

impl<'s> World<'s> {
    /// Run a scenario to its end.
    pub(crate) fn run(model: &'s Scenario, options: &'s Options<'s>) -> Run {
        let mut world = World::new(model, options);
        world.begin();
        world.go();
        world.end()
    }

    fn new(model: &'s Scenario, options: &'s Options<'s>) -> World<'s> {
        let seed = options.seed;
        World {
            model,
            options,
            now: Tick::ZERO,
            agenda: Agenda::new(),
            record: Recorder::new(model),
            calls: Slab::new(),
            tasks: Slab::new(),
            callers: caller::Callers::new(model, seed),
            servers: server::Servers::new(model),
            net: net::Net::new(model),
            faults: fault::Faults::new(model),
            mesh: Mesh::new(model, options),
            rng_serve: stream(seed, 1),
            rng_net: stream(seed, 2),
            rng_call: stream(seed, 3),
            events: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            draining: false,
            over: false,
            full_at: 0,
            stopped: None,
        }
    }

    fn begin(&mut self) {
        self.mesh_begin();
        self.faults_begin();
        self.callers_begin();
    }

    /// Until the last call has ended, or nobody waits for it any more.
    fn go(&mut self) {
        let last = Tick::ZERO + self.model.duration;
        let grace = last + self.model.drain;
        let mut next_look = Tick::ZERO;
        while let Some((now, event)) = self.agenda.next() {
            if now >= last {
                self.draining = true;
                if now > grace || self.calls.len() == 0 {
                    break;
                }
            }
            self.now = now;
            self.events += 1;
            self.handle(event);
            if self.options.check {
                self.hold();
            }
            if now >= next_look {
                next_look = self.look(last);
            }
            let full = self.calls.len() > CALLS_MAX || self.tasks.len() > CALLS_MAX;
            if full || self.events >= EVENTS_MAX {
                self.stop_full();
            }
            if self.stopped.is_some() {
                break;
            }
        }
    }

    /// Now and then: tell how far it is.
    fn look(&mut self, last: Tick) -> Tick {
        if let Some(progress) = self.options.progress {
            let done = self.now.as_nanos() as f64 / last.as_nanos().max(1) as f64;
            progress(done.min(1.0));
        }
        self.now + Duration::from_nanos(last.as_nanos() / 200 + 1)
    }

    #[cold]
    fn stop_full(&mut self) {
        let at = self.now.as_nanos() as f64 / 1e9;
        let (most, what) = if self.calls.len() > CALLS_MAX {
            (CALLS_MAX as u64, "calls in flight")
        } else if self.tasks.len() > CALLS_MAX {
            (CALLS_MAX as u64, "requests at servers, most of them for nobody")
        } else {
            (EVENTS_MAX, "events")
        };
        self.stopped = Some(format!("more than {most} {what}, at {at:.1} s"));
    }

    #[inline]
    fn handle(&mut self, event: Ev) {
        self.mark(event);
        match event {
            Ev::Arrive(w) => self.arrive(w),
            Ev::Thought(w, client) => self.thought(w, client),
            Ev::Patience(call, nth) => self.patience_over(call, nth),
            Ev::Again(call) => self.try_call(call),
            Ev::Returned(call) => self.returned(call),
            Ev::ToProxy(call) => self.proxy_arrive(call),
            Ev::Deliver(task) => self.deliver(task),
            Ev::Worked(task) => self.worked(task),
            Ev::Reply(task) => self.reply(task),
            Ev::Connected(call, nth) => self.direct_connected(call, nth),
            Ev::Turn(call, nth) => self.direct_turn(call, nth),
            Ev::Mesh(event) => self.mesh_event(event),
            Ev::FaultStart(nth) => self.fault_start(nth),
            Ev::FaultEnd(nth) => self.fault_end(nth),
            Ev::Restart(replica, life) => self.restart(replica, life),
            Ev::Deploy(nth, step) => self.deploy_step(nth, step),
            Ev::Expire(replica, life) => self.expire(replica, life),
        }
    }

    /// Take an event into the hash of the event log.
    #[inline]
    fn mark(&mut self, event: Ev) {
        let (kind, what) = match event {
            Ev::Arrive(w) => (1, u64::from(w.0)),
            Ev::Thought(w, client) => (2, u64::from(w.0) << 32 | u64::from(client)),
            Ev::Patience(call, nth) => (3, call.bits() ^ u64::from(nth) << 48),
            Ev::Again(call) => (4, call.bits()),
            Ev::Returned(call) => (5, call.bits()),
            Ev::ToProxy(call) => (6, call.bits()),
            Ev::Deliver(task) => (7, task.bits()),
            Ev::Worked(task) => (8, task.bits()),
            Ev::Reply(task) => (9, task.bits()),
            Ev::Connected(call, nth) => (10, call.bits() ^ u64::from(nth) << 48),
            Ev::Mesh(event) => (11, event.bits()),
            Ev::FaultStart(nth) => (12, u64::from(nth)),
            Ev::FaultEnd(nth) => (13, u64::from(nth)),
            Ev::Restart(replica, life) => (14, u64::from(replica.0) << 32 | u64::from(life)),
            Ev::Deploy(nth, step) => (15, u64::from(nth) << 32 | u64::from(step)),
            Ev::Expire(replica, life) => (16, u64::from(replica.0) << 32 | u64::from(life)),
            Ev::Turn(call, nth) => (17, call.bits() ^ u64::from(nth) << 48),
        };
        self.stir(self.now.as_nanos() ^ (kind << 59));
        self.stir(what);
    }

    /// Stir a number into the hash.
    #[inline]
    pub(crate) fn stir(&mut self, x: u64) {
        self.hash = (self.hash.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// What must hold after every event; a violation ends in the figures, and fails the run.
    fn hold(&mut self) {
        let full = self.over || self.events >= self.full_at;
        if full {
            // Looking at everything costs about as much as the events between.
            let things = self.calls.slots() + self.tasks.slots() + self.servers.replicas.len();
            let things = things + self.callers.slots() + self.mesh.slots();
            self.full_at = self.events + FULL_EVERY + things as u64;
        }
        self.hold_callers(full);
        self.hold_servers(full);
        self.hold_mesh(full);
    }

    fn end(mut self) -> Run {
        self.over = true;
        self.hold();
        let end = self.now;
        self.count_unended();
        let World { record, model, options, events, hash, stopped, .. } = self;
        Run { stopped, ..record.finish(model, options.seed, end, events, hash) }
    }

    /// The position of a replica within its service.
    pub(crate) fn replica_of(&self, replica: ReplicaId) -> (ServiceId, u32) {
        self.servers.replicas[replica.0 as usize].who
    }
}
