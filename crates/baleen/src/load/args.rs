//! What `baleen load` can be asked, and the loads it becomes: all of it is checked before anything is sent.
//!
//! Not here: how parts are written (`spell.rs`), sending (`mod.rs`). Tested: in `tests/it/load.rs`.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baleen_drill::load::{
    Arrivals, BODY_MAX, Check, Load, Pacing, Phase, TARGETS_MAX, THREADS_MAX, Target, Url, header,
};
use baleen_scenario::model::RateStep;
use clap::ValueEnum;

use super::{scenario, spell};
use crate::exit::Failure;
use crate::input;

/// One thread sends this many per second without being late, with some left over.
const RATE_OF_THREAD: f64 = 20_000.0;
/// Most bytes of a file of targets.
const TARGETS_FILE_MAX: u64 = 4 << 20;

/// Send requests at a rate that does not care how the other side feels, and see what becomes of each.
///
/// Latency is told twice: from when a request was due, which is what a user feels, and from when it was sent. When more than a
/// stated share of requests is late or never sent, the run is no result: that is said, and the exit code is 3. Exit code 0 when
/// all of --expect held, 1 when one broke, 2 when the command line or a file is wrong. Plain HTTP/1.1 only.
#[derive(clap::Args)]
#[command(
    after_help = "TARGET is a URL, or \"[WEIGHT] [METHOD] URL [@BODYFILE]\", several times if you like; or one scenario file.\n\n\
                        Examples:\n  \
                        baleen load http://127.0.0.1:8080/ --rate 500/s --duration 30s --expect 'p99 <= 50ms' --expect 'success >= 99.9%'\n  \
                        baleen load http://127.0.0.1:8080/ --rate 100/s --rate 30s:1000/s~20s --phase ramp=30s..50s --duration 60s\n  \
                        baleen load '9 http://127.0.0.1:8080/' '1 POST http://127.0.0.1:8080/order @order.json' --rate 200/s\n  \
                        baleen load http://127.0.0.1:8080/ --closed 64\n  \
                        baleen load scenarios/cascade.toml --to 127.0.0.1:8080"
)]
pub struct Args {
    /// What to send: URLs, or one scenario file
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// More targets, one in each line; `#` begins a comment
    #[arg(long = "targets", value_name = "FILE")]
    targets_file: Option<PathBuf>,
    /// Requests per second, `[AT:]RATE[~OVER]`: 100/s, 30s:500/s (from then on), 60s:1000/s~20s (a ramp of 20 s) [default: 100/s]
    #[arg(long, value_name = "RATE", value_parser = spell::step, conflicts_with = "closed")]
    rate: Vec<RateStep>,
    /// How requests are spread: as from many independent users, or evenly
    #[arg(long, value_enum, default_value_t = Spread::Poisson, conflicts_with = "closed")]
    arrivals: Spread,
    /// Find what the other side can do: N connections, each sends its next request when the last has ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    closed: Option<u32>,
    /// How long requests become due; those under way may end [default: 10s]
    #[arg(long, short, value_name = "TIME", value_parser = spell::some_duration)]
    duration: Option<Duration>,
    /// Most connections of an open loop; when all are busy, requests wait and are late
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    /// Threads that send [default: one for each 20000/s; of a closed loop, half the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=THREADS_MAX as i64))]
    threads: Option<u32>,
    /// From sending to the last byte of the response [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = spell::some_duration)]
    timeout: Option<Duration>,
    /// Method, where a target says none [default: GET, with a body POST]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<String>,
    /// A header field of all requests
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Body, where a target says none
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// The same, from a file
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Statuses that are good, such as 200,3xx [default: 200-399]
    #[arg(long, value_name = "STATUSES", value_parser = parse_statuses)]
    status: Option<Statuses>,
    /// Text that a good response has in its body
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Open a connection for each request
    #[arg(long)]
    no_reuse: bool,
    /// Send each request's number as x-load-id
    #[arg(long)]
    number: bool,
    /// A part to be counted by itself, by when requests are due: NAME=FROM..TO
    #[arg(long = "phase", value_name = "PHASE", value_parser = spell::phase)]
    phases: Vec<Phase>,
    /// What must hold: `[PHASE:]MEASURE<=VALUE`; success, rate, mean, max, p50, p99.9; service.p99 is from sending
    #[arg(long = "expect", value_name = "CONDITION", value_parser = spell::expect)]
    pub expect: Vec<spell::Expect>,
    /// Share of requests that may be late (by more than 10 ms) or never sent, before the run is no result
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = spell::share)]
    pub late_max: f64,
    /// Where a scenario's workloads go: HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Seed of arrivals and of the choice of targets
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How to say what came of it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write a page with latency over time and the percentile curve
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write latencies of each second as an HdrHistogram interval log
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
    /// Say each second how far it is, also where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// How requests are spread.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Spread {
    /// As from many independent users
    Poisson,
    /// Evenly
    Constant,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

type Statuses = std::sync::Arc<Vec<std::ops::RangeInclusive<u16>>>;

