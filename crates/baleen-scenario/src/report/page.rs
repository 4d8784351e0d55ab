//! The page of one run: verdicts first, then who calls whom, what happened over time, figures, log, and how to run it again.
//!
//! One file that fetches nothing. Bounds: the first [`CALLERS_MAX`] callers have charts. Not here: the parts. Tested: in
//! `report/tests.rs`.

use serde_json::{Value, json};

use super::chart::short;
use super::markup::Markup;
use super::style::{SCRIPT, STYLE};
use super::timeline::{SERVICES_MAX, Timeline};
use super::words::{facts, summary};
use super::{tables, topology};
use crate::model::Scenario;
use crate::outcome::{Run, Verdict};

/// Most callers (all together, then workloads) with charts; the style sheet has as many.
pub const CALLERS_MAX: usize = 13;

/// One self-contained page about a run. `command` is what runs it again.
#[must_use]
pub fn html(scenario: &Scenario, run: &Run, verdicts: &[Verdict], command: &str) -> String {
    html_beside(scenario, run, verdicts, &Beside::default(), command)
}

/// What must be known of a run before its figures are read: of drills, which can say nothing at all, and have stand-ins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// Why the run neither passed nor failed, each. Empty: it says something.
    pub void: Vec<String>,
    /// How it was done and what was seen, a line each.
    pub said: Vec<String>,
}

/// [`html`], with what is said above the figures.
#[must_use]
pub fn html_beside(
    scenario: &Scenario,
    run: &Run,
    verdicts: &[Verdict],
    beside: &Beside,
    command: &str,
) -> String {
    let mut m = start(&run.title);
    m.open("header").leaf("h1", &run.title);
    m.leaf_of("p", "facts", facts(run).join(" · ")).close().line();
    m.open("main");
    verdict(&mut m, run, verdicts, beside);
    m.open("section").leaf("h2", "Who calls whom");
    topology::draw(&mut m, &run.topology);
    m.close();
    let mut timeline = Timeline::new(scenario, run);
    callers(&mut m, run, &mut timeline);
    services(&mut m, scenario, run, &mut timeline);
    m.open("section").leaf("h2", "What happened");
    tables::log(&mut m, run, scenario.warmup.as_secs_f64());
    m.close().open("section").leaf("h2", "Again");
    m.open("pre").leaf("code", command).close().close().close();
    let (from, to) = timeline.span();
    finish(
        m,
        &json!({ "from": from, "to": to, "label": "at", "unit": " s", "charts": timeline.data() }),
    )
}

/// The head of a page, up to its body.
pub fn start(title: &str) -> Markup {
    let mut m = Markup::new();
    m.constant("<!doctype html>\n").open("html").attr("lang", "en").open("head");
    m.open("meta").attr("charset", "utf-8").close();
    m.open("meta").attr("name", "viewport");
    m.attr("content", "width=device-width,initial-scale=1").close();
    m.leaf("title", title).open("style").constant(STYLE).close().close().line();
    m.open("body");
    m
}

/// The script with its data, and the end.
pub fn finish(mut m: Markup, data: &Value) -> String {
    m.line().open("script").attr("type", "application/json").attr("id", "data");
    m.data(&data.to_string()).close();
    m.open("script").constant(SCRIPT).close().line();
    m.finish() + "\n"
}

fn verdict(m: &mut Markup, run: &Run, verdicts: &[Verdict], beside: &Beside) {
    let broken = verdicts.iter().any(|v| !v.held) || !run.is_sound();
    let class = match verdicts {
        _ if broken => "verdict broken",
        [] => "verdict none",
        _ => "verdict held",
    };
    m.open("section");
    if beside.void.is_empty() {
        m.leaf_of("p", class, summary(run, verdicts));
    } else {
        m.leaf_of("p", "verdict none", "void: this run neither passed nor failed");
        m.open("div").class("wrong").leaf("strong", "Its figures say nothing, because");
        list(m, &beside.void);
        m.close();
    }
    if let Some(why) = &run.stopped {
        m.open("div").class("wrong").leaf("strong", format_args!("stopped: {why}")).close();
    }
    if !run.violations.is_empty() {
        m.open("div").class("wrong").leaf("strong", "Invariants that did not hold");
        list(m, &run.violations);
        m.close();
    }
    if !beside.said.is_empty() {
        m.leaf("h2", "How it was done");
        list(m, &beside.said);
    }
    // Expectations of a void run were not judged; that is not the same as having none.
    if beside.void.is_empty() {
        tables::verdicts(m, verdicts);
    }
    m.close();
}

fn list(m: &mut Markup, all: &[String]) {
    m.open("ul");
    for one in all {
        m.leaf("li", one);
    }
    m.close();
}

/// What callers saw; each caller's part is shown when it is picked, which needs no script.
fn callers(m: &mut Markup, run: &Run, timeline: &mut Timeline<'_>) {
    m.open("section").leaf("h2", "What callers saw");
    // With one workload, all calls are its calls.
    let count = if run.callers.len() <= 2 { 1 } else { run.callers.len().min(CALLERS_MAX) };
    if count > 1 {
        for (i, name) in run.callers.iter().take(count).enumerate() {
            m.open("input").class("pick").attr("type", "radio").attr("name", "caller");
            m.attr("id", format_args!("c{i}"));
            if i == 0 {
                m.attr("checked", "");
            }
            m.close().open("label").class("picklabel").attr("for", format_args!("c{i}"));
            m.text(if i == 0 { "all calls".to_owned() } else { short(name, 30) }).close();
        }
    }
    for i in 0..count {
        let class = if count > 1 { format!("caller c{i}") } else { "caller only".to_owned() };
        m.open("div").class(class);
        timeline.faults(m);
        timeline.caller(m, i);
        tables::phases(m, run, i);
        m.close().line();
    }
    let more = run.callers.len().saturating_sub(CALLERS_MAX);
    if more > 0 {
        m.leaf_of("p", "dim", format_args!("and {more} more workloads"));
    }
    m.close();
}

fn services(m: &mut Markup, scenario: &Scenario, run: &Run, timeline: &mut Timeline<'_>) {
    m.open("section").leaf("h2", "What services saw");
    tables::services(m, run);
    timeline.faults(m);
    for at in 0..run.services.len().min(SERVICES_MAX) {
        timeline.service(m, scenario, at);
    }
    let more = run.services.len().saturating_sub(SERVICES_MAX);
    if more > 0 {
        m.leaf_of("p", "dim", format_args!("and {more} more services"));
    }
    m.close();
}
