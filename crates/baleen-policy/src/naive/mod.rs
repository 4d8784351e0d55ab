//! How callers without Baleen choose replicas and keep connections, mistakes included.
//!
//! Why it is here: a simulation that shows what clients of their own making do to servers is only worth something if those
//! clients are honest. So they are made of the parts of this crate where those fit (drawing one of many and two of many), and what
//! production must never do is written once, next to what it does instead, with its own tests.
//!
//! Nothing of the configuration leads here, and neither `Core` nor `params` know these types: a file can choose neither ties
//! by index nor the most recently used connection.
//!
//! | file | part | what it shows |
//! |---|---|---|
//! | `chooser.rs` | which replica is next | callers that break ties by index herd (Timelike) |
//! | `idle.rs` | which idle connection is next | most recently used finds the slowest link and stays there (Facebook 2014) |
//!
//! Not here: naive retries (they need no machine: a number of tries and a wait). Tested: beside each file.

mod chooser;
mod idle;

pub use chooser::{Chooser, Kind};
pub use idle::{Conn, Idle, Order};
