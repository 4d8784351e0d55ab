//! Who is called, and what a request costs there.

use std::time::Duration;

use baleen_config::Place;

use super::CallSpec;
use crate::Distribution;

/// Replicas that are alike.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Its name; also that of the cluster which has its replicas as endpoints.
    pub name: String,
    /// How many. At least 1.
    pub replicas: u32,
    /// Requests that one works on at once; `None`: any number.
    pub concurrency: Option<u32>,
    /// Requests that wait in one; `None`: any number.
    pub queue: Option<u32>,
    /// Who of those is next.
    pub order: Order,
    /// What becomes of a request when the queue is full.
    pub on_full: OnFull,
    /// Whether it notices that a caller has gone.
    pub on_gone: Gone,
    /// Work on a request, before its own calls.
    pub time: Distribution,
    /// What it calls for each request, while the request keeps its place among those worked on.
    pub calls: Vec<Step>,
    /// All at once; otherwise one after the other.
    pub parallel: bool,
    /// In front of those calls.
    pub cache: Option<Cache>,
    /// Bytes of a request to it, and of its answer.
    pub request_bytes: u64,
    /// See there.
    pub response_bytes: u64,
    /// Replica `n` stands in rack `n` modulo this. 0: in none.
    pub racks: u32,
    /// How a drill runs each replica.
    pub program: Program,
    /// Where it is written.
    pub place: Place,
}

/// What a replica is in a drill. A simulated one goes by the times alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Program {
    /// The built-in server, with all that the service says.
    BuiltIn(Work),
    /// A real program.
    Real {
        /// Program and arguments, with `{port}`, `{address}`, `{replica}`, `{service}` and `{dir}` in them. Not empty.
        command: Vec<String>,
        /// It is ready when this path is answered with a status below 500; `None`: when it accepts connections.
        ready: Option<String>,
    },
}

/// How the built-in server spends its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// It waits.
    Sleep,
    /// It computes, so that replicas compete for the machine's processors.
    Cpu,
}

/// Who is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
}

/// What becomes of a request that finds the queue full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFull {
    /// It is answered 503 at once.
    Refuse,
    /// It is dropped and nobody is told.
    Drop,
}

/// What a server does about requests whose caller has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// It works for the dead.
    Ignore,
    /// It skips those that still wait.
    Skip,
    /// It also stops working on one.
    Stop,
}

/// A call that a service makes for each request.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// How.
    pub call: CallSpec,
    /// So many times, at once. At least 1.
    pub count: u32,
    /// Share of requests that need it, in parts per million.
    pub share_ppm: u32,
    /// Without its answer the request fails (500). Otherwise the request goes on without.
    pub required: bool,
}

/// A cache in each replica, in front of its calls: a hit needs none of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cache {
    /// Share of hits when it is warm, in parts per million.
    pub hit_ppm: u32,
    /// Answers it must have got since it was empty until it is 63 % warm (1 - 1/e). 0: it is always warm.
    pub fills: u64,
    /// Empty at the start.
    pub cold: bool,
    /// What looking costs.
    pub time: Duration,
}
