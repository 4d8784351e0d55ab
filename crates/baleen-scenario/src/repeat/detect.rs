//! When Baleen noticed a fault: the first thing it did about what the fault hits.
//!
//! Of the log's lines those count that tell of something done: a replica out, calls of one kind held back, all replicas used because too few
//! are left, calls turned away. Limits and admission move in quiet times, too: their lines count only in runs that had none of
//! that kind before the fault. A line belongs to a fault when it names what the fault hits.
//!
//! Not here: when callers noticed (`record/recovery.rs`). Tested: in `repeat/tests.rs`.

use crate::model::{Fault, FaultKind, On, Scenario, Service, ServiceId, Side};
use crate::outcome::{LogLine, Run};

/// Words of the log for what Baleen does because something is wrong.
const ACTS: [&str; 4] = ["ejected", "quarantine", "panic", "queue"];
/// The end of the line that says it is over.
const OVER: &str = "are well again";
/// The same, unless it does so all the time.
const MOVES: [&str; 2] = ["limit", "admission"];

/// From the fault's start to the first act about it, before `to_s`.
pub(super) fn acted_after(scenario: &Scenario, run: &Run, fault: &Fault, to_s: f64) -> Option<f64> {
    let from_s = fault.at.as_secs_f64();
    let hits = hits(scenario, fault);
    let usual = |kind: &str| run.log.iter().any(|l| l.kind == kind && l.at_s < from_s);
    let acts = |l: &&LogLine| {
        let kind = ACTS.contains(&l.kind) || (MOVES.contains(&l.kind) && !usual(l.kind));
        let during = l.at_s >= from_s && l.at_s < to_s && !l.text.ends_with(OVER);
        kind && during && hits.iter().any(|h| h.named(&l.text))
    };
    run.log.iter().find(acts).map(|l| l.at_s - from_s)
}

/// Something that a fault hits, by name.
enum Hit<'a> {
    /// A replica, or its whole service.
    Replica(&'a str, u32),
    /// A service, any replica of it.
    Service(&'a str),
    /// Replicas of a service that stand in this rack of so many.
    Rack(&'a str, u32, u32),
}

impl Hit<'_> {
    /// Whether a line of the log names it. What stands before the first colon is who tells it.
    fn named(&self, text: &str) -> bool {
        let told = text.split_once(": ").map_or(text, |(_, told)| told);
        let marks = |c: char| matches!(c, ':' | ',' | ';' | '.' | '`');
        let mut words = told.split_whitespace().map(|w| w.trim_matches(marks));
        words.any(|word| match word.rsplit_once('/') {
            Some((service, nth)) => nth.parse().is_ok_and(|nth| self.is_replica(service, nth)),
            None => self.service() == word,
        })
    }

    fn service(&self) -> &str {
        let (Hit::Replica(name, _) | Hit::Service(name) | Hit::Rack(name, ..)) = self;
        name
    }

    fn is_replica(&self, service: &str, nth: u32) -> bool {
        self.service() == service
            && match *self {
                Hit::Replica(_, own) => own == nth,
                Hit::Service(_) => true,
                Hit::Rack(_, rack, racks) => nth.checked_rem(racks) == Some(rack),
            }
    }
}

fn hits<'a>(scenario: &'a Scenario, fault: &Fault) -> Vec<Hit<'a>> {
    let service = |s: ServiceId| scenario.services.get(s.index());
    let name = |s: &'a Service| s.name.as_str();
    let all = || scenario.services.iter().map(|s| Hit::Service(name(s)));
    let mut hits = Vec::new();
    for on in &fault.on {
        match *on {
            On::Replica(s, nth) => hits.extend(service(s).map(|s| Hit::Replica(name(s), nth))),
            On::New(s) | On::Between(_, Side::Service(s)) => {
                hits.extend(service(s).map(|s| Hit::Service(name(s))));
            }
            On::Rack(rack) => {
                let there = scenario.services.iter().filter(|s| s.racks > rack);
                hits.extend(there.map(|s| Hit::Rack(name(s), rack, s.racks)));
            }
            On::Between(Side::Service(s), _) => {
                hits.extend(service(s).map(|s| Hit::Service(name(s))));
            }
            // Which servers a deadly request dies at, or a link leads to, is not known here.
            On::Between(..) => hits.extend(all()),
            On::Workload(_) if matches!(fault.kind, FaultKind::Poison { .. }) => hits.extend(all()),
            On::Workload(_) | On::Process(..) | On::Registry => {}
        }
    }
    hits
}
