//! Runs simulators, each as a process of its own, one after another on one core.
//!
//! Of ours the whole process counts, from outside: start, reading, running, writing JSON. Of peers only the run itself, as they say:
//! neither the interpreter's start nor imports. One that was disturbed by other processes is done again, a bounded number of times.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use super::figures::{Figures, Memory, Reading, Sample, off};
use super::plan::{CASES, CORE, Case, MEMORY, MEMORY_CALLS, MEMORY_ROUNDS, Who};
use crate::bench::results::NOISE_MAX;
use crate::bench::{procfs, sys};
use crate::repo;

/// The core that every run has for itself.
const CORE_USED: usize = 1;
/// How often a disturbed run is done again, and in all.
const REDO_MAX: u32 = 2;
const REDONE_MAX: u32 = 30;
/// A few ticks of others are no disturbance, however short the run.
const TICKS_IGNORED: u64 = 3;
/// Less than this of jobs or calls was lost to the end of the run.
const SHORT_MAX: f64 = 0.05;
/// What `--quick` divides sizes by.
const QUICK: u64 = 10;

/// What to run.
pub struct Options {
    pub rounds: u32,
    /// Only cases whose name contains this.
    pub only: Option<String>,
    pub quick: bool,
}

/// Programs that were found.
pub struct Tools {
    pub release: PathBuf,
    pub debug: PathBuf,
    /// Where scenarios are written.
    pub dir: PathBuf,
    python: Option<PathBuf>,
}

/// What a peer's script answers.
#[derive(Deserialize)]
struct Answer {
    version: String,
    jobs: u64,
    events: u64,
    mean_s: f64,
    wall_s: f64,
    cpu_s: f64,
}

impl Tools {
    /// Looks for everything.
    pub fn find(target: &Path) -> Result<Self> {
        let dir = target.join("bench/sim");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let python = target.join("simulators/bin/python");
        Ok(Self {
            release: target.join("release/baleen"),
            debug: target.join("debug/baleen"),
            dir,
            python: python.exists().then_some(python),
        })
    }

    /// The script of a peer, ready to be given model, jobs and seed.
    fn script(&self, who: Who) -> Option<Command> {
        let mut command = Command::new(self.python.as_ref()?);
        let name = format!("xtask/src/bench/sim/peers/{}_peer.py", who.name());
        command.arg("-B").arg(repo::root().join(name));
        Some(command)
    }

    /// What a simulator says its version is; `None` when it isn't here.
    pub fn version(&self, who: Who) -> Option<String> {
        if who == Who::Baleen {
            let output = Command::new(&self.release).arg("--version").output().ok()?;
            return Some(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let output = self.script(who)?.args(["mm1", "10", "1"]).output().ok()?;
        let answer: Answer = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer.version)
    }

    /// Writes the scenario of a case; its file.
    pub fn scenario(&self, case: &Case, jobs: u64) -> Result<PathBuf> {
        let file = self.dir.join(format!("{}-{jobs}.toml", case.name));
        fs::write(&file, case.scenario(jobs))
            .with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }
}

/// A run in progress.
pub struct Runner<'a> {
    pub tools: &'a Tools,
    pub options: &'a Options,
    pub figures: Figures,
}

