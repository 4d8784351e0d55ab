//! `baleen run`: a configuration carried out, until a signal says to end.
//!
//! Order: everything is read and checked; everything is bound; only then does anything answer. Workers and the control thread
//! are the proxy's; this thread watches the services folder, serves the admin pages and listens to signals.
//!
//! Not here: translating a configuration (`wire.rs`), what is shown (`views.rs`). Tested: in `tests/it/` and `tests/cli.rs`.

pub mod control;
mod keepers;
mod naming;
pub mod signals;
mod tables;
mod views;
pub mod wire;

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baleen_admin::Admin;
use baleen_admin::control::ControlServer;
use baleen_discovery::files::{Services, Watch, WatchOptions, watch};
use baleen_discovery::store::follower::Now;
use baleen_proxy::Server;
use baleen_proxy::names::{self, ASKS_MAX, Ask};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::input::{self, Loaded};
use crate::out;
use control::Faults;
use keepers::Keepers;
use signals::Signals;
use tables::Tables;
use views::Shown;
use wire::{Changes, Wiring};

/// How long requests may take to end when the process is asked to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for flight recordings at the end.
const RECORDINGS_TIMEOUT: Duration = Duration::from_secs(10);

/// Carry traffic as a configuration says.
///
/// Prints one line `listening on ADDRESS (http)` per listener, and one each for the admin pages and the control
/// interface, when it is ready. SIGTERM or
/// Ctrl-C: accept nothing more, let requests end for up to 10 seconds, then exit; a second one: exit at once.
/// SIGUSR1: open the access log anew.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration, such as baleen.toml
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// At the end, write each worker's flight recording to DIR/worker-N.rec
    #[arg(long, value_name = "DIR")]
    record_dir: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = match input::load(&args.config) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            input::tell(&diagnostics);
            let found = baleen_config::summary(&diagnostics);
            let message = format!("{}: {found}; nothing was started", args.config.display());
            return Err(Failure::input(message));
        }
    };
    input::tell(&loaded.warnings);
    if let Some(dir) = args.record_dir.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(Failure::input(format!("--record-dir {}: no such folder", dir.display())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::environment(format!("can't start the runtime: {e}")))?;
    runtime.block_on(carry(loaded, args.record_dir.as_deref()))
}

async fn carry(loaded: Loaded, record_dir: Option<&Path>) -> Result<Exit, Failure> {
    let Loaded { config, services, .. } = loaded;
    let mut signals = Signals::new().map_err(|e| no_signals(&e))?;
    let reopen = signals::reopen().map_err(|e| no_signals(&e))?;
    let admin = match config.admin {
        Some(address) => Some(Admin::bind(address).await.map_err(|e| {
            Failure::bind(
                format!("can't listen on {address} for the admin pages: {}", e.source),
                &e.source,
            )
        })?),
        None => None,
    };
    let tables = Tables::open(&config).map_err(Failure::input)?;
    let control = bind_control(&config, tables.as_ref())?;
    let workers = workers(config.workers);
    let entries = config.recorder_entries;
    let protocols: Vec<&str> = config.listeners.iter().map(|_| "http").collect();
    let mut keepers = Keepers::start(&config).map_err(Failure::input)?;
    let mut wiring = Wiring::new(config, services.as_ref()).map_err(Failure::input)?;
    begin(&mut wiring, &mut keepers, tables.as_ref()).await;
    let (asks, asked) = names::asks();
    let seed = RandomState::new().hash_one(std::process::id());
    let plan = wiring.plan(workers, seed, entries, Some(asks));
    let directory = Arc::clone(&plan.directory);
    let server = Server::start(plan).map_err(|e| Failure::bind(e.to_string(), &e.error))?;
    let server = Arc::new(server);
    let watch = follow(&wiring, services);
    let health = watch.as_ref().map(Watch::health);
    let table = tables.as_ref().map(Tables::watched);
    let tables = tables.map(|tables| tables.follow(&server));
    let mut sources = Sources { watch, tables, asked, reopen };
    let shown = Shown::new(Arc::clone(&server), directory, health, keepers.registries(), table);
    let shown = Arc::new(shown);
    announce(&server, &protocols, admin.as_ref(), control.as_ref());

    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let pages = admin.map(|admin| {
        let stopped = async {
            let _ = admin_stopped.await;
        };
        tokio::spawn(admin.serve(Arc::clone(&shown), stopped))
    });
    let faults = Arc::new(Faults::new(Arc::clone(&server), Arc::clone(&shown)));
    let (stop_control, control_stopped) = oneshot::channel::<()>();
    let control = control.map(|control| {
        let stopped = async {
            let _ = control_stopped.await;
        };
        tokio::spawn(control.serve(faults, stopped))
    });
    tokio::select! {
        () = signals.end() => {}
        () = tend(&mut wiring, &mut keepers, &mut sources, &server, &shown) => {}
    }
    keepers.stop().await;
    shown.set_draining();
    out::say(format_args!("ending: requests in flight may take {DRAIN_TIMEOUT:?}"));
    drain(&server, &mut signals).await;
    if let Some(dir) = record_dir {
        write_recordings(&server, dir)?;
    }
    let (_, _) = (stop_admin.send(()), stop_control.send(()));
    for pages in [pages, control].into_iter().flatten() {
        let _ = pages.await;
    }
    Ok(Exit::Fine)
}

