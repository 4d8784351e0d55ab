//! What to run, what to break, what must hold, and what happened: the scenario file and everything derived from it.
//!
//! One file is read into a [`model::Scenario`]; a runner (the simulator, a drill) feeds a [`Recorder`] and gets a
//! [`outcome::Run`]; [`judge`] holds it against the expectations and `report` draws it.
//!
//! | module | idea |
//! |---|---|
//! | `model` | what a scenario says, validated |
//! | `read`, `keys` | TOML to the model, with carets; the reference page and the JSON schema |
//! | `distribution` | times that are drawn |
//! | `pace` | when calls of an open loop come |
//! | `record`, `outcome` | what happened, collected and in figures |
//! | `judge` | expectations held against figures |
//! | `lint`, `plan` | arithmetic before anything runs: what is legal but dangerous, what capacity is needed |
//! | `repeat` | the same drill several times: times to notice, to recover, between failures |
//! | `compare` | a prediction held against what was measured; service times taken from what was measured |
//! | `fuzz` | body of the fuzz target, behind the feature `fuzzing` |
//! | `report` | one HTML page, JSON, a terminal |
//!
//! Not here: running anything. Tested: beside the code and in `tests/`.

pub mod compare;
mod distribution;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod judge;
pub mod keys;
pub mod lint;
pub mod model;
pub mod outcome;
pub mod pace;
pub mod plan;
mod read;
mod record;
pub mod repeat;
pub mod report;

pub use distribution::{Distribution, LONGEST, ParseError, parse_duration, unit_exponential};
pub use judge::{judge, show_expect};
pub use read::{
    Loaded, Override, load, load_from, parse_str, reference_markdown, schema_json, written,
};
pub use record::{Indicator, LOG_MAX, Recorder, recovered_after};
