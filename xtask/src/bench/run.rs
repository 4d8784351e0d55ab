//! Runs the matrix: rounds outside, cases inside, proxies shuffled within a case.
//!
//! Each measurement has its own backend, proxy and load generator, all started fresh. One that
//! was disturbed by other processes is done again at once, a bounded number of times.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::loadgen::Window;
use super::peers::{Launch, PORT, Peer, Tools, launch};
use super::plan::{CASES, Case, IDLE, IDLE_PEERS, Load};
use super::process::{Running, start};
use super::results::{Memory, NOISE_MAX, Results, Sample};
use super::{procfs, sys};

/// The proxy's core and that of everything else.
const PROXY_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Rounds of the memory measurement; it hardly varies.
const MEMORY_ROUNDS: u32 = 3;

/// Measurements done again in a whole run; on a busy machine it would not end otherwise.
const REDONE_MAX: u32 = 60;

/// What to run.
pub struct Options {
    pub rounds: u32,
    pub warmup_ms: u64,
    pub measure_ms: u64,
    /// How often a disturbed measurement is done again.
    pub redo_max: u32,
    /// Only cases whose name contains this.
    pub only: Option<String>,
    /// Only these proxies.
    pub peers: Vec<Peer>,
}

/// A run in progress.
pub struct Run<'a> {
    pub tools: &'a Tools,
    pub options: &'a Options,
    /// Where proxies keep their files.
    pub dir: PathBuf,
    pub results: Results,
    pub random: u64,
    /// Measurements done again so far.
    pub redone: u32,
}

