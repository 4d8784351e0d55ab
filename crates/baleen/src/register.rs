//! `baleen register`: keeps a service of this machine in a registry while it runs, and takes it out first when it ends.
//!
//! The key `NAME/HOST:PORT` is held under a lease (`baleen_discovery::kv::Kv::hold`): who dies without a word is gone after its TTL.
//! A registry that is away ends nothing: it is asked again until it is back, and what happens is said on standard error.
//!
//! Not here: stores (`baleen-discovery`), the command (`command.rs`), the check (`probe.rs`). Tested: in `tests/it/register.rs` with
//! a real etcd.

mod command;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::kv::{Kv, KvError, check_key};
use baleen_discovery::{AnyKv, members};
use baleen_scenario::parse_duration;
use clap::ArgAction;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::exit::{Exit, Failure};
use crate::out::say;
use command::{Command, Signals, Wish};
use probe::Probe;

/// TTLs: below, a busy machine would lose its lease; above, a machine that died would stay for long.
const TTL_MIN: Duration = Duration::from_secs(2);
const TTL_MAX: Duration = Duration::from_secs(3600);
/// How long to wait when the store refused, which only people can mend.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// Keep a service in a registry while it runs.
///
/// Without COMMAND until SIGTERM or SIGINT; with it until the command ends, whose exit code is passed on. At the end the
/// service is taken out of the registry first, and then the command gets the signal.
#[derive(clap::Args)]
#[command(
    after_help = "Registries: etcd://HOST:PORT[,HOST:PORT]/ROOT, zookeeper://HOST:PORT[,HOST:PORT]/ROOT. \
                  etcd over TLS: ?ca=FILE (and cert, key, server_name); as a user of either: \
                  ?user=NAME&password_file=FILE.\n\n\
                  Example: baleen register web 10.0.0.5:8080 --in etcd://10.0.0.1:2379/services -- ./web --port 8080"
)]
pub struct Args {
    /// The service's name
    #[arg(value_name = "NAME", value_parser = service)]
    name: String,
    /// Where it listens, as others reach it
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// The registry
    #[arg(long = "in", value_name = "URL")]
    registry: String,
    /// How long it stays there after this process died
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = ttl)]
    ttl: Duration,
    /// Its share of traffic in relation to the others
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    weight: u32,
    /// Where it is
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// In the registry only while this answers 2xx
    #[arg(long, value_name = "URL", value_parser = probe::parse)]
    check: Option<probe::Url>,
    /// How often that is asked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every, requires = "check")]
    check_every: Duration,
    /// The service itself: started, and ended with this
    #[arg(last = true, value_name = "COMMAND", action = ArgAction::Append)]
    command: Vec<std::ffi::OsString>,
}

fn service(text: &str) -> Result<String, String> {
    check_key(text)?;
    if text.contains('/') {
        Err("a service's name has no `/`".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text.trim())
        .map_err(|error| format!("`{text}`: {error}; expected a time, such as 10s, 500ms or 5m"))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        Ok(ttl)
    } else {
        Err(format!("expected {TTL_MIN:?} to {TTL_MAX:?}"))
    }
}

fn every(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    let least = Duration::from_millis(100);
    if every < least { Err(format!("expected {least:?} or more")) } else { Ok(every) }
}

/// Key and value.
fn member(args: &Args) -> Result<(String, String), Failure> {
    let mut value = format!("{} {}", args.address, args.weight);
    if let Some(zone) = &args.zone {
        value.push_str(&format!(" zone={zone}"));
    }
    let wrong = |why: String| Failure::input(format!("{}: {why}", args.address));
    if args.address.contains(char::is_whitespace) {
        return Err(wrong("expected host:port".to_owned()));
    }
    members::parse(&args.address, value.as_bytes()).map_err(wrong)?;
    let key = format!("{}/{}", args.name, args.address);
    check_key(&key).map_err(wrong)?;
    Ok((key, value))
}

/// Run it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (key, value) = member(args)?;
    let store = Arc::new(baleen_discovery::open(&args.registry).map_err(Failure::input)?);
    if matches!(*store, AnyKv::Folder(_)) {
        let why = "a folder is no registry of services: write a file for the files namer";
        return Err(Failure::input(why));
    }
    let failed = |error: std::io::Error| Failure::environment(format!("can't start: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let code = runtime.block_on(async {
        let signals = Signals::new().map_err(failed)?;
        let command = Command::start(&args.command)?;
        let probe = args.check.clone().map(|url| Probe::start(url, args.check_every));
        let name = format!("{key} in {}", args.registry);
        let holder = Holder { store, key, value, ttl: args.ttl, name, held: None, there: false };
        Registering { signals, command, probe, holder }.go().await
    })?;
    match code {
        0 => Ok(Exit::Fine),
        // What the command said is not ours to translate.
        code => std::process::exit(code),
    }
}

struct Registering {
    signals: Signals,
    command: Option<Command>,
    probe: Option<Probe>,
    holder: Holder,
}

/// What happened.
enum Event {
    Signal(Wish),
    Exited(i32),
    Healthy(Result<(), String>),
    Held(Told),
}

