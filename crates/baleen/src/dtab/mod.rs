//! `baleen dtab`: the delegation tables that a fleet follows, in its store.
//!
//! A table is changed by compare-and-set, after it was checked against the one it replaces. Data goes to standard output: the
//! table as it was written, or JSON.
//!
//! Not here: the store (`baleen_discovery::store`), what is checked (`check.rs`), staged changes (`stage.rs`), what is written
//! (`show.rs`). Tested: in `tests/it/dtab.rs`, with real stores.

pub mod api;
pub mod check;
mod diff;
mod live;
mod set;
mod show;
mod stage;

use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baleen_discovery::kv::{Expect, KvError};
use baleen_discovery::open::{AnyKv, open};
use baleen_discovery::store::{Note, Store, StoreError};
use clap::{Subcommand, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::out;

/// Longest wait for a store.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The delegation tables that a fleet follows: read and change them in their store
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    baleen dtab list --store etcd://127.0.0.1:2379/baleen/dtabs\n  \
    baleen dtab get default --store file:dtabs\n  \
    baleen dtab set default new.dtab --note 'move web to B' --stage 1,10,100 --bake 60s\n  \
    baleen dtab rollback default 7")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show a namespace's table
    Get(Get),
    /// Replace a namespace's table, at once or for a growing share of proxies
    Set(set::Args),
    /// Show for every known name what another table would change; no store is asked
    Diff(diff::Args),
    /// Show what was changed by whom, when and why
    History(One),
    /// Make an old version of a table the newest
    Rollback(Rollback),
    /// Take back a staged change
    Withdraw(One),
    /// Delete a namespace; its history stays
    Delete(Delete),
    /// List namespaces
    List(Common),
}

