//! How faults are done here and what was seen of them, obstacles, and expectations over several runs: as text and JSON.
//!
//! One run is drawn by `baleen_scenario::report`. Tested: in `tests/it/drill.rs`.

use std::fmt::Write;

use baleen_config::{Diagnostic, Severity};
use baleen_drill::means::{Obstacle, Plan};
use baleen_drill::run::{Drilled, Generator, Prepared};
use baleen_drill::workload::LATE_NS;
use baleen_scenario::model::Scenario;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::input;
use crate::out::{self, Paint};
use crate::sim::replaced_json;

/// Without control characters: nothing of a file or a program steers a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Everything that keeps the drill from starting. What stands in the file is bad input; the rest is the machine's.
pub fn tell_obstacles(all: &[Obstacle]) -> Exit {
    for obstacle in all {
        match &obstacle.place {
            Some(place) => {
                let error = Diagnostic::error(place, clean(&obstacle.what));
                let error = error.label(clean(&obstacle.why)).hint(clean(&obstacle.hint));
                input::tell(&[Diagnostic { severity: Severity::Error, ..error }]);
            }
            None => {
                let paint = Paint::stderr();
                let (what, why) = (clean(&obstacle.what), clean(&obstacle.why));
                out::say(format_args!("{}: {what}: {why}", paint.red("error")));
                out::say(format_args!("{}: {}", paint.cyan("hint"), clean(&obstacle.hint)));
            }
        }
    }
    out::say(format_args!("nothing was started"));
    let written = all.iter().any(|obstacle| obstacle.place.is_some());
    if written { Exit::BadInput } else { Exit::Environment }
}

/// What is not done as the scenario says, said before anything starts.
pub fn tell_stand_ins(scenario: &Scenario, plan: &Plan) {
    let note = Paint::stderr().cyan("note");
    for (fault, means) in scenario.faults.iter().zip(&plan.means) {
        if let Some(but) = &means.stands_in {
            let (name, kind) = (clean(&fault.name), fault.kind.as_str());
            out::say(format_args!(
                "{note}: {name} ({kind}) has a stand-in: {}; {but}",
                means.words
            ));
        }
    }
    for text in &plan.notes {
        out::say(format_args!("{note}: {text}"));
    }
}

/// How each fault is done, as an object.
pub fn means_json(scenario: &Scenario, plan: &Plan) -> Value {
    let one = |(fault, means): (&baleen_scenario::model::Fault, &baleen_drill::means::Means)| {
        json!({
            "fault": fault.name,
            "kind": fault.kind.as_str(),
            "how": means.words,
            "stands_in": means.stands_in,
        })
    };
    scenario.faults.iter().zip(&plan.means).map(one).collect()
}

/// What `--plan` says.
pub fn plan(scenario: &Scenario, prepared: &Prepared, as_json: bool) -> String {
    let Prepared { machine, plan } = prepared;
    if as_json {
        let value = json!({
            "machine": machine.to_string(),
            "private": plan.private,
            "means": means_json(scenario, plan),
            "notes": plan.notes,
            "replaced": replaced_json(scenario),
        });
        return format!("{value}\n");
    }
    let mut text = format!("{machine}\n");
    for (fault, means) in scenario.faults.iter().zip(&plan.means) {
        let (name, kind) = (clean(&fault.name), fault.kind.as_str());
        let _ = write!(text, "\n{name} ({kind}): {}", means.words);
        if let Some(but) = &means.stands_in {
            let _ = write!(text, "\n  stand-in: {but}");
        }
    }
    text.push('\n');
    text
}

/// How each fault was done, and what was seen of it.
pub fn faults(scenario: &Scenario, plan: &Plan, drilled: &Drilled, paint: Paint) -> String {
    let mut text = String::new();
    for (fault, means) in scenario.faults.iter().zip(&plan.means) {
        let (name, kind) = (clean(&fault.name), fault.kind.as_str());
        let _ = writeln!(text, "{}: {}", paint.bold(format!("{name} ({kind})")), means.words);
        if let Some(but) = &means.stands_in {
            let _ = writeln!(text, "  stand-in: {but}");
        }
        for seen in drilled.seen.iter().filter(|seen| seen.fault == fault.name) {
            let word = if seen.seen { paint.green("seen") } else { paint.red("not seen") };
            let _ = writeln!(text, "  {word}: {}", clean(&seen.words));
        }
    }
    text
}

/// The same without colours, a line for each: for pages and build servers. Then how the generator kept up, and notes.
pub fn said(scenario: &Scenario, plan: &Plan, drilled: &Drilled) -> Vec<String> {
    let faults = faults(scenario, plan, drilled, Paint::off());
    let mut all: Vec<String> = Vec::new();
    for line in faults.lines() {
        match (line.strip_prefix("  "), all.last_mut()) {
            (Some(more), Some(last)) => *last += &format!("; {more}"),
            _ => all.push(line.to_owned()),
        }
    }
    all.extend(plan.notes.iter().map(|note| clean(note)));
    all.push(generator(&[drilled]).trim_end().to_owned());
    all.extend(drilled.notes.iter().map(|note| clean(note)));
    all
}

/// How the generator kept up, in all runs together.
pub fn generator(all: &[&Drilled]) -> String {
    let sum = |of: fn(&Generator) -> u64| all.iter().map(|d| of(&d.generator)).sum::<u64>();
    let (due, late, skipped) = (sum(|g| g.due), sum(|g| g.late), sum(|g| g.skipped));
    let ms = LATE_NS / 1_000_000;
    format!(
        "generator: {due} calls were due; {late} began more than {ms} ms late, {skipped} never\n"
    )
}

/// How often each expectation held.
pub fn expectations(scenario: &Scenario, all: &[Drilled], paint: Paint) -> String {
    let mut text = String::new();
    let sound: Vec<&Drilled> = all.iter().filter(|d| d.void.is_empty()).collect();
    for nth in 0..scenario.expects.len() {
        let of = sound.iter().filter_map(|d| d.verdicts.get(nth));
        let Some(first) = of.clone().next() else { continue };
        let held = of.filter(|v| v.held).count();
        let often = format!("{held}/{}", sound.len());
        let often = if held == sound.len() { paint.green(often) } else { paint.red(often) };
        let (expected, place) = (clean(&first.expected), clean(&first.place));
        let _ = writeln!(text, "{often} held: {expected}  ({place})");
    }
    if sound.len() < all.len() {
        let void = format!("{} of {} runs were void", all.len() - sound.len(), all.len());
        let _ = writeln!(text, "{}", paint.yellow(void));
    }
    for why in sound.iter().filter_map(|d| d.run.stopped.as_ref()) {
        let _ = writeln!(text, "{} {}", paint.red("stopped:"), clean(why));
    }
    text
}
