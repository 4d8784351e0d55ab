//! A thousand random scenarios, over the whole list of settings, with the invariants held after every event.
//!
//! Each is drawn as the text of a file, so the reader is tried as well: what is drawn is right, so it must take it. A scenario must
//! end, violate nothing, give the same events when it is run again, and have figures that add up.
//!
//! | module | idea |
//! |---|---|
//! | `plan`, `breaks`, `mesh` | who is there; what breaks and is expected; settings of Baleen |
//! | `tree`, `dice` | a file as a tree that counts settings; choices |
//! | `found` | what was found so, kept as small scenarios |
//! | `figures` | what must hold of figures, whatever the scenario |
//! | `sets` | `--set` with whatever, on the files of `scenarios/` |
//!
//! A failure prints the number of the scenario and its files. `BALEEN_RANDOM=17` runs number 17 alone, `BALEEN_RANDOM=1000..90000`
//! those; so longer hunts are made.

mod breaks;
mod dice;
mod figures;
mod found;
mod mesh;
mod plan;
mod sets;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use baleen_config::table::{Def, Kind};
use baleen_config::{Look, Memory, render};
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::Run;
use baleen_scenario::{judge, lint, load_from, parse_str, report};
use baleen_sim::par::Crew;
use baleen_sim::{Options, simulate};

use plan::Files;
use tree::Used;

/// How many scenarios there are.
const COUNT: u64 = 1000;
/// Each key and each kind of fault must come up so often among them.
const USED_MIN: u64 = 5;
/// A run that takes longer does not end.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// More events than small scenarios have.
const EVENTS_MAX: u64 = 20_000_000;

/// Which are run.
fn numbers() -> Range<u64> {
    let Ok(asked) = std::env::var("BALEEN_RANDOM") else { return 0..COUNT };
    let number = |text: &str| text.parse::<u64>().expect("BALEEN_RANDOM=17 or 1000..90000");
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&asked)..number(&asked) + 1,
    }
}

/// Prints what was at work when something panics.
struct Told<'a>(u64, &'a Files);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", shown(self.0, self.1));
        }
    }
}

/// Number, files, and how to run it again. The files are written, too.
fn shown(number: u64, files: &Files) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("random-{number}"));
    let mut all = format!("random scenario {number}");
    let written = std::fs::create_dir_all(&folder);
    for (name, text) in files {
        let _ = written.as_ref().map(|()| std::fs::write(folder.join(name), text));
        all.push_str(&format!("\n--- {name}\n{text}"));
    }
    let path = folder.join("random.toml");
    all.push_str(&format!("---\nagain: baleen sim {}\n", path.display()));
    all.push_str(&format!(
        "or:    BALEEN_RANDOM={number} cargo test -p baleen-sim --test random\n"
    ));
    all
}

fn read(number: u64, files: &Files) -> Scenario {
    let loaded = match (files.len(), files.get("random.toml")) {
        (1, Some(text)) => parse_str("random.toml", text, &[]),
        _ => {
            let memory = files.iter().map(|(name, text)| (PathBuf::from(name), text.clone()));
            load_from(&Memory(memory.collect()), Path::new("random.toml"), &[])
        }
    };
    match loaded {
        Ok((scenario, warnings)) => {
            let shown = render(&warnings, Look::Plain);
            assert_eq!(warnings.is_empty(), shown.is_empty());
            scenario
        }
        Err(wrong) => panic!("{number} is refused:\n{}", render(&wrong, Look::Plain)),
    }
}

fn run(scenario: &Scenario, check: bool) -> Run {
    let options = Options { seed: scenario.seed, check, progress: None, tweak: None };
    simulate(scenario, &options)
}

/// One scenario from its number to its report.
fn one(number: u64) -> Used {
    let (files, mut used) = plan::draw(number);
    let told = Told(number, &files);
    let scenario = read(number, &files);
    for fault in &scenario.faults {
        *used.entry(("kind of fault", fault.kind.as_str())).or_default() += 1;
    }
    let run = run(&scenario, true);
    assert!(run.violations.is_empty(), "{:#?}", run.violations);
    assert!(run.events < EVENTS_MAX, "{} events", run.events);
    figures::hold(&scenario, &run);
    for line in &run.log {
        *used.entry(("line of the log", line.kind)).or_default() += 1;
    }
    if number.is_multiple_of(10) {
        let again = self::run(&scenario, false);
        assert_eq!(run.events_hash, again.events_hash, "the same seed, other events");
        assert_eq!(figures::text(&run), figures::text(&again), "the same events, other figures");
    }
    if number.is_multiple_of(20) {
        reports(&scenario, &run);
    }
    drop(told);
    used
}