/// Where, and how it is said.
#[derive(clap::Args)]
struct Common {
    /// The store: etcd://HOST:PORT/ROOT, zookeeper://HOST:PORT/ROOT or file:FOLDER [default: $BALEEN_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(clap::Args)]
struct One {
    /// The namespace
    #[arg(value_name = "NS")]
    ns: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Get {
    #[command(flatten)]
    one: One,
    /// This version, not the current one
    #[arg(long, value_name = "V")]
    version: Option<u64>,
}

#[derive(clap::Args)]
struct Rollback {
    /// The namespace
    #[arg(value_name = "NS")]
    ns: String,
    /// Which version
    version: u64,
    #[command(flatten)]
    common: Common,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    known: check::Known,
    /// Even if names lead nowhere then, and over somebody's staged change
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct Delete {
    #[command(flatten)]
    one: One,
    /// Only if the table is at this version
    #[arg(long, value_name = "V")]
    if_version: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl Common {
    fn open(&self) -> Result<Store<AnyKv>, Failure> {
        let set = || std::env::var("BALEEN_STORE").ok().filter(|v| !v.is_empty());
        let url = self.store.clone().or_else(set).ok_or_else(|| {
            Failure::input("no store is given")
                .hint("say it with --store etcd://127.0.0.1:2379/baleen/dtabs, or in BALEEN_STORE")
        })?;
        open(&url).map(Store::new).map_err(Failure::input)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::environment(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        match &args.verb {
            Verb::Get(args) => get(args).await,
            Verb::Set(args) => set::run(args).await,
            Verb::Diff(args) => diff::run(args),
            Verb::History(args) => history(args).await,
            Verb::Rollback(args) => rollback(args).await,
            Verb::Withdraw(args) => withdraw(args).await,
            Verb::Delete(args) => delete(args).await,
            Verb::List(args) => list(args).await,
        }
    })
}

async fn get(args: &Get) -> Result<Exit, Failure> {
    let One { ns, common } = &args.one;
    let store = common.open()?;
    let record = match args.version {
        Some(version) => asked(store.version(ns, version)).await?,
        None => asked(store.get(ns)).await?.ok_or_else(|| missing(ns))?,
    };
    show::record(ns, &record, common.format)
}

async fn history(args: &One) -> Result<Exit, Failure> {
    let records = asked(args.common.open()?.history(&args.ns)).await?;
    show::history(&args.ns, &records, args.common.format)
}

async fn list(args: &Common) -> Result<Exit, Failure> {
    let all = asked(args.open()?.list()).await?;
    show::list(&all, args.format)
}

async fn rollback(args: &Rollback) -> Result<Exit, Failure> {
    let store = args.common.open()?;
    let old = asked(store.version(&args.ns, args.version)).await?;
    let dtab = old.dtab.ok_or_else(|| {
        Failure::input(format!("version {} of `{}` is its deletion", args.version, args.ns))
    })?;
    let why = format!("version {} again", args.version);
    let note = note(args.note.as_deref().unwrap_or(&why));
    let change = set::Change {
        ns: &args.ns,
        dtab: &dtab,
        source: &format!("version {}", args.version),
        expect: Expect::Any,
        force: args.force,
        note: &note,
    };
    let known = args.known.names()?;
    let version = change.at_once(&store, &known).await?;
    show::version(&args.ns, version, args.common.format)
}

async fn withdraw(args: &One) -> Result<Exit, Failure> {
    let store = args.common.open()?;
    let record = asked(store.get(&args.ns)).await?.ok_or_else(|| missing(&args.ns))?;
    let Some(staged) = record.staged else {
        return Err(Failure::input(format!("nothing is staged in `{}`", args.ns)));
    };
    asked(store.withdraw(&args.ns, &staged.id)).await?;
    out::say(format_args!("`{}` staged by {} is withdrawn", staged.id, staged.by));
    show::version(&args.ns, record.version, args.common.format)
}

async fn delete(args: &Delete) -> Result<Exit, Failure> {
    let One { ns, common } = &args.one;
    let expect = args.if_version.map_or(Expect::Any, Expect::Version);
    let note = note(args.note.as_deref().unwrap_or_default());
    asked(common.open()?.delete(ns, expect, &note)).await?;
    out::say(format_args!("`{ns}` is deleted; `baleen dtab history` still knows it"));
    Ok(Exit::Fine)
}

/// What a store answers, in time.
async fn asked<T>(asks: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    match tokio::time::timeout(STORE_TIMEOUT, asks).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => {
            let why = format!("the store does not answer within {STORE_TIMEOUT:?}");
            Err(Failure::environment(why).hint("is it up, and is its address right?"))
        }
    }
}

/// A file that is no longer than it may be.
fn file(path: &Path, most: usize) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::input(format!("{}: {why}", path.display()));
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(most as u64 + 1).read_to_string(&mut text));
    match read {
        Err(e) => Err(wrong(&e)),
        Ok(bytes) if bytes > most => Err(wrong(&format!("it is longer than {most} bytes"))),
        Ok(_) => Ok(text),
    }
}

fn missing(ns: &str) -> Failure {
    Failure::input(format!("there is no namespace `{ns}`"))
        .hint("`baleen dtab list` shows those there are")
}

fn failed(error: StoreError) -> Failure {
    let said = error.to_string();
    match error {
        StoreError::Wrong(_) => Failure::input(said),
        StoreError::Missing(_) => Failure::input(said)
            .hint("`baleen dtab list` shows namespaces, `baleen dtab history NS` versions"),
        StoreError::Exists(_) | StoreError::Changed(_) | StoreError::Kv(KvError::Conflict) => {
            Failure::broke(said).hint("`baleen dtab get` shows what there is now")
        }
        StoreError::Busy { .. } => Failure::broke(said).hint(
            "wait for it, take it back with `baleen dtab withdraw NS`, or set over it with --force",
        ),
        StoreError::Broken { .. } | StoreError::Kv(_) => Failure::environment(said),
    }
}

/// Who changes something now, and why.
fn note(why: &str) -> Note {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let by = match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    };
    Note::new(&by, now_ms(), why)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
