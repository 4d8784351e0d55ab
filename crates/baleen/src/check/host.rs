//! `baleen check --host`: are the kernel's settings of this machine enough for what is configured?
//!
//! Backlogs, ports and descriptors have defaults for small machines, and what runs out shows up as a timeout somewhere else. What
//! one process of Baleen can come to is added up from the configuration (or from a scenario's rates) and held against what the
//! kernel gives, with the arithmetic. Settings are shown with their values; one that can't be read is said, not skipped.
//!
//! Everything is read through [`Kernel`], so that tests give their own values. Not here: changing anything. Tested: in `host/tests.rs`
//! and `tests/planning.rs`.

mod load;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use baleen_config::{Diagnostic, Place, Source};
use baleen_proxy::BACKLOG;
use serde_json::{Value, json};

pub use load::Load;

/// Files and sockets that are no connection: logs, timers, wake-ups, the admin server, discovery.
const DESCRIPTORS_OTHER: u64 = 64;
/// How long the kernel keeps the ports of a connection that this side closed.
const TIME_WAIT_SECONDS: f64 = 60.0;

/// Why a setting has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unread {
    /// This kernel does not have it (or not loaded).
    Absent,
    /// It could not be read.
    Failed(String),
}

/// What is asked of a machine.
pub trait Kernel {
    /// A setting by its name, such as `net.core.somaxconn`.
    fn setting(&self, name: &str) -> Result<String, Unread>;
    /// Most open files of this process: the limit now, and what it can be raised to.
    fn descriptors(&self) -> Result<(u64, u64), Unread>;
}

/// This machine.
pub struct Linux;

impl Kernel for Linux {
    fn setting(&self, name: &str) -> Result<String, Unread> {
        std::fs::read_to_string(path(name)).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Unread::Absent,
            _ => Unread::Failed(e.to_string()),
        })
    }

    fn descriptors(&self) -> Result<(u64, u64), Unread> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place for what `getrlimit` writes.
        match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
            0 => Ok((limit.rlim_cur, limit.rlim_max)),
            _ => Err(Unread::Failed(std::io::Error::last_os_error().to_string())),
        }
    }
}

fn path(setting: &str) -> PathBuf {
    Path::new("/proc/sys").join(setting.replace('.', "/"))
}

/// What was read and what is to be said of it.
#[derive(Debug, Default)]
pub struct Found {
    settings: Vec<(&'static str, Result<String, Unread>)>,
    pub warnings: Vec<Diagnostic>,
}

impl Found {
    /// One line for each setting.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name} = {}", shown(value));
        }
        text
    }

    pub fn json(&self) -> Value {
        let one = |(name, value): &(&str, Result<String, Unread>)| match value {
            Ok(value) => json!({ "name": name, "value": value }),
            Err(Unread::Absent) => json!({ "name": name, "value": null, "why": "not there" }),
            Err(Unread::Failed(why)) => json!({ "name": name, "value": null, "why": why }),
        };
        self.settings.iter().map(one).collect()
    }

    /// A setting's numbers; `None` when it has none, which is noted. `wanted`: a kernel without it is not enough.
    fn numbers<K: Kernel>(
        &mut self,
        kernel: &K,
        name: &'static str,
        wanted: bool,
    ) -> Option<Vec<u64>> {
        let read = kernel.setting(name).map(|v| v.split_whitespace().collect::<Vec<_>>().join(" "));
        let parse = |v: &String| v.split(' ').map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>();
        let (read, numbers) = match read {
            Ok(value) => match parse(&value) {
                Some(numbers) => (Ok(value), Some(numbers)),
                None => (Err(Unread::Failed(format!("`{value}` is no number"))), None),
            },
            Err(why) => (Err(why), None),
        };
        let why = match &read {
            Err(Unread::Failed(why)) => Some(why.clone()),
            Err(Unread::Absent) if wanted => Some("there is no such setting".to_owned()),
            _ => None,
        };
        self.settings.push((name, read));
        if let Some(why) = why {
            self.warn(name, format!("{name} was not looked at: {why}"));
        }
        numbers
    }

    fn number<K: Kernel>(&mut self, kernel: &K, name: &'static str, wanted: bool) -> Option<u64> {
        self.numbers(kernel, name, wanted)?.first().copied()
    }

    /// A warning that points at a setting's value.
    fn warn(&mut self, setting: &'static str, title: String) -> &mut Diagnostic {
        let value = self.settings.iter().find(|(name, _)| *name == setting);
        let text = value.map_or_else(String::new, |(_, value)| shown(value));
        let path = path(setting);
        let name = if path.exists() { path } else { PathBuf::from(setting) };
        self.push(&name, &text, title)
    }

    fn push(&mut self, name: &Path, text: &str, title: String) -> &mut Diagnostic {
        let place = Place { source: Source::new(name, text), span: 0..text.len() };
        self.warnings.push(Diagnostic::warning(&place, title));
        let last = self.warnings.len() - 1;
        &mut self.warnings[last]
    }
}