impl Registering {
    /// Until the end; gives the exit code.
    async fn go(mut self) -> Result<i32, Failure> {
        if self.probe.is_none() {
            self.holder.begin();
        }
        loop {
            let event = tokio::select! {
                wish = self.signals.next() => Event::Signal(wish),
                code = command::exited(self.command.as_mut()) => Event::Exited(code),
                healthy = probe::changed(self.probe.as_mut()) => Event::Healthy(healthy),
                told = self.holder.told() => Event::Held(told),
            };
            match event {
                Event::Signal(wish) => match (wish.ends, &self.command) {
                    (true, _) | (_, None) => return Ok(self.end(wish).await),
                    (false, Some(command)) => command.signal(wish.number),
                },
                Event::Exited(code) => {
                    say(format_args!("the command ended with code {code}"));
                    self.holder.end().await;
                    return Ok(code);
                }
                Event::Healthy(Ok(())) => {
                    say(format_args!("the check answers"));
                    self.holder.begin();
                }
                Event::Healthy(Err(why)) => {
                    say(format_args!("the check fails: {why}"));
                    self.holder.end().await;
                }
                Event::Held(told) => self.holder.take(told, self.command.is_some())?,
            }
        }
    }

    /// First out of the registry, then the command.
    async fn end(mut self, wish: Wish) -> i32 {
        self.holder.end().await;
        let Some(mut command) = self.command else { return 0 };
        command.signal(wish.number);
        loop {
            tokio::select! {
                code = command.wait() => return code,
                // Whoever asks again means the command.
                again = self.signals.next() => command.signal(again.number),
            }
        }
    }
}

/// What is held, and what was said of it.
struct Holder {
    store: Arc<AnyKv>,
    key: String,
    value: String,
    ttl: Duration,
    /// For people.
    name: String,
    held: Option<Held>,
    there: bool,
}

struct Held {
    told: mpsc::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), KvError>>,
}

/// What the holder of the key says.
enum Told {
    There,
    NotThere,
    Ended(KvError),
}

impl Holder {
    fn begin(&mut self) {
        self.begin_after(Duration::ZERO);
    }

    fn begin_after(&mut self, wait: Duration) {
        if self.held.is_some() {
            return;
        }
        let (sender, told) = mpsc::channel(4);
        let (stop, mut stopped) = oneshot::channel();
        let (store, key, value) = (Arc::clone(&self.store), self.key.clone(), self.value.clone());
        let ttl = self.ttl;
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = &mut stopped => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            store.hold(&key, value.as_bytes(), ttl, sender, stopped).await
        });
        self.held = Some(Held { told, stop, task });
    }

    /// Take the key away, if it is there.
    async fn end(&mut self) {
        let Some(held) = self.held.take() else { return };
        // When nobody hears it, the task has ended, and says why.
        let _ = held.stop.send(());
        let ended = held.task.await;
        let was = std::mem::take(&mut self.there);
        match ended {
            Ok(Ok(())) if was => say(format_args!("taken out: {}", self.name)),
            Ok(Ok(())) => {}
            Ok(Err(error)) => say(format_args!("could not be taken out: {}: {error}", self.name)),
            Err(error) => say(format_args!("could not be taken out: {}: {error}", self.name)),
        }
    }

    /// What happens next to what is held; never, when nothing is.
    async fn told(&mut self) -> Told {
        let Some(held) = &mut self.held else { return std::future::pending().await };
        match held.told.recv().await {
            Some(true) => Told::There,
            Some(false) => Told::NotThere,
            None => Told::Ended(match (&mut held.task).await {
                Ok(Err(error)) => error,
                Ok(Ok(())) => KvError::Unreachable("it was not held any more".to_owned()),
                Err(error) => KvError::Unreachable(error.to_string()),
            }),
        }
    }

    fn take(&mut self, told: Told, serves: bool) -> Result<(), Failure> {
        match told {
            Told::There => {
                self.there = true;
                say(format_args!("registered: {}", self.name));
            }
            Told::NotThere => {
                self.there = false;
                self.explain();
            }
            Told::Ended(error) => {
                self.held = None;
                let was = std::mem::take(&mut self.there);
                let message = format!("not registered: {}: {error}", self.name);
                // A service that serves is not ended because a registry says no.
                if !serves && !was && matches!(error, KvError::Refused(_)) {
                    return Err(Failure::environment(message));
                }
                say(format_args!("{message}; trying again in {REFUSED_AGAIN:?}"));
                self.begin_after(REFUSED_AGAIN);
            }
        }
        Ok(())
    }

    /// Say why it is not there. The store is asked, beside everything else.
    fn explain(&self) {
        let (store, key, name) = (Arc::clone(&self.store), self.key.clone(), self.name.clone());
        tokio::spawn(async move {
            match store.get(&key).await {
                Ok(_) => say(format_args!(
                    "not registered: {name}: the registry forgot it; trying again"
                )),
                Err(error) => say(format_args!("not registered: {name}: {error}; trying on")),
            }
        });
    }
}
