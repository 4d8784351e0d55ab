//! `baleen sim`: a scenario in virtual time, with the policies that carry traffic.
//!
//! One run, many seeds, a sweep over values, the search for the tipping point, and why an expectation broke. Data goes to
//! standard output and is the same, to the byte, for the same file, seed and options, with any number of threads; warnings and how
//! far it is go to standard error.
//!
//! | file | part |
//! |---|---|
//! | `args.rs` | what can be asked |
//! | `show.rs` | what many runs gave, as text |
//! | `page.rs` | the page's file |
//! | `progress.rs` | how far it is |
//!
//! Not here: running (`baleen-sim`), reading, judging and drawing one run (`baleen-scenario`). Tested: in `tests/sim.rs`.

mod args;
pub mod page;
mod progress;
mod show;

use baleen_config::{Diagnostic, summary};
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Run, Verdict};
use baleen_scenario::{Override, judge, load, report, written};
use baleen_sim::par::Crew;
use baleen_sim::quantity::Quantity;
use baleen_sim::sweep::{Range, sweep};
use baleen_sim::tips::{Found, Search, tips};
use baleen_sim::why::{Why, why};
use baleen_sim::{Options, many, simulate};
use serde_json::{Value, json};

pub use args::{Args, seed, set};
use args::{Format, Task};
use page::Page;
use progress::Bar;

