//! What the admin server shows, and the trait through which it gets it.
//!
//! Not here: how it is answered (`pages.rs`). Tested: below, `tests/admin.rs`.

use std::collections::BTreeMap;
use std::future::Future;

use baleen_base::{Cause, EjectReason, WorkerId};
use serde::Serialize;

/// What the program that wires everything shows of it. Read only. A method that never returns is cut off with its request.
pub trait Views: Send + Sync + 'static {
    /// The metrics, as [`baleen_telemetry::prometheus`] writes them.
    fn metrics(&self) -> String;

    /// All clusters with their endpoints.
    fn clusters(&self) -> impl Future<Output = Clusters> + Send;

    /// Whether traffic may come.
    fn ready(&self) -> Readiness;

    /// All namers, and how each stands with its registry.
    fn namers(&self) -> impl Future<Output = Namers> + Send;

    /// The delegation of a logical name, with an override if there is one, down to endpoints, as JSON; or what is wrong with
    /// either.
    fn explain(
        &self,
        name: String,
        dtab: String,
    ) -> impl Future<Output = Result<String, String>> + Send;

    /// The flight recorder of a worker, as bytes to be replayed; `None` when there is no such worker. It holds ids, times and
    /// decisions, never anything that a request or response said.
    fn recording(&self, worker: WorkerId) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// Whether traffic may come, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Why not: a listener that is not bound, a cluster whose endpoints were never read. Ready when empty.
    pub reasons: Vec<String>,
    /// What is wrong but does not hinder, such as a services file with a mistake whose last good content is in use.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Whether traffic may come.
    #[must_use]
    pub const fn ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// All namers.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Namers {
    /// The base table, as text.
    pub dtab: String,
    /// The table of a store that is followed; none when none is.
    pub table: Option<TableView>,
    /// In the order of their names.
    pub namers: Vec<NamerView>,
}

/// How the table of a store stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct TableView {
    /// Its namespace.
    pub namespace: String,
    /// The version that is used; with a staged change on trial that of the table it will replace; none when there is no table.
    pub version: Option<u64>,
    /// How long ago the store last answered; none when it has not since the start.
    pub age_seconds: Option<f64>,
    /// How it stands, in words.
    pub state: String,
    /// The staged change, or the last one that was reverted here.
    pub staged: Option<StagedView>,
}

/// A staged change of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StagedView {
    /// Which change.
    pub change: String,
    /// Its step, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// Its table is used here.
    pub on_trial: bool,
    /// Why it was reverted here, if it was.
    pub reverted: Option<String>,
}

/// How a namer stands with its registry.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct NamerView {
    /// What it is mounted as: `/#/NAME`.
    pub name: String,
    /// What it is: `etcd`, `files`.
    pub kind: String,
    /// The registry answers.
    pub up: bool,
    /// How it stands, in words.
    pub state: String,
    /// How long ago the registry last answered; none when it never did.
    pub heard_seconds_ago: Option<f64>,
    /// How old the last good state on the disk is; none when there is none.
    pub snapshot_seconds_old: Option<f64>,
    /// How often it began to be watched.
    pub sessions: u64,
    /// Watches given up because nothing was heard.
    pub stuck: u64,
    /// Services and how many endpoints each has, held ones included.
    pub services: BTreeMap<String, usize>,
    /// What is held, because too much went at once.
    pub held: Vec<HeldView>,
    /// Entries that can't be read, and why.
    pub refused: BTreeMap<String, String>,
}

/// Endpoints of a service that the registry has no more and that are held.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HeldView {
    /// The service.
    pub service: String,
    /// Them.
    pub endpoints: Vec<String>,
    /// Why, in words.
    pub why: String,
    /// Until they are let go.
    pub for_seconds: f64,
}

/// All clusters.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Clusters {
    /// In the order of their names.
    pub clusters: Vec<ClusterView>,
}

/// A cluster.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// The version of its endpoints.
    pub version: u64,
    /// Attempts in flight, over all workers.
    pub in_flight: u64,
    /// Calls that wait for a slot, over all workers.
    pub queued: u64,
    /// Attempts that may be in flight, over all workers: the fixed limit, or where the one that moves stands. Of workers that
    /// know of different ones, the lowest.
    pub slots: u64,
    /// The level up to which calls are admitted; 1023 admits all. Of workers that differ, the lowest.
    pub admission: u16,
    /// Too few endpoints are usable, so all are used.
    pub panic: bool,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EndpointView {
    /// Where.
    pub address: String,
    /// Share of traffic in relation to the others.
    pub weight: u32,
    /// How it stands.
    pub state: Health,
    /// Why it is out and for how long, if it is.
    pub ejected: Option<Out>,
    /// Attempts in flight, over all workers.
    pub in_flight: u64,
    /// Moving average of the time to the response head, over all workers that have one.
    pub latency_ewma_us: Option<u64>,
    /// Idle connections, over all workers.
    pub idle_connections: u64,
    /// What rules of ejection that look at windows know of it; none when there is no such rule, or no traffic lately.
    pub window: Option<Window>,
}

