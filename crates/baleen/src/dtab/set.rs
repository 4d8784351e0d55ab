//! `baleen dtab set`: a table from a file, checked, then written at once or staged.
//!
//! What was checked is what is replaced: the change is conditional on the version it was checked against, and checked again when
//! somebody else was first. Not here: what is checked (`check.rs`), the steps of a staged change (`stage.rs`). Tested: in
//! `tests/it/dtab.rs`.

use std::io::Read;
use std::time::Duration;

use baleen_discovery::kv::{Expect, Kv};
use baleen_discovery::store::{
    Note, Plan, Record, Store, StoreError, TABLE_BYTES_MAX, check_bake, check_shares,
};
use baleen_names::Dtab;

use super::check::{self, Names};
use super::{Common, asked, failed, missing, note, now_ms, show, stage};
use crate::exit::{Exit, Failure};
use crate::out;

/// How often it is checked again because somebody else was first.
const TRIES: usize = 5;
/// So long after a step should have been over its driver is taken for dead.
const DEAD_MS: u64 = 60_000;

#[derive(clap::Args)]
pub struct Args {
    /// The namespace
    #[arg(value_name = "NS")]
    ns: String,
    /// The table; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    common: Common,
    /// Only if the table is at this version; 0: only if there is none
    #[arg(long, value_name = "V")]
    if_version: Option<u64>,
    /// Even if names lead nowhere then, and over somebody's staged change
    #[arg(long)]
    force: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Let these percents of proxies take it first, one after the other; it is withdrawn when calls fare worse with it
    #[arg(long, value_name = "PERCENTS", value_parser = parse_stage)]
    stage: Option<Shares>,
    /// How long each step is watched
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_bake, requires = "stage")]
    bake: Duration,
    #[command(flatten)]
    known: check::Known,
}

#[derive(Clone)]
struct Shares(Vec<f64>);

fn parse_stage(text: &str) -> Result<Shares, String> {
    let percent = |part: &str| {
        let part = part.trim().trim_end_matches('%').trim_end();
        part.parse().map_err(|_| format!("`{part}` is no percentage"))
    };
    let shares = text.split(',').map(percent).collect::<Result<Vec<f64>, _>>()?;
    check_shares(&shares).map_err(|why| format!("{why}: for example 1,10,100"))?;
    Ok(Shares(shares))
}

fn parse_bake(text: &str) -> Result<Duration, String> {
    let bake = baleen_config::parse_duration(text).map_err(|wrong| wrong.label)?;
    check_bake(bake).map(|()| bake)
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let store = args.common.open()?;
    let dtab = read(&args.file)?;
    let known = args.known.names()?;
    let change = Change {
        ns: &args.ns,
        dtab: &dtab,
        source: source(&args.file),
        expect: match args.if_version {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(version) => Expect::Version(version),
        },
        force: args.force,
        note: &note(&args.note),
    };
    let version = match &args.stage {
        None => change.at_once(&store, &known).await?,
        Some(shares) => {
            let plan = Plan { dtab: dtab.clone(), shares: shares.0.clone(), bake: args.bake };
            let staged = change.stage(&store, &known, &plan).await?;
            stage::drive(&store, &args.ns, staged).await?
        }
    };
    show::version(&args.ns, version, args.common.format)
}

/// Where a table comes from, for people.
pub fn source(file: &str) -> &str {
    if file == "-" { "standard input" } else { file }
}

/// The text of a table.
pub fn read(file: &str) -> Result<String, Failure> {
    if file != "-" {
        return super::file(std::path::Path::new(file), TABLE_BYTES_MAX);
    }
    let mut text = String::new();
    let most = TABLE_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|e| Failure::input(format!("standard input: {e}")))?;
    Ok(text)
}

/// A table to be.
pub struct Change<'a> {
    pub ns: &'a str,
    pub dtab: &'a str,
    /// Where it comes from, for people.
    pub source: &'a str,
    pub expect: Expect,
    pub force: bool,
    pub note: &'a Note,
}

