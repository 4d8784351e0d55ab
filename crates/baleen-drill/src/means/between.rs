//! How faults that lie between two sides, or limit a replica's rate, are done.
//!
//! Not here: the others (`mod.rs`). Tested: in `tests/inject/plan.rs`.

use baleen_scenario::model::{Fault, FaultKind, Link, Scenario, ServiceId, Side};

use super::{DoorKind, How, Means, Planner, between, means, sides, stand_in};

/// The link that rules between two sides, if it does anything.
#[must_use]
pub fn link_between(scenario: &Scenario, from: Side, to: Side) -> Option<&Link> {
    let covers = |named: Side, side: Side| named == Side::Any || named == side;
    let link = scenario.links.iter().find(|l| covers(l.from, from) && covers(l.to, to))?;
    let idle = link.latency.is_zero() && link.loss_ppm == 0 && link.bandwidth.is_none();
    (!idle).then_some(link)
}

impl Planner<'_> {
    pub(super) fn between(&mut self, fault: &Fault) -> Option<Means> {
        let hit = between(self.scenario, &fault.on);
        if hit.is_empty() {
            let why = "nobody calls between these sides, so its effect could not be seen";
            return self.no(fault, why, "name two sides of which one calls the other");
        }
        if let FaultKind::Delay { add } = &fault.kind {
            self.fits(fault, add)?;
        }
        let rate = matches!(fault.kind, FaultKind::Bandwidth { .. });
        let rules = match fault.kind {
            FaultKind::Delay { .. } => false,
            _ => {
                let can = if rate { self.machine.rates() } else { self.machine.rules() };
                let can = can.map_err(ToOwned::to_owned);
                self.may_rule(fault, can)?
            }
        };
        let kind = if rules { DoorKind::Rule } else { DoorKind::Link };
        hit.iter().for_each(|h| self.need((h.from, h.to), kind));
        let most = hit.iter().map(|h| sides::count(self.scenario, h.from)).max().unwrap_or(1);
        match (&fault.kind, rules) {
            (FaultKind::Partition { .. }, true) => means(How::Rules, "packets are dropped"),
            (FaultKind::Partition { .. }, false) => stand_in(
                How::Links,
                "links hold everything back",
                "connections can still be opened, and what is said comes at its end",
            ),
            (FaultKind::Loss { .. }, true) => means(How::Rules, "so many packets are dropped"),
            (FaultKind::Loss { .. }, false) => stand_in(
                How::Links,
                "links hold so many messages back",
                "what is lost comes 200 ms later, and again 400 ms; opening a connection loses nothing",
            ),
            (FaultKind::Bandwidth { .. }, true) if most > 1 => stand_in(
                How::Rules,
                "a class of its own (tbf), each way",
                format!("the {most} callers of a side share {most} times as much"),
            ),
            (FaultKind::Bandwidth { .. }, true) => {
                means(How::Rules, "a class of its own (tbf), each way")
            }
            (FaultKind::Bandwidth { bytes_per_second }, false) => {
                self.thin(fault, *bytes_per_second)
            }
            _ => stand_in(
                How::Links,
                "links hold everything back for so long, each way",
                "opening a connection takes no longer",
            ),
        }
    }

    fn thin(&mut self, fault: &Fault, bytes_per_second: u64) -> Option<Means> {
        if bytes_per_second < 1000 {
            let why = "a link can't limit to less than a kilobyte per second";
            return self.no(fault, why, "give it more, or run it as root");
        }
        let but = "each connection has as much for itself, each way";
        stand_in(How::Links, "links pass so much", but)
    }

    pub(super) fn replica_rate(
        &mut self,
        fault: &Fault,
        hit: &[(ServiceId, u32)],
        bytes_per_second: u64,
    ) -> Option<Means> {
        let can = self.machine.rates().map_err(ToOwned::to_owned);
        if self.may_rule(fault, can)? {
            return means(How::Rules, "a class for each replica (tbf)");
        }
        self.need_all(hit, DoorKind::Link);
        self.thin(fault, bytes_per_second)
    }
}
