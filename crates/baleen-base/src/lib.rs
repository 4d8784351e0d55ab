//! Time, randomness, identifiers, failures and events, and the one argument through which impurity reaches policy.
//!
//! What: plain data that every other crate speaks. Nothing here performs I/O, reads a clock or draws entropy: a driver
//! (the proxy in real time, a simulator or test in virtual time) fills a [`Cx`] and passes it first to every input.
//!
//! Not here: any decision (see `baleen-policy`).
//!
//! Tested: beside the code; the random stream is pinned by vectors in `prng.rs`.
#![no_std]

extern crate alloc;

mod cx;
mod event;
mod failure;
mod ids;
mod prng;
mod tick;

pub use cx::{Cx, CxFor, Level, Limit, Pool, Rate, Shared, Sink, Spend};
pub use event::{ClientClose, ConnClose, EjectReason, Event, Phase, RefusalKind, RetryDenied};
pub use failure::{Cause, Failure, Sent, Side};
pub use ids::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, EndpointId, ListenerId, RouteId, TargetId,
    WorkerId,
};
pub use prng::Prng;
pub use tick::Tick;