impl Run<'_> {
    /// Runs everything that was asked for; `save` is called after each round.
    pub fn all(&mut self, save: &dyn Fn(&Results) -> Result<()>) -> Result<()> {
        if sys::cores() < 2 {
            bail!("this needs two cores: one for the proxy, one for load and backend");
        }
        if !CASES.iter().map(|case| case.name).chain([IDLE.0]).any(|name| self.wanted(name)) {
            let names: Vec<_> = CASES.iter().map(|case| case.name).chain([IDLE.0]).collect();
            bail!("no such case; there are {}", names.join(", "));
        }
        sys::raise_descriptors(65_536)?;
        for round in 0..self.options.rounds {
            for case in CASES {
                if !self.wanted(case.name) {
                    continue;
                }
                for peer in self.shuffled(case.peers) {
                    self.measure(case, peer, round);
                }
            }
            if self.wanted(IDLE.0) && round < MEMORY_ROUNDS {
                for peer in self.shuffled(IDLE_PEERS) {
                    self.measure_memory(peer, round);
                }
            }
            save(&self.results)?;
        }
        Ok(())
    }

    fn wanted(&self, name: &str) -> bool {
        self.options.only.as_deref().is_none_or(|only| name.contains(only))
    }

    /// The asked-for ones among `peers`, in random order.
    fn shuffled(&mut self, peers: &[Peer]) -> Vec<Peer> {
        let wanted = peers.iter().filter(|peer| self.options.peers.contains(peer));
        let mut order: Vec<Peer> = wanted.copied().collect();
        for i in (1..order.len()).rev() {
            // splitmix64
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let j = ((z ^ (z >> 31)) % (i as u64 + 1)) as usize;
            order.swap(i, j);
        }
        order
    }

    fn measure(&mut self, case: &Case, peer: Peer, round: u32) {
        let label = format!(
            "round {}/{}  {:<12} {:<14}",
            round + 1,
            self.options.rounds,
            case.name,
            peer.name()
        );
        for redone in 0..=self.options.redo_max {
            let last = redone == self.options.redo_max || self.redone >= REDONE_MAX;
            self.redone += u32::from(redone > 0);
            match self.window(case, peer) {
                Ok(window) => {
                    let noisy = window.others_share > NOISE_MAX || window.steal_share > NOISE_MAX;
                    eprintln!("{label} {}", shown(&window, noisy));
                    if !noisy || last {
                        let case = case.name.to_owned();
                        self.results.samples.push(Sample {
                            case,
                            round,
                            peer,
                            noisy,
                            redone,
                            window,
                        });
                        return;
                    }
                }
                Err(error) => {
                    eprintln!("{label} void: {error:#}");
                    if last {
                        self.results.problems.push(format!("{}: {error:#}", label.trim()));
                        return;
                    }
                }
            }
        }
    }

    fn proxy(&self, peer: Peer, workers: usize, core: Option<usize>) -> Result<Running> {
        let dir = self.dir.join(peer.name());
        launch(self.tools, &Launch { peer, workers, dir: &dir, core, wrapper: &[] })
    }

    /// One measurement: backend, proxy and load, fresh.
    fn window(&self, case: &Case, peer: Peer) -> Result<Window> {
        let core = |core| case.pinned().then_some(core);
        let backend = backend(self.tools, core(LOAD_CORE))?;
        let proxy = self.proxy(peer, case.workers, core(PROXY_CORE))?;
        let mut load = Command::new(&self.tools.xtask);
        load.args(["bench", "child-loadgen", "--port", &PORT.to_string()]);
        load.args(["--connections", &case.connections.to_string()]);
        load.args(["--path", &format!("/{}", case.body_bytes)]);
        load.args(["--warmup-ms", &self.options.warmup_ms.to_string()]);
        load.args(["--measure-ms", &self.options.measure_ms.to_string()]);
        let mut watch = proxy.pids().to_vec();
        let mut ours = backend.pids().to_vec();
        ours.push(std::process::id());
        for on in 0..sys::cores() {
            let counted = case.pinned() && on == PROXY_CORE;
            if counted { &mut watch } else { &mut ours }.extend(procfs::softirq_thread(on));
        }
        load.args(["--watch", &pid_list(&watch), "--ours", &pid_list(&ours)]);
        match case.load {
            Load::Closed => load.args(["--mode", "closed"]),
            Load::Open(rate) => load.args(["--mode", "open", "--rate", &rate.to_string()]),
        };
        sys::prepare(&mut load, core(LOAD_CORE));
        let output = load.output().context("load generator")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let window: Window = serde_json::from_slice(&output.stdout).context("load generator")?;
        if window.requests == 0 {
            bail!("no request was answered in the window");
        }
        Ok(window)
    }

    fn measure_memory(&mut self, peer: Peer, round: u32) {
        let label = format!(
            "round {}/{}  {:<12} {:<14}",
            round + 1,
            self.options.rounds,
            IDLE.0,
            peer.name()
        );
        match self.memory(peer) {
            Ok(memory) => {
                eprintln!("{label} {:.0} bytes per connection", memory.per_connection());
                self.results.memory.push(memory);
            }
            Err(error) => {
                eprintln!("{label} void: {error:#}");
                self.results.problems.push(format!("{}: {error:#}", label.trim()));
            }
        }
    }

    /// Resident memory with and without idle connections, each of which made one request.
    fn memory(&self, peer: Peer) -> Result<Memory> {
        let connections = IDLE.1;
        let _backend = backend(self.tools, Some(LOAD_CORE))?;
        let proxy = self.proxy(peer, 1, Some(PROXY_CORE))?;
        let before_bytes = procfs::resident_bytes(proxy.pids());
        let mut load = Command::new(&self.tools.xtask);
        load.args(["bench", "child-loadgen", "--mode", "idle", "--path", "/128"]);
        load.args(["--port", &PORT.to_string(), "--connections", &connections.to_string()]);
        load.stdin(Stdio::piped());
        let load = ready_child(load, Some(LOAD_CORE)).context("idle connections")?;
        // Let the proxy put away what it held for the last requests.
        sleep(Duration::from_millis(300));
        let after_bytes = procfs::resident_bytes(proxy.pids());
        drop(load);
        Ok(Memory { peer, connections: connections as u64, before_bytes, after_bytes })
    }
}

fn pid_list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn shown(window: &Window, noisy: bool) -> String {
    format!(
        "{:8.2} us/request  {:8.0}/s  p50 {:7.0} us  p99 {:7.0} us  others {:4.1} %{}",
        window.proxy_cpu_us / window.requests.max(1) as f64,
        window.requests as f64 / window.seconds,
        window.p50_us,
        window.p99_us,
        (window.others_share + window.steal_share) * 100.0,
        if noisy { "  disturbed" } else { "" },
    )
}

/// Starts the backend and waits until it listens.
pub fn backend(tools: &Tools, core: Option<usize>) -> Result<Running> {
    let mut command = Command::new(&tools.xtask);
    command.args(["bench", "child-backend"]);
    ready_child(command, core).context("backend")
}

/// Starts a child of ours and waits until it prints `ready`.
fn ready_child(mut command: Command, core: Option<usize>) -> Result<Running> {
    command.stdout(Stdio::piped());
    let mut running = start(command, core)?;
    let output = running.child().stdout.take().ok_or_else(|| anyhow!("no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!("it stopped before it was ready");
    }
    Ok(running)
}

/// Kernel, processor, cores.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let release = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    format!("{} cores, {model}, Linux {release}", sys::cores())
}
