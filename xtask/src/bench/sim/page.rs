//! Figures as Markdown, for `docs/benchmarks.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::figures::{Figures, Metric, off, targets};
use super::plan::{CASES, Case, Who};
use crate::bench::report::{judged_table, number, spread};
use crate::bench::results::Spread;

/// Targets alone: also printed at the end of a run.
pub fn targets_table(f: &Figures) -> String {
    judged_table(&targets(f))
}

/// Everything that was measured.
pub fn render(f: &Figures) -> String {
    let mut out = String::from(
        "## The simulator\n\nEach run is a process of its own on one core. Rates are per second of CPU time, user and system. Of Baleen the whole process \
         counts, with start, reading and writing; of the peers only the run itself, without start and imports. Peers get fewer jobs, in \
         proportion to their speed. Multiples are paired: both from the same round. Median [least - greatest].\n\n",
    );
    out += &targets_table(f);
    for case in CASES.iter().filter(|case| f.samples.iter().any(|s| s.case == case.name)) {
        out += &case_section(f, case);
    }
    if !f.memory.is_empty() {
        out += &memory_section(f);
    }
    out += "\n### What an event is\n\n\
            Baleen: what its agenda hands out, such as an arrival, the end of work, an answer that arrives. happysim: what its loop takes from its heap. \
            SimPy: what its environment takes from its heap. Ciw: an arrival or the end of a service. They cut a job into more or \
            fewer, so jobs per second is what compares.\n";
    out + &conditions(f)
}

fn case_section(f: &Figures, case: &Case) -> String {
    let mut out = format!("\n### {}\n\n{}\n\n", case.title, case.about);
    out +=
        "| simulator | jobs in a run | jobs/s | events/s | events per job | whole run, s | MB | ";
    out += "Baleen does so many times the jobs/s | mean against theory |\n|---|---|---|---|---|---|---|---|---|\n";
    for (who, _) in case.sizes {
        let Some(jobs) = f.spread(case.name, *who, Metric::Jobs) else { continue };
        let get = |metric| f.spread(case.name, *who, metric);
        let median = |metric, digits| get(metric).map_or("-".into(), |s| number(s.median, digits));
        let size = f.samples.iter().find(|s| s.case == case.name && s.who == *who);
        let times = f.times(case.name, *who).filter(|_| *who != Who::Baleen);
        let cells = [
            who.title().to_owned(),
            size.map_or("-".into(), |s| number(s.reading.jobs as f64, 0)),
            spread(jobs, 0),
            get(Metric::Events).map_or("-".into(), |s| spread(s, 0)),
            median(Metric::EventsPerJob, 2),
            get(Metric::Wall).map_or("-".into(), |s| spread(s, 3)),
            get(Metric::Resident).map_or("-".into(), |s| number(s.median / 1e6, 0)),
            times.map_or("-".into(), |t| spread(t, 1)),
            mean(f, case, *who),
        ];
        // Writing to a String can not fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let (used, clean) = f.rounds_of(case.name);
    let _ = match clean {
        true => writeln!(out, "\n{} of {} rounds counted.", used.len(), f.rounds),
        false => writeln!(
            out,
            "\nAll {} rounds counted although most were disturbed by other processes: read with care.",
            used.len()
        ),
    };
    out
}

/// How far off over all rounds, and whether that is within four standard errors.
fn mean(f: &Figures, case: &Case, who: Who) -> String {
    let off = f.mean(case.name, who).and_then(|(mean_s, jobs)| off(case, mean_s, jobs));
    off.map_or("-".into(), |(off, max)| {
        let word = if off.abs() <= max { "" } else { ": **too far**" };
        format!("{:+.2} % (allowed {:.2} %){word}", off * 100.0, max * 100.0)
    })
}

fn memory_section(f: &Figures) -> String {
    let mut out = String::from(
        "\n### Memory of long runs\n\nMost resident memory of the process, with calls through the policies as above.\n\n\
         | calls in one run | MB | seconds |\n|---|---|---|\n",
    );
    let sizes: BTreeSet<u64> = f.memory.iter().map(|m| m.calls).collect();
    for calls in sizes {
        let Some(resident) = f.resident(calls) else { continue };
        let of = f.memory.iter().filter(|m| m.calls == calls);
        let seconds = Spread::of(of.map(|m| m.reading.wall_s)).map_or(0.0, |s| s.median);
        let mb = |bytes: f64| number(bytes / 1e6, 1);
        let (median, min, max) = (mb(resident.median), mb(resident.min), mb(resident.max));
        let calls = number(calls as f64, 0);
        let _ = writeln!(out, "| {calls} | {median} [{min} - {max}] | {seconds:.1} |");
    }
    out
}

fn conditions(f: &Figures) -> String {
    let mut out = String::from("\n### Conditions\n\n");
    let _ = writeln!(out, "* Command: `{}`, on {}.", f.command, f.date);
    let _ = writeln!(out, "* Machine: {}.", f.machine);
    for (who, version) in &f.versions {
        let _ = writeln!(out, "* {}: {version}", who.title().trim_matches('*'));
    }
    if let Some(same) = f.same.as_ref().filter(|same| same.other.is_empty()) {
        let calls = number(same.calls as f64, 0);
        let _ = writeln!(
            out,
            "* Same seed, same bytes: debug and release build, one thread and two; {calls} calls with faults, event log `{}`.",
            same.hash
        );
    }
    let redone: u32 = f.samples.iter().map(|s| s.redone).sum();
    let noisy = f.samples.iter().filter(|s| s.noisy).count();
    let _ = writeln!(
        out,
        "* {} rounds, seeds 1 to {}; {} runs, {redone} done again because of other processes, {noisy} still disturbed.",
        f.rounds,
        f.rounds,
        f.samples.len() + f.memory.len()
    );
    for problem in &f.problems {
        let _ = writeln!(out, "* Not measured: {}", problem.lines().next().unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::super::plan::MM1;
    use super::*;

    #[test]
    fn a_page_has_tables_targets_and_problems() {
        let mut f = Figures { rounds: 1, problems: vec!["ciw: gone".into()], ..Figures::default() };
        f.samples.push(sample(MM1, 0, Who::Baleen, 2_000_000, false));
        f.samples.push(sample(MM1, 0, Who::Simpy, 100_000, false));
        let page = render(&f);
        for part in [
            "| M/M/1: events per second of CPU | at least 5,000,000 | 6,000,000 [6,000,000 - 6,000,000] | yes |",
            "| M/M/1: jobs per second, as a multiple of SimPy | above 1, in every round | 20.0 [20.0 - 20.0] | yes |",
            "| 3.00 | 1.500 [1.500 - 1.500] | 10 | 20.0 [20.0 - 20.0] | +0.00 % (allowed 11.26 %) |",
            "1 of 1 rounds counted.",
            "* Not measured: ciw: gone",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("Same seed"), "it was not looked at");
    }
}