/// What became of an endpoint's attempts lately, over all workers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Window {
    /// Attempts that succeeded or failed; 0 when no rule counts them.
    pub requests: u32,
    /// Share of them that succeeded, in percent; none when there were none.
    pub ok_percent: Option<f64>,
    /// Mean time to the response head; none when no rule asks for it, or nothing was timed.
    pub mean_us: Option<u32>,
}

/// How an endpoint stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It is used.
    Usable,
    /// It is not.
    Ejected,
    /// It is not, but for one real request that shall show whether it is well again.
    Trial,
}

/// Why an endpoint is out and for how long.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Out {
    /// Why, in words (see [`reason_in_words`]).
    pub reason: String,
    /// Until it gets a trial; zero when that is due.
    pub until_trial_seconds: f64,
    /// How often in a row.
    pub nth: u32,
}

/// What an attempt died of, for people.
#[must_use]
pub fn cause_in_words(cause: Cause) -> String {
    match cause {
        Cause::ConnectRefused => "connection refused".to_owned(),
        Cause::ConnectFailed => "could not connect".to_owned(),
        Cause::ConnectTimeout => "connecting took too long".to_owned(),
        Cause::ConnectionStale => "pooled connection was closed already".to_owned(),
        Cause::ConnectionTerminated => "connection ended before a whole response head".to_owned(),
        Cause::ReusedConnectionTerminated => "pooled connection ended before a response".to_owned(),
        Cause::ResponseTimeout => "no response head in time".to_owned(),
        Cause::IdleTimeout => "no byte moved in time".to_owned(),
        Cause::ResponseInvalid => "response is not valid HTTP".to_owned(),
        Cause::BodyIncomplete => "response body broke before its end".to_owned(),
        Cause::Status(status) => format!("status {status}"),
        Cause::Grpc(status) => format!("gRPC status {status}"),
        Cause::OutOfDescriptors => "no file descriptor or port left here".to_owned(),
        Cause::DownstreamGone => "the downstream went away".to_owned(),
        Cause::Internal => "a mistake of Baleen's own".to_owned(),
    }
}

/// Why an endpoint is ejected, for people.
#[must_use]
pub fn reason_in_words(reason: EjectReason) -> String {
    match reason {
        EjectReason::ConsecutiveFailures { count, last } => {
            format!("{} in a row, the last: {}", counted(count, "failure"), cause_in_words(last))
        }
        EjectReason::TrialFailed { last } => {
            format!("the trial request failed: {}", cause_in_words(last))
        }
        EjectReason::SuccessRate { requests, ok_ppm, min_ppm } => format!(
            "{} of its last {} succeeded, less than the {} that are asked for",
            percent(ok_ppm),
            counted(requests, "request"),
            percent(min_ppm)
        ),
        EjectReason::SuccessOutlier { requests, ok_ppm, mean_ppm, needed_ppm } => format!(
            "{} of its last {} succeeded, with a mean of {} over the endpoints; below {} is an outlier",
            percent(ok_ppm),
            counted(requests, "request"),
            percent(mean_ppm),
            percent(needed_ppm)
        ),
        EjectReason::LatencyOutlier { requests, mean_us, peers_us } => format!(
            "its last {} took {} in the mean, the median of the other endpoints is {}",
            counted(requests, "answer"),
            millis(mean_us),
            millis(peers_us)
        ),
    }
}

fn counted(n: u32, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn millis(us: u32) -> String {
    format!("{:.1} ms", f64::from(us) / 1e3)
}

/// To a tenth, rounded down: what is not all is not shown as 100 %.
fn percent(ppm: u32) -> String {
    format!("{}.{}%", ppm / 10_000, ppm / 1000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences_a_person_can_read() {
        let reason = EjectReason::ConsecutiveFailures { count: 5, last: Cause::Status(503) };
        assert_eq!(reason_in_words(reason), "5 failures in a row, the last: status 503");
        let reason = EjectReason::TrialFailed { last: Cause::ConnectRefused };
        assert_eq!(reason_in_words(reason), "the trial request failed: connection refused");
        let reason = EjectReason::SuccessRate { requests: 300, ok_ppm: 666_666, min_ppm: 800_000 };
        assert_eq!(
            reason_in_words(reason),
            "66.6% of its last 300 requests succeeded, less than the 80.0% that are asked for"
        );
        let reason = EjectReason::SuccessOutlier {
            requests: 1,
            ok_ppm: 999_999,
            mean_ppm: 1_000_000,
            needed_ppm: 52_300,
        };
        assert_eq!(
            reason_in_words(reason),
            "99.9% of its last 1 request succeeded, with a mean of 100.0% over the endpoints; below 5.2% is an outlier"
        );
        let reason =
            EjectReason::LatencyOutlier { requests: 50, mean_us: 300_000, peers_us: 2_960 };
        assert_eq!(
            reason_in_words(reason),
            "its last 50 answers took 300.0 ms in the mean, the median of the other endpoints is 3.0 ms"
        );
        for cause in Cause::ALL {
            assert!(!cause_in_words(cause).contains('_'), "{cause:?}");
        }
    }
}
