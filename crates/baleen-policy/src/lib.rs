//! Everything that decides: routes, clusters and the fleet, composed in a core without I/O.
//!
//! Inputs go in as values ([`Input`]), actions come out ([`Action`]), in the manner of quinn-proto. A driver owns sockets,
//! clocks and threads; it wraps the [`Core`] in an [`Engine`], which records what went in and what came out, so that a
//! recording replays to identical decisions.
//!
//! Not here: sockets, clocks, configuration files. Tested: beside the code, and by the virtual harness in `tests/`.
#![no_std]

extern crate alloc;

mod action;
mod input;
pub mod params;

pub use action::{Action, Cancel, EjectedView, FleetAction, Observation, Observed, Refusal, To};
pub use input::{
    At, AttemptEvent, CallFacts, ClientEvent, Endpoint, EndpointSet, FleetVerdict, Input, Target,
    Verdict,
};
