//! A drill: the processes of a scenario are started, loaded, broken on its timeline, and what happened is put into figures.
//!
//! Order: everything that can't be is said ([`prepare`]); what dead drills left is removed; addresses and files are made; all is
//! started and waited for; calls begin; faults come and go; guards look; everything is undone; all is ended; what was told is
//! put together. Whatever goes wrong, and on Ctrl-C, undoing and ending are done all the same; when the drill is killed, the
//! kernel and the watcher do it (`process/leftover`).
//!
//! | file | part |
//! |---|---|
//! | `play` | the run itself |
//! | `director` | faults on the timeline, on a thread of their own |
//! | `scene` | what faults do to processes and registry |
//! | `look` | what Baleen thinks of its endpoints |
//! | `journal` | what happened, line by line |
//! | `attempts`, `record` | what was told, put together |
//! | `verdict` | whether the run says anything at all |
//!
//! Not here: expectations (`baleen_scenario::judge`), pages, the command line. Tested: beside the code, and through the real
//! program in `crates/baleen/tests/it/drill.rs`.

mod attempts;
mod director;
mod journal;
mod look;
mod play;
mod record;
mod scene;
mod verdict;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baleen_scenario::model::{On, Scenario};
use baleen_scenario::outcome::{Run, Verdict};
use serde::Serialize;

pub use record::Samples;
pub use verdict::Generator;

use crate::cast::monotonic;
use crate::descriptors;
use crate::fault::{FaultServer, Params, Running};
use crate::inject::Injector;
use crate::means::{Machine, Obstacle, Plan, Wish, plan};
use crate::net;
use crate::process::{Folder, Spawner, Troupe, Watcher, Who, cleanup, stop};
use crate::sample::Sample;
use crate::stage::{Ports, Stage, Wanted};
use crate::workload::Totals;
use journal::Journal;
use play::Play;
use scene::Scene;

/// How long all processes together may take until they are ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked for.
pub struct Options<'a> {
    /// What is set over the scenario's file.
    pub set: Vec<(String, String)>,
    /// What all randomness comes from.
    pub seed: u64,
    /// The `baleen` program.
    pub baleen: PathBuf,
    /// The folder stays.
    pub keep: bool,
    /// The journal is written here, too.
    pub journal: Option<File>,
    /// That the machine or the generator had no time left makes nothing void.
    pub busy_ok: bool,
    /// Lines for people, as they come up.
    pub tell: &'a dyn Fn(&str),
    /// How far it is, some times a second.
    pub progress: &'a dyn Fn(&Progress),
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// From 0 to 1.
    pub part: f64,
    /// Calls since the start.
    pub totals: Totals,
    /// Calls that ended in the last two seconds, of them answered well.
    pub recent: (u64, u64),
    /// Names of faults that are on.
    pub faults: Vec<String>,
}

/// What was seen of a fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Seen {
    /// Its name.
    pub fault: String,
    /// Its effect was there.
    pub seen: bool,
    /// For people.
    pub words: String,
}

/// A drill that came to its end.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// In figures, as those of a simulated run.
    pub run: Run,
    /// What became of expectations.
    pub verdicts: Vec<Verdict>,
    /// Why the run says nothing, each. Empty: it says something.
    pub void: Vec<String>,
    /// What was seen of each fault.
    pub seen: Vec<Seen>,
    /// What is good to know beside the figures.
    pub notes: Vec<String>,
    /// Service times before the first fault.
    pub samples: Samples,
    /// How busy the machine was.
    pub busy: Vec<Sample>,
    /// How well the generator kept up.
    pub generator: Generator,
    /// Where files were kept.
    pub kept: Option<PathBuf>,
}

/// Why there is no drill.
#[derive(Debug)]
pub enum Failure {
    /// What this scenario needs can't be had here.
    Obstacles(Vec<Obstacle>),
    /// This machine could not do it.
    Environment(String),
    /// This signal ended it. Everything was undone.
    Interrupted(i32),
}

impl Failure {
    fn io(what: &str) -> impl Fn(io::Error) -> Failure {
        move |e| Failure::Environment(format!("{what}: {e}"))
    }
}

/// What is known before anything starts.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What this machine can.
    pub machine: Machine,
    /// How each fault is done.
    pub plan: Plan,
}

/// Finds out how a scenario can be drilled here. Nothing is started but short tries of what the kernel lets us do.
///
/// # Errors
/// Everything that can't be.
pub fn prepare(scenario: &Scenario, wish: Wish) -> Result<Prepared, Failure> {
    let machine = Machine::probe(wish);
    let plan = plan(scenario, &machine).map_err(Failure::Obstacles)?;
    Ok(Prepared { machine, plan })
}

