//! Faults on a byte stream or an HTTP exchange, as machines without I/O.
//!
//! A [`Lane`] is one direction of one connection: bytes go in, and come out later, fewer, changed or never, as its [`Toxic`]s
//! say. A [`Script`] decides for each HTTP exchange what goes wrong with it, and a [`Filter`] does it. A [`Scope`] says which connections a toxic hits
//! and until when. All of them are told the time and draw from a stream of their own, so that a seed gives the same faults
//! again, in a proxy, in the fault server and in tests.
//!
//! | module | idea |
//! |---|---|
//! | `toxic` | what can go wrong with bytes; names and units of Toxiproxy where it has them |
//! | `lane` | one direction of one connection |
//! | `stage` | what one toxic does to one chunk |
//! | `script` | what goes wrong with HTTP exchanges |
//! | `filter` | HTTP/1.1 exchanges on a connection, with what goes wrong |
//! | `carrier` | one connection: two lanes and a filter between two streams |
//! | `fuzz` | body of the fuzz target, behind the feature `fuzzing` |
//! | `scope` | share of connections, start, end, lease |
//!
//! Not here: sockets, kernel rules, processes (`baleen-drill`). Bounds: [`LANE_BYTES_MAX`] held back in a lane, [`HELD_BYTES_MAX`] in a filter. Tested: beside
//! the code.

mod carrier;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod lane;
mod scope;
mod script;
mod stage;
mod toxic;

pub use carrier::{Carrier, HttpFaults, Next, Stream};
pub use filter::{Act, Filter, HELD_BYTES_MAX};
pub use lane::{LANE_BYTES_MAX, Lane, Out};
pub use scope::Scope;
pub use script::{Exchange, HttpFault, HttpRule, Script};
pub use toxic::{Direction, Times, Toxic};