use crate::exit::{Exit, Failure};
use crate::input;
use crate::out::{self, Paint};

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let task = args.task()?;
    let bar = Bar::new();
    let tell = |part: f64| bar.tell(part);
    let work = Work {
        args,
        crew: Crew { threads: args.threads(), check: args.check, progress: Some(&tell) },
        bar: &bar,
        paint: Paint::stdout(),
    };
    let done = match task {
        Task::One => work.one(),
        Task::Many(seeds) => work.many(seeds),
        Task::Sweep(range) => work.sweep(range),
        Task::Tips(search) => work.tips(search),
    };
    match done {
        Ok(exit) => Ok(exit),
        Err(Stop::Input(diagnostics)) => {
            input::tell(&diagnostics);
            out::say(format_args!("{}: {}", args.file.display(), summary(&diagnostics)));
            Ok(Exit::BadInput)
        }
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// Why nothing came of it.
enum Stop {
    /// The file, or a value for it, is wrong.
    Input(Vec<Diagnostic>),
    /// Something else.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// What is asked, and with what.
struct Work<'a> {
    args: &'a Args,
    crew: Crew<'a>,
    bar: &'a Bar,
    paint: Paint,
}

impl Work<'_> {
    /// The scenario as it is asked for. Warnings are told.
    fn load(&self) -> Result<Scenario, Stop> {
        let (scenario, warnings) = load(&self.args.file, &self.args.set).map_err(Stop::Input)?;
        input::tell(&warnings);
        tell_replaced(&scenario);
        Ok(scenario)
    }

    /// The same with one more value.
    fn load_with(&self, key: &str, value: &str) -> Result<Scenario, Stop> {
        let mut set = self.args.set.clone();
        set.push(Override { key: key.to_owned(), value: value.to_owned() });
        load(&self.args.file, &set).map(|(scenario, _)| scenario).map_err(Stop::Input)
    }

    fn one(&self) -> Result<Exit, Stop> {
        let scenario = self.load()?;
        let page = self.page()?;
        let seed = self.args.seed.unwrap_or(scenario.seed);
        let options =
            Options { seed, check: self.args.check, progress: self.crew.progress, tweak: None };
        let run = simulate(&scenario, &options);
        let verdicts = judge(&scenario, &run);
        let why = self.why(&scenario, &run, &verdicts);
        self.bar.done();
        let held = holds(&run, &verdicts);
        if self.args.format == Format::Json {
            let mut value = self.object(&run, &verdicts);
            value["replaced"] = replaced_json(&scenario);
            value["why"] = why.as_ref().map_or(Value::Null, |why| json!(why));
            print(&value)?;
        } else {
            let mut text = self.drawn(&scenario, &run, &verdicts);
            if let Some(why) = &why {
                text.push_str(&format!("\n{}", show::why(why, self.paint)));
            } else if self.args.why {
                text.push_str("\nwhy: no expectation broke, so there is nothing to explain\n");
            }
            out::data(&text)?;
        }
        write(page, || report::html(&scenario, &run, &verdicts, &self.replay(seed)))?;
        whole(run.stopped.iter())?;
        Ok(held)
    }

    /// Replays, when they are asked for and something did not hold.
    fn why(&self, scenario: &Scenario, run: &Run, verdicts: &[Verdict]) -> Option<Why> {
        let broke = verdicts.iter().any(|v| !v.held);
        (self.args.why && broke).then(|| why(scenario, run, &self.crew))
    }

    fn many(&self, seeds: u32) -> Result<Exit, Stop> {
        let scenario = self.load()?;
        let page = self.page()?;
        let first = self.args.seed.unwrap_or(scenario.seed);
        let many = many::many(&scenario, first, seeds, &self.crew);
        let verdicts = judge(&scenario, &many.shown);
        let why = self.why(&scenario, &many.shown, &verdicts);
        self.bar.done();
        let shown = many.shown.seed;
        if self.args.format == Format::Json {
            let mut value = json!(many.summary);
            value["title"] = json!(scenario.title);
            value["replaced"] = replaced_json(&scenario);
            value["seed"] = json!(first);
            value["replay"] = json!(self.replay(shown));
            value["why"] = why.as_ref().map_or(Value::Null, |why| json!(why));
            print(&value)?;
        } else {
            let mut text = show::many(&scenario.title, &many.summary, self.paint);
            let what = if many.summary.failed_seeds.is_empty() {
                "replay one"
            } else {
                "replay one that failed"
            };
            text.push_str(&format!("{what}: {}\n", self.replay(shown)));
            if let Some(why) = &why {
                text.push_str(&format!("\nseed {shown:#x}, {}", show::why(why, self.paint)));
            } else if self.args.why {
                text.push_str("\nwhy: no expectation broke, so there is nothing to explain\n");
            }
            out::data(&text)?;
        }
        write(page, || report::html(&scenario, &many.shown, &verdicts, &self.replay(shown)))?;
        whole(many.summary.stopped.iter())?;
        let sound = many.summary.held == many.summary.runs;
        Ok(if sound { Exit::Fine } else { Exit::Broke })
    }

    fn sweep(&self, range: &Range) -> Result<Exit, Stop> {
        let range = &self.present(&range.key).map_or_else(|| range.clone(), |now| range.like(&now));
        let scenario = self.load_with(&range.key, &range.values[0])?;
        tell_replaced(&scenario);
        let page = self.page()?;
        let read = |value: &str| self.load_with(&range.key, value);
        let seeds = self.args.seeds.unwrap_or(1);
        let points = sweep(range, read, self.args.seed, seeds, &self.crew)?;
        self.bar.done();
        if self.args.format == Format::Json {
            print(&json!(points))?;
        } else {
            out::data(&show::sweep(&scenario.title, &range.key, &points, self.paint))?;
        }
        write(page, || {
            let points = show::on_page(&points);
            let again = quoted(&format!("{}={}", range.key, range.values.join(",")));
            let command = format!("{} --sweep {again}", self.command());
            report::sweep_html(&scenario.title, &range.key, &points, &command)
        })?;
        whole(points.iter().flat_map(|p| &p.summary.stopped))?;
        let sound = points.iter().all(|p| p.summary.held == p.summary.runs);
        Ok(if sound { Exit::Fine } else { Exit::Broke })
    }

    fn tips(&self, search: &Search) -> Result<Exit, Stop> {
        let scenario = self.load()?;
        let present = self.present(&search.key);
        if search.ends.is_none() && present.as_ref().is_none_or(|now| now.number <= 0.0) {
            return Err(self.no_start(&search.key).into());
        }
        let search = present.as_ref().map_or_else(|| search.clone(), |now| search.like(now));
        let read = |value: &str| self.load_with(&search.key, value);
        let seeds = self.args.seeds.unwrap_or(baleen_sim::tips::SEEDS);
        let found = tips(&search, present.as_ref(), read, self.args.seed, seeds, &self.crew)?;
        self.bar.done();
        if self.args.format == Format::Json {
            let mut value = json!(found);
            value["replaced"] = replaced_json(&scenario);
            print(&value)?;
        } else {
            out::data(&show::tips(&scenario.title, &found, self.paint))?;
        }
        whole(found.stopped.iter())?;
        let broke = found.found == Found::NeverBack || !found.violations.is_empty();
        Ok(if broke { Exit::Broke } else { Exit::Fine })
    }

    /// What the file says a key is, if that is a number with or without a unit.
    fn present(&self, key: &str) -> Option<Quantity> {
        Quantity::parse(&written(&self.args.file, &self.args.set, key)?).ok()
    }

    /// A search can't start at what a key is now.
    fn no_start(&self, key: &str) -> Failure {
        let message = match written(&self.args.file, &self.args.set, key) {
            Some(text) => format!("`{key}` is `{text}`: there is nothing to double or halve"),
            None => format!("`{key}` has no value in {}", self.args.file.display()),
        };
        Failure::input(message)
            .hint(format!("give the ends of the search: --until-tips {key}=A..B"))
    }

    /// One run, drawn.
    fn drawn(&self, scenario: &Scenario, run: &Run, verdicts: &[Verdict]) -> String {
        let (width, colour) = (out::stdout_columns(), self.paint.is_on());
        let drawn = report::terminal(scenario, run, verdicts, width, colour);
        format!("{}\n\nreplay: {}\n", drawn.trim_end(), self.replay(run.seed))
    }

    /// One run as an object.
    fn object(&self, run: &Run, verdicts: &[Verdict]) -> Value {
        let mut value = json!(run);
        value["held"] = json!(holds(run, verdicts) == Exit::Fine);
        value["verdicts"] = json!(verdicts);
        value["replay"] = json!(self.replay(run.seed));
        value
    }

    /// The command that gives the same run again.
    fn replay(&self, seed: u64) -> String {
        format!("{} --seed {seed:#x}", self.command())
    }

    /// The command up to what it varies.
    fn command(&self) -> String {
        let mut command = format!("baleen sim {}", quoted(&self.args.file.display().to_string()));
        for set in &self.args.set {
            command.push_str(&format!(" --set {}", quoted(&format!("{}={}", set.key, set.value))));
        }
        command
    }

    /// The page's file, opened before anything runs: it is told early that it can't be.
    fn page(&self) -> Result<Option<Page<'_>>, Failure> {
        self.args.report.as_deref().map(Page::open).transpose()
    }
}

