//! A snapshot as Prometheus text, format 0.0.4.
//!
//! Ids become names through [`Names`]. What has no name, or comes after so many others that the bound on label values is
//! reached, is added up under `other`; a name that two ids share is one series. Levels that make no sense as a sum over
//! things that are gone (ejected, panic) are left out for `other`.
//!
//! Not here: what the metrics mean (`families.rs`). Tested: `tests/text.rs`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use baleen_base::{ClusterId, EndpointId, ListenerId, RouteId};

use crate::cells::{STATUSES, cluster, endpoint, listener, route};
use crate::families::{self as f, Family};
use crate::hist::Hist;
use crate::shell::{ShellCounter, ShellGauge};
use crate::snapshot::{ClusterCounts, EndpointCounts, ListenerCounts, RouteCounts, Snapshot};
use crate::words::{
    CAUSES, CLASSES, CLIENT_CLOSES, CONN_CLOSES, DENIALS, EJECTIONS, REFUSALS, cause_word,
};

/// Most listeners with a label value of their own.
pub const LISTENERS_SHOWN: usize = 64;
/// Most routes with a label value of their own.
pub const ROUTES_SHOWN: usize = 256;
/// Most clusters with a label value of their own.
pub const CLUSTERS_SHOWN: usize = 256;
/// Most endpoints with a label value of their own, of all clusters together.
pub const ENDPOINTS_SHOWN: usize = 2048;

/// The label value for everything else.
const OTHER: &str = "other";

/// The bounds of histogram buckets: as text in seconds, and in microseconds. Each is an edge of [`Hist`]'s buckets.
pub(crate) const BOUNDS_SECONDS: [(&str, u64); 18] = [
    ("0.0001", 100),
    ("0.00025", 250),
    ("0.0005", 500),
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
    ("30", 30_000_000),
    ("60", 60_000_000),
];

/// What people call things. `None` for what is gone or was never known; it is then part of `other`.
pub trait Names {
    /// A listener's name.
    fn listener(&self, id: ListenerId) -> Option<&str>;
    /// A route's logical name.
    fn route(&self, id: RouteId) -> Option<&str>;
    /// A cluster's name.
    fn cluster(&self, id: ClusterId) -> Option<&str>;
    /// An endpoint's address.
    fn endpoint(&self, id: EndpointId) -> Option<&str>;
}

/// What is known about the process. What could not be read is `None` and left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Process {
    /// Version of the program.
    pub version: String,
    /// User and system time so far.
    pub cpu: Option<Duration>,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// File descriptors in use.
    pub open_fds: Option<u64>,
    /// File descriptors that may be used.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Time of start since 1970.
    pub started: Option<Duration>,
}

/// Everything as Prometheus text. Its content type is `text/plain; version=0.0.4; charset=utf-8`.
#[must_use]
pub fn prometheus(snapshot: &Snapshot, names: &dyn Names, process: &Process) -> String {
    let mut text = Text { out: String::with_capacity(16 * 1024) };
    routes(&mut text, snapshot, names);
    clusters(&mut text, snapshot, names);
    listeners(&mut text, snapshot, names);
    refused(&mut text, snapshot);
    of_process(&mut text, process);
    shell(&mut text, snapshot);
    text.out
}

/// What is known of a namer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NamerFigures {
    /// What it is mounted as.
    pub name: String,
    /// The registry answers.
    pub up: bool,
    /// What is used comes from the disk.
    pub cold: bool,
    /// How long ago the registry last answered.
    pub heard: Option<Duration>,
    /// How old the state on the disk is.
    pub snapshot: Option<Duration>,
    /// Services it knows.
    pub services: u64,
    /// Endpoints of them, held ones included.
    pub endpoints: u64,
    /// Endpoints that are held.
    pub held: u64,
    /// Entries that can't be read.
    pub refused: u64,
    /// How often it began to be watched.
    pub sessions: u64,
    /// Watches given up because nothing was heard.
    pub stuck: u64,
}

