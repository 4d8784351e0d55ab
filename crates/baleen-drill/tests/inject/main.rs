//! Faults over real sockets: by the kernel's rules in a network of their own, and by links of a fault server; and that they are seen.
//!
//! A test that needs a network of its own runs itself again as a process ([`support::inside`]). Where the machine has none, it says so,
//! and fails under `BALEEN_REQUIRE_ALL`. Nothing sleeps to be on time.

mod kinds;
mod plan;
mod private;
mod support;
