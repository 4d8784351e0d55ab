//! What `/proc` says about this process.
//!
//! What can't be read is left out: numbers for people and graphs, nothing decides by them. Times are in ticks of 1/100 s, which
//! Linux promises to user space (`USER_HZ`) on every architecture that Baleen is built for. Tested: below.

use std::fs;
use std::time::Duration;

use baleen_telemetry::Process;

/// Ticks in a second.
const USER_HZ: u64 = 100;

/// Read it now.
#[must_use]
pub fn process(version: &str) -> Process {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = Stat::parse(&read("/proc/self/stat"));
    let status = read("/proc/self/status");
    let booted = number_after(&read("/proc/stat"), "btime ").map(Duration::from_secs);
    Process {
        version: version.to_owned(),
        cpu: stat.as_ref().map(|s| s.cpu),
        resident_bytes: number_after(&status, "VmRSS:").map(|kib| kib * 1024),
        virtual_bytes: number_after(&status, "VmSize:").map(|kib| kib * 1024),
        // The directory is open while it is counted.
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|d| (d.count() as u64).saturating_sub(1)),
        max_fds: number_after(&read("/proc/self/limits"), "Max open files"),
        threads: number_after(&status, "Threads:"),
        started: booted.zip(stat).map(|(booted, s)| booted + s.since_boot),
    }
}

/// The number that follows a word at the start of a line.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The parts of `/proc/self/stat` that are shown.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: Duration,
    since_boot: Duration,
}

impl Stat {
    /// The second field, the program's name in parentheses, may hold anything: the fields are counted behind it.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Fields are counted from 1 in proc_pid_stat(5); the first one here is the third.
        let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000 / USER_HZ));
        Some(Stat {
            cpu: time(ticks(14)?.saturating_add(ticks(15)?)),
            since_boot: time(ticks(22)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_odd_name() {
        let line = "7 (a) b (c)) S 1 1 1 0 -1 4 0 0 0 0 250 50 0 0 20 0 3 0 12345 9 9";
        let want = Stat { cpu: Duration::from_secs(3), since_boot: Duration::from_millis(123_450) };
        assert_eq!(Stat::parse(line), Some(want));
        assert_eq!(Stat::parse("7 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn numbers() {
        let text = "Name:\tx\nVmRSS:\t  123 kB\nMax open files            1024    4096   files\n";
        assert_eq!(number_after(text, "VmRSS:"), Some(123));
        assert_eq!(number_after(text, "Max open files"), Some(1024));
        assert_eq!(number_after(text, "Threads:"), None);
    }

    #[test]
    fn this_process() {
        let p = process("1");
        assert!(p.resident_bytes > Some(0) && p.virtual_bytes >= p.resident_bytes);
        assert!(p.open_fds >= Some(1) && p.max_fds >= p.open_fds);
        assert!(p.threads >= Some(1) && p.cpu.is_some());
        assert!(p.started > Some(Duration::from_secs(1_600_000_000)));
    }
}
