//! `cargo xtask bench load`: `baleen load` beside wrk, oha and k6.
//!
//! Three questions, each answered in every round by each tool in turn (in another order each time), the server on one core and the
//! tool on the other: how many requests a second of its CPU time sends (closed loop); how many of a fixed rate's requests
//! really arrive, as the server counts them; what it says of the latency of a server that takes 20 ms, beside what a plain
//! blocking socket measures in the same round. CPU time is what `wait4` says of the whole process, from start to end.
//!
//! Rounds that the machine disturbed are not left out: medians and spreads are shown. A tool that is not here is named.
//!
//! | file | part |
//! |---|---|
//! | `tools` | how each tool is asked, and what it says |
//! | `page` | targets and tables |
//!
//! Not here: how the proxy is measured (`run.rs`). Tested: below and in the modules.

mod page;
mod tools;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::process::{Running, start};
use super::{output_line, report, run as machine, shown_command, verify};
use crate::args::Args;
use crate::repo;
use tools::{Ask, Tools, Who};

/// The core of servers, and that of tools.
const CORES: [usize; 2] = [0, 1];
/// Connections of the closed loop.
const CONNECTIONS: u32 = 64;
/// Requests per second that should arrive.
const RATE: u32 = 2000;
/// Requests per second on the server with a known delay.
const SLOW_RATE: u32 = 200;
/// What that takes.
const DELAY: &str = "20ms";
/// Where the servers with settings listen.
const PORT: u16 = 19011;
/// Requests of the blocking socket.
const PROBES: usize = 200;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Case {
    Closed,
    Rate,
    Latency,
}

/// One tool in one case in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub case: Case,
    pub who: Who,
    pub round: u32,
    /// As the tool says.
    pub requests: f64,
    /// As the server counted, where it can.
    pub arrived: Option<f64>,
    pub cpu_s: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// What a blocking socket measured in this round: p50 and p99.
    pub truth_ms: Option<(f64, f64)>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub command: String,
    pub date: String,
    pub machine: String,
    pub rounds: u32,
    pub seconds: u32,
    pub versions: Vec<(Who, String)>,
    pub samples: Vec<Sample>,
    /// What could not be had, with the reason.
    pub problems: Vec<String>,
}

/// `bench load [--quick] [--rounds N] [--seconds N] [--only CASE] [--check] [--report] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let command = shown_command();
    let quick = args.flag("--quick");
    let check = args.flag("--check");
    let again = args.flag("--report");
    let build = !args.flag("--no-build");
    let only: Option<String> = args.value("--only")?;
    let rounds: u32 = args.value("--rounds")?.unwrap_or(if quick { 1 } else { 7 });
    let seconds: u32 = args.value("--seconds")?.unwrap_or(if quick { 1 } else { 3 });
    args.finish()?;
    if again {
        let text = fs::read(kept()).context("no results: run `bench load` first")?;
        return publish(&serde_json::from_slice(&text)?, check);
    }
    let cases = cases(only.as_deref())?;
    if build {
        super::build_release(true)?;
    }
    let tools = Tools::find(&repo::target())?;
    let mut figures = Figures {
        command,
        date: output_line("date", &["-u", "+%Y-%m-%d"]),
        machine: machine::machine(),
        rounds,
        seconds,
        versions: Who::ALL.into_iter().filter_map(|w| Some((w, tools.version(w)?))).collect(),
        ..Figures::default()
    };
    for who in Who::ALL {
        if !figures.versions.iter().any(|(there, _)| *there == who) {
            eprintln!("note: {} isn't here; hint: scripts/install-test-tools bench", who.name());
            figures.problems.push(format!("{}: it isn't here", who.name()));
        }
    }
    let whole = !quick && only.is_none();
    let file = if whole { kept() } else { repo::target().join("bench/load-trial.json") };
    fs::create_dir_all(repo::target().join("bench"))?;
    for round in 0..rounds {
        for case in &cases {
            measure(*case, round, &tools, &mut figures)?;
        }
        fs::write(&file, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("write {}", file.display()))?;
        eprintln!("round {} of {rounds}", round + 1);
    }
    if whole {
        return publish(&figures, check);
    }
    print!("{}", page::render(&figures));
    judged(&figures, check)
}

fn cases(only: Option<&str>) -> Result<Vec<Case>> {
    let all = [("closed", Case::Closed), ("rate", Case::Rate), ("latency", Case::Latency)];
    let wanted = |(name, _): &&(&str, Case)| only.is_none_or(|only| only == *name);
    let cases: Vec<Case> = all.iter().filter(wanted).map(|(_, case)| *case).collect();
    if cases.is_empty() {
        bail!("no such case; there are closed, rate and latency");
    }
    Ok(cases)
}

fn kept() -> PathBuf {
    repo::target().join("bench/load.json")
}

