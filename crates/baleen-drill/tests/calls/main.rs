//! Callers and workloads of a drill over real sockets, against small servers that do as they are told.
//!
//! Nothing sleeps to be on time: servers say what they saw, and tests wait for that.

mod conn;
mod named;
mod straight;
mod support;
mod workload;
