//! `baleen drill`: the scenario that `baleen sim` simulates, with real processes, sockets and faults.
//!
//! Data goes to standard output, everything else to standard error. A run that says nothing (void) is never shown as passed or
//! failed.
//!
//! | file | part |
//! |---|---|
//! | `args.rs` | what can be asked |
//! | `show.rs` | how faults are done and were seen, as text and JSON |
//! | `progress.rs` | how far it is |
//!
//! Not here: drilling (`baleen-drill`), judging and drawing one run (`baleen-scenario`). Tested: in `tests/it/drill.rs`.

mod args;
mod progress;
mod show;

use std::fs::File;
use std::path::Path;

use baleen_config::summary;
use baleen_drill::run::{Drilled, Failure as Refused, Options, Prepared, drill, prepare};
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Run, Verdict};
use baleen_scenario::{load, repeat, report};
use baleen_sim::many::seed_of;
use serde_json::{Value, json};

pub use args::{Args, Faults};
use progress::Line;
pub use show::tell_stand_ins;

use crate::exit::{Exit, Failure};
use crate::input;
use crate::out::{self, Paint};
use crate::sim::page::Page;
use crate::sim::{quoted, replaced_json, tell_replaced};

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (scenario, warnings) = match load(&args.file, &args.set) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            input::tell(&diagnostics);
            out::say(format_args!("{}: {}", args.file.display(), summary(&diagnostics)));
            return Ok(Exit::BadInput);
        }
    };
    input::tell(&warnings);
    let prepared = match prepare(&scenario, args.faults.into()) {
        Ok(prepared) => prepared,
        Err(refused) => return refuse(refused),
    };
    tell_replaced(&scenario);
    tell_stand_ins(&scenario, &prepared.plan);
    if args.plan {
        out::data(&show::plan(&scenario, &prepared, args.json))?;
        return Ok(Exit::Fine);
    }
    let [html, junit] = [&args.html, &args.junit].map(|path| path.as_deref().map(Page::open));
    let (html, junit) = (html.transpose()?, junit.transpose()?);
    let journal = args.journal.as_deref().map(journal).transpose()?;
    let paint = Paint::stdout();
    let work = Work { args, scenario: &scenario, prepared: &prepared, journal, paint };
    let all = match work.all() {
        Ok(all) => all,
        Err(refused) => return refuse(refused),
    };
    work.tell(&all)?;
    if let Some(page) = html
        && let Some(last) = all.last()
    {
        let (beside, again) = (work.beside(last), work.command());
        let html = report::html_beside(&scenario, &last.run, &last.verdicts, &beside, &again);
        page.write(&html)?;
    }
    if let Some(page) = junit {
        page.write(&work.junit(&all))?;
    }
    work.end(&all)
}

/// The journal's file. It is written as things happen, so what was there goes now.
fn journal(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|e| {
        Failure::environment(format!("can't write the journal {}: {e}", path.display()))
            .hint("give a path to a file in a folder that is there and can be written to")
    })
}

/// Why nothing came of it.
pub fn refuse(refused: Refused) -> Result<Exit, Failure> {
    match refused {
        Refused::Environment(what) => Err(Failure::environment(what)),
        Refused::Obstacles(all) => Ok(show::tell_obstacles(&all)),
        Refused::Interrupted(signal) => {
            out::say(format_args!("ended by signal {signal}: everything is undone and has ended"));
            // As a shell says it of a program that a signal ended.
            std::process::exit(128 + signal)
        }
    }
}

/// What is asked.
struct Work<'a> {
    args: &'a Args,
    scenario: &'a Scenario,
    prepared: &'a Prepared,
    journal: Option<File>,
    paint: Paint,
}

