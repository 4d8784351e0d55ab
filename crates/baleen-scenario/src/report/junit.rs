//! A scenario's verdicts as JUnit XML, which build servers read: a test suite per scenario, a test case per expectation and run.
//!
//! An expectation that broke is a failure, with what was measured. A run that says nothing (it was void, it was stopped, an
//! invariant did not hold) is an error in each of its cases: it neither held nor broke. Without expectations a run is one case, so
//! that a scenario is never an empty suite.
//!
//! Not here: verdicts. Tested: in `report/tests/junit.rs`.

use super::markup::Markup;
use super::number::plain;
use crate::model::Scenario;
use crate::outcome::{Run, Verdict};

/// What became of a case.
enum End<'a> {
    Held,
    Broke(&'a str),
    /// Why nothing is known.
    Void(&'a str),
}

struct Case<'a> {
    name: String,
    place: Option<&'a str>,
    time_s: f64,
    end: End<'a>,
}

/// One test suite. `void`: positions of runs that say nothing, and why; a position behind the last is a run that did not even give
/// figures. `said`: how runs were done, a line each.
#[must_use]
pub fn junit(
    scenario: &Scenario,
    runs: &[(Run, Vec<Verdict>)],
    void: &[(usize, String)],
    said: &[String],
) -> String {
    let last = void.iter().map(|(nth, _)| nth + 1).max().unwrap_or(0);
    let count = runs.len().max(last.min(runs.len() + void.len()));
    let whole: Vec<Vec<String>> = runs.iter().map(|(run, _)| unsound(run)).collect();
    let mut cases = Vec::new();
    for nth in 0..count {
        let why = void.iter().find(|(at, _)| *at == nth).map(|(_, why)| why.as_str());
        let why = why.or_else(|| whole.get(nth)?.first().map(String::as_str));
        let of = if count > 1 { format!(" (run {})", nth + 1) } else { String::new() };
        match runs.get(nth) {
            Some((run, verdicts)) => of_run(&mut cases, run, verdicts, why, &of),
            None => cases.extend(why.map(|why| Case {
                name: format!("the run gives figures{of}"),
                place: None,
                time_s: 0.0,
                end: End::Void(why),
            })),
        }
    }
    write(scenario, &cases, said)
}

/// Why a run that came to figures says nothing.
fn unsound(run: &Run) -> Vec<String> {
    let stopped = run.stopped.iter().map(|why| format!("the run was stopped: {why}"));
    let broken = run.violations.iter().map(|v| format!("an invariant did not hold: {v}"));
    stopped.chain(broken).collect()
}

fn of_run<'a>(
    cases: &mut Vec<Case<'a>>,
    run: &Run,
    verdicts: &'a [Verdict],
    void: Option<&'a str>,
    of: &str,
) {
    let time_s = run.ended_s / verdicts.len().max(1) as f64;
    if verdicts.is_empty() {
        let end = void.map_or(End::Held, End::Void);
        let name = format!("the run comes to its end{of}");
        cases.push(Case { name, place: None, time_s, end });
    }
    cases.extend(verdicts.iter().map(|v| Case {
        name: format!("{}{of}", v.expected),
        place: Some(&v.place),
        time_s,
        end: match void {
            Some(why) => End::Void(why),
            None if v.held => End::Held,
            None => End::Broke(&v.measured),
        },
    }));
}

fn write(scenario: &Scenario, cases: &[Case<'_>], said: &[String]) -> String {
    let failures = cases.iter().filter(|c| matches!(c.end, End::Broke(_))).count();
    let errors = cases.iter().filter(|c| matches!(c.end, End::Void(_))).count();
    let time: f64 = cases.iter().map(|c| c.time_s).sum();
    let file = scenario.file.display().to_string();
    let mut m = Markup::new();
    m.constant("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = |m: &mut Markup, tag| {
        m.open(tag).attr("name", xml(&scenario.title)).attr("tests", cases.len());
        m.attr("failures", failures).attr("errors", errors).attr("time", plain(time, 6));
    };
    counts(&mut m, "testsuites");
    m.line();
    counts(&mut m, "testsuite");
    m.attr("skipped", 0);
    if !file.is_empty() {
        m.attr("file", xml(&file));
    }
    m.line();
    for case in cases {
        m.open("testcase").attr("classname", xml(&scenario.title)).attr("name", xml(&case.name));
        if let Some((file, line)) = case.place.and_then(|p| p.rsplit_once(':')) {
            m.attr("file", xml(file)).attr("line", xml(line));
        }
        m.attr("time", plain(case.time_s, 6));
        let (tag, why) = match case.end {
            End::Held => {
                m.close().line();
                continue;
            }
            End::Broke(measured) => ("failure", measured),
            End::Void(why) => ("error", why),
        };
        m.open(tag).attr("message", xml(why)).text(xml(why)).close().close().line();
    }
    if !said.is_empty() {
        m.open("system-out").text(xml(&said.join("\n"))).close().line();
    }
    m.close().line().close();
    m.finish() + "\n"
}

/// Without the two characters that may be in a text but not in XML. Control characters go where it is written.
fn xml(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
