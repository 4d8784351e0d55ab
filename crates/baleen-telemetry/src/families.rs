//! Every metric there is, declared once: name, type, labels, meaning. The text and the reference page come from here.
//!
//! Not here: values (`text.rs`). Tested: `tests/text.rs`, `tests/reference.rs`.

use std::fmt::Write as _;

use crate::hist::BUCKETS;
use crate::shell::{RULES_MAX, ShellCounter, ShellGauge};
use crate::text::{BOUNDS_SECONDS, CLUSTERS_SHOWN, ENDPOINTS_SHOWN, LISTENERS_SHOWN, ROUTES_SHOWN};

/// What kind of metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric, with all its label values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident $kind:ident $name:literal [$($label:literal)*] $help:literal;)*) => {
        $(pub(crate) static $id: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// Those that are no shell's.
        static DECLARED: &[&Family] = &[$(&$id),*];
    };
}

families! {
    REQUESTS Counter "baleen_requests_total" ["route" "class"]
        "Calls that ended with a response of an upstream, by class of status.";
    RESPONSES Counter "baleen_responses_total" ["status"]
        "Calls that ended with a response of an upstream, by exact status, over all routes.";
    REFUSALS Counter "baleen_refusals_total" ["route" "reason" "cause"]
        "Calls answered locally: why, and what the last attempt died of (none when there was no attempt).";
    BROKEN Counter "baleen_requests_broken_total" ["route" "cause"]
        "Calls that broke after their response head had gone downstream.";
    ABANDONED Counter "baleen_requests_abandoned_total" ["route"]
        "Calls given up by the downstream.";
    DURATION Histogram "baleen_request_duration_seconds" ["route"]
        "From the arrival of a call to its end: calls that were answered, refused or broken.";
    TRIES Counter "baleen_tries_total" ["route"]
        "Attempts started for calls, the first included.";
    RETRIES Counter "baleen_retries_total" ["route" "cause"]
        "Retries scheduled, by what the try before died of.";
    DENIED Counter "baleen_retries_denied_total" ["route" "reason"]
        "Failed tries that were not tried again, by reason.";
    REQUEUES Counter "baleen_requeues_total" ["route" "cause"]
        "Calls sent to another connection or endpoint because nothing of them had been sent, by what went wrong.";
    HEDGES Counter "baleen_hedges_total" ["route"]
        "Second attempts started beside a slow first one.";
    HEDGES_WON Counter "baleen_hedges_won_total" ["route"]
        "Hedged calls that were answered by the second attempt.";
    FALLBACKS Counter "baleen_fallbacks_total" ["route"]
        "Calls of this route that went to its fallback instead of being refused.";
    ATTEMPTS Counter "baleen_attempts_total" ["cluster" "endpoint" "connection"]
        "Attempts started, on a new or a reused connection.";
    ATTEMPT_RESPONSES Counter "baleen_attempt_responses_total" ["cluster" "endpoint" "class"]
        "Response heads received from an endpoint, by class of status.";
    ATTEMPT_FAILURES Counter "baleen_attempt_failures_total" ["cluster" "endpoint" "cause"]
        "Attempts that failed.";
    IN_FLIGHT Gauge "baleen_attempts_in_flight" ["cluster" "endpoint"]
        "Attempts in flight.";
    HEAD Histogram "baleen_attempt_head_seconds" ["cluster"]
        "From the start of an attempt to its response head.";
    CONNECT Histogram "baleen_connect_seconds" ["cluster"]
        "How long new connections to upstreams took to stand.";
    CONNS_OPENED Counter "baleen_connections_opened_total" ["cluster" "endpoint"]
        "Connections to upstreams opened.";
    CONNS_CLOSED Counter "baleen_connections_closed_total" ["cluster" "reason"]
        "Connections to upstreams closed: by the pool, for a reason, or ended with an exchange or by the upstream.";
    CONNS_OPEN Gauge "baleen_connections_open" ["cluster" "endpoint"]
        "Connections to upstreams that are open.";
    CONNS_IDLE Gauge "baleen_connections_idle" ["cluster" "endpoint"]
        "Open connections without an attempt. An attempt that is still connecting counts as using one.";
    QUEUE Gauge "baleen_queue_length" ["cluster"]
        "Calls that wait for a slot.";
    QUEUED Counter "baleen_queued_total" ["cluster"]
        "Calls that had to wait for a slot.";
    QUEUE_GIVEN_UP Counter "baleen_queue_given_up_total" ["cluster"]
        "Calls that left the queue without a slot.";
    QUEUE_WAIT Histogram "baleen_queue_wait_seconds" ["cluster"]
        "How long calls waited for a slot, those included that gave up.";
    LIMIT Gauge "baleen_cluster_concurrency_limit" ["cluster"]
        "Attempts that may be in flight, where the limit moves (adaptive). Left out until it has moved.";
    ADMISSION Gauge "baleen_cluster_admission_level" ["cluster"]
        "Level up to which calls are admitted, of the worker that admits fewest: 1023 admits all. Left out until it has moved.";
    QUARANTINES Counter "baleen_quarantines_total" ["cluster"]
        "Kinds of requests put under quarantine because endpoints died under one of them.";
    EJECTIONS Counter "baleen_ejections_total" ["cluster" "endpoint" "reason"]
        "Endpoints ejected for all workers.";
    CAPPED Counter "baleen_ejections_capped_total" ["cluster" "endpoint"]
        "Ejections not made because the ceiling on ejections was reached.";
    TRIALS Counter "baleen_trials_total" ["cluster" "endpoint"]
        "Real requests granted to ejected endpoints as a trial.";
    RESTORES Counter "baleen_restores_total" ["cluster" "endpoint"]
        "Endpoints that came back for all workers.";
    EJECTED Gauge "baleen_endpoint_ejected" ["cluster" "endpoint"]
        "1 while the endpoint is ejected.";
    PANIC Gauge "baleen_cluster_panic" ["cluster"]
        "1 while too few endpoints are usable and a worker uses all of them.";
    PANICS Counter "baleen_panics_total" ["cluster"]
        "How often a worker began to use all endpoints because too few were usable.";
    PROBES Counter "baleen_probes_total" ["cluster" "endpoint" "result"]
        "Questions to endpoints how loaded they are, by whether an answer came that says it.";
    ENDPOINTS Gauge "baleen_cluster_endpoints" ["cluster"]
        "Endpoints of the newest set that a worker has.";
    CLIENTS_ACCEPTED Counter "baleen_client_connections_accepted_total" ["listener"]
        "Connections accepted from downstreams.";
    CLIENTS_CLOSED Counter "baleen_client_connections_closed_total" ["listener" "reason"]
        "Connections from downstreams closed: by policy, for a reason, or ended.";
    CLIENTS_OPEN Gauge "baleen_client_connections" ["listener"]
        "Connections from downstreams that are open.";
    MESSAGES_REFUSED Counter "baleen_messages_refused_total" ["sender" "rule"]
        "Messages that the codec refused, by who sent them and the rule they broke.";
    INJECTED Counter "baleen_injected_faults_total" ["kind"]
        "Attempts that met a fault because it was asked for over the control interface, by what went wrong.";
    OVERFLOW Counter "baleen_telemetry_overflow_events_total" ["table"]
        "Events of ids beyond the bounds of the tables, counted under the label other.";
    NAMER_UP Gauge "baleen_namer_up" ["namer"]
        "1 while the registry answers, 0 while what it said last is used.";
    NAMER_COLD Gauge "baleen_namer_cold" ["namer"]
        "1 while what is used comes from the disk, because the registry has not answered since the start.";
    NAMER_AGE Gauge "baleen_namer_heard_age_seconds" ["namer"]
        "How long ago the registry last answered. Left out when it never did.";
    NAMER_SNAPSHOT_AGE Gauge "baleen_namer_snapshot_age_seconds" ["namer"]
        "How old the last good state on the disk is. Left out when there is none.";
    NAMER_SERVICES Gauge "baleen_namer_services" ["namer"]
        "Services that the namer knows.";
    NAMER_ENDPOINTS Gauge "baleen_namer_endpoints" ["namer"]
        "Endpoints of them, held ones included.";
    NAMER_HELD Gauge "baleen_namer_held_endpoints" ["namer"]
        "Endpoints that the registry has no more and that are held, because too many went at once.";
    NAMER_REFUSED Gauge "baleen_namer_refused_entries" ["namer"]
        "Entries of the registry that can't be read.";
    NAMER_SESSIONS Counter "baleen_namer_sessions_total" ["namer"]
        "How often the registry began to be watched.";
    NAMER_STUCK Counter "baleen_namer_sessions_stuck_total" ["namer"]
        "Watches given up because nothing was heard for too long.";
    DTAB_VERSION Gauge "baleen_dtab_version" ["namespace"]
        "Version of the table that is followed; with a staged change on trial that of the table it will replace. Left out when there is no table.";
    DTAB_AGE Gauge "baleen_dtab_heard_age_seconds" ["namespace"]
        "How long ago the store of the table last answered. Left out when it has not since the start.";
    DTAB_STAGED Gauge "baleen_dtab_staged" ["namespace"]
        "1 while the table of a staged change is used here.";
    BUILD Gauge "baleen_build_info" ["version"]
        "Always 1; the version is in the label.";
    CPU Counter "process_cpu_seconds_total" []
        "User and system time of the process.";
    RSS Gauge "process_resident_memory_bytes" []
        "Memory of the process that is in RAM.";
    VIRTUAL Gauge "process_virtual_memory_bytes" []
        "Address space of the process.";
    OPEN_FDS Gauge "process_open_fds" []
        "File descriptors in use.";
    MAX_FDS Gauge "process_max_fds" []
        "File descriptors that the process may use.";
    THREADS Gauge "process_threads" []
        "Threads of the process.";
    START_TIME Gauge "process_start_time_seconds" []
        "When the process started, in seconds since 1970.";
}

