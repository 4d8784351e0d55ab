//! `baleen run`: a configuration carried out, until a signal says to end.
//!
//! Order: everything is read and checked; everything is bound; only then does anything answer. Workers and the control thread
//! are the proxy's; this thread watches the services folder, serves the admin pages and listens to signals.
//!
//! Not here: translating a configuration (`wire.rs`), what is shown (`views.rs`). Tested: in `tests/it/` and `tests/cli.rs`.

pub mod control;
pub mod signals;
mod views;
pub mod wire;

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baleen_admin::Admin;
use baleen_admin::control::ControlServer;
use baleen_discovery::files::{Services, Update, Watch, WatchOptions, watch};
use baleen_proxy::Server;
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure};
use crate::input::{self, Loaded};
use crate::out;
use control::Faults;
use signals::Signals;
use views::Shown;
use wire::Wiring;

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
    let control = config.control.as_ref().map(control::bind).transpose()?;
    let workers = workers(config.workers);
    let entries = config.recorder_entries;
    let protocols: Vec<&str> = config.listeners.iter().map(|_| "http").collect();
    let wiring = Wiring::new(config, services.as_ref()).map_err(Failure::input)?;
    let plan = wiring.plan(workers, RandomState::new().hash_one(std::process::id()), entries);
    let directory = Arc::clone(&plan.directory);
    let server = Server::start(plan).map_err(|e| Failure::bind(e.to_string(), &e.error))?;
    let server = Arc::new(server);
    let watch = follow(&wiring, services);
    let health = watch.as_ref().map(Watch::health);
    let shown = Arc::new(Shown::new(Arc::clone(&server), directory, health));
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
        () = tend(wiring, watch, reopen, &server, &shown) => {}
    }
    shown.set_draining();
    out::say(format_args!("ending: requests in flight may take {DRAIN_TIMEOUT:?}"));
    let draining = Arc::clone(&server);
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
    if let Some(dir) = record_dir {
        write_recordings(&server, dir)?;
    }
    let (_, _) = (stop_admin.send(()), stop_control.send(()));
    for pages in [pages, control].into_iter().flatten() {
        let _ = pages.await;
    }
    Ok(Exit::Fine)
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

/// Pass changes of services files on, and open logs anew when asked to. Never ends.
async fn tend(
    mut wiring: Wiring,
    mut watch: Option<Watch>,
    mut reopen: tokio::signal::unix::Signal,
    server: &Server,
    shown: &Shown,
) {
    loop {
        let next = async {
            match &mut watch {
                Some(watch) => watch.next().await,
                None => None,
            }
        };
        tokio::select! {
            Some(update) = next => apply(&mut wiring, update, server, shown),
            Some(()) = reopen.recv() => server.reopen_logs(),
            else => std::future::pending().await,
        }
    }
}

fn apply(wiring: &mut Wiring, update: Update, server: &Server, shown: &Shown) {
    let changes = wiring.update(update);
    if let Some(directory) = changes.directory {
        shown.set_directory(Arc::clone(&directory));
        server.directory(directory);
    }
    if let Some(params) = changes.params {
        server.reconfigure(params);
    }
    for (id, target) in changes.targets {
        server.bind(id, Some(target));
    }
    for (cluster, set) in changes.sets {
        server.apply(cluster, set);
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
