//! The load generator: one thread, four ways to load, one line of JSON as its result.
//!
//! * `closed`: every connection always has a request in flight; shows cost.
//! * `open`: requests start at fixed times whether or not earlier ones are answered, and
//!   latency counts from the time that was meant; shows latency.
//! * `count`: so many requests, one after another; for counting instructions.
//! * `idle`: many connections, one request on each, then silence; shows memory.
//!
//! It reads the CPU counters of the proxy itself, at the edges of the measuring window, so
//! that requests and CPU time are of the same window.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::hist::Histogram;
use super::procfs::{self, Cpu, Machine};
use super::sys;
use crate::args::Args;

/// A request of the open loop that starts later than this after its time is late.
const LATE_NS: u64 = 500_000;
/// Requests of the open loop waiting for a connection; more means the proxy is too slow.
const WAITING_MAX: usize = 20_000;

/// What one measuring window showed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Window {
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Open loop: requests that started more than 0.5 ms after their time.
    pub late: u64,
    /// CPU time of the proxy in the window.
    pub proxy_cpu_us: f64,
    /// The part of it in user code, 0 to 1.
    pub proxy_user_share: f64,
    /// CPU time of others, as a share of the machine.
    pub others_share: f64,
    /// CPU time taken by the hypervisor, as a share of the machine.
    pub steal_share: f64,
}

/// Counters at one edge of the window.
struct Edge {
    at: Instant,
    proxy: Cpu,
    ours_ticks: u64,
    machine: Machine,
}

struct Load {
    client: Client,
    started: Instant,
    watch: Vec<u32>,
    ours: Vec<u32>,
    warmup: Duration,
    measure: Duration,
    histogram: Histogram,
    late: u64,
    open: Option<Edge>,
}

/// Runs one load, as a child process of the harness.
pub fn run(mut args: Args) -> Result<()> {
    let mode: String = args.required("--mode")?;
    let port = args.required("--port")?;
    let path: String = args.required("--path")?;
    let connections = args.required("--connections")?;
    let rate: Option<u64> = args.value("--rate")?;
    let requests: Option<u64> = args.value("--requests")?;
    let warmup = Duration::from_millis(args.value("--warmup-ms")?.unwrap_or(0));
    let measure = Duration::from_millis(args.value("--measure-ms")?.unwrap_or(0));
    let watch = pids(args.value::<String>("--watch")?);
    let mut ours = pids(args.value::<String>("--ours")?);
    args.finish()?;
    ours.push(std::process::id());
    sys::die_with_parent()?;
    sys::exact_timers();
    sys::raise_descriptors(65_536)?;
    let mut load = Load {
        client: Client::connect(port, &path, connections)?,
        started: Instant::now(),
        watch,
        ours,
        warmup,
        measure,
        histogram: Histogram::new(),
        late: 0,
        open: None,
    };
    match mode.as_str() {
        "closed" => print_json(&load.closed()?),
        "open" => print_json(&load.open_loop(rate.unwrap_or(10_000))?),
        "count" => load.count(requests.unwrap_or(1)),
        "idle" => load.idle(),
        other => bail!("no such mode: {other}"),
    }
}

fn print_json(window: &Window) -> Result<()> {
    println!("{}", serde_json::to_string(window)?);
    Ok(())
}

fn pids(list: Option<String>) -> Vec<u32> {
    list.unwrap_or_default().split(',').filter_map(|pid| pid.parse().ok()).collect()
}

impl Load {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn closed(&mut self) -> Result<Window> {
        for token in 0..self.client.len() {
            let now = self.now_ns();
            self.client.send(token, now)?;
        }
        let mut ready = Vec::new();
        loop {
            self.client.epoll.wait(Duration::from_millis(20), &mut ready)?;
            for (token, _) in ready.drain(..) {
                if let Some(since) = self.client.turn(token)? {
                    let now = self.now_ns();
                    self.record(now - since);
                    self.client.send(token, now)?;
                }
            }
            if let Some(window) = self.edges() {
                return Ok(window);
            }
        }
    }

