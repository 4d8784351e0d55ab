//! The proxy against raw sockets on both sides: exactly what went over the wire, in the order in which the test wants it.
//!
//! No test waits by time: each step waits for bytes, for an end of a connection, or for a count to change (`eventually`).
//! Reads time out after `PATIENCE`, which only a failing test meets.

mod aborts;
mod bodies;
mod degraded;
mod facts;
mod harness;
mod hedges;
mod hops;
mod integrity;
mod limits;
mod ordinary;
mod probes;
mod retries;
mod stage;
mod upgrades;