/// Namers as Prometheus text, to be put after [`prometheus`]. Nothing when there are none.
#[must_use]
pub fn prometheus_namers(namers: &[NamerFigures]) -> String {
    type Of<'a> = (&'a Family, &'a dyn Fn(&NamerFigures) -> Option<f64>);
    let age = |d: Option<Duration>| d.map(|d| d.as_secs_f64());
    let rows: [Of<'_>; 10] = [
        (&f::NAMER_UP, &|n| Some(f64::from(u8::from(n.up)))),
        (&f::NAMER_COLD, &|n| Some(f64::from(u8::from(n.cold)))),
        (&f::NAMER_AGE, &|n| age(n.heard)),
        (&f::NAMER_SNAPSHOT_AGE, &|n| age(n.snapshot)),
        (&f::NAMER_SERVICES, &|n| Some(n.services as f64)),
        (&f::NAMER_ENDPOINTS, &|n| Some(n.endpoints as f64)),
        (&f::NAMER_HELD, &|n| Some(n.held as f64)),
        (&f::NAMER_REFUSED, &|n| Some(n.refused as f64)),
        (&f::NAMER_SESSIONS, &|n| Some(n.sessions as f64)),
        (&f::NAMER_STUCK, &|n| Some(n.stuck as f64)),
    ];
    let mut text = Text { out: String::new() };
    if namers.is_empty() {
        return text.out;
    }
    for (family, value) in rows {
        text.family(family);
        for namer in namers {
            if let Some(value) = value(namer) {
                text.sample(family, &[&namer.name], value);
            }
        }
    }
    text.out
}

/// What is known of the table that is followed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TableFigures {
    /// Its namespace.
    pub namespace: String,
    /// Its version.
    pub version: Option<u64>,
    /// How long ago its store last answered.
    pub heard: Option<Duration>,
    /// The table of a staged change is used.
    pub staged: bool,
}

/// The table that is followed as Prometheus text, to be put after [`prometheus`].
#[must_use]
pub fn prometheus_table(table: &TableFigures) -> String {
    let rows = [
        (&f::DTAB_VERSION, table.version.map(|version| version as f64)),
        (&f::DTAB_AGE, table.heard.map(|age| age.as_secs_f64())),
        (&f::DTAB_STAGED, Some(f64::from(u8::from(table.staged)))),
    ];
    let mut text = Text { out: String::new() };
    for (family, value) in rows {
        text.family(family);
        if let Some(value) = value {
            text.sample(family, &[&table.namespace], value);
        }
    }
    text.out
}

/// The text so far.
struct Text {
    out: String,
}

impl Text {
    /// Start a family: its samples follow.
    fn family(&mut self, f: &Family) {
        let _ = writeln!(self.out, "# HELP {} {}", f.name, escaped(f.help, false));
        let _ = writeln!(self.out, "# TYPE {} {}", f.name, f.kind.as_str());
    }

    fn sample(&mut self, f: &Family, values: &[&str], n: impl Display) {
        self.line(f, "", values, None, n);
    }

    /// A sample that is left out when it is zero.
    fn some(&mut self, f: &Family, values: &[&str], n: u64) {
        if n > 0 {
            self.sample(f, values, n);
        }
    }

    /// A sample of a class of status. The odd ones (1xx, and what is no status) are left out when they are zero.
    fn class(&mut self, f: &Family, values: &[&str], class: usize, n: u64) {
        if (1..5).contains(&class) || n > 0 {
            self.sample(f, values, n);
        }
    }

    fn line(
        &mut self,
        f: &Family,
        suffix: &str,
        values: &[&str],
        le: Option<&str>,
        n: impl Display,
    ) {
        debug_assert_eq!(f.labels.len(), values.len(), "{}", f.name);
        let _ = write!(self.out, "{}{suffix}", f.name);
        let own = f.labels.iter().copied().zip(values.iter().copied());
        let mut open = '{';
        for (label, value) in own.chain(le.map(|le| ("le", le))) {
            let _ = write!(self.out, "{open}{label}=\"{}\"", escaped(value, true));
            open = ',';
        }
        let close = if open == ',' { "}" } else { "" };
        let _ = writeln!(self.out, "{close} {n}");
    }

