//! How many of a request's instructions go into a name that is cached.
//!
//! Callgrind counts the release build for N and for 2N requests, as `bench instructions` does, here with names made of the host and
//! with a table of a thousand entries. The compiler puts most of this code into its callers, but each instruction keeps
//! the file that it was written in. What the standard library does for names can't be told from what it does for others: all
//! hashing and all hash tables of the request are counted to names, copying, comparing and allocating to the rest. So the figure is
//! no bound, in either direction.
//!
//! Tested: below.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::backend::{FIRST_PORT, PORTS};
use super::super::peers::{PORT, Tools};
use super::super::process::start;
use super::super::run::backend;
use super::super::verify;
use crate::repo;

/// Writing its profile takes callgrind a while.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Entries of the table.
const ENTRIES: usize = 1000;
/// Rows: the last takes what is in no other.
const ROWS: [&str; 4] = [
    "making the name of the request",
    "looking up where it leads",
    "all hashing and hash tables of the request",
    "everything else",
];

/// Instructions per request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    requests: u64,
    /// In the order of [`ROWS`].
    rows: [f64; 4],
}

/// Counts them.
pub fn count(tools: &Tools, requests: u64) -> Result<Count> {
    let once = sums(&profile(tools, requests)?);
    let twice = sums(&profile(tools, requests * 2)?);
    let mut rows = [0.0; 4];
    for (row, (once, twice)) in rows.iter_mut().zip(once.into_iter().zip(twice)) {
        *row = (twice as f64 - once as f64) / requests as f64;
    }
    if rows[1] < 1.0 {
        bail!("no instruction of names was counted: has their code moved?");
    }
    Ok(Count { requests, rows })
}

impl Count {
    /// What names take, as far as that can be told.
    pub fn names(&self) -> f64 {
        self.rows[..3].iter().sum()
    }

    /// A section of the page.
    pub fn section(&self) -> String {
        let all: f64 = self.rows.iter().sum();
        let mut out = format!(
            "\n## A name that is cached\n\n\
             User-space instructions of one request (`GET`, 128 B body, one kept connection), release build, counted by callgrind: the \
             difference between {} and {} requests. The name is made of the host (`/svc/{{host}}`), the table has {ENTRIES} entries. The third \
             row counts what others hash, too; what libc and the standard library copy, compare and allocate for names is in the fourth.\n\n\
             | | instructions per request | share |\n|---|---|---|\n",
            self.requests,
            self.requests * 2
        );
        // Writing to a String can not fail.
        for (what, cost) in ROWS.iter().zip(self.rows) {
            let _ = writeln!(out, "| {what} | {cost:.0} | {:.1} % |", 100.0 * cost / all.max(1.0));
        }
        let _ = writeln!(out, "| **names, the first three** | **{:.0}** | |", self.names());
        let _ = writeln!(out, "| **all** | **{all:.0}** | |");
        out
    }
}

fn config() -> String {
    let mut dtab = String::from("/svc => /#/static ;\n");
    // Writing to a String can not fail.
    for i in 0..ENTRIES - 2 {
        let _ = writeln!(dtab, "/svc/service-{i} => /#/static/web ;");
    }
    dtab += "/svc/bench.example => /#/static/web ;\n";
    let backends: Vec<String> =
        (0..PORTS).map(|n| format!("\"127.0.0.1:{}\"", FIRST_PORT + n)).collect();
    format!(
        "workers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nlisten = \"127.0.0.1:{PORT}\"\nname = \"/svc/{{host}}\"\naccess_log = \"off\"\n\
         [names]\ndtab = '''\n{dtab}'''\n[cluster.web]\nendpoints = [{}]\n",
        backends.join(", ")
    )
}