fn parse_statuses(text: &str) -> Result<Statuses, String> {
    spell::statuses(text).map(Arc::new)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    header(text).map_err(|e| e.to_string())
}

/// What is to be sent.
pub struct Task {
    /// For people.
    pub title: String,
    /// How requests come, for people.
    pub how: String,
    /// With the name of each.
    pub loads: Vec<(String, Load)>,
    pub phases: Vec<Phase>,
    pub duration: Duration,
}

impl Args {
    /// What is asked, if that can be sent.
    pub fn task(&self) -> Result<Task, Failure> {
        let scenario = match &self.targets[..] {
            [one] if !one.contains("://") && one.ends_with(".toml") => Some(Path::new(one)),
            _ => None,
        };
        let mut task = match scenario {
            Some(path) => self.scenario(path)?,
            None => self.plain()?,
        };
        let threads = self.threads.map(|n| n as usize);
        for (name, load) in &mut task.loads {
            load.threads = threads.unwrap_or_else(|| default_threads(&load.pacing));
            load.threads = load.threads.min(load.connections_max).max(1);
            load.intervals = self.hdr.is_some();
            load.verify().map_err(|e| Failure::input(format!("{name}: {e}")))?;
        }
        if let Some((expect, phase)) = super::expect::unknown_phase(&self.expect, &task.phases) {
            let known: Vec<&str> = task.phases.iter().map(|p| p.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("`{}`: there is no phase `{phase}`", expect.text);
            return Err(Failure::input(message).hint(format!("phases: {known}; --phase makes one")));
        }
        Ok(task)
    }

    fn scenario(&self, path: &Path) -> Result<Task, Failure> {
        let Some(to) = &self.to else {
            return Err(Failure::input("a scenario's workloads need --to HOST:PORT")
                .hint("`baleen sim` runs it in virtual time, without a system"));
        };
        let set_there: [(&str, bool); 9] = [
            ("--rate", !self.rate.is_empty()),
            ("--closed", self.closed.is_some()),
            ("--duration", self.duration.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--method", self.method.is_some()),
            ("--body", self.body.is_some() || self.body_file.is_some()),
            ("--status", self.status.is_some()),
            ("--targets", self.targets_file.is_some()),
            ("--phase", !self.phases.is_empty()),
        ];
        if let Some((name, _)) = set_there.iter().find(|(_, given)| *given) {
            return Err(Failure::input(format!("{name} is the scenario's to say"))
                .hint("change the file, or give a URL instead of a scenario"));
        }
        let to = address(to)?;
        let (model, warnings) = baleen_scenario::load(path, &[]).map_err(|diagnostics| {
            input::tell(&diagnostics);
            Failure::input(format!("{} can't be run", path.display()))
        })?;
        input::tell(&warnings);
        let mut loads = scenario::loads(&model, to, self.connections as usize);
        for (_, load) in &mut loads {
            load.seed = load.seed.wrapping_add(self.seed.map_or(0, |s| s.wrapping_sub(model.seed)));
            load.ids = self.number;
            for target in &mut load.targets {
                target.headers.extend(self.headers.iter().cloned());
                target.check.contains = self.contains.as_ref().map(|text| text.as_bytes().to_vec());
            }
        }
        let how = format!("workloads of {}, to {to}", path.display());
        let phases = scenario::phases(&model);
        // A title may hold anything; a terminal is not to obey it.
        let title = model.title.replace(char::is_control, "\u{fffd}");
        Ok(Task { title, how, loads, phases, duration: model.duration })
    }

    fn plain(&self) -> Result<Task, Failure> {
        if self.to.is_some() {
            return Err(Failure::input("--to goes with a scenario file")
                .hint("a URL says by itself where it leads"));
        }
        let targets = self.all_targets()?;
        let duration = self.duration.unwrap_or(Duration::from_secs(10));
        let (pacing, connections_max, how) = match self.closed {
            Some(n) => (
                Pacing::Closed { think: None },
                n as usize,
                format!("closed loop, {n} connections"),
            ),
            None => (self.open(), self.connections as usize, self.how_open()),
        };
        let title = match &targets[..] {
            [one] => format!("{} http://{}{}", one.method, one.url.host, one.url.path),
            all => format!("{} targets", all.len()),
        };
        let [first, ..] = &targets[..] else { return Err(no_target()) };
        let load = Load {
            pacing,
            duration,
            connections_max,
            timeout: self.timeout.unwrap_or(Duration::from_secs(10)),
            reuse: !self.no_reuse,
            seed: self.seed.unwrap_or(0),
            ids: self.number,
            phases: self.phases.clone(),
            ..Load::new(first.clone())
        };
        let load = Load { targets, ..load };
        let phases = self.phases.clone();
        Ok(Task { title, how, loads: vec![("load".to_owned(), load)], phases, duration })
    }

    fn open(&self) -> Pacing {
        let arrivals = match self.arrivals {
            Spread::Poisson => Arrivals::Poisson,
            Spread::Constant => Arrivals::Constant,
        };
        let mut rate = self.rate.clone();
        rate.sort_by_key(|step| step.at);
        let zero = |per_second| RateStep { at: Duration::ZERO, per_second, over: Duration::ZERO };
        match rate.first() {
            None => rate.push(zero(100.0)),
            Some(first) if !first.at.is_zero() => rate.insert(0, zero(0.0)),
            Some(_) => {}
        }
        Pacing::Open { arrivals, rate, burst: 1 }
    }

    fn how_open(&self) -> String {
        let spread = match self.arrivals {
            Spread::Poisson => "poisson",
            Spread::Constant => "constant",
        };
        let mut steps = self.rate.clone();
        steps.sort_by_key(|step| step.at);
        let one = |s: &RateStep| {
            let mut text = format!("{}/s", s.per_second);
            if !s.at.is_zero() {
                text = format!("{text} from {:?}", s.at);
            }
            if !s.over.is_zero() {
                text = format!("{text} over {:?}", s.over);
            }
            text
        };
        let steps: Vec<String> = steps.iter().map(one).collect();
        let steps = if steps.is_empty() { "100/s".to_owned() } else { steps.join(", ") };
        format!("open loop, {spread}, {steps}")
    }

    /// Targets of the command line and of the file.
    fn all_targets(&self) -> Result<Vec<Target>, Failure> {
        let mut written = Vec::new();
        for text in &self.targets {
            written.push(spell::target(text, Path::new("")).map_err(Failure::input)?);
        }
        if let Some(path) = &self.targets_file {
            let text = read_text(path)?;
            let dir = path.parent().unwrap_or(Path::new(""));
            for (nth, line) in (1..).zip(text.lines()) {
                let line = line.split('#').next().unwrap_or_default().trim();
                if line.is_empty() {
                    continue;
                }
                let at = |e| Failure::input(format!("{}:{nth}: {e}", path.display()));
                written.push(spell::target(line, dir).map_err(at)?);
            }
        }
        if written.is_empty() {
            return Err(no_target());
        }
        if written.len() > TARGETS_MAX {
            return Err(Failure::input(format!("more than {TARGETS_MAX} targets")));
        }
        let body: Arc<[u8]> = match (&self.body, &self.body_file) {
            (Some(text), _) => Arc::from(text.as_bytes()),
            (None, Some(path)) => Arc::from(read_body(path)?),
            (None, None) => Arc::from(&[][..]),
        };
        written.into_iter().map(|w| self.target(w, &body)).collect()
    }

    fn target(&self, written: spell::Written, body: &Arc<[u8]>) -> Result<Target, Failure> {
        let url: Url = written.url.parse().map_err(|e: baleen_drill::load::UrlError| {
            let failure = Failure::input(e.to_string());
            if written.url.starts_with("https://") {
                failure.hint(
                    "give the port that speaks plain HTTP, or put a proxy that ends TLS before it",
                )
            } else if !written.url.contains("://") {
                failure.hint(format!(
                    "did you mean http://{}? A scenario's name ends in .toml",
                    written.url
                ))
            } else {
                failure
            }
        })?;
        let body = match &written.body {
            Some(path) => Arc::from(read_body(path)?),
            None => Arc::clone(body),
        };
        let default = if body.is_empty() { "GET" } else { "POST" };
        let method = written.method.or_else(|| self.method.clone());
        let status = self.status.as_ref().map_or_else(|| Check::default().status, |s| s.to_vec());
        Ok(Target {
            method: method.unwrap_or_else(|| default.to_owned()),
            headers: self.headers.clone(),
            body,
            weight: written.weight,
            check: Check {
                status,
                contains: self.contains.as_ref().map(|t| t.as_bytes().to_vec()),
            },
            ..Target::get(url)
        })
    }
}

fn no_target() -> Failure {
    Failure::input("there is nothing to send")
        .hint("baleen load http://HOST:PORT/PATH, or baleen load SCENARIO.toml --to HOST:PORT")
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let found = text.to_socket_addrs().map(|mut found| found.next());
    match found {
        Ok(Some(addr)) => Ok(addr),
        Ok(None) => Err(Failure::input(format!("--to: `{text}` has no address"))),
        Err(e) => Err(Failure::input(format!("--to: `{text}` leads nowhere: {e}"))
            .hint("HOST:PORT, such as 127.0.0.1:8080")),
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_most(path, TARGETS_FILE_MAX)?;
    String::from_utf8(bytes).map_err(|_| Failure::input(format!("{} is no text", path.display())))
}

fn read_body(path: &Path) -> Result<Vec<u8>, Failure> {
    read_most(path, BODY_MAX as u64)
}

fn read_most(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let wrong =
        |e: &dyn std::fmt::Display| Failure::input(format!("can't read {}: {e}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| wrong(&e))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| wrong(&e))?;
    if bytes.len() as u64 > most {
        return Err(wrong(&format_args!("it has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

fn default_threads(pacing: &Pacing) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match pacing {
        Pacing::Closed { .. } => cores / 2,
        Pacing::Open { rate, .. } => {
            let most = rate.iter().map(|s| s.per_second).fold(0.0, f64::max);
            ((most / RATE_OF_THREAD).ceil() as usize).min(cores)
        }
    }
    .clamp(1, THREADS_MAX)
}
