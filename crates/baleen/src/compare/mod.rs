//! `baleen compare`: the same file simulated and drilled, the prediction held against what was measured.
//!
//! What can't be drilled here is said before anything starts. With `--fit` drills come first and the simulation is made of what they
//! saw before the fault.
//!
//! | file | part |
//! |---|---|
//! | `args.rs` | what can be asked |
//! | `drills.rs` | the same drill several times |
//!
//! Not here: tolerances and tables (`baleen_scenario::compare`), drills (`baleen_drill::run`), simulation (`baleen_sim`).
//! Tested: in the files and in `tests/it/compare.rs`.

mod args;
mod drills;

use baleen_config::summary;
use baleen_drill::run::{
    Failure as Refused, Options as Wanted, Prepared, Samples as Drilled, drill, prepare,
};
use baleen_scenario::compare::{Comparison, Samples, TimedAt, Times, compare, fit, text};
use baleen_scenario::model::{Program, Scenario};
use baleen_scenario::outcome::Run;
use baleen_scenario::{load, repeat, report};
use baleen_sim::many::seed_of;
use baleen_sim::par::Crew;
use baleen_sim::{Options, simulate};
use serde_json::json;

pub use args::Args;
use drills::{Drills, One, drills};

use crate::drill::{refuse, tell_stand_ins};
use crate::exit::{Exit, Failure};
use crate::sim::page::Page;
use crate::sim::{quoted, tell_replaced};
use crate::{input, out};

/// Both, and what is between them.
struct Both {
    predicted: Vec<Run>,
    drills: Drills,
    comparison: Comparison,
}

/// Why there is nothing to compare.
enum Stop {
    /// A drill could not be done, or was ended.
    Refused(Refused),
    /// Something else.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let scenario = match load(&args.file, &args.set) {
        Ok((scenario, warnings)) => {
            input::tell(&warnings);
            scenario
        }
        Err(diagnostics) => {
            input::tell(&diagnostics);
            out::say(format_args!("{}: {}", args.file.display(), summary(&diagnostics)));
            return Ok(Exit::BadInput);
        }
    };
    tell_replaced(&scenario);
    let page = args.html.as_deref().map(Page::open).transpose()?;
    let prepared = match prepare(&scenario, args.faults.into()) {
        Ok(prepared) => prepared,
        Err(refused) => return refuse(refused),
    };
    tell_stand_ins(&scenario, &prepared.plan);
    let both = match both(args, &scenario, &prepared) {
        Ok(both) => both,
        Err(Stop::Refused(refused)) => return refuse(refused),
        Err(Stop::Failure(failure)) => return Err(failure),
    };
    let Both { predicted, drills, comparison } = &both;
    let held = comparison.holds();
    if args.json {
        out::data(&format!("{}\n", object(args, &scenario, &both)))?;
    } else {
        out::data(&text(comparison))?;
    }
    if let Some(page) = page {
        let again = command(args);
        page.write(&report::compare_html(&scenario, comparison, predicted, &drills.runs, &again))?;
    }
    Ok(if held { Exit::Fine } else { Exit::Broke })
}

/// Each with all that can be known about it.
fn both(args: &Args, scenario: &Scenario, prepared: &Prepared) -> Result<Both, Stop> {
    let first = args.seed.unwrap_or(scenario.seed);
    // A simulation that can't be finished is known before anybody waits for drills.
    let early = if args.fit { None } else { Some(predict(args, scenario, first)?) };
    let drills = drills(args.repeat, first, |seed| once(args, scenario, prepared, seed))?;
    let (predicted, notes) = match early {
        Some(predicted) => (predicted, Vec::new()),
        None => {
            let (fitted, notes) = fit(scenario, &drills.samples);
            (predict(args, &fitted, first)?, notes)
        }
    };
    let mut comparison = compare(scenario, &predicted, &drills.runs);
    if args.fit {
        comparison = comparison.fitted();
        comparison.notes.extend(notes);
    }
    let stands_in = prepared.plan.means.iter().filter_map(|m| m.stands_in.clone());
    comparison.notes.extend(stands_in);
    comparison.notes.extend(drills.notes.iter().cloned());
    comparison
        .notes
        .extend(drills.void.iter().map(|w| format!("a drill was void and done again: {w}")));
    Ok(Both { predicted, drills, comparison })
}

