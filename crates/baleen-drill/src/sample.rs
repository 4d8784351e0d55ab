//! How busy the machine is while a drill runs, second by second: all of it, each process, the generator's own threads, and the one of
//! them that makes all calls.
//!
//! A run in which the machine had no time left says nothing about what was drilled. Read from `/proc`, in ticks of the kernel (usually 10 ms).
//! Bounds: `SECONDS_MAX` samples; a longer run keeps the first. Not here: what is made of it (`run`). Tested: below.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

/// Most samples: a day.
const SECONDS_MAX: usize = 86_400;
/// What the thread that makes calls is named.
pub const CLIENT_THREAD: &str = "calls";
/// Above this share the machine has no time left.
pub const BUSY: f64 = 0.95;

/// One second or so.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Sample {
    /// When it ended, in seconds from the start of the run.
    pub at_s: f64,
    /// Share of all processors' time that was used by anybody.
    pub machine: f64,
    /// Processors used by the drill itself: the generator, fault server and runner.
    pub own: f64,
    /// Processors used by the thread that makes calls, of which there is one.
    pub client: f64,
    /// For how many seconds of each second a quota kept processors from us, of all of them together.
    pub throttled: f64,
    /// Processors used by each process, by name.
    pub processes: BTreeMap<String, f64>,
}

/// Takes samples.
#[derive(Debug, Default)]
pub struct Sampler {
    last: Option<Reading>,
    /// The client thread's number, when it is found.
    client: Option<u32>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Reading {
    at_s: f64,
    busy: u64,
    all: u64,
    own: u64,
    client: u64,
    throttled_us: u64,
    /// By number: name and ticks.
    processes: BTreeMap<u32, (String, u64)>,
}

impl Sampler {
    /// Look now. `processes`: names by number.
    pub fn sample(&mut self, at_s: f64, processes: &[(String, u32)]) {
        let Some((busy, all)) = machine(&fs::read_to_string("/proc/stat").unwrap_or_default())
        else {
            return;
        };
        let used = |pid: u32| of_process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
        let ticks = |(name, pid): &(String, u32)| Some((*pid, (name.clone(), used(*pid)?)));
        let processes = processes.iter().filter_map(ticks).collect();
        let own = used(std::process::id()).unwrap_or_default();
        let (client, throttled_us) = (self.client(), throttled());
        let now = Reading { at_s, busy, all, own, client, throttled_us, processes };
        if let Some(last) = self.last.replace(now)
            && let Some(now) = &self.last
            && self.samples.len() < SECONDS_MAX
        {
            self.samples.extend(between(&last, now));
        }
    }

    /// Ticks that the client thread used.
    fn client(&mut self) -> u64 {
        let used =
            |tid: u32| of_process(&fs::read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?);
        let known = self.client.and_then(used);
        if known.is_none() {
            self.client = thread_named(CLIENT_THREAD);
        }
        known.or_else(|| self.client.and_then(used)).unwrap_or_default()
    }

    /// What was seen.
    #[must_use]
    pub fn into_samples(self) -> Vec<Sample> {
        self.samples
    }
}

/// Share of the samples in which the machine had no time left.
#[must_use]
pub fn busy_share(samples: &[Sample]) -> f64 {
    let busy = samples.iter().filter(|s| s.machine > BUSY).count();
    if samples.is_empty() { 0.0 } else { busy as f64 / samples.len() as f64 }
}

fn between(last: &Reading, now: &Reading) -> Option<Sample> {
    let all = now.all.checked_sub(last.all).filter(|all| *all > 0)? as f64;
    let seconds = now.at_s - last.at_s;
    // SAFETY: it asks for a number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    let per = |what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
    let cores = |ticks: u64| per(ticks as f64 / per_second);
    let process = |(pid, (name, ticks)): (&u32, &(String, u64))| {
        let (_, before) = last.processes.get(pid)?;
        Some((name.clone(), cores(ticks.saturating_sub(*before))))
    };
    Some(Sample {
        at_s: now.at_s,
        machine: (now.busy.saturating_sub(last.busy) as f64 / all).min(1.0),
        own: cores(now.own.saturating_sub(last.own)),
        client: cores(now.client.saturating_sub(last.client)),
        throttled: per(now.throttled_us.saturating_sub(last.throttled_us) as f64 / 1e6),
        processes: now.processes.iter().filter_map(process).collect(),
    })
}

/// A thread of this process.
fn thread_named(name: &str) -> Option<u32> {
    let mut all = fs::read_dir("/proc/self/task").ok()?.flatten();
    let task = all.find(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    })?;
    task.file_name().to_str()?.parse().ok()
}

