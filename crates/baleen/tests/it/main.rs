//! End to end: the real `baleen` program, real servers on loopback, real faults.
//!
//! `support` starts and stops things; every other module proves one promise. Not here: unit tests (beside the code).

mod compare;
mod config_errors;
mod conformance;
mod differential;
mod drill;
mod dtab;
mod explain;
mod faults;
mod http_parse;
mod inject;
mod load;
mod names;
mod part;
mod register;
mod registry;
mod routes;
mod seeing;
mod support;
mod toxiproxy;