fn shown(value: &Result<String, Unread>) -> String {
    match value {
        Ok(value) => value.clone(),
        Err(Unread::Absent) => "not there".to_owned(),
        Err(Unread::Failed(why)) => format!("not read: {why}"),
    }
}

/// Read all settings and hold them against the load.
pub fn check<K: Kernel>(kernel: &K, load: &Load) -> Found {
    let mut found = Found::default();
    backlogs(kernel, load, &mut found);
    ports(kernel, load, &mut found);
    descriptors(kernel, load, &mut found);
    tracking(kernel, load, &mut found);
    for name in &load.unknown {
        let title = format!(
            "the endpoints of cluster `{name}` are not known: its connections are not counted"
        );
        found.push(Path::new("endpoints"), name, title);
    }
    found
}

/// Clients that come back all at once wait in the kernel until they are accepted.
fn backlogs<K: Kernel>(kernel: &K, load: &Load, found: &mut Found) {
    let somaxconn = found.number(kernel, "net.core.somaxconn", true);
    let syn = found.number(kernel, "net.ipv4.tcp_max_syn_backlog", true);
    let cookies = found.number(kernel, "net.ipv4.tcp_syncookies", false);
    let asked = u64::try_from(BACKLOG).unwrap_or(0);
    let workers = u64::from(load.workers.max(1));
    let most = load.accepted.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let burst = most.div_ceil(workers);
    if let Some(given) = somaxconn.filter(|&given| given < asked && given < burst) {
        let title =
            format!("backlogs are cut to {given}: clients that come back all at once are dropped");
        let warning = found.warn("net.core.somaxconn", title);
        warning.notes.push(format!(
            "up to {most} connections over {workers} workers are {burst} for each; its socket asks for {asked}, the kernel gives \
             {given}; the others try again after 1 s, 3 s, 7 s"
        ));
        warning.hint = Some(format!("sysctl -w net.core.somaxconn={asked}"));
    }
    // With cookies a full queue of handshakes costs options, not connections.
    if let Some(given) = syn.filter(|&given| cookies == Some(0) && given < most.min(asked)) {
        let title = format!("at most {given} handshakes at a time, and no SYN cookies beyond");
        let warning = found.warn("net.ipv4.tcp_max_syn_backlog", title);
        warning.notes.push(format!(
            "up to {most} connections may come back at once; what does not fit is dropped"
        ));
        warning.hint = Some(format!(
            "sysctl -w net.ipv4.tcp_max_syn_backlog={}, or net.ipv4.tcp_syncookies=1",
            most.min(asked)
        ));
    }
}

