//! Machines made up, and what is said of them.

use std::collections::BTreeMap;

use baleen_config::Severity;

use super::load::Cluster;
use super::*;

/// A machine by its settings.
struct Machine {
    settings: BTreeMap<&'static str, Result<String, Unread>>,
    descriptors: Result<(u64, u64), Unread>,
}

impl Kernel for Machine {
    fn setting(&self, name: &str) -> Result<String, Unread> {
        self.settings.get(name).cloned().unwrap_or(Err(Unread::Absent))
    }

    fn descriptors(&self) -> Result<(u64, u64), Unread> {
        self.descriptors.clone()
    }
}

/// A large server, with these settings instead.
fn machine(with: &[(&'static str, &str)]) -> Machine {
    let all = [
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "4096"),
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("fs.nr_open", "1048576"),
        ("fs.file-max", "9223372036854775807"),
    ];
    let settings = all.iter().chain(with).map(|(name, value)| (*name, Ok(format!("{value}\n"))));
    Machine { settings: settings.collect(), descriptors: Ok((1024, 1_048_576)) }
}

/// Two workers, 10,000 clients, 1024 in use and 2 x 256 idle to each of ten endpoints.
fn load() -> Load {
    Load {
        workers: 2,
        accepted: vec![("127.0.0.1:8080".to_owned(), 10_000)],
        clusters: vec![Cluster {
            name: "web".to_owned(),
            endpoints: 10,
            busy: 1024,
            busy_to_one: 1024,
            idle_to_one: 512,
            opened_per_second: None,
        }],
        unknown: Vec::new(),
    }
}

/// The only warning, with all it says.
#[track_caller]
fn said(machine: &Machine, load: &Load) -> String {
    let found = check(machine, load);
    let [one] = &found.warnings[..] else { panic!("{:#?}", found.warnings) };
    assert_eq!(one.severity, Severity::Warning);
    format!("{}\n{}\n{}", one.title, one.notes.join("\n"), one.hint.as_deref().unwrap_or(""))
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn a_large_server_is_enough() {
    let found = check(&machine(&[]), &load());
    assert!(found.warnings.is_empty(), "{:#?}", found.warnings);
    let text = found.text();
    has(
        &text,
        &[
            "net.core.somaxconn = 4096\n",
            "ip_local_port_range = 32768 60999\n",
            "nf_conntrack_max = not there\n",
        ],
    );
    has(&text, &["RLIMIT_NOFILE = 1024 (can be raised to 1048576)\n"]);
    assert_eq!(found.json()[0]["value"], "4096");
}

#[test]
fn short_backlogs() {
    let text = said(&machine(&[("net.core.somaxconn", "128")]), &load());
    has(
        &text,
        &["cut to 128", "10000 connections over 2 workers are 5000 for each", "somaxconn=4096"],
    );
    // Few clients need no long one.
    let mut few = load();
    few.accepted[0].1 = 200;
    assert!(check(&machine(&[("net.core.somaxconn", "128")]), &few).warnings.is_empty());
    let no_cookies = [("net.ipv4.tcp_max_syn_backlog", "512"), ("net.ipv4.tcp_syncookies", "0")];
    has(
        &said(&machine(&no_cookies), &load()),
        &["at most 512 handshakes", "tcp_max_syn_backlog=4096"],
    );
    assert!(check(&machine(&no_cookies[..1]), &load()).warnings.is_empty());
}

#[test]
fn ports_to_one_endpoint() {
    let text = said(&machine(&[("net.ipv4.ip_local_port_range", "60000 61000")]), &load());
    has(
        &text,
        &[
            "one endpoint of `web`",
            "1024 in use + 512 idle = up to 1536",
            "61000 - 60000 + 1 = 1001 ports",
        ],
    );
    let mut opens = load();
    opens.clusters[0].opened_per_second = Some(1000.0);
    let text = said(&machine(&[]), &opens);
    has(
        &text,
        &[
            "1000 new connections/s to one endpoint x 60 s",
            "= 60000; there are 28232",
            "tcp_tw_reuse=1",
        ],
    );
    assert!(check(&machine(&[("net.ipv4.tcp_tw_reuse", "1")]), &opens).warnings.is_empty());
    opens.clusters[0].opened_per_second = Some(470.0);
    assert!(check(&machine(&[]), &opens).warnings.is_empty(), "28,200 fit");
}

#[test]
fn too_few_descriptors() {
    // 10,000 + 1,024 + 512 x 10 + 2 + 64.
    let mut small = machine(&[]);
    small.descriptors = Ok((1024, 4096));
    let text = said(&small, &load());
    has(&text, &["at most 4096 open files, 16210 can be needed", "LimitNOFILE=16210"]);
    has(
        &text,
        &[
            "10000 from clients + to endpoints (`web` 1024 in use + 512 idle x 10 endpoints) + 2 listening + 64 others = up to 16210",
        ],
    );
    let mut low = machine(&[("fs.nr_open", "8192")]);
    low.descriptors = Ok((1024, 8192));
    has(&said(&low, &load()), &["fs.nr_open is 8192: raise that first"]);
    has(
        &said(&machine(&[("fs.file-max", "16209")]), &load()),
        &["at most 16209 open files of all processes"],
    );
    small.descriptors = Ok((16_210, 16_210));
    assert!(check(&small, &load()).warnings.is_empty());
}

#[test]
fn a_firewall_that_tracks() {
    let tracked = |most: &str| machine(&[("net.netfilter.nf_conntrack_max", most)]);
    has(
        &said(&tracked("16143"), &load()),
        &["tracks at most 16143", "10000 from clients + 6144 to endpoints = up to 16144"],
    );
    assert!(check(&tracked("16144"), &load()).warnings.is_empty());
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut broken = machine(&[]);
    broken
        .settings
        .insert("net.core.somaxconn", Err(Unread::Failed("permission denied".to_owned())));
    has(&said(&broken, &load()), &["net.core.somaxconn was not looked at: permission denied"]);
    has(&check(&broken, &load()).text(), &["net.core.somaxconn = not read: permission denied"]);
    let strange = machine(&[("fs.file-max", "plenty")]);
    has(&said(&strange, &load()), &["fs.file-max was not looked at: `plenty` is no number"]);
    let mut other = machine(&[]);
    other.settings.remove("net.ipv4.ip_local_port_range");
    has(
        &said(&other, &load()),
        &["ip_local_port_range was not looked at: there is no such setting"],
    );
    other = machine(&[]);
    other.descriptors = Err(Unread::Failed("no".to_owned()));
    has(&said(&other, &load()), &["RLIMIT_NOFILE was not looked at: no"]);
    let unknown = Load { unknown: vec!["later".to_owned()], ..load() };
    has(&said(&machine(&[]), &unknown), &["cluster `later` are not known"]);
}

/// No settings at all, and nothing configured: nothing but what is missing is said.
#[test]
fn an_empty_machine() {
    let nothing = Machine { settings: BTreeMap::new(), descriptors: Ok((0, 0)) };
    let found = check(&nothing, &Load::default());
    // The wanted ones, and 64 descriptors that are not there.
    assert_eq!(found.warnings.len(), 6, "{:#?}", found.warnings);
    let odd = machine(&[("net.ipv4.ip_local_port_range", "5 4"), ("net.core.somaxconn", "")]);
    assert!(check(&odd, &load()).warnings.len() >= 2);
}