fn publish(figures: &Figures, check: bool) -> Result<()> {
    let path = repo::root().join("docs/internals/load-generator.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    fs::write(&path, report::splice(&text, "bench load", &page::render(figures)))?;
    eprintln!("wrote {}", path.display());
    print!("{}", page::targets_table(figures));
    judged(figures, check)
}

fn judged(figures: &Figures, check: bool) -> Result<()> {
    let missed = page::targets(figures).iter().filter(|target| !target.met).count();
    if check && missed > 0 {
        bail!("{missed} targets were not met or not measured");
    }
    Ok(())
}

/// Every tool that is here and can do it, in an order that turns with the round.
fn measure(case: Case, round: u32, tools: &Tools, figures: &mut Figures) -> Result<()> {
    let mut order: Vec<Who> = figures.versions.iter().map(|(who, _)| *who).collect();
    let by = round as usize % order.len().max(1);
    order.rotate_left(by);
    for who in order.into_iter().filter(|who| case != Case::Rate || who.has_rate()) {
        match one(case, who, figures.seconds, tools) {
            Ok(sample) => figures.samples.push(Sample { round, ..sample }),
            Err(error) => {
                eprintln!("note: {} ({case:?}, round {round}): {error:#}", who.name());
                figures
                    .problems
                    .push(format!("{} ({case:?}, round {round}): {error:#}", who.name()));
            }
        }
    }
    Ok(())
}

fn one(case: Case, who: Who, seconds: u32, tools: &Tools) -> Result<Sample> {
    let log = repo::target().join("bench/load-server.log");
    let (server, port) = server(case, tools, &log)?;
    let rate = match case {
        Case::Closed => None,
        Case::Rate => Some(RATE),
        Case::Latency => who.has_rate().then_some(SLOW_RATE),
    };
    // A tool without a rate has so many connections as come near it.
    let few = case == Case::Latency && rate.is_none();
    let connections = if few { SLOW_RATE / 50 } else { CONNECTIONS };
    let truth_ms = if case == Case::Latency { Some(probe(port)?) } else { None };
    let path = if case == Case::Closed { "/128" } else { "/" };
    let url = format!("http://127.0.0.1:{port}{path}");
    let said = tools.ask(who, &Ask { url, rate, connections, seconds, core: CORES[1] })?;
    server.stop(Duration::from_secs(10));
    let probes = truth_ms.map_or(0.0, |_| PROBES as f64);
    let arrived = match case {
        Case::Closed => None,
        _ => Some(counted(&fs::read_to_string(&log)?)? - probes),
    };
    Ok(Sample {
        case,
        who,
        round: 0,
        requests: said.requests,
        arrived,
        cpu_s: said.cpu_s,
        p50_ms: said.p50_ms,
        p99_ms: said.p99_ms,
        truth_ms,
    })
}

/// What is asked, and where it listens.
fn server(case: Case, tools: &Tools, log: &std::path::Path) -> Result<(Running, u16)> {
    let (mut command, port) = match case {
        Case::Closed => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["bench", "child-backend"]);
            (command, super::backend::FIRST_PORT)
        }
        Case::Rate | Case::Latency => {
            let mut command = Command::new(&tools.baleen);
            command.args(["backend", "--listen", &format!("127.0.0.1:{PORT}")]);
            if case == Case::Latency {
                command.args(["--time", DELAY]);
            }
            (command, PORT)
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log)?);
    let mut running = start(command, Some(CORES[0]))?;
    verify::wait_ready(&mut running, port)?;
    Ok((running, port))
}

/// Requests that `baleen backend` has answered, as it says at its end.
fn counted(log: &str) -> Result<f64> {
    let line = log.lines().find_map(|line| line.strip_prefix("answered "));
    let of = line.and_then(|line| line.split(" of ").nth(1)?.split(' ').next()?.parse().ok());
    of.with_context(|| format!("the server did not say what it answered: {log}"))
}

/// What a plain blocking socket measures, one request after the other: p50 and p99 in milliseconds.
fn probe(port: u16) -> Result<(f64, f64)> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut buf = [0; 4096];
    let mut times = Vec::new();
    for _ in 0..PROBES {
        let sent = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n")?;
        let mut have = 0;
        // The answers of this server have 128 bytes of body after their head.
        loop {
            let n = stream.read(&mut buf[have..])?;
            if n == 0 {
                bail!("the server left");
            }
            have += n;
            let head = buf[..have].windows(4).position(|w| w == b"\r\n\r\n");
            if head.is_some_and(|at| have >= at + 4 + 128) {
                break;
            }
        }
        times.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() as f64 * q).ceil() as usize).clamp(1, times.len()) - 1];
    Ok((at(0.5), at(0.99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_what_came() {
        let log = "listening\nanswered 187 of 188 requests on 7 connections\n";
        assert_eq!(counted(log).unwrap(), 188.0);
        assert!(counted("").is_err());
    }

    #[test]
    fn cases_by_name() {
        assert_eq!(cases(None).unwrap().len(), 3);
        assert_eq!(cases(Some("rate")).unwrap(), [Case::Rate]);
        assert!(cases(Some("speed")).is_err());
    }
}