impl Change<'_> {
    /// Write it at once; gives its version.
    pub async fn at_once<K: Kv>(&self, store: &Store<K>, known: &Names) -> Result<u64, Failure> {
        let mut last = None;
        for _ in 0..TRIES {
            let now = self.check(store, known).await?;
            if let Some(record) = now.as_ref().filter(|r| r.dtab.as_deref() == Some(self.dtab))
                && record.staged.is_none()
            {
                out::say(format_args!("`{}` is so already", self.ns));
                return Ok(record.version);
            }
            let over = self.over(now.as_ref());
            let put = store.put(self.ns, self.dtab, self.as_checked(now.as_ref()), self.note, over);
            match tokio::time::timeout(super::STORE_TIMEOUT, put).await {
                Ok(Err(e @ (StoreError::Changed(_) | StoreError::Exists(_))))
                    if self.expect == Expect::Any =>
                {
                    last = Some(e);
                }
                Ok(done) => return done.map_err(failed),
                Err(_) => return asked(std::future::pending()).await,
            }
        }
        Err(last.map_or_else(|| missing(self.ns), failed))
    }

    /// Begin it as a staged change.
    pub async fn stage<K: Kv>(
        &self,
        store: &Store<K>,
        known: &Names,
        plan: &Plan,
    ) -> Result<baleen_discovery::store::Staged, Failure> {
        let now = self.check(store, known).await?;
        let Some(record) = now else {
            return Err(Failure::input(format!("there is no namespace `{}` to change", self.ns))
                .hint("write its first table without --stage"));
        };
        if record.dtab.as_deref() == Some(self.dtab) {
            return Err(Failure::input(format!("`{}` is so already", self.ns)));
        }
        let over = self.over(Some(&record));
        let expect = Expect::Version(record.version);
        asked(store.stage(self.ns, plan, expect, self.note, over)).await
    }

    /// What there is now, if this may replace it.
    async fn check<K: Kv>(
        &self,
        store: &Store<K>,
        known: &Names,
    ) -> Result<Option<Record>, Failure> {
        let new = parse(self.dtab, self.source)?;
        let now = asked(store.get(self.ns)).await?;
        match (self.expect, &now) {
            (Expect::Version(wanted), Some(is)) if wanted != is.version => {
                return Err(failed(StoreError::Changed(is.version)));
            }
            (Expect::Version(_), None) => return Err(missing(self.ns)),
            (Expect::Absent, Some(_)) => {
                return Err(failed(StoreError::Exists(self.ns.to_owned())));
            }
            _ => {}
        }
        let old = now.as_ref().and_then(|record| record.dtab.as_deref());
        let Some(Ok(old)) = old.map(Dtab::parse) else { return Ok(now) };
        let losses = check::losses(&old, &new, known);
        if losses.is_empty() {
            return Ok(now);
        }
        let said = check::told(&losses);
        if self.force {
            out::say(format_args!("forced: {said}"));
            return Ok(now);
        }
        Err(Failure::input(format!("{}: {said}", self.source)).hint(
            "--force does it nevertheless; --mount NAME says that proxies have a namer the old table does not lead to",
        ))
    }

    /// Replace only what was checked.
    fn as_checked(&self, now: Option<&Record>) -> Expect {
        now.map_or(Expect::Absent, |record| Expect::Version(record.version))
    }

    /// Whether somebody's staged change is dropped: when it is asked for, or its driver is dead.
    fn over(&self, now: Option<&Record>) -> bool {
        let staged = now.and_then(|record| record.staged.as_ref());
        let is_dead = staged.is_some_and(|s| s.deadline_ms.saturating_add(DEAD_MS) < now_ms());
        if let Some(staged) = staged.filter(|_| is_dead || self.force) {
            out::say(format_args!(
                "the change staged by {} (`{}`) is dropped",
                staged.by, staged.id
            ));
        }
        self.force || is_dead
    }
}

/// A table, or where it is wrong.
pub fn parse(text: &str, source: &str) -> Result<Dtab, Failure> {
    Dtab::parse(text).map_err(|e| {
        let line = text.get(..e.at()).map_or(1, |before| before.matches('\n').count() + 1);
        Failure::input(format!("{source}:{line}: {e}\n{}", e.caret(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read() {
        for (text, wanted) in [
            ("100", Some(vec![100.0])),
            ("1,10,100", Some(vec![1.0, 10.0, 100.0])),
            ("0.5%, 50 %, 100%", Some(vec![0.5, 50.0, 100.0])),
            ("", None),
            ("1,10", None),
            ("10,1,100", None),
            ("0,100", None),
            ("nan,100", None),
            ("1,101", None),
        ] {
            assert_eq!(parse_stage(text).ok().map(|s| s.0), wanted, "{text}");
        }
        assert!(
            parse_bake("60s").is_ok() && parse_bake("1ms").is_err() && parse_bake("x").is_err()
        );
    }
}