fn write(page: Option<Page<'_>>, html: impl FnOnce() -> String) -> Result<(), Failure> {
    page.map_or(Ok(()), |page| page.write(&html()))
}

/// A run that was stopped says nothing about what would have been.
fn whole<'a>(mut stopped: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let Some(why) = stopped.next() else { return Ok(()) };
    let failure = Failure::environment(format!("a run was stopped before its end: {why}"));
    Err(failure.hint("bound the queue, add a timeout, or lower the rate"))
}

/// What runs replace of configurations or leave out of them, with the groups of proxies that this is true of.
fn replaced(scenario: &Scenario) -> Vec<(Vec<&str>, &[String])> {
    let mut all: Vec<(Vec<&str>, &[String])> = Vec::new();
    for group in scenario.proxies.iter().filter(|g| !g.replaced.is_empty()) {
        match all.iter_mut().find(|(_, what)| *what == group.replaced) {
            Some((names, _)) => names.push(&group.name),
            None => all.push((vec![&group.name], &group.replaced)),
        }
    }
    all
}

/// The same as an object.
pub fn replaced_json(scenario: &Scenario) -> Value {
    let of = |(proxies, what): &(Vec<&str>, &[String])| json!({"proxies": proxies, "what": what});
    replaced(scenario).iter().map(of).collect()
}

/// The same for people.
pub fn tell_replaced(scenario: &Scenario) {
    let note = Paint::stderr().cyan("note");
    for (proxies, what) in replaced(scenario) {
        let (proxies, what) = (proxies.join(", "), what.join(", "));
        out::say(format_args!(
            "{note}: of the configuration of {proxies} the run replaces or leaves out: {what}"
        ));
    }
}

fn holds(run: &Run, verdicts: &[Verdict]) -> Exit {
    let sound = run.is_sound() && verdicts.iter().all(|v| v.held);
    if sound { Exit::Fine } else { Exit::Broke }
}

fn print(value: &Value) -> Result<(), Failure> {
    out::data(&format!("{value}\n"))
}

/// As a shell takes it for one word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:%@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