/// The family of a shell's counter.
pub(crate) const fn of_counter(counter: ShellCounter) -> Family {
    Family { name: counter.metric(), kind: Kind::Counter, labels: &[], help: counter.help() }
}

/// The family of a shell's level.
pub(crate) const fn of_gauge(gauge: ShellGauge) -> Family {
    Family { name: gauge.metric(), kind: Kind::Gauge, labels: &[], help: gauge.help() }
}

/// Every metric there is, in the order of the text.
#[must_use]
pub fn families() -> Vec<Family> {
    let declared = DECLARED.iter().map(|f| **f);
    let counters = ShellCounter::ALL.iter().map(|&c| of_counter(c));
    let gauges = ShellGauge::ALL.iter().map(|&g| of_gauge(g));
    declared.chain(counters).chain(gauges).collect()
}

/// The page `docs/reference/metrics.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n<!-- Generated from the table in crates/baleen-telemetry/src/families.rs; \
         BALEEN_UPDATE=1 cargo test -p baleen-telemetry --test reference writes it. -->\n\n\
         `GET /metrics` on the admin address answers in the Prometheus text format, version 0.0.4. Every number is the sum \
         over all workers of the process since it started.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for f in families() {
        let labels: Vec<String> = f.labels.iter().map(|l| format!("`{l}`")).collect();
        let kind = f.kind.as_str();
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", f.name, labels.join(", "), f.help);
    }
    let bounds: Vec<String> = BOUNDS_SECONDS.iter().map(|(text, _)| (*text).to_owned()).collect();
    let _ = write!(
        page,
        "\n## Bounds on labels\n\n\
         At most {LISTENERS_SHOWN} listeners, {ROUTES_SHOWN} routes, {CLUSTERS_SHOWN} clusters and {ENDPOINTS_SHOWN} endpoints \
         have label values of their own, in the order in which they were configured or found. The rest is added up under the \
         value `other`, and so are endpoints that have left their cluster. At most {RULES_MAX} rules are told apart for each \
         sender. Series that would be zero are left out where a label names a cause, a rule, an exact status, \
         a reason of policy, how a probe ended, or one of the classes 1xx and other.\n\n\
         Counters take 400 KB of memory for each worker, and of what is in use 7.5 KB for each route, up to 16 KB for each cluster \
         and 320 bytes for each endpoint.\n\n\
         ## Histograms\n\n\
         Durations are kept in {BUCKETS} buckets of at most 5 % width. The bounds shown are edges of these, so the counts are \
         exact: {} seconds. A request that lasts longer than 71 minutes counts as 71 minutes in the buckets, and as what it \
         is in the sum.\n",
        bounds.join(", ")
    );
    page
}