/// For how long, in microseconds, our group's quota kept processors from it. Without a quota, or groups: 0.
fn throttled() -> u64 {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let read = |path: &str| fs::read_to_string(path).ok();
    // In a container the own group is often the root that is seen.
    let stat = read(&format!("/sys/fs/cgroup/{group}/cpu.stat"))
        .or_else(|| read("/sys/fs/cgroup/cpu.stat"));
    stat.and_then(|stat| of_group(&stat)).unwrap_or_default()
}

/// Of a group's `cpu.stat`.
fn of_group(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("throttled_usec "))?.trim().parse().ok()
}

/// Of `/proc/stat`: ticks that were used, and all there were.
fn machine(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    // user nice system idle iowait irq softirq steal; guests are in user.
    let ticks: Vec<u64> = fields.by_ref().take(8).map_while(|f| f.parse().ok()).collect();
    let all = ticks.iter().sum::<u64>();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

/// Of `/proc/PID/stat`: ticks that it used.
fn of_process(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel() {
        let stat = "cpu  100 5 50 1000 45 1 2 3 77 0\ncpu0 1 2 3\n";
        assert_eq!(machine(stat), Some((161, 1206)));
        assert_eq!(machine("cpux"), None);
        let one = "123 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 777 0";
        assert_eq!(of_process(one), Some(300));
        assert_eq!(of_process("x"), None);
        assert_eq!(of_group("usage_usec 9\nnr_throttled 2\nthrottled_usec 7\n"), Some(7));
        assert_eq!(of_group("usage_usec 9\n"), None);
    }

    #[test]
    fn a_busy_process_is_seen() {
        let mut sampler = Sampler::default();
        let me = [("me".to_owned(), std::process::id())];
        let begun = std::time::Instant::now();
        sampler.sample(0.0, &me);
        while begun.elapsed().as_millis() < 300 {
            std::hint::black_box(begun.elapsed());
        }
        sampler.sample(begun.elapsed().as_secs_f64(), &me);
        let samples = sampler.into_samples();
        assert_eq!(samples.len(), 1);
        assert!(samples[0].processes["me"] > 0.0 && samples[0].machine > 0.0, "{samples:?}");
        assert!(samples[0].own > 0.0);
        assert_eq!(busy_share(&[]), 0.0);
    }

    #[test]
    fn the_thread_that_makes_calls_is_found() {
        let mut sampler = Sampler::default();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (up, is_up) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name(CLIENT_THREAD.to_owned());
        let thread = thread.spawn(move || {
            up.send(()).expect("somebody waits");
            while stopped.try_recv().is_err_and(|e| e == std::sync::mpsc::TryRecvError::Empty) {
                std::hint::spin_loop();
            }
        });
        is_up.recv().expect("it is up");
        let begun = std::time::Instant::now();
        sampler.sample(0.0, &[]);
        while sampler.client() < sampler.last.as_ref().expect("a reading").client + 5 {
            assert!(begun.elapsed().as_secs() < 60, "it is not found");
            std::thread::yield_now();
        }
        sampler.sample(begun.elapsed().as_secs_f64(), &[]);
        drop(stop);
        thread.expect("a thread").join().expect("it ends");
        assert!(sampler.into_samples()[0].client > 0.0);
    }
}
