//! Real time: load, faults, and the drill that plays a scenario with real processes, sockets and faults.
//!
//! | module | idea |
//! |---|---|
//! | `load` | requests at a rate that does not care how the other side feels, and an account of each |
//! | `fault` | connections that go wrong as it is told, over Toxiproxy's interface |
//! | `backend` | a synthetic upstream, for trying things out and for tests |
//! | `cast`, `events` | who takes part in a drill and is reached where; what servers tell of themselves |
//! | `conn`, `caller`, `workload` | a connection; a call as a scenario describes it; who calls when |
//! | `server` | one replica of a service, as a scenario describes it |
//! | `process`, `stage` | children that leave nothing behind; addresses, files, the registry |
//! | `net`, `means`, `inject` | kernel rules in a network of its own; how each fault is done here; doing, undoing and seeing it |
//! | `run`, `guard`, `sample` | the run itself; what ends it early; whether the machine had time for it |
//! | `descriptors` | as many open files as the system lets us have |
//!
//! Not here: what a scenario means, figures, verdicts and pages (`baleen-scenario`), and a proxy, which a drill starts as a program.
//! Tested: beside the code, in `tests/`, and through the real program in `crates/baleen/tests/it`.

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
