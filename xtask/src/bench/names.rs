//! `cargo xtask bench names`: what names cost, and how soon a change in a registry reaches every worker.
//!
//! Three questions: how long it takes to follow a name that is not cached, by the size of the table; how many instructions a cached
//! name takes of a request's; and how long after etcd's own notice a request on any connection reaches the new endpoint.
//! Everything is published in `docs/internals/names-cost.md`; a part alone (`--only`) is printed.
//!
//! | file | part |
//! |---|---|
//! | `cached` | instructions of a cached name, by callgrind |
//! | `notice` | from the registry's notice to the workers |
//! | `etcd` | the registry |
//!
//! Not here: what is timed for names that are not cached (`crates/baleen-names/examples/bind_cost.rs`). Tested: below and in the modules.

mod cached;
mod etcd;
mod notice;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::peers::{Peer, Tools};
use super::{build_release, output_line, report, run as machine, shown_command};
use crate::args::Args;
use crate::repo;

/// Nanoseconds that an uncached name may take with [`ENTRIES`] entries.
const UNCACHED_NS_MAX: u64 = 50_000;
/// Entries of the table that this holds for.
const ENTRIES: u64 = 1000;
/// Instructions that a cached name may take.
const CACHED_MAX: f64 = 2000.0;
/// Microseconds from the registry's notice to any worker.
const NOTICE_US_MAX: i64 = 100_000;

/// The page as it begins.
const PAGE: &str = "# What names cost\n\n\
    How long it takes to find where a logical name leads, and how soon a change in a registry is in force.\n";

/// One line of `bind_cost`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Timed {
    what: String,
    entries: u64,
    median_ns: u64,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    command: String,
    date: String,
    machine: String,
    versions: Vec<String>,
    uncached: Vec<Timed>,
    cached: Option<cached::Count>,
    notice: Option<notice::Delays>,
}

/// `bench names [--only bind|cached|notice] [--requests N] [--changes N] [--workers N] [--check] [--report] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let command = shown_command();
    let check = args.flag("--check");
    let again = args.flag("--report");
    let build = !args.flag("--no-build");
    let only: Option<String> = args.value("--only")?;
    let requests: u64 = args.value("--requests")?.unwrap_or(2000);
    let changes: u32 = args.value("--changes")?.unwrap_or(200);
    let workers: usize = args.value("--workers")?.unwrap_or(2);
    args.finish()?;
    if again {
        let text = fs::read(kept()).context("no results: run `bench names` first")?;
        return publish(&serde_json::from_slice(&text)?, check);
    }
    if requests == 0 || changes == 0 || workers == 0 {
        bail!("--requests, --changes and --workers must be above 0");
    }
    if let Some(part) = only.as_deref().filter(|part| !["bind", "cached", "notice"].contains(part))
    {
        bail!("no such part: {part:?}; there are bind, cached and notice");
    }
    let wants = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if build {
        build_release(true)?;
    }
    let tools = Tools::find(&repo::target().join("release"), &repo::target());
    fs::create_dir_all(repo::target().join("bench/run"))?;
    let mut figures = Figures {
        command,
        date: output_line("date", &["-u", "+%Y-%m-%d"]),
        machine: machine::machine(),
        versions: versions(&tools),
        ..Figures::default()
    };
    if wants("bind") {
        figures.uncached = uncached(build)?;
    }
    if wants("cached") {
        figures.cached = Some(cached::count(&tools, requests)?);
    }
    if wants("notice") {
        figures.notice = Some(notice::measure(&tools, workers, changes)?);
    }
    if only.is_some() {
        print!("{}", render(&figures));
        return judged(&figures, check);
    }
    fs::write(kept(), serde_json::to_string_pretty(&figures)?)?;
    publish(&figures, check)
}

fn kept() -> PathBuf {
    repo::target().join("bench/names.json")
}

/// Writes the page's generated part; what people wrote around it stays.
fn publish(figures: &Figures, check: bool) -> Result<()> {
    let path = repo::root().join("docs/internals/names-cost.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|_| PAGE.to_owned());
    let text = render(figures);
    fs::write(&path, report::splice(&page, "bench names", &text))?;
    print!("{text}");
    eprintln!("wrote {}", path.display());
    judged(figures, check)
}

/// With `check`, a target that was missed fails the command.
fn judged(figures: &Figures, check: bool) -> Result<()> {
    let missed = targets(figures).iter().filter(|target| !target.met).count();
    if check && missed > 0 {
        bail!("{missed} targets were not met");
    }
    Ok(())
}

fn versions(tools: &Tools) -> Vec<String> {
    let mut versions: Vec<String> = tools.version(Peer::Baleen).into_iter().collect();
    let etcd = output_line("etcd", &["--version"]);
    versions.extend(etcd.lines().next().map(|line| line.replace("etcd Version:", "etcd")));
    versions.push(output_line("valgrind", &["--version"]));
    versions.push(output_line("rustc", &["--version"]));
    versions.retain(|version| !version.is_empty());
    versions
}

/// Runs the example that times names which are not cached.
fn uncached(build: bool) -> Result<Vec<Timed>> {
    if build {
        let mut cargo = repo::cargo();
        cargo.args(["build", "--release", "--package", "baleen-names", "--example", "bind_cost"]);
        if !cargo.status().context("cargo")?.success() {
            bail!("the release build failed");
        }
    }
    let text =
        output_line(&repo::target().join("release/examples/bind_cost").to_string_lossy(), &[]);
    let timed = timed(&text);
    if timed.is_empty() {
        bail!("bind_cost printed no figures; is it built?");
    }
    Ok(timed)
}

/// The table whose last column is `median ns`; what is printed before it are names made to cost much, by bytes.
fn timed(text: &str) -> Vec<Timed> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().rev();
        let median_ns = words.next()?.parse().ok()?;
        let entries = words.next()?.parse().ok()?;
        let mut what: Vec<&str> = words.collect();
        what.reverse();
        Some(Timed { what: what.join(" "), entries, median_ns })
    };
    let lines = text.lines().skip_while(|line| !line.trim_end().ends_with("median ns")).skip(1);
    lines.take_while(|line| !line.trim().is_empty()).filter_map(line).collect()
}