    fn histogram(&mut self, f: &Family, values: &[&str], hist: &Hist) {
        for (bound, us) in BOUNDS_SECONDS {
            let n = hist.at_most(Duration::from_micros(us));
            self.line(f, "_bucket", values, Some(bound), n);
        }
        let count = hist.count();
        self.line(f, "_bucket", values, Some("+Inf"), count);
        self.line(f, "_sum", values, None, seconds(hist.sum()));
        self.line(f, "_count", values, None, count);
    }
}

/// A text with what must be escaped in help (backslash, line feed) or in label values (the double quote, too).
fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
    out
}

/// Seconds as exactly as they are known.
fn seconds(d: Duration) -> String {
    let text = format!("{}.{:09}", d.as_secs(), d.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Give out label values until there are too many.
struct Shown {
    left: usize,
}

impl Shown {
    fn name<'a>(&mut self, name: Option<&'a str>) -> &'a str {
        match name {
            Some(name) if self.left > 0 => {
                self.left -= 1;
                name
            }
            _ => OTHER,
        }
    }
}

fn routes(text: &mut Text, snapshot: &Snapshot, names: &dyn Names) {
    let mut rows: BTreeMap<&str, RouteCounts> = BTreeMap::new();
    let mut shown = Shown { left: ROUTES_SHOWN };
    for (id, counts) in snapshot.routes.all() {
        let name = shown.name(id.and_then(|id| names.route(*id)));
        rows.entry(name).or_default().merge(counts);
    }
    text.family(&f::REQUESTS);
    for (name, r) in &rows {
        for (i, class) in CLASSES.iter().enumerate() {
            text.class(&f::REQUESTS, &[name, class], i, r.row[route::ENDED + i]);
        }
    }
    text.family(&f::RESPONSES);
    for (i, n) in snapshot.statuses.iter().enumerate() {
        let status = if i == STATUSES - 1 { OTHER.to_owned() } else { (i + 100).to_string() };
        text.some(&f::RESPONSES, &[&status], *n);
    }
    text.family(&f::REFUSALS);
    for (name, r) in &rows {
        for (i, kind) in REFUSALS.iter().enumerate() {
            for cause in 0..route::REFUSED_CAUSES {
                let n = r.row[route::REFUSED + i * route::REFUSED_CAUSES + cause];
                text.some(&f::REFUSALS, &[name, kind.as_str(), cause_word(cause)], n);
            }
        }
    }
    text.family(&f::BROKEN);
    for (name, r) in &rows {
        for i in 0..CAUSES {
            text.some(&f::BROKEN, &[name, cause_word(i)], r.row[route::BROKEN + i]);
        }
    }
    text.family(&f::ABANDONED);
    rows.iter().for_each(|(name, r)| text.sample(&f::ABANDONED, &[name], r.abandoned()));
    text.family(&f::DURATION);
    rows.iter().for_each(|(name, r)| text.histogram(&f::DURATION, &[name], &r.latency));
    tries(text, &rows);
}