impl Runner<'_> {
    /// Runs everything that was asked for; `save` is called after each round.
    pub fn all(&mut self, save: &dyn Fn(&Figures) -> Result<()>) -> Result<()> {
        let names = || CASES.iter().map(|case| case.name).chain([MEMORY]);
        if !names().any(|name| self.wanted(name)) {
            bail!("no such case; there are {}", names().collect::<Vec<_>>().join(", "));
        }
        for who in Who::ALL {
            if !self.figures.versions.contains_key(&who) {
                eprintln!(
                    "note: {} isn't here; hint: scripts/install-test-tools bench",
                    who.name()
                );
                self.figures.problems.push(format!("{}: it isn't here", who.name()));
            }
        }
        for round in 0..self.options.rounds {
            for case in CASES.iter().filter(|case| self.wanted(case.name)).collect::<Vec<_>>() {
                for (who, jobs) in turned(case.sizes, round) {
                    if self.figures.versions.contains_key(&who) {
                        self.measure(case, who, self.size(jobs), round);
                    }
                }
            }
            if self.wanted(MEMORY) && round < MEMORY_ROUNDS {
                self.measure_memory(round);
            }
            save(&self.figures)?;
        }
        Ok(())
    }

    fn wanted(&self, name: &str) -> bool {
        self.options.only.as_deref().is_none_or(|only| name == only)
    }

    fn size(&self, jobs: u64) -> u64 {
        if self.options.quick { jobs / QUICK } else { jobs }
    }

    fn label(&self, round: u32, case: &str, who: Who) -> String {
        let rounds = self.options.rounds;
        format!("round {}/{rounds}  {case:<12} {:<9}", round + 1, who.name())
    }

    fn measure(&mut self, case: &Case, who: Who, jobs: u64, round: u32) {
        let label = self.label(round, case.name, who);
        for redone in 0..=REDO_MAX {
            let spent: u32 = self.figures.samples.iter().map(|s| s.redone).sum();
            let last = redone == REDO_MAX || spent + redone >= REDONE_MAX;
            let seed = u64::from(round) + 1;
            let reading = run(self.tools, case, who, jobs, seed).and_then(|r| sound(case, jobs, r));
            match reading {
                Ok(reading) => {
                    let noisy = disturbed(&reading);
                    eprintln!("{label} {}", shown(&reading, noisy));
                    if !noisy || last {
                        let case = case.name.to_owned();
                        self.figures.samples.push(Sample {
                            case,
                            round,
                            who,
                            noisy,
                            redone,
                            reading,
                        });
                        return;
                    }
                }
                // The same seed gives the same again.
                Err(error) => {
                    eprintln!("{label} void: {error:#}");
                    self.figures.problems.push(format!("{}: {error:#}", label.trim()));
                    return;
                }
            }
        }
    }

    fn measure_memory(&mut self, round: u32) {
        let Some(case) = Case::of(CORE) else { return };
        for calls in MEMORY_CALLS {
            let label = self.label(round, MEMORY, Who::Baleen);
            let seed = u64::from(round) + 1;
            let size = self.size(calls);
            let reading = run(self.tools, case, Who::Baleen, size, seed);
            match reading.and_then(|r| sound(case, size, r)) {
                Ok(reading) => {
                    let mb = reading.resident_max_bytes as f64 / 1e6;
                    eprintln!("{label} {size} calls: {mb:.1} MB, {:.1} s", reading.wall_s);
                    self.figures.memory.push(Memory { round, reading, calls: size });
                }
                Err(error) => {
                    eprintln!("{label} void: {error:#}");
                    self.figures.problems.push(format!("{}: {error:#}", label.trim()));
                }
            }
        }
    }
}

/// Who begins changes from round to round.
fn turned(sizes: &[(Who, u64)], round: u32) -> Vec<(Who, u64)> {
    let mut order = sizes.to_vec();
    order.rotate_left(round as usize % sizes.len().max(1));
    order
}

/// One run of one simulator.
pub fn run(tools: &Tools, case: &Case, who: Who, jobs: u64, seed: u64) -> Result<Reading> {
    if who == Who::Baleen {
        let file = tools.scenario(case, jobs)?;
        let mut command = Command::new(&tools.release);
        command.arg("sim").arg(file).args(["--format", "json", "--seed", &seed.to_string()]);
        let (output, mut reading) = watched(command)?;
        let json: Value = serde_json::from_slice(&output).context("its JSON")?;
        ours(&json, &mut reading)?;
        return Ok(reading);
    }
    let mut command = tools.script(who).ok_or_else(|| anyhow!("it isn't here"))?;
    command.args([case.name, &jobs.to_string(), &seed.to_string()]);
    let (output, outside) = watched(command)?;
    let said: Answer = serde_json::from_slice(&output).context("its answer")?;
    Ok(Reading {
        jobs: said.jobs,
        events: said.events,
        mean_s: said.mean_s,
        wall_s: said.wall_s,
        cpu_s: said.cpu_s,
        ..outside
    })
}

/// What our JSON says of all calls over the whole run.
fn ours(run: &Value, reading: &mut Reading) -> Result<()> {
    let number = |name: &str| run.get(name).and_then(Value::as_u64);
    reading.jobs = number("calls").context("no `calls` in its JSON")?;
    reading.events = number("events").context("no `events` in its JSON")?;
    let phases = run.get("phases").and_then(Value::as_array).context("no `phases`")?;
    let whole = phases.iter().find(|p| p.get("name").and_then(Value::as_str) == Some("whole"));
    let mean = whole.and_then(|p| p.pointer("/figures/0/mean_s")).and_then(Value::as_f64);
    reading.mean_s = mean.context("no mean of the phase `whole`")?;
    let violations = run.get("violations").and_then(Value::as_array).context("no `violations`")?;
    match violations.first() {
        Some(violation) => bail!("an invariant did not hold: {violation}"),
        None => Ok(()),
    }
}

