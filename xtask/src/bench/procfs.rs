//! CPU time and memory of processes, from `/proc`.
//!
//! CPU time comes from `schedstat` of every thread, in nanoseconds; the split into user and
//! system from `stat`, in ticks. A process that is gone counts as zero.

use std::fs;
use std::path::Path;

use super::sys;

/// CPU time of a set of processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// All of it, exact to a scheduler tick.
    pub ns: u64,
    /// In user code, in ticks of 10 ms.
    pub user_ticks: u64,
    /// In the kernel, in ticks of 10 ms.
    pub system_ticks: u64,
}

/// CPU time of the whole machine since boot, in ticks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    /// Not idle.
    pub busy_ticks: u64,
    /// Taken by the hypervisor for other guests.
    pub steal_ticks: u64,
}

/// Sums CPU time over processes and their living threads.
pub fn cpu(pids: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for pid in pids {
        for task in children(&format!("/proc/{pid}/task")) {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat"));
            sum.ns += text.ok().and_then(|t| number(t.split_whitespace().next())).unwrap_or(0);
        }
        if let Some(fields) = stat(*pid) {
            // Fields 14 and 15 of stat, counted from 1; the list starts at field 3.
            sum.user_ticks += number(fields.get(11).map(String::as_str)).unwrap_or(0);
            sum.system_ticks += number(fields.get(12).map(String::as_str)).unwrap_or(0);
        }
    }
    sum
}

/// Resident memory of processes, in bytes.
pub fn resident_bytes(pids: &[u32]) -> u64 {
    let pages = pids.iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        number(text.split_whitespace().nth(1))
    });
    pages.sum::<u64>() * sys::page_bytes()
}

/// A process and everything it started.
pub fn tree(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = children("/proc")
        .into_iter()
        .filter_map(|pid| {
            Some((pid, u32::try_from(number(stat(pid)?.get(1).map(|s| &**s))?).ok()?))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// The kernel's thread for network work that a core could not finish at once.
///
/// What it does on loopback is work of whoever sent: it belongs to the process on that core.
pub fn softirq_thread(core: usize) -> Option<u32> {
    let name = format!("ksoftirqd/{core}");
    children("/proc").into_iter().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

/// The machine's counters.
pub fn machine() -> Machine {
    parse_machine(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn parse_machine(text: &str) -> Machine {
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0);
    // user nice system idle iowait irq softirq steal
    Machine { busy_ticks: at(0) + at(1) + at(2) + at(5) + at(6), steal_ticks: at(7) }
}

/// Fields of `stat` from the third (state) on; the second may hold spaces.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

/// Numeric names in a directory.
fn children(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(Path::new(dir)).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_use_cpu_and_memory() {
        let me = [std::process::id()];
        assert!(cpu(&me).ns > 0);
        assert!(resident_bytes(&me) > 100_000);
        assert!(machine().busy_ticks > 0);
    }

    #[test]
    fn a_tree_has_the_child() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let found = tree(std::process::id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(found.contains(&child.id()), "{found:?}");
    }

    #[test]
    fn machine_counters_leave_idle_out() {
        let machine = parse_machine("cpu  10 1 20 1000 500 3 4 7 0 0\ncpu0 1 1 1 1\n");
        assert_eq!((machine.busy_ticks, machine.steal_ticks), (38, 7));
        assert_eq!(parse_machine("").busy_ticks, 0);
    }
}
