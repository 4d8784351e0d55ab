//! Listeners, pools and the request path; drives policy in real time.
//!
//! ```text
//! listen -> exchange -> identify -> directory -> driver (Core) -> conns -> upstream
//! ```
//!
//! | module | what |
//! |---|---|
//! | `server` | the library's face: start, change, view, drain, stop |
//! | `control` | the control thread: the fleet, and the way in from outside |
//! | `worker` | a thread with its runtime, listeners, connections and core |
//! | `listen` | sockets, accepting, handing over to less loaded workers |
//! | `driver` | inputs to policy and its actions to whom they are meant for |
//! | `exchange` | a connection from a downstream, request by request |
//! | `conns` | connections to upstreams, in use and idle |
//! | `names` | where a logical name leads, kept by each worker |
//! | `head`, `edits`, `identify`, `effects`, `directory`, `forward`, `answer`, `access_log` | stages, the same for every HTTP version |
//! | `probe` | asks endpoints how loaded they are |
//! | `stale` | old answers for when nothing else is left |
//! | `inject` | faults that are asked for on the way to upstreams |
//! | `facts`, `hints`, `hash` | what requests and response heads say to policy |
//! | `failure` | errors of input and output as policy's three facts |
//! | `body` | what an observer of bodies sees |
//! | `io`, `buffers`, `clock`, `inbox` | small tools |
//! | `fuzz` | bodies of the fuzz targets, behind the feature `fuzzing` |
//!
//! Not here: any decision (`baleen-policy`), the syntax of HTTP (`baleen-http1`), configuration. Tested: beside the code, in
//! `tests/` against raw sockets, and end to end by `baleen`'s tests.

pub mod access_log;
pub mod answer;
pub mod body;
mod buffers;
mod clock;
mod conns;
mod control;
pub mod directory;
mod driver;
pub mod edits;
pub mod effects;
mod exchange;
pub mod facts;
mod failure;
pub mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod hash;
pub mod head;
pub mod hints;
pub mod identify;
mod inbox;
pub mod inject;
mod io;
mod listen;
pub mod names;
mod probe;
mod server;
mod stale;
mod worker;

pub use listen::{BACKLOG, ListenerPlan};
pub use server::{Plan, Server, StartError, Told, Views};
