//! Each file of `scenarios/`, with its own seed: its expectations hold, no invariant is broken, and its figures, verdicts and
//! event log are those that are kept. A change of behaviour anywhere in policy or simulator shows here.

use std::fmt::Write as _;

use baleen_scenario::judge;
use baleen_scenario::outcome::{Figures, Run, Verdict};

use super::{names, quantile, read, root, sound, update};

#[test]
fn every_scenario_does_what_it_says() {
    let names = names();
    assert!(names.len() >= 14, "{names:?}");
    let mut broken = Vec::new();
    for name in &names {
        let scenario = read(name, &[]);
        assert!(!scenario.expects.is_empty(), "{name} expects nothing");
        let run = sound(&scenario, scenario.seed, true);
        let verdicts = judge(&scenario, &run);
        broken.extend(
            verdicts
                .iter()
                .filter(|v| !v.held)
                .map(|v| format!("{name}: {} at {}, but {}", v.expected, v.place, v.measured)),
        );
        kept(name, &text(&run, &verdicts));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn kept(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.set_omit_expression(true);
    if update() {
        let path = root().join(format!("crates/baleen-sim/tests/scenarios/snapshots/{name}.snap"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        let head = "---\nsource: crates/baleen-sim/tests/scenarios/kept.rs\n---\n";
        std::fs::write(&path, format!("{head}{text}")).expect("the snapshot is written");
    }
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), text));
}

fn text(run: &Run, verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", run.title);
    let _ = writeln!(
        out,
        "seed {}, {} calls, {} events, log {}",
        run.seed, run.calls, run.events, run.events_hash
    );
    for phase in &run.phases {
        let _ = writeln!(out, "\n{} ({:.1} s to {:.1} s)", phase.name, phase.from_s, phase.to_s);
        for (caller, figures) in run.callers.iter().zip(&phase.figures) {
            let _ = writeln!(out, "  {caller}: {}", line(figures));
        }
        for (service, arrived) in run.services.iter().zip(&phase.arrivals) {
            let _ = writeln!(out, "  at {}: {arrived} requests", service.name);
        }
    }
    out.push('\n');
    for v in verdicts {
        let held = if v.held { "held" } else { "BROKE" };
        let _ = writeln!(out, "{held}: {} ({})", v.expected, v.measured);
    }
    out
}

fn line(f: &Figures) -> String {
    let failed: String = f.failed.iter().map(|(how, n)| format!(", {how} {n}")).collect();
    format!(
        "{} calls, {:.2} % good, {:.1}/s, p50 {}, p99 {}, {:.3} tries{failed}",
        f.calls,
        f.success * 100.0,
        f.goodput,
        super::pages::time(quantile(f, 500_000)),
        super::pages::time(quantile(f, 990_000)),
        f.tries,
    )
}
