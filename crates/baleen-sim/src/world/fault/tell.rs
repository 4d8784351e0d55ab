//! Faults in the log of a run.
//!
//! Not here: what they do. Tested: `tests/mesh.rs`, by snapshots in `tests/scenarios`.

use baleen_scenario::model::{On, Scenario, ServiceId};

use crate::world::World;

impl World<'_> {
    /// A fault starts, or ends.
    pub(super) fn log_fault(&mut self, nth: u16, what: &str) {
        let model = self.model;
        self.record.note(self.now, "fault", || {
            let fault = &model.faults[usize::from(nth)];
            let on: Vec<String> = fault.on.iter().map(|&on| on_name(model, on)).collect();
            let (name, kind) = (&fault.name, fault.kind.as_str());
            let named = if name == kind { name.clone() } else { format!("{name} ({kind})") };
            format!("{named} on {} {what}", on.join(", "))
        });
    }
}

/// What a fault hits, as files write it.
fn on_name(model: &Scenario, on: On) -> String {
    let name = |s: ServiceId| &model.services[s.index()].name;
    match on {
        On::Replica(s, nth) => format!("{}/{nth}", name(s)),
        On::New(s) => format!("{}@new", name(s)),
        On::Rack(rack) => format!("rack/{rack}"),
        On::Process(group, nth) => format!("{}/{nth}", model.proxies[group.index()].name),
        On::Between(a, b) => format!("{}->{}", model.side_name(a), model.side_name(b)),
        On::Registry => "registry".into(),
        On::Workload(w) => model.workloads[w.index()].name.clone(),
    }
}