fn predict(args: &Args, scenario: &Scenario, first: u64) -> Result<Vec<Run>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runs = Crew::of(threads).work(args.seeds as usize, |nth, progress| {
        let seed = seed_of(first, u32::try_from(nth).unwrap_or(u32::MAX));
        simulate(scenario, &Options { progress: Some(progress), ..Options::seeded(seed) })
    });
    for run in &runs {
        let wrong = run.stopped.iter().chain(&run.violations).next();
        if let Some(why) = wrong {
            let seed = run.seed;
            let failure =
                Failure::environment(format!("the simulation with seed {seed:#x}: {why}"));
            return Err(
                failure.hint(format!("baleen sim {} --seed {seed:#x}", args.file.display()))
            );
        }
    }
    Ok(runs)
}

/// One drill.
fn once(args: &Args, scenario: &Scenario, prepared: &Prepared, seed: u64) -> Result<One, Stop> {
    let baleen = std::env::current_exe()
        .map_err(|e| Failure::environment(format!("this program can't be found: {e}")))?;
    let options = Wanted {
        set: args.set.iter().map(|s| (s.key.clone(), s.value.clone())).collect(),
        seed,
        baleen,
        keep: false,
        journal: None,
        busy_ok: args.busy_ok,
        tell: &|line| out::say(format_args!("{line}")),
        progress: &|_| {},
    };
    let drilled = drill(scenario, prepared, &options).map_err(Stop::Refused)?;
    let samples = samples(scenario, drilled.samples);
    Ok(One { run: drilled.run, void: drilled.void, notes: drilled.notes, samples })
}

/// Service times with where they were taken: servers that are ours tell their work, of real programs callers tell what they saw.
fn samples(scenario: &Scenario, drilled: Drilled) -> Samples {
    let until = scenario.fault_span().map_or(scenario.duration, |(from, _)| from);
    let over_s = until.saturating_sub(scenario.warmup).as_secs_f64();
    let of = |(service, (seconds, seen)): (&baleen_scenario::model::Service, (Vec<f64>, u64))| {
        let at = match service.program {
            Program::BuiltIn(_) => TimedAt::Server,
            Program::Real { .. } => TimedAt::Caller,
        };
        (seen > 0).then_some(Times { at, over_s, seen, seconds })
    };
    let times = drilled.times.into_iter().zip(drilled.seen);
    Samples { services: scenario.services.iter().zip(times).map(of).collect() }
}

/// The same command line, for whoever reads the result.
fn command(args: &Args) -> String {
    let mut command = format!("baleen compare {}", quoted(&args.file.display().to_string()));
    for set in &args.set {
        command.push_str(&format!(" --set {}", quoted(&format!("{}={}", set.key, set.value))));
    }
    if let Some(seed) = args.seed {
        command.push_str(&format!(" --seed {seed:#x}"));
    }
    command.push_str(&format!(" --repeat {} --seeds {}", args.repeat, args.seeds));
    if args.fit {
        command.push_str(" --fit");
    }
    command
}

/// All of it as an object.
fn object(args: &Args, scenario: &Scenario, both: &Both) -> serde_json::Value {
    json!({
        "held": both.comparison.holds(),
        "fitted": args.fit,
        "command": command(args),
        "comparison": both.comparison,
        "text": text(&both.comparison),
        "predicted": repeat::summary(scenario, &both.predicted),
        "measured": repeat::summary(scenario, &both.drills.runs),
    })
}
