//! Everything that decides: routes, clusters and the fleet, composed in a core without I/O.
//!
//! Inputs go in as values ([`Input`]), actions come out ([`Action`]), in the manner of quinn-proto. A driver owns sockets,
//! clocks and threads; it wraps the [`Core`] in an [`Engine`], which records what went in and what came out, so that a
//! recording replays to identical decisions.
//!
//! # Driving it
//!
//! After each input, poll until there is nothing: actions are in order and name what was true when they were made. Keep one
//! timer, at [`Engine::next_deadline`], and send [`Input::Deadline`] when it fires; being early, late or twice does no harm.
//! Pass [`Action::Report`] to the [`Fleet`], its verdicts to the workers, and [`Action::Wake`] to the worker it names, each
//! exactly once and in order. Ids that have ended are ignored, so events may cross actions on their way.
//!
//! # Modules
//!
//! | module | idea |
//! |---|---|
//! | `core` | calls, attempts and timers of one worker; in which order policies apply |
//! | `params` | every setting, validated |
//! | `route` | where a name leads, tries, backoff |
//! | `cluster`, `balance`, `health` | endpoints, which of them is used |
//! | `limit`, `guard`, `quantile` | what an upstream can take: limits, queue discipline, admission, hedges |
//! | `poison` | requests under which servers die |
//! | `pool`, `queue`, `clients` | idle connections, waiting calls, guards of downstreams |
//! | `fleet` | what all workers together know of an endpoint's health |
//! | `ledger` | what must be exact across workers: slots, retry pools, rates, moving limits |
//! | `engine`, `flight` | recording and replay |
//! | `naive` | parts of callers that have none of this, for the simulator |
//!
//! Not here: sockets, clocks, configuration files. Tested: beside the code, and by the virtual harness in `tests/`.
#![no_std]

extern crate alloc;

mod action;
mod balance;
mod clients;
mod cluster;
mod core;
mod engine;
mod fleet;
mod flight;
mod guard;
mod health;
mod input;
mod ledger;
mod limit;
pub mod naive;
pub mod params;
mod poison;
mod pool;
mod quantile;
mod queue;
mod route;
mod span;
mod target;
mod view;
mod wheel;

pub use self::core::Core;
pub use action::{
    Action, AttemptFacts, Cancel, EjectedView, FleetAction, Observation, Observed, Refusal, To,
};
pub use engine::{Engine, RecorderParams};
pub use fleet::Fleet;
pub use flight::{Divergence, NoRecording, Recording, Replayed, Step, replay, replay_with};
pub use input::{
    At, AttemptEvent, CallFacts, ClientEvent, Endpoint, EndpointSet, FleetVerdict, HeadFacts,
    Input, ProbedLoad, Target, Verdict,
};
pub use ledger::{Ledger, WORKERS_MAX};
pub use route::TARGETS_MAX;
pub use view::{
    ClientsView, ClusterView, EndpointState, EndpointView, FleetClusterView, FleetView, View,
    WindowView,
};
