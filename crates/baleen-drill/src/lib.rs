//! Synthetic upstreams, open-loop load and a fault server.
//!
//! What: [`backend`] answers HTTP/1.1 with times, errors and queues as one likes; [`load`] sends requests at a rate that does
//! not care how the other side feels, and accounts for each of them; [`fault`] carries connections that go wrong as it is told,
//! over Toxiproxy's interface. The
//! `baleen backend` and `baleen demo` commands and the end-to-end tests are made of these.
//!
//! Not here: scenarios, process control, or a proxy. Tested: beside the code and in `tests/`.

pub mod backend;
pub mod caller;
pub mod cast;
pub mod conn;
pub mod descriptors;
pub mod events;
pub mod fault;
pub mod guard;
pub mod inject;
pub mod load;
pub mod means;
pub mod net;
pub mod process;
pub mod run;
pub mod sample;
pub mod server;
pub mod stage;
pub mod workload;