    fn open_loop(&mut self, rate: u64) -> Result<Window> {
        let gap = 1_000_000_000 / rate.max(1);
        let mut next = self.now_ns() + gap;
        let mut free: VecDeque<usize> = (0..self.client.len()).collect();
        let mut waiting: VecDeque<u64> = VecDeque::new();
        let mut ready = Vec::new();
        loop {
            let mut now = self.now_ns();
            while next <= now {
                waiting.push_back(next);
                next += gap;
            }
            if waiting.len() > WAITING_MAX {
                bail!("the proxy cannot keep up with {rate} requests per second");
            }
            while let (Some(meant), Some(token)) = (waiting.front().copied(), free.front().copied())
            {
                waiting.pop_front();
                free.pop_front();
                self.late += u64::from(now - meant > LATE_NS);
                self.client.send(token, meant)?;
                now = self.now_ns();
            }
            let pause = Duration::from_nanos(next.saturating_sub(now));
            self.client.epoll.wait(pause, &mut ready)?;
            for (token, _) in ready.drain(..) {
                if let Some(since) = self.client.turn(token)? {
                    let now = self.now_ns();
                    self.record(now.saturating_sub(since));
                    free.push_back(token);
                }
            }
            if let Some(window) = self.edges() {
                return Ok(window);
            }
        }
    }

    fn count(&mut self, requests: u64) -> Result<()> {
        let mut ready = Vec::new();
        for _ in 0..requests {
            self.client.send(0, 0)?;
            loop {
                self.client.epoll.wait(Duration::from_secs(10), &mut ready)?;
                if ready.is_empty() {
                    bail!("no answer within 10 s");
                }
                if self.client.turn(0)?.is_some() {
                    break;
                }
            }
        }
        println!("{requests}");
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        for token in 0..self.client.len() {
            self.client.send(token, 0)?;
            loop {
                self.client.epoll.wait(Duration::from_secs(10), &mut ready)?;
                match ready.first() {
                    None => bail!("no answer within 10 s"),
                    Some((at, _)) if *at != token => bail!("an idle connection was closed"),
                    Some(_) if self.client.turn(token)?.is_some() => break,
                    Some(_) => {}
                }
            }
        }
        println!("ready");
        io::stdout().flush()?;
        // The harness closes our standard input when it has seen enough.
        io::copy(&mut io::stdin(), &mut io::sink())?;
        Ok(())
    }

    fn record(&mut self, latency_ns: u64) {
        if self.open.is_some() {
            self.histogram.record(latency_ns);
        }
    }

    /// Opens and closes the window when it is time; the result when it closes.
    fn edges(&mut self) -> Option<Window> {
        let elapsed = self.started.elapsed();
        match &self.open {
            None if elapsed >= self.warmup => {
                self.open = Some(self.edge());
                self.late = 0;
                None
            }
            Some(open) if open.at.elapsed() >= self.measure => {
                let close = self.edge();
                Some(self.window(open, &close))
            }
            _ => None,
        }
    }

    fn edge(&self) -> Edge {
        let ours = procfs::cpu(&self.ours);
        let proxy = procfs::cpu(&self.watch);
        let ours_ticks =
            ours.user_ticks + ours.system_ticks + proxy.user_ticks + proxy.system_ticks;
        Edge { at: Instant::now(), proxy, ours_ticks, machine: procfs::machine() }
    }

    fn window(&self, open: &Edge, close: &Edge) -> Window {
        let seconds = close.at.duration_since(open.at).as_secs_f64();
        let cores = sys::cores();
        let capacity_ticks = seconds * 100.0 * cores as f64;
        let busy = close.machine.busy_ticks.saturating_sub(open.machine.busy_ticks);
        let ours = close.ours_ticks.saturating_sub(open.ours_ticks);
        let steal = close.machine.steal_ticks.saturating_sub(open.machine.steal_ticks);
        let user = close.proxy.user_ticks.saturating_sub(open.proxy.user_ticks) as f64;
        let system = close.proxy.system_ticks.saturating_sub(open.proxy.system_ticks) as f64;
        let us = |quantile| self.histogram.quantile(quantile) as f64 / 1e3;
        Window {
            requests: self.histogram.total(),
            seconds,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.histogram.max() as f64 / 1e3,
            late: self.late,
            proxy_cpu_us: close.proxy.ns.saturating_sub(open.proxy.ns) as f64 / 1e3,
            proxy_user_share: user / (user + system).max(1.0),
            others_share: busy.saturating_sub(ours) as f64 / capacity_ticks,
            steal_share: steal as f64 / capacity_ticks,
        }
    }
}
