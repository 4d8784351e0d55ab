//! The calls of a replica to others: one caller for each step, as in the simulator.
//!
//! Not here: when they are made (`steps.rs`), how one is made (`crate::caller`). Tested: in `tests/server/`.

use std::cell::Cell;

use baleen_scenario::model::{Scenario, ServiceId, Side};

use super::LOST;
use crate::caller::{Caller, Said};
use crate::cast::Cast;

pub(super) struct Calls {
    steps: Vec<Caller>,
    /// The next call's. Those of a replica are its own, and no workload's: the highest bit is set.
    id: Cell<u64>,
    /// It was said that this machine has nothing left.
    said: Cell<bool>,
}

impl Calls {
    pub(super) fn new(
        scenario: &Scenario,
        cast: &Cast,
        service: ServiceId,
        replica: u32,
        seed: u64,
    ) -> Calls {
        let from = Side::Service(service);
        let steps = &scenario.services[service.index()].calls;
        let steps = (1..).zip(steps).map(|(nth, step)| {
            Caller::new(scenario, &step.call, from, replica, cast, seed.wrapping_add(nth))
        });
        let replica = u64::from(replica & 0xffff);
        let id = 1 << 63 | u64::from(service.0 & 0x7fff) << 48 | replica << 32;
        Calls { steps: steps.collect(), id: Cell::new(id), said: Cell::new(false) }
    }

    /// Make one call of a step. True: it was answered well.
    pub(super) async fn call(&self, step: usize) -> bool {
        let id = self.id.get();
        self.id.set(id.wrapping_add(1));
        match self.steps.get(step) {
            Some(caller) => {
                let how = caller.call(Said { id, poison: false }).await.how;
                if caller.starved() > 0 && !self.said.replace(true) {
                    eprintln!("{LOST}for its own calls it had no descriptor, port or memory");
                }
                how.is_good()
            }
            None => false,
        }
    }
}