/// The control interface, if there is to be one, with the tables of a store, if there is one.
fn bind_control(
    config: &baleen_config::Config,
    tables: Option<&Tables>,
) -> Result<Option<ControlServer>, Failure> {
    let control = config.control.as_ref().map(control::bind).transpose()?;
    Ok(control.map(|control| match tables {
        Some(tables) => control.with_tables(tables.api()),
        None => control,
    }))
}

/// What is known from before is there before anything is asked for.
async fn begin(wiring: &mut Wiring, keepers: &mut Keepers, tables: Option<&Tables>) {
    let mut talk = wiring.news(keepers.cold()).talk;
    if let Some(tables) = tables
        && let Some(table) = tables.first().await
    {
        talk.extend(wiring.table(&table).talk);
    }
    talk.iter().for_each(|line| out::say(format_args!("{line}")));
}

/// Let requests end, until a second signal comes.
async fn drain(server: &Arc<Server>, signals: &mut Signals) {
    let draining = Arc::clone(server);
    let drain = tokio::task::spawn_blocking(move || draining.drain(DRAIN_TIMEOUT));
    tokio::select! {
        drained = drain => {
            if !drained.unwrap_or(false) {
                out::say(format_args!("some connections did not end in time and are cut"));
            }
        }
        () = signals.end() => {
            // Blocking threads would be waited for otherwise.
            std::process::exit(Exit::Fine as i32)
        }
    }
}

fn no_signals(e: &std::io::Error) -> Failure {
    Failure::environment(format!("can't listen for signals: {e}"))
}

/// As many as are asked for, else one per processor that this process may use.
fn workers(asked: Option<u16>) -> u16 {
    asked.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        u16::try_from(processors).unwrap_or(u16::MAX)
    })
}

fn follow(wiring: &Wiring, services: Option<Services>) -> Option<Watch> {
    Some(watch(wiring.services_dir()?, services?, WatchOptions::default()))
}

/// One line for each place where something answers, on standard output.
fn announce(
    server: &Server,
    protocols: &[&str],
    admin: Option<&Admin>,
    control: Option<&ControlServer>,
) {
    let mut lines = String::new();
    for (address, protocol) in server.addresses().iter().zip(protocols) {
        let _ = writeln!(lines, "listening on {address} ({protocol})");
    }
    if let Some(admin) = admin {
        let _ = writeln!(lines, "listening on {} (admin)", admin.address());
    }
    if let Some(control) = control {
        let _ = writeln!(lines, "listening on {} (control)", control.place());
    }
    // That nobody can be told is no reason not to serve.
    if let Err(failure) = out::data(&lines) {
        failure.tell();
    }
}

/// What is heard while traffic is carried, besides registries.
struct Sources {
    watch: Option<Watch>,
    tables: Option<mpsc::Receiver<Now>>,
    asked: mpsc::Receiver<Ask>,
    reopen: tokio::signal::unix::Signal,
}

/// Pass on what namers say, find out what workers ask, and open logs anew when asked to. Never ends.
async fn tend(
    wiring: &mut Wiring,
    keepers: &mut Keepers,
    sources: &mut Sources,
    server: &Server,
    shown: &Shown,
) {
    let Sources { watch, tables, asked, reopen } = sources;
    let mut asks = Vec::new();
    let mut tick = tokio::time::interval(keepers::TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = async {
            match watch {
                Some(watch) => watch.next().await,
                None => None,
            }
        };
        let table = async {
            match tables {
                Some(tables) => tables.recv().await,
                None => None,
            }
        };
        tokio::select! {
            // In this order: who is settled is looked at only when nothing waits.
            biased;
            Some(()) = reopen.recv() => server.reopen_logs(),
            Some(update) = next => apply(wiring.update(update), server, shown),
            Some(now) = table => match now {
                Now::Table { text, .. } => apply(wiring.table(&text), server, shown),
                Now::Talk(line) => out::say(format_args!("{line}")),
            },
            1.. = asked.recv_many(&mut asks, ASKS_MAX) => {
                let changes = wiring.asked(&asks, &mut |path| keepers.want(path));
                apply(changes, server, shown);
                asks.clear();
            }
            news = keepers.next() => apply(wiring.news(news), server, shown),
            _ = tick.tick() => {
                let news = keepers.tick(Instant::now(), &|place| wiring.take_used(place));
                if !news.is_empty() {
                    apply(wiring.news(news), server, shown);
                }
            }
        }
    }
}

fn apply(changes: Changes, server: &Server, shown: &Shown) {
    if let Some(directory) = changes.names.as_ref().or(changes.addresses.as_ref()) {
        shown.set_directory(Arc::clone(directory));
    }
    if let Some(directory) = changes.addresses {
        server.directory(directory);
    }
    if let Some(params) = changes.params {
        server.reconfigure(params);
    }
    for (cluster, set) in changes.sets {
        server.apply(cluster, set);
    }
    for (id, target) in changes.targets {
        server.bind(id, Some(target));
    }
    if let Some(directory) = changes.names {
        server.directory(directory);
    }
    for line in changes.talk {
        out::say(format_args!("{line}"));
    }
}

fn write_recordings(server: &Server, dir: &Path) -> Result<(), Failure> {
    for recording in server.recordings(RECORDINGS_TIMEOUT) {
        let path = dir.join(format!("worker-{}.rec", recording.worker.0));
        std::fs::write(&path, recording.to_bytes())
            .map_err(|e| Failure::environment(format!("can't write {}: {e}", path.display())))?;
    }
    Ok(())
}
