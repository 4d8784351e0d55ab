//! The fault server over real sockets: its interface, and what happens to connections.
//!
//! Nothing sleeps to be on time: what should come is read until it comes, what should not come is shown by what comes after it.

mod api;
mod faults;
mod http;
mod links;
mod support;