fn tries(text: &mut Text, rows: &BTreeMap<&str, RouteCounts>) {
    text.family(&f::TRIES);
    rows.iter().for_each(|(name, r)| text.sample(&f::TRIES, &[name], r.tries()));
    text.family(&f::RETRIES);
    for (name, r) in rows {
        for i in 0..CAUSES {
            text.some(&f::RETRIES, &[name, cause_word(i)], r.row[route::RETRIED + i]);
        }
    }
    text.family(&f::DENIED);
    for (name, r) in rows {
        for (i, why) in DENIALS.iter().enumerate() {
            text.some(&f::DENIED, &[name, why.as_str()], r.row[route::DENIED + i]);
        }
    }
    text.family(&f::REQUEUES);
    for (name, r) in rows {
        for i in 0..CAUSES {
            text.some(&f::REQUEUES, &[name, cause_word(i)], r.row[route::REQUEUED + i]);
        }
    }
    let count = |text: &mut Text, f: &Family, at: usize| {
        text.family(f);
        rows.iter().for_each(|(name, r)| text.sample(f, &[name], r.row[at]));
    };
    count(text, &f::HEDGES, route::HEDGES);
    count(text, &f::HEDGES_WON, route::HEDGES_WON);
    count(text, &f::FALLBACKS, route::FELL_BACK);
}

fn clusters(text: &mut Text, snapshot: &Snapshot, names: &dyn Names) {
    let mut rows: BTreeMap<&str, ClusterCounts> = BTreeMap::new();
    let mut label: BTreeMap<ClusterId, &str> = BTreeMap::new();
    let mut shown = Shown { left: CLUSTERS_SHOWN };
    for (id, counts) in snapshot.clusters.all() {
        let name = shown.name(id.and_then(|id| names.cluster(*id)));
        rows.entry(name).or_default().merge(counts);
        if let Some(id) = id {
            label.insert(*id, name);
        }
    }
    let mut ends: BTreeMap<(&str, &str), EndpointCounts> = BTreeMap::new();
    let mut shown_ends = Shown { left: ENDPOINTS_SHOWN };
    for (id, counts) in snapshot.endpoints.all() {
        let of = counts
            .cluster
            .map_or(OTHER, |id| *label.entry(id).or_insert_with(|| shown.name(names.cluster(id))));
        // An endpoint of `other` is an `other` itself: two clusters may have the same address.
        let name = if of == OTHER { None } else { id.and_then(|id| names.endpoint(*id)) };
        ends.entry((of, shown_ends.name(name))).or_default().merge(counts);
    }
    attempts(text, &ends);
    let hist = |text: &mut Text, f: &Family, of: fn(&ClusterCounts) -> &Hist| {
        text.family(f);
        rows.iter().for_each(|(name, c)| text.histogram(f, &[name], of(c)));
    };
    hist(text, &f::HEAD, |c| &c.head);
    hist(text, &f::CONNECT, |c| &c.connect);
    connections(text, &rows, &ends);
    let count = |text: &mut Text, f: &Family, of: fn(&ClusterCounts) -> u64| {
        text.family(f);
        rows.iter().for_each(|(name, c)| text.sample(f, &[name], of(c)));
    };
    count(text, &f::QUEUE, ClusterCounts::queued);
    count(text, &f::QUEUED, |c| c.row[cluster::QUEUED]);
    count(text, &f::QUEUE_GIVEN_UP, |c| c.row[cluster::GAVE_UP]);
    hist(text, &f::QUEUE_WAIT, |c| &c.wait);
    moved(text, &rows);
    count(text, &f::QUARANTINES, |c| c.row[cluster::QUARANTINES]);
    ejections(text, &ends);
    text.family(&f::PANIC);
    for (name, c) in rows.iter().filter(|(name, _)| **name != OTHER) {
        text.sample(&f::PANIC, &[name], u64::from(c.panic()));
    }
    count(text, &f::PANICS, |c| c.row[cluster::PANICS]);
    probes(text, &ends);
    text.family(&f::ENDPOINTS);
    for (name, c) in &rows {
        c.endpoints.iter().for_each(|(_, n)| text.sample(&f::ENDPOINTS, &[name], *n));
    }
}

/// Levels that move. They are no sums, so there is none for `other`.
fn moved(text: &mut Text, rows: &BTreeMap<&str, ClusterCounts>) {
    let own = || rows.iter().filter(|(name, _)| **name != OTHER);
    text.family(&f::LIMIT);
    own().for_each(|(name, c)| {
        c.limit.iter().for_each(|(_, n)| text.sample(&f::LIMIT, &[name], *n));
    });
    text.family(&f::ADMISSION);
    own().for_each(|(name, c)| {
        c.admission.iter().for_each(|n| text.sample(&f::ADMISSION, &[name], *n));
    });
}