/// Runs a command on its core; what it printed, and its time and memory.
fn watched(mut command: Command) -> Result<(Vec<u8>, Reading)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::prepare(&mut command, Some(CORE_USED.min(sys::cores().saturating_sub(1))));
    let before = procfs::machine();
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut output = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut output)?;
    }
    let mut talk = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut talk)?;
    }
    let ended = sys::wait_with_usage(child.id())?;
    let wall_s = started.elapsed().as_secs_f64();
    let after = procfs::machine();
    if !ended.success {
        bail!("it failed: {}", talk.lines().last().unwrap_or("it said nothing"));
    }
    let cpu_ticks = (ended.cpu_s * 100.0) as u64;
    let busy = after.busy_ticks.saturating_sub(before.busy_ticks);
    let others = busy.saturating_sub(cpu_ticks).saturating_sub(TICKS_IGNORED);
    let steal = after.steal_ticks.saturating_sub(before.steal_ticks);
    let capacity_ticks = (wall_s * 100.0 * sys::cores() as f64).max(1.0);
    let reading = Reading {
        wall_s,
        cpu_s: ended.cpu_s,
        resident_max_bytes: ended.resident_max_bytes,
        others_share: others as f64 / capacity_ticks,
        steal_share: steal.saturating_sub(TICKS_IGNORED) as f64 / capacity_ticks,
        ..Reading::default()
    };
    Ok((output, reading))
}

/// Refuses a run that did not do its work: too few jobs, or a mean that theory does not allow.
fn sound(case: &Case, jobs: u64, reading: Reading) -> Result<Reading> {
    let short = 1.0 - reading.jobs as f64 / jobs.max(1) as f64;
    if short > SHORT_MAX {
        bail!("only {} of {jobs} jobs", reading.jobs);
    }
    // One run of many may be off by five standard errors; what is published is held to four.
    match off(case, reading.mean_s, reading.jobs) {
        Some((off, max)) if off.abs() > max * 5.0 / 4.0 => {
            bail!("its mean is {:.1} % off theory", off * 100.0)
        }
        _ => Ok(reading),
    }
}

fn disturbed(reading: &Reading) -> bool {
    reading.others_share > NOISE_MAX || reading.steal_share > NOISE_MAX
}

fn shown(r: &Reading, noisy: bool) -> String {
    format!(
        "{:9} jobs  {:8.3} s wall  {:8.3} s CPU  {:10.0} jobs/s  {:10.0} events/s  {:6.1} MB  others {:4.1} %{}",
        r.jobs,
        r.wall_s,
        r.cpu_s,
        r.jobs as f64 / r.cpu_s.max(1e-9),
        r.events as f64 / r.cpu_s.max(1e-9),
        r.resident_max_bytes as f64 / 1e6,
        (r.others_share + r.steal_share) * 100.0,
        if noisy { "  disturbed" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan::MM1;
    use super::*;

    #[test]
    fn a_child_is_watched() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done"]);
        let (output, reading) = watched(command).unwrap();
        assert_eq!(output, b"done\n");
        assert!(reading.cpu_s > 0.0 && reading.wall_s > 0.0);
        assert!(reading.resident_max_bytes > 100_000, "{}", reading.resident_max_bytes);
        let mut command = Command::new("sh");
        command.args(["-c", "echo no good >&2; exit 3"]);
        assert_eq!(watched(command).unwrap_err().to_string(), "it failed: no good");
    }

    #[test]
    fn our_json_is_read() {
        let text = r#"{"calls": 9, "events": 20, "violations": [],
            "phases": [{"name": "whole", "figures": [{"mean_s": 0.5}, {"mean_s": 7}]}]}"#;
        let mut reading = Reading::default();
        let mut json: Value = serde_json::from_str(text).unwrap();
        ours(&json, &mut reading).unwrap();
        assert_eq!((reading.jobs, reading.events, reading.mean_s), (9, 20, 0.5));
        json["violations"] = serde_json::json!(["lost a call"]);
        assert!(ours(&json, &mut reading).unwrap_err().to_string().contains("lost a call"));
    }

    #[test]
    fn who_does_not_work_is_refused() {
        let case = Case::of(MM1).unwrap();
        let reading = |jobs, mean_s| Reading { jobs, mean_s, ..Reading::default() };
        assert!(sound(case, 100_000, reading(99_000, 0.0051)).is_ok());
        assert!(sound(case, 100_000, reading(50_000, 0.005)).is_err());
        assert!(sound(case, 1_000_000, reading(1_000_000, 0.0056)).is_err());
    }

    #[test]
    fn everybody_begins_once() {
        let sizes = Case::of(MM1).unwrap().sizes;
        let first: Vec<Who> = (0..4).map(|round| turned(sizes, round)[0].0).collect();
        assert_eq!(first, Who::ALL);
    }
}
