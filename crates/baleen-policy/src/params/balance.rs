//! Settings of balancers.
//!
//! Not here: what they do (`balance`). Tested: there.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Share;

/// How an endpoint is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Balance {
    /// In turn, smoothly by weight (nginx's smooth weighted round robin).
    RoundRobin,
    /// At random, by weight.
    Random,
    /// Of two drawn at random the one with fewer attempts in flight in relation to its weight; ties at random.
    LeastLoaded,
    /// Of all the one with the fewest attempts in flight in relation to its weight; ties at random.
    LeastLoadedOfAll,
    /// Of two drawn at random the one with the lower cost `latency * (in flight + 1)`, latency being a moving average that
    /// jumps up at once and decays in `decay` (Finagle's peak EWMA).
    PeakEwma {
        /// Time constant of the decay.
        decay: Duration,
    },
    /// Two choices among a part of the endpoints.
    Aperture(Aperture),
    /// By consistent hashing of `CallFacts::sticky`.
    Maglev(Maglev),
    /// By probing.
    Prequal(Prequal),
}

/// What an aperture compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ApertureLoad {
    /// As [`Balance::LeastLoaded`].
    LeastLoaded,
    /// As [`Balance::PeakEwma`].
    PeakEwma {
        /// Time constant of the decay.
        decay: Duration,
    },
}

/// Few endpoints per process, so that connections and what is known of loads are not spread thin. Source: Finagle's
/// `ApertureLeastLoaded` and `DeterministicAperture`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Aperture {
    /// What is compared.
    pub load: ApertureLoad,
    /// Fewest endpoints in use. Scope: worker; process when it knows its peers ([`Peer`]).
    pub min: u32,
    /// The aperture narrows below this mean load per endpoint, in thousandths of an attempt in flight. Scope: worker.
    pub low_milli: u32,
    /// It widens above this.
    pub high_milli: u32,
    /// Time constant of the mean.
    pub smooth: Duration,
}

impl Default for Aperture {
    fn default() -> Self {
        Aperture {
            load: ApertureLoad::PeakEwma { decay: Duration::from_secs(10) },
            min: 12,
            low_milli: 500,
            high_milli: 2000,
            smooth: Duration::from_secs(5),
        }
    }
}

/// Consistent hashing. Source: Eisenbud et al., "Maglev", NSDI 2016, with the bound of Mirrokni, Thorup, Zadimoghaddam,
/// "Consistent Hashing with Bounded Loads", 2016.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Maglev {
    /// Most attempts in flight of one endpoint in relation to the mean, in percent; 0 for no bound.
    pub bound_percent: u32,
}

impl Default for Maglev {
    fn default() -> Self {
        Maglev { bound_percent: 125 }
    }
}

/// Probing. Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Prequal {
    /// Probes per call, in thousandths. Scope: worker.
    pub probes_milli: u32,
    /// Most answers kept; never more than 64. Scope: worker.
    pub pool: u32,
    /// Answers at or above this quantile of requests in flight are hot.
    pub quantile: Share,
    /// Answers older than this are not used.
    pub age_max: Duration,
}

impl Default for Prequal {
    fn default() -> Self {
        Prequal {
            probes_milli: 3000,
            pool: 16,
            quantile: Share::percent(84),
            age_max: Duration::from_secs(1),
        }
    }
}

/// Endpoints of the own zone first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// The zone carries all of its traffic while its usable endpoints times this, in percent, are as many as it has; below
    /// that the missing part spills over to all zones.
    pub overprovision_percent: u32,
    /// With fewer endpoints than this the zone is not preferred.
    pub endpoints_min: u32,
}

impl Default for Zone {
    fn default() -> Self {
        Zone { overprovision_percent: 140, endpoints_min: 2 }
    }
}

/// A new or restored endpoint gets its share step by step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SlowStart {
    /// Over this time, in proportion to the time gone by.
    pub window: Duration,
    /// Never less than this part of its weight.
    pub min: Share,
}

impl Default for SlowStart {
    fn default() -> Self {
        SlowStart { window: Duration::from_secs(30), min: Share::percent(10) }
    }
}

/// This process among its peers that call the same endpoints, for deterministic apertures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Counted from 0.
    pub index: u32,
    /// How many there are; above `index`.
    pub count: u32,
}