type Ends<'a> = BTreeMap<(&'a str, &'a str), EndpointCounts>;

/// One sample for each endpoint.
fn each_end(text: &mut Text, f: &Family, ends: &Ends<'_>, of: impl Fn(&EndpointCounts) -> u64) {
    text.family(f);
    ends.iter().for_each(|((c, e), counts)| text.sample(f, &[c, e], of(counts)));
}

fn attempts(text: &mut Text, ends: &Ends<'_>) {
    text.family(&f::ATTEMPTS);
    for ((c, e), counts) in ends {
        text.sample(&f::ATTEMPTS, &[c, e, "new"], counts.row[endpoint::STARTED_NEW]);
        text.sample(&f::ATTEMPTS, &[c, e, "reused"], counts.row[endpoint::STARTED_REUSED]);
    }
    text.family(&f::ATTEMPT_RESPONSES);
    for ((c, e), counts) in ends {
        for (i, class) in CLASSES.iter().enumerate() {
            let n = counts.row[endpoint::HEAD + i];
            text.class(&f::ATTEMPT_RESPONSES, &[c, e, class], i, n);
        }
    }
    text.family(&f::ATTEMPT_FAILURES);
    for ((c, e), counts) in ends {
        for i in 0..CAUSES {
            let n = counts.row[endpoint::FAILED + i];
            text.some(&f::ATTEMPT_FAILURES, &[c, e, cause_word(i)], n);
        }
    }
    each_end(text, &f::IN_FLIGHT, ends, EndpointCounts::in_flight);
}

fn connections(text: &mut Text, rows: &BTreeMap<&str, ClusterCounts>, ends: &Ends<'_>) {
    each_end(text, &f::CONNS_OPENED, ends, |e| e.row[endpoint::OPENED]);
    text.family(&f::CONNS_CLOSED);
    for (name, c) in rows {
        for (i, why) in CONN_CLOSES.iter().enumerate() {
            text.sample(&f::CONNS_CLOSED, &[name, why], c.row[cluster::CLOSED + i]);
        }
    }
    each_end(text, &f::CONNS_OPEN, ends, EndpointCounts::open);
    each_end(text, &f::CONNS_IDLE, ends, EndpointCounts::idle);
}

fn probes(text: &mut Text, ends: &Ends<'_>) {
    text.family(&f::PROBES);
    for ((c, e), counts) in ends {
        text.some(&f::PROBES, &[c, e, "ok"], counts.row[endpoint::PROBES_OK]);
        text.some(&f::PROBES, &[c, e, "failed"], counts.row[endpoint::PROBES_FAILED]);
    }
}

fn ejections(text: &mut Text, ends: &Ends<'_>) {
    text.family(&f::EJECTIONS);
    for ((c, e), counts) in ends {
        for (i, why) in EJECTIONS.iter().enumerate() {
            text.some(&f::EJECTIONS, &[c, e, why], counts.row[endpoint::EJECTED + i]);
        }
    }
    each_end(text, &f::CAPPED, ends, |e| e.row[endpoint::CAPPED]);
    each_end(text, &f::TRIALS, ends, |e| e.row[endpoint::TRIALS]);
    each_end(text, &f::RESTORES, ends, |e| e.row[endpoint::RESTORED]);
    text.family(&f::EJECTED);
    for ((c, e), counts) in ends.iter().filter(|((_, e), _)| *e != OTHER) {
        text.sample(&f::EJECTED, &[c, e], u64::from(counts.ejected()));
    }
}