/// Callgrind's profile of so many requests.
fn profile(tools: &Tools, requests: u64) -> Result<String> {
    let dir = repo::target().join("bench/run/names");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("baleen.toml"), config())?;
    let out = repo::target().join(format!("bench/callgrind.names.{requests}.out"));
    let _backend = backend(tools, None)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(&tools.baleen).arg("run").arg(dir.join("baleen.toml"));
    let log = File::create(dir.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut proxy =
        start(command, None).context("valgrind; hint: scripts/install-test-tools bench")?;
    verify::wait_ready(&mut proxy, PORT)?;
    let mut load = Command::new(&tools.xtask);
    load.args(["bench", "child-loadgen", "--mode", "count", "--connections", "1"]);
    load.args(["--path", "/128", "--port", &PORT.to_string()]);
    load.args(["--requests", &requests.to_string()]);
    let output = load.output().context("load generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    proxy.stop(STOP_MAX);
    fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))
}

/// Adds up a profile by [`ROWS`]. Names and positions are written out in it.
fn sums(profile: &str) -> [u64; 4] {
    let mut sums = [0; 4];
    let (mut file, mut function) = ("", "");
    let mut of_call = false;
    for line in profile.lines() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "fl" | "fi" | "fe" => file = value,
                "fn" => function = value,
                // The next line says what was counted in the one that is called.
                "calls" => of_call = true,
                _ => {}
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(at), Some(cost)) = (words.next(), words.next()) else { continue };
        let is_cost = at.starts_with(|c: char| c.is_ascii_digit());
        let (true, Ok(cost)) = (is_cost, cost.parse::<u64>()) else { continue };
        if !std::mem::take(&mut of_call) {
            sums[row(file, function)] += cost;
        }
    }
    sums
}

fn row(file: &str, function: &str) -> usize {
    let is = |parts: &[&str], text: &str| parts.iter().any(|part| text.contains(part));
    // What is compiled from the standard library into a function of ours counts for that.
    let is_std = is(&["/library/", "/hashbrown-"], file);
    if is(&["hashbrown", "/core/src/hash/", "/std/src/hash/"], file) {
        2
    } else if is(&["baleen-proxy/src/identify"], file)
        || (is_std && is(&["baleen_proxy::identify"], function))
    {
        0
    } else if is(&["baleen-proxy/src/names", "src/exchange/bind.rs", "crates/baleen-names/"], file)
        || (is_std && is(&["baleen_proxy::names", "baleen_names::"], function))
    {
        1
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_by_file_and_function() {
        let core = "/rustc/1/library/core/src/slice/mod.rs";
        for (file, function, expect) in [
            ("crates/baleen-proxy/src/identify/template.rs", "baleen_proxy::exchange::run", 0),
            ("crates/baleen-proxy/src/names.rs", "baleen_proxy::exchange::run", 1),
            ("crates/baleen-proxy/src/names/table.rs", "baleen_proxy::exchange::run", 1),
            (core, "baleen_proxy::names::targets::Targets::hold", 1),
            ("/rustc/1/library/core/src/hash/sip.rs", "baleen_proxy::exchange::run", 2),
            ("/cargo/hashbrown-0.16.0/src/raw.rs", "baleen_proxy::exchange::run", 2),
            (core, "baleen_proxy::exchange::run", 3),
            ("malloc.c", "malloc", 3),
        ] {
            assert_eq!(row(file, function), expect, "{file} {function}");
        }
    }

    #[test]
    fn calls_are_counted_where_they_lead() {
        let text = "fl=crates/baleen-proxy/src/names.rs\nfn=a\n10 5\nfi=/x/hashbrown/raw.rs\n3 7\n\
                    fe=other.rs\n1 2\ncfi=malloc.c\ncfn=malloc\ncalls=2 40\n11 100\n\ntotals: 114\n";
        assert_eq!(sums(text), [0, 5, 7, 2]);
    }

    #[test]
    fn names_are_all_but_the_rest() {
        let count = Count { requests: 10, rows: [100.0, 200.0, 50.0, 650.0] };
        assert!((count.names() - 350.0).abs() < 1e-9);
        let text = count.section();
        assert!(text.contains("| **names, the first three** | **350** | |"), "{text}");
        assert!(text.contains("| looking up where it leads | 200 | 20.0 % |"), "{text}");
    }
}