/// Connections to one endpoint each need a port of their own, and keep it for a minute when this side closes them.
fn ports<K: Kernel>(kernel: &K, load: &Load, found: &mut Found) {
    let range = found.numbers(kernel, "net.ipv4.ip_local_port_range", true);
    let reuse = found.number(kernel, "net.ipv4.tcp_tw_reuse", false);
    let Some(&[low, high]) = range.as_deref() else { return };
    let ports = (high + 1).saturating_sub(low);
    for c in &load.clusters {
        let to_one = c.busy_to_one + c.idle_to_one;
        if to_one > ports {
            let title = format!("not enough ports for connections to one endpoint of `{}`", c.name);
            let warning = found.warn("net.ipv4.ip_local_port_range", title);
            warning.notes.push(format!(
                "{} in use + {} idle = up to {to_one} connections to one address and port; {high} - {low} + 1 = {ports} ports",
                c.busy_to_one, c.idle_to_one
            ));
            warning.hint =
                Some("a wider range (1024 65535), a lower limit, or more endpoints".to_owned());
        }
        let Some(opened) = c.opened_per_second.filter(|_| reuse != Some(1)) else { continue };
        let waiting = opened * TIME_WAIT_SECONDS;
        if waiting > ports as f64 {
            let title = format!("connections to `{}` that are not kept use up all ports", c.name);
            let warning = found.warn("net.ipv4.tcp_tw_reuse", title);
            warning.notes.push(format!(
                "{opened:.0} new connections/s to one endpoint x {TIME_WAIT_SECONDS} s that a closed one keeps its port = \
                 {waiting:.0}; there are {ports}"
            ));
            warning.hint =
                Some("a larger pool.idle, or sysctl -w net.ipv4.tcp_tw_reuse=1".to_owned());
        }
    }
}

/// Each connection is an open file.
fn descriptors<K: Kernel>(kernel: &K, load: &Load, found: &mut Found) {
    let limits = kernel.descriptors();
    let value = limits.clone().map(|(now, most)| format!("{now} (can be raised to {most})"));
    found.settings.push(("RLIMIT_NOFILE", value));
    if let Err(why) = &limits {
        let why = if let Unread::Failed(why) = why { why } else { "there is no such limit" };
        found.warn("RLIMIT_NOFILE", format!("RLIMIT_NOFILE was not looked at: {why}"));
    }
    let nr_open = found.number(kernel, "fs.nr_open", true);
    let file_max = found.number(kernel, "fs.file-max", true);
    let (need, sum) = load.descriptors();
    // Baleen raises its limit to the hard one when it starts.
    if let Ok((_, most)) = limits
        && most < need
    {
        let title = format!("at most {most} open files, {need} can be needed");
        let warning = found.warn("RLIMIT_NOFILE", title);
        warning.notes.push(sum.clone());
        warning
            .notes
            .push("without descriptors nothing is accepted until connections end".to_owned());
        warning.hint = Some(match nr_open.filter(|&n| n < need) {
            Some(n) => format!(
                "fs.nr_open is {n}: raise that first, then LimitNOFILE= of the unit, or `ulimit -Hn {need}`"
            ),
            None => format!("LimitNOFILE={need} in the unit, or `ulimit -Hn {need}`"),
        });
    }
    if let Some(all) = file_max.filter(|&all| all < need) {
        let warning = found.warn(
            "fs.file-max",
            format!("at most {all} open files of all processes, {need} can be needed here"),
        );
        warning.notes.push(sum);
        warning.hint = Some(format!("sysctl -w fs.file-max={}", need.saturating_mul(2)));
    }
}

/// A firewall that tracks connections has an entry for each, and drops packets of those that do not fit.
fn tracking<K: Kernel>(kernel: &K, load: &Load, found: &mut Found) {
    let Some(most) = found.number(kernel, "net.netfilter.nf_conntrack_max", false) else { return };
    let (accepted, opened) = (load.all_accepted(), load.all_opened());
    if accepted + opened > most {
        let title = format!(
            "the firewall tracks at most {most} connections, and drops the packets of others"
        );
        let warning = found.warn("net.netfilter.nf_conntrack_max", title);
        warning.notes.push(format!(
            "{accepted} from clients + {opened} to endpoints = up to {}",
            accepted + opened
        ));
        let wanted = (accepted + opened).saturating_mul(2);
        warning.hint = Some(format!(
            "sysctl -w net.netfilter.nf_conntrack_max={wanted}, or no tracking for these ports"
        ));
    }
}
