//! A discrete-event simulator that drives the production policies in virtual time.
//!
//! [`simulate`] runs one scenario with one seed and gives its figures; a run is decided by these two to the last bit, on every
//! machine. Sweeps, searches for the tipping point and counterfactual replays are made of many such runs, one per thread.
//!
//! | module | idea |
//! |---|---|
//! | `world` | clients, servers, network, faults: a model of our own |
//! | `mesh` | proxies: the same `Engine`, `Fleet` and `Ledger` that carry traffic |
//! | `agenda`, `slab` | what happens next; who there is |
//! | `many`, `sweep`, `tips`, `why` | many runs: over seeds, over values, in search of the tipping point, without one thing each |
//! | `comeback` | whether a system came back |
//! | `par`, `stats`, `quantity` | runs side by side; intervals; numbers with units |
//!
//! Not here: scenario files, expectations, reports (`baleen-scenario`), policy (`baleen-policy`). Tested: in `tests/`, against
//! closed forms.

mod agenda;
pub mod comeback;
pub mod many;
mod mesh;
pub mod par;
pub mod quantity;
mod slab;
pub mod stats;
pub mod sweep;
pub mod tips;
pub mod why;
mod world;

use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::Run;

/// Most calls in flight at once, and most requests at servers or on the way (of callers that have gone, too); a run that comes to
/// have more is stopped, and says so.
pub const CALLS_MAX: usize = 4_000_000;

/// How to run.
pub struct Options<'a> {
    /// What all randomness comes from.
    pub seed: u64,
    /// Hold the invariants after every event. A run takes longer then; how much longer grows with what there is.
    pub check: bool,
    /// Told now and then how much of the scenario's duration has passed, from 0 to 1.
    pub progress: Option<&'a (dyn Fn(f64) + Sync)>,
    /// Changes the settings of proxies before the run, for counterfactual replays.
    pub tweak: Option<&'a (dyn Fn(&mut baleen_policy::params::Params) + Sync)>,
}

impl Options<'_> {
    /// With a seed and nothing else.
    #[must_use]
    pub const fn seeded(seed: u64) -> Options<'static> {
        Options { seed, check: false, progress: None, tweak: None }
    }
}

/// Run a scenario.
#[must_use]
pub fn simulate(scenario: &Scenario, options: &Options<'_>) -> Run {
    world::World::run(scenario, options)
}