impl Work<'_> {
    /// All runs.
    fn all(&self) -> Result<Vec<Drilled>, Refused> {
        let baleen = std::env::current_exe()
            .map_err(|e| Refused::Environment(format!("this program is not found: {e}")))?;
        let first = self.args.seed.unwrap_or(self.scenario.seed);
        let set = self.args.set.iter().map(|set| (set.key.clone(), set.value.clone()));
        let set: Vec<(String, String)> = set.collect();
        let mut all = Vec::new();
        for nth in 0..self.args.repeat {
            let line = Line::new();
            let tell = |text: &str| {
                line.done();
                out::say(format_args!("{text}"));
            };
            let journal = self.journal.as_ref().map(File::try_clone).transpose();
            let options = Options {
                set: set.clone(),
                seed: seed_of(first, nth),
                baleen: baleen.clone(),
                keep: self.args.keep,
                journal: journal.map_err(|e| Refused::Environment(format!("the journal: {e}")))?,
                busy_ok: self.args.busy_ok,
                tell: &tell,
                progress: &|progress| line.tell(progress),
            };
            let mut drilled = drill(self.scenario, self.prepared, &options)?;
            line.done();
            if self.args.repeat > 1 {
                let how = match ending(&drilled) {
                    Exit::Fine => self.paint.green("held"),
                    Exit::Broke => self.paint.red("broke"),
                    _ => self.paint.yellow("void"),
                };
                out::say(format_args!("run {} of {}: {how}", nth + 1, self.args.repeat));
            }
            if !drilled.void.is_empty() {
                // It neither passed nor failed.
                drilled.verdicts.clear();
            }
            all.push(drilled);
        }
        Ok(all)
    }

    fn tell(&self, all: &[Drilled]) -> Result<(), Failure> {
        for drilled in all {
            for why in &drilled.void {
                out::say(format_args!("{}: {why}", Paint::stderr().yellow("void")));
            }
            for note in &drilled.notes {
                out::say(format_args!("{}: {note}", Paint::stderr().cyan("note")));
            }
        }
        if self.args.json {
            return out::data(&format!("{}\n", self.object(all)));
        }
        let mut text = match all {
            [one] => self.drawn(one),
            _ => self.drawn_together(all),
        };
        text.push_str(&format!("\nagain: {}\n", self.command()));
        out::data(&text)
    }

    fn drawn(&self, drilled: &Drilled) -> String {
        let (width, colour) = (out::stdout_columns(), self.paint.is_on());
        let text = report::terminal(self.scenario, &drilled.run, &drilled.verdicts, width, colour);
        let mut text = text.trim_end().to_owned();
        if !drilled.void.is_empty() {
            // The last line says how expectations fared.
            text.truncate(text.rfind('\n').unwrap_or(0));
            text.push_str(&format!(
                "\n{}",
                self.paint.yellow("void: this run neither passed nor failed")
            ));
            for why in &drilled.void {
                text.push_str(&format!("\n  {why}"));
            }
        }
        text.push_str("\n\n");
        text.push_str(&show::faults(self.scenario, &self.prepared.plan, drilled, self.paint));
        text.push_str(&show::generator(&[drilled]));
        text
    }

    /// What stands above the figures on the page.
    fn beside(&self, drilled: &Drilled) -> report::Beside {
        let said = show::said(self.scenario, &self.prepared.plan, drilled);
        report::Beside { void: drilled.void.clone(), said }
    }

    fn drawn_together(&self, all: &[Drilled]) -> String {
        let sound = sound(all);
        let mut text = String::new();
        if !sound.is_empty() {
            text.push_str(&repeat::text(&repeat::summary(self.scenario, &sound)));
            text.push('\n');
        }
        text.push_str(&show::expectations(self.scenario, all, self.paint));
        text.push_str(&show::generator(&all.iter().collect::<Vec<_>>()));
        text
    }

    fn object(&self, all: &[Drilled]) -> Value {
        let one = |drilled: &Drilled| {
            let mut value = json!(drilled.run);
            value["held"] = match ending(drilled) {
                Exit::Fine => json!(true),
                Exit::Broke => json!(false),
                _ => Value::Null,
            };
            value["verdicts"] = json!(drilled.verdicts);
            value["void"] = json!(drilled.void);
            value["notes"] = json!(drilled.notes);
            value["seen"] = json!(drilled.seen);
            value["busy"] = json!(drilled.busy);
            value["generator"] = json!(drilled.generator);
            value
        };
        let mut value = match all {
            [drilled] => one(drilled),
            _ => json!({
                "title": self.scenario.title,
                "summary": repeat::summary(self.scenario, &sound(all)),
                "runs": all.iter().map(one).collect::<Vec<_>>(),
            }),
        };
        value["means"] = show::means_json(self.scenario, &self.prepared.plan);
        value["replaced"] = replaced_json(self.scenario);
        value["again"] = json!(self.command());
        value
    }

    fn junit(&self, all: &[Drilled]) -> String {
        let runs: Vec<(Run, Vec<Verdict>)> =
            all.iter().map(|d| (d.run.clone(), d.verdicts.clone())).collect();
        let void = all.iter().enumerate().filter(|(_, d)| !d.void.is_empty());
        let void: Vec<(usize, String)> = void.map(|(nth, d)| (nth, d.void.join("; "))).collect();
        let said = |(nth, drilled): (usize, &Drilled)| {
            let said = show::said(self.scenario, &self.prepared.plan, drilled);
            said.into_iter().map(move |said| format!("run {}: {said}", nth + 1))
        };
        let said: Vec<String> = all.iter().enumerate().flat_map(said).collect();
        report::junit(self.scenario, &runs, &void, &said)
    }

    /// The worst of all.
    fn end(&self, all: &[Drilled]) -> Result<Exit, Failure> {
        let ends: Vec<Exit> = all.iter().map(ending).collect();
        let any = |exit| ends.contains(&exit);
        if any(Exit::Environment) {
            out::say(format_args!("void: the drill says nothing, see above"));
            return Ok(Exit::Environment);
        }
        Ok(if any(Exit::Broke) { Exit::Broke } else { Exit::Fine })
    }

    /// The command that does the same again.
    fn command(&self) -> String {
        let path = |path: &Path| quoted(&path.display().to_string());
        let mut command = format!("baleen drill {}", path(&self.args.file));
        for set in &self.args.set {
            command.push_str(&format!(" --set {}", quoted(&format!("{}={}", set.key, set.value))));
        }
        let seed = self.args.seed.unwrap_or(self.scenario.seed);
        command.push_str(&format!(" --seed {seed:#x}"));
        if self.args.repeat > 1 {
            command.push_str(&format!(" --repeat {}", self.args.repeat));
        }
        command
    }
}

/// Runs that say something.
fn sound(all: &[Drilled]) -> Vec<Run> {
    all.iter().filter(|d| d.void.is_empty()).map(|d| d.run.clone()).collect()
}

fn ending(drilled: &Drilled) -> Exit {
    if !drilled.void.is_empty() {
        return Exit::Environment;
    }
    let held = drilled.run.is_sound() && drilled.verdicts.iter().all(|v| v.held);
    if held { Exit::Fine } else { Exit::Broke }
}