/// Drills a scenario. Must be called before the process has other threads when the plan wants a network of its own.
///
/// # Errors
/// It can't be started, or was interrupted. Nothing keeps running.
pub fn drill(
    scenario: &Scenario,
    prepared: &Prepared,
    options: &Options<'_>,
) -> Result<Drilled, Failure> {
    descriptors::raise();
    stop::listen().map_err(Failure::io("signals can't be listened to"))?;
    for left in cleanup() {
        let (folder, killed) = (left.folder.display(), left.killed);
        (options.tell)(&format!(
            "a drill that died had left {folder} and {killed} processes: removed"
        ));
    }
    let mut folder = Folder::new().map_err(Failure::io("no folder for the drill"))?;
    // Before the network is entered: it must see all processes.
    let watcher = Watcher::start(&options.baleen, &folder);
    let _watcher = watcher.map_err(Failure::io("the watcher can't be started"))?;
    if prepared.plan.private && !net::is_private() {
        net::enter_private().map_err(Failure::io("no network of its own"))?;
    }
    let drilled = perform(scenario, prepared, options, &folder);
    folder.kill_left();
    if options.keep {
        folder.keep();
        (options.tell)(&format!("the drill's folder is kept: {}", folder.path().display()));
    }
    let mut drilled = drilled?;
    drilled.kept = options.keep.then(|| folder.path().to_owned());
    Ok(drilled)
}

fn perform(
    scenario: &Scenario,
    prepared: &Prepared,
    options: &Options<'_>,
    folder: &Folder,
) -> Result<Drilled, Failure> {
    let files = Failure::io("the drill's files can't be made");
    let wanted = Wanted {
        scenario,
        set: &options.set,
        seed: options.seed,
        baleen: &options.baleen,
        folder: folder.path(),
        drill: folder.id(),
        plan: &prepared.plan,
    };
    let stage = Stage::new(&wanted, Ports::new()).map_err(&files)?;
    let journal = folder.path().join("journal.jsonl");
    let journal = Journal::new(&journal, options.journal.as_ref()).map_err(&files)?;
    let links = match prepared.plan.has_links() {
        true => Some(fault_server(options.seed)?),
        false => None,
    };
    let links_at = links.as_ref().map(Running::addr);
    let Prepared { machine, plan } = prepared;
    let injector = Injector::new(scenario, plan, machine, &stage.cast, links_at);
    let injector = injector.map_err(Failure::Environment)?;
    let spawner = Spawner::new().map_err(Failure::io("no thread to start programs"))?;
    let Stage { cast, players, looked, registry, ports: _ports } = stage;
    let troupe = Troupe::new(spawner, players);
    let scene = Arc::new(Scene::new(scenario, &cast, troupe, registry, journal));
    let looked =
        looked.into_iter().map(|l| (scene.name(Who::Process(l.group, l.nth)).to_owned(), l));
    let looked: Vec<_> = looked.collect();
    start_all(&scene, options)?;
    let mut play = Play { scenario, options, scene, cast, looked, folder: folder.path() };
    let mut drilled = play.run(injector);
    if let Ok(drilled) = &mut drilled {
        let why = play.scene.journal.failed();
        drilled.notes.extend(why.map(|why| format!("the journal is not whole: {why}")));
        let (silent, answered) = drilled.samples.silent;
        match verdict::silent(silent, answered) {
            // One that is killed can't write its last lines.
            Some(Err(why)) if !breaks_proxies(scenario) => drilled.void.push(why),
            Some(Ok(why) | Err(why)) => drilled.notes.push(why),
            None => {}
        }
    }
    play.scene.troupe.end(Instant::now());
    if let Some(links) = links {
        let _ = links.stop();
    }
    drilled
}

fn breaks_proxies(scenario: &Scenario) -> bool {
    scenario.faults.iter().flat_map(|fault| &fault.on).any(|on| matches!(on, On::Process(..)))
}

fn fault_server(seed: u64) -> Result<Running, Failure> {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let params = Params { listen, seed, connections_max: 65_536, ..Params::default() };
    let running = FaultServer::bind(params).and_then(FaultServer::spawn);
    running.map_err(|e| Failure::Environment(format!("the fault server can't be started: {e}")))
}

fn start_all(scene: &Scene, options: &Options<'_>) -> Result<(), Failure> {
    let begun = Instant::now();
    let all: Vec<Who> = scene.troupe.names().into_keys().collect();
    for who in &all {
        scene.troupe.start(*who).map_err(Failure::Environment)?;
    }
    for who in &all {
        let ready = scene.troupe.wait(*who, begun + START_TIMEOUT);
        if let Some(signal) = stop::asked() {
            return Err(Failure::Interrupted(signal));
        }
        ready.map_err(Failure::Environment)?;
    }
    let took = begun.elapsed().as_millis();
    scene.journal.note(monotonic(), "process", format!("{} processes are ready", all.len()));
    (options.tell)(&format!("{} processes are ready after {took} ms", all.len()));
    Ok(())
}