fn reports(scenario: &Scenario, run: &Run) {
    let verdicts = judge(scenario, run);
    assert_eq!(verdicts.len(), scenario.expects.len());
    let warnings = lint::lint(scenario);
    let pages = [
        report::html(scenario, run, &verdicts, "baleen sim random.toml"),
        report::json(scenario, run, &verdicts),
        report::terminal(scenario, run, &verdicts, 100, true),
        report::svg(scenario, run),
        format!("{verdicts:?}"),
        render(&warnings, Look::Plain),
    ];
    for page in pages {
        for word in ["NaN", "inf ", "inf\"", "inf<", "infinity", "-0.0 "] {
            assert!(!page.contains(word), "{word}in\n{page}");
        }
    }
}

/// Ends the process when a scenario does not end; a thread of its own would hang with it.
fn watched(running: &Mutex<BTreeMap<u64, Instant>>, over: &std::sync::mpsc::Receiver<()>) {
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
        over.recv_timeout(Duration::from_secs(1))
    {
        let late = running.lock().ok().and_then(|running| {
            running.iter().find(|(_, since)| since.elapsed() > ENDS_WITHIN).map(|(n, _)| *n)
        });
        if let Some(number) = late {
            eprintln!("does not end: {}", shown(number, &plan::draw(number).0));
            std::process::exit(101);
        }
    }
}

#[test]
fn random_scenarios_violate_nothing() {
    let numbers = numbers();
    let running = Mutex::new(BTreeMap::new());
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = (numbers.end - numbers.start) as usize;
    let all = std::thread::scope(|scope| {
        let running = &running;
        scope.spawn(move || watched(running, &is_over));
        let all = Crew::of(threads).work(count, |nth, _| {
            let number = numbers.start + nth as u64;
            running.lock().expect("no panic in there").insert(number, Instant::now());
            let used = std::panic::catch_unwind(|| one(number));
            running.lock().expect("no panic in there").remove(&number);
            used.map_err(|_| number)
        });
        drop(over);
        all
    });
    let failed: Vec<u64> = all.iter().filter_map(|one| one.as_ref().err().copied()).collect();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    let mut used = Used::new();
    for (key, n) in all.into_iter().flatten().flatten() {
        *used.entry(key).or_default() += n;
    }
    if count as u64 >= COUNT {
        everything_came_up(&used);
    }
}

/// What runs must have told of, so that it is known that something went on in them.
const TOLD: [&str; 10] = [
    "fault",
    "deploy",
    "registry",
    "unended",
    "ejected",
    "restored",
    "panic",
    "limit",
    "admission",
    "quarantine",
];

/// Each key of the list of settings, and each kind of fault.
fn everything_came_up(used: &Used) {
    let mut all: Vec<(&'static str, &'static str)> =
        baleen_scenario::keys::FAULT_KINDS.iter().map(|kind| ("kind of fault", *kind)).collect();
    all.extend(TOLD.iter().map(|kind| ("line of the log", *kind)));
    keys_of(&baleen_scenario::keys::ROOT, &mut all);
    let rare: Vec<_> = all
        .iter()
        .map(|key| (key, used.get(key).copied().unwrap_or(0)))
        .filter(|(_, n)| *n < USED_MIN)
        .collect();
    assert!(rare.is_empty(), "came up too seldom: {rare:?}");
}

fn keys_of(def: &'static Def, all: &mut Vec<(&'static str, &'static str)>) {
    for key in def.keys {
        if all.contains(&(def.path, key.name)) {
            continue;
        }
        all.push((def.path, key.name));
        match &key.kind {
            Kind::Elsewhere(inner, _) => keys_of(inner, all),
            kind => kind.inner().into_iter().for_each(|inner| keys_of(inner, all)),
        }
    }
}