/// What should hold, and what was measured.
struct Target {
    what: String,
    want: String,
    got: String,
    met: bool,
}

fn targets(figures: &Figures) -> Vec<Target> {
    let mut targets = Vec::new();
    let largest = figures.uncached.iter().filter(|t| t.entries == ENTRIES && is_bind(t));
    if let Some(worst) = largest.max_by_key(|t| t.median_ns) {
        targets.push(Target {
            what: format!("an uncached name, {ENTRIES} entries ({})", worst.what),
            want: format!("below {} us", UNCACHED_NS_MAX / 1000),
            got: format!("{} us", us(worst.median_ns)),
            met: worst.median_ns < UNCACHED_NS_MAX,
        });
    }
    if let Some(cached) = &figures.cached {
        targets.push(Target {
            what: "a cached name, of a request's instructions".to_owned(),
            want: format!("below {CACHED_MAX:.0}"),
            got: format!("{:.0}", cached.names()),
            met: cached.names() < CACHED_MAX,
        });
    }
    if let Some(notice) = &figures.notice {
        let most = notice.most_us();
        targets.push(Target {
            what: "from the registry's notice to every worker, longest".to_owned(),
            want: format!("below {} ms", NOTICE_US_MAX / 1000),
            got: format!("{:.1} ms", most as f64 / 1000.0),
            met: most < NOTICE_US_MAX && notice.failed == 0,
        });
    }
    targets
}

/// Reading a table is timed beside, and is no name.
fn is_bind(timed: &Timed) -> bool {
    !timed.what.starts_with("reading")
}

fn us(ns: u64) -> String {
    let us = ns as f64 / 1000.0;
    if us < 10.0 { format!("{us:.2}") } else { format!("{us:.1}") }
}

fn render(figures: &Figures) -> String {
    let mut out = String::from("| target | wanted | measured | met |\n|---|---|---|---|\n");
    // Writing to a String can not fail.
    for Target { what, want, got, met } in targets(figures) {
        let met = if met { "yes" } else { "**no**" };
        let _ = writeln!(out, "| {what} | {want} | {got} | {met} |");
    }
    if !figures.uncached.is_empty() {
        out += "\n## A name that is not cached\n\n\
                Microseconds to follow a name through the table to its cluster, median of 101 batches. Clusters are \
                known at once: no registry is asked.\n\n";
        let (names, reading): (Vec<Timed>, Vec<Timed>) =
            figures.uncached.iter().cloned().partition(is_bind);
        out += &uncached_table(&names);
        let read = reading
            .iter()
            .map(|t| format!("{} of {} entries takes {} us", t.what, t.entries, us(t.median_ns)));
        let read: Vec<String> = read.collect();
        if !read.is_empty() {
            let _ = write!(out, "\nBeside: {}.\n", read.join(", "));
        }
    }
    if let Some(cached) = &figures.cached {
        out += &cached.section();
    }
    if let Some(notice) = &figures.notice {
        out += &notice.section();
    }
    let Figures { command, date, machine, versions, .. } = figures;
    let _ = write!(out, "\n{machine}; {}. {date}, `{command}`.", versions.join(", "));
    out
}

fn uncached_table(timed: &[Timed]) -> String {
    let mut sizes: Vec<u64> = timed.iter().map(|t| t.entries).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut rows: Vec<&str> = Vec::new();
    for t in timed {
        if !rows.contains(&t.what.as_str()) {
            rows.push(&t.what);
        }
    }
    let mut out = String::from("| entries |");
    for size in &sizes {
        let _ = write!(out, " {size} |");
    }
    out += "\n|---|";
    out += &"---|".repeat(sizes.len());
    out.push('\n');
    for what in rows {
        let _ = write!(out, "| {} |", what.replace('*', "\\*"));
        for size in &sizes {
            let cell = timed.iter().find(|t| t.what == what && t.entries == *size);
            let _ = write!(out, " {} |", cell.map_or_else(String::new, |t| us(t.median_ns)));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "made to cost much, median us  bytes 100000 1000\n\
        the same of a union                             1101       7328      900\n\n\
        \x20                            entries  median ns\n\
        a service                                         10        420\n\
        many *                                          1000      51000\n\
        a service                                       1000        530\n\
        reading a table                                 1000     900000\n";

    #[test]
    fn what_is_printed_is_read() {
        let timed = timed(PRINTED);
        assert_eq!(timed.len(), 4);
        assert_eq!(timed[1], Timed { what: "many *".into(), entries: 1000, median_ns: 51_000 });
        assert_eq!(
            uncached_table(&timed[..3]),
            "| entries | 10 | 1000 |\n|---|---|---|\n| a service | 0.42 | 0.53 |\n| many \\* |  | 51.0 |\n"
        );
    }

    #[test]
    fn a_missed_target_is_said() {
        let mut figures = Figures { uncached: timed(PRINTED), ..Figures::default() };
        assert!(judged(&figures, false).is_ok());
        assert!(judged(&figures, true).is_err(), "51 us");
        assert!(render(&figures).contains("| below 50 us | 51.0 us | **no** |"));
        figures.uncached.remove(1);
        assert!(judged(&figures, true).is_ok(), "reading a table is no name");
    }
}
