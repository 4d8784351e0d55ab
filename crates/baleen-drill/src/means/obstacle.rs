//! What keeps a scenario from being drilled here: all of it, said before anything starts.
//!
//! Not here: what faults need (`mod.rs`). Tested: in `tests/inject/plan.rs`.

use std::fmt;
use std::path::Path;

use baleen_config::Place;
use baleen_scenario::model::{Arrivals, Metric, Program, RateStep, Scenario, Service, Subject, To};

use super::sides;
use crate::{caller, stage};

/// Most processes of a drill.
pub const PROCESSES_MAX: u64 = 64;
/// Most calls per second.
pub const RATE_MAX: f64 = 20_000.0;

/// One thing that can't be.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// What can't be done.
    pub what: String,
    /// Where it is written, when there is one place.
    pub place: Option<Place>,
    /// Why not.
    pub why: String,
    /// What to try.
    pub hint: String,
}

impl Obstacle {
    pub(super) fn new(
        what: impl Into<String>,
        place: Option<&Place>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Obstacle {
        Obstacle { what: what.into(), place: place.cloned(), why: why.into(), hint: hint.into() }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\nhint: {}", self.what, self.why, self.hint)
    }
}

/// Everything but faults and links.
pub(super) fn of_all(scenario: &Scenario) -> Vec<Obstacle> {
    let mut all = Vec::new();
    for service in &scenario.services {
        program(scenario, service, &mut all);
    }
    names(scenario, &mut all);
    expectations(scenario, &mut all);
    sizes(scenario, &mut all);
    for deploy in &scenario.deploys {
        let service = &scenario.services[deploy.service.index()];
        all.push(Obstacle::new(
            format!("the release of `{}` can't be drilled", service.name),
            None,
            "releases are simulated only",
            "run it with `baleen sim`, or leave `[[deploy]]` out and restart replicas with `crash` faults",
        ));
    }
    all
}

fn program(scenario: &Scenario, service: &Service, all: &mut Vec<Obstacle>) {
    let Program::Real { command, .. } = &service.program else { return };
    let name = &service.name;
    let folder = scenario.file.parent().unwrap_or(Path::new("."));
    let what = || format!("`{name}` can't be run");
    match command.first() {
        None => {
            all.push(Obstacle::new(
                what(),
                Some(&service.place),
                "its command is empty",
                "say a program",
            ));
        }
        // With something to be filled in it is known when the drill starts.
        Some(program) if program.contains('{') => {}
        Some(program) if stage::find(scenario, program).is_none() => all.push(Obstacle::new(
            what(),
            Some(&service.place),
            match program.contains('/') {
                true => format!("in {} there is no `{program}` that can be run", shown(folder)),
                false => format!("there is no program `{program}` on the path"),
            },
            format!(
                "install it, or give its path from the scenario's folder: `./{}`",
                program.trim_start_matches("./")
            ),
        )),
        Some(_) => {}
    }
    let told = |word: &String| word.contains("{port}") || word.contains("{address}");
    if !command.is_empty() && !command.iter().any(told) {
        all.push(Obstacle::new(
            format!("`{name}` can't be reached"),
            Some(&service.place),
            "its command has neither `{port}` nor `{address}`: nothing tells the program where the drill expects it",
            format!(
                "let it listen where it is told, such as `run = [{}, \"--port\", \"{{port}}\"]`",
                command.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
            ),
        ));
    }
    if !service.calls.is_empty() {
        all.push(Obstacle::new(
            format!("`{name}` has a program of its own, and `calls`"),
            Some(&service.place),
            "a drill can't make a program call as the scenario says, nor know whether it does",
            "leave out `calls` or `run`",
        ));
    }
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() {
        "this folder".to_owned()
    } else {
        folder.display().to_string()
    }
}

fn names(scenario: &Scenario, all: &mut Vec<Obstacle>) {
    for (from, spec) in sides::calls(scenario) {
        let To::Name { name, .. } = &spec.to else { continue };
        if let Some(why) = caller::unsupported(spec) {
            all.push(Obstacle::new(
                format!("`{}` can't call `{name}`", scenario.side_name(from)),
                Some(&spec.place),
                why,
                "call `/svc/NAME`, and lead that elsewhere with a rule in the mesh file",
            ));
        }
    }
}

fn expectations(scenario: &Scenario, all: &mut Vec<Obstacle>) {
    for expect in &scenario.expects {
        let Subject::Service(s) = expect.subject else { continue };
        let service = &scenario.services[s.index()];
        let measured = |m: Metric| matches!(m, Metric::Load | Metric::Rate);
        if matches!(service.program, Program::Real { .. })
            && expect.conditions.iter().any(|c| measured(c.metric))
        {
            all.push(Obstacle::new(
                format!("nobody counts the requests to `{}`", service.name),
                Some(&expect.place),
                "its program is not the drill's, so this expectation would have no data",
                "expect something of the workloads, such as `tries`, or leave out `run`",
            ));
        }
    }
}

fn sizes(scenario: &Scenario, all: &mut Vec<Obstacle>) {
    let replicas = scenario.services.iter().map(|s| u64::from(s.replicas));
    let proxies = scenario.proxies.iter().map(|p| u64::from(p.count));
    let processes: u64 = replicas.chain(proxies).sum();
    if processes > PROCESSES_MAX {
        all.push(Obstacle::new(
            format!("{processes} processes are too many"),
            None,
            format!("each replica and each proxy is one; a drill starts at most {PROCESSES_MAX}"),
            "drill a smaller copy: fewer `replicas`, and `rate` in proportion",
        ));
    }
    let peak: f64 = scenario.workloads.iter().map(|w| peak(&w.arrivals)).sum();
    if peak > RATE_MAX {
        all.push(Obstacle::new(
            format!("{peak:.0} calls per second are too many"),
            None,
            format!("a drill makes at most {RATE_MAX:.0} per second on one machine"),
            "drill a smaller copy: a lower `rate`, and `replicas` in proportion",
        ));
    }
}

fn peak(arrivals: &Arrivals) -> f64 {
    match arrivals {
        Arrivals::Open { rate, .. } => {
            rate.iter().map(|s: &RateStep| s.per_second).fold(0.0, f64::max)
        }
        Arrivals::Closed { .. } => 0.0,
    }
}
