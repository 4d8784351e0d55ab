//! Endpoints of the own zone first, with spill-over.
//!
//! Why: traffic that stays in its zone is faster and often cheaper. Trip: the own zone has at least `endpoints_min` usable
//! endpoints, and the cluster is not in panic. While its usable endpoints times `overprovision` are as many as it has members,
//! all traffic stays; below that the missing part goes to all zones, the own one among them (Envoy's overprovisioning of
//! localities). Recovery: at once when endpoints come back. Cold start: as the first set says. Scope: worker. When the endpoint
//! chosen nearby is held back because it failed just now (`p2c.rs`), the choice is made once more among all: a zone of which
//! every endpoint fails loses its traffic before the fleet has ejected any.
//!
//! Bounds: the preference does not look at how much traffic a zone has: a small zone with many callers can be overloaded by
//! it; limits and ejections then spill over, no sooner.
//!
//! Not here: which endpoints are usable (`cluster.rs`). Tested: `tests.rs` here.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Tables;
use crate::params::Zone;

/// All of the traffic.
pub(crate) const ALL_PPM: u32 = 1_000_000;

/// The usable endpoints of the own zone, and how much of the traffic is for them alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Near {
    pub(crate) zone: u32,
    /// Slots of the zone's usable members, by id. Empty when nothing is preferred.
    pub(crate) slots: Vec<u32>,
    pub(crate) share_ppm: u32,
    pub(crate) tables: Tables,
}

/// The part of the traffic that is for a zone's own endpoints alone, in parts per million.
pub(crate) fn share_ppm(zone: &Zone, usable: usize, members: usize) -> u32 {
    if usable == 0 || usable < zone.endpoints_min as usize {
        return 0;
    }
    let carried = usable as u64 * u64::from(zone.overprovision_percent) * u64::from(ALL_PPM / 100);
    (carried / members.max(1) as u64).min(u64::from(ALL_PPM)) as u32
}
