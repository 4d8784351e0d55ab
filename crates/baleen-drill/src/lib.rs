//! Synthetic upstreams and open-loop load.
//!
//! What: [`backend`] answers HTTP/1.1 with times, errors and queues as one likes; [`load`] sends requests at a rate that does
//! not care how the other side feels, and accounts for each of them; The
//! `baleen backend` and `baleen demo` commands and the end-to-end tests are made of these.
//!
//! Not here: scenarios, faults, process control, or a proxy. Tested: beside the code and in `tests/loopback.rs`.

pub mod backend;

pub mod load;