fn listeners(text: &mut Text, snapshot: &Snapshot, names: &dyn Names) {
    let mut rows: BTreeMap<&str, ListenerCounts> = BTreeMap::new();
    let mut shown = Shown { left: LISTENERS_SHOWN };
    for (id, counts) in snapshot.listeners.all() {
        let name = shown.name(id.and_then(|id| names.listener(*id)));
        rows.entry(name).or_default().merge(counts);
    }
    text.family(&f::CLIENTS_ACCEPTED);
    rows.iter().for_each(|(name, l)| text.sample(&f::CLIENTS_ACCEPTED, &[name], l.accepted()));
    text.family(&f::CLIENTS_CLOSED);
    for (name, l) in &rows {
        for (i, why) in CLIENT_CLOSES.iter().enumerate() {
            text.sample(&f::CLIENTS_CLOSED, &[name, why], l.row[listener::CLOSED + i]);
        }
    }
    text.family(&f::CLIENTS_OPEN);
    rows.iter().for_each(|(name, l)| text.sample(&f::CLIENTS_OPEN, &[name], l.open()));
}

fn refused(text: &mut Text, snapshot: &Snapshot) {
    text.family(&f::MESSAGES_REFUSED);
    for ((sender, rule), n) in &snapshot.refused {
        text.sample(&f::MESSAGES_REFUSED, &[sender, rule], n);
    }
    text.family(&f::INJECTED);
    for (kind, n) in &snapshot.injected {
        text.sample(&f::INJECTED, &[kind], n);
    }
    text.family(&f::OVERFLOW);
    let tables = [
        ("listeners", snapshot.listeners.beyond_events),
        ("routes", snapshot.routes.beyond_events),
        ("clusters", snapshot.clusters.beyond_events),
        ("endpoints", snapshot.endpoints.beyond_events),
    ];
    tables.iter().for_each(|(table, n)| text.sample(&f::OVERFLOW, &[table], n));
}

fn shell(text: &mut Text, snapshot: &Snapshot) {
    for &counter in ShellCounter::ALL {
        let family = f::of_counter(counter);
        text.family(&family);
        text.sample(&family, &[], snapshot.counter(counter));
    }
    for &gauge in ShellGauge::ALL {
        let family = f::of_gauge(gauge);
        text.family(&family);
        text.sample(&family, &[], snapshot.gauge(gauge));
    }
}

fn of_process(text: &mut Text, process: &Process) {
    text.family(&f::BUILD);
    text.sample(&f::BUILD, &[&process.version], 1);
    let mut one = |f: &Family, value: Option<String>| {
        text.family(f);
        value.iter().for_each(|v| text.sample(f, &[], v));
    };
    let whole = |n: Option<u64>| n.map(|n| n.to_string());
    one(&f::CPU, process.cpu.map(seconds));
    one(&f::RSS, whole(process.resident_bytes));
    one(&f::VIRTUAL, whole(process.virtual_bytes));
    one(&f::OPEN_FDS, whole(process.open_fds));
    one(&f::MAX_FDS, whole(process.max_fds));
    one(&f::THREADS, whole(process.threads));
    one(&f::START_TIME, process.started.map(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hist::BUCKETS;

    #[test]
    fn bounds_are_edges_and_grow() {
        for pair in BOUNDS_SECONDS.windows(2) {
            assert!(pair[0].1 < pair[1].1);
        }
        for (text, us) in BOUNDS_SECONDS {
            assert_eq!(text.parse::<f64>().unwrap(), us as f64 / 1e6);
            let mut hist = Hist::new();
            hist.record(Duration::from_micros(us));
            hist.record(Duration::from_nanos(us * 1000 + 1));
            assert_eq!(
                hist.at_most(Duration::from_micros(us)),
                1,
                "{text} is no edge of {BUCKETS}"
            );
        }
    }

    #[test]
    fn seconds_are_exact() {
        let texts = [0, 1, 1_000_000_000, 1_500_000_000, 100_000_000_001]
            .map(|n| seconds(Duration::from_nanos(n)));
        assert_eq!(texts, ["0", "0.000000001", "1", "1.5", "100.000000001"]);
    }
}
