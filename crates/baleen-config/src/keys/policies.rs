//! Which settings make up a policy, where it comes from, and when it is the wrong one: what `docs/reference/policies.md` is
//! printed from.
//!
//! Defaults, units and scopes are those of the lists around this. Tested: in `tests/it/reference.rs` (every setting of a policy is
//! in it).

use super::*;

/// Settings of one table, and where they come from.
#[derive(Debug)]
pub struct Part {
    /// The table.
    pub def: &'static Def,
    /// Its settings.
    pub keys: &'static [&'static str],
    /// Where they and their defaults come from.
    pub source: &'static str,
}

/// One policy.
#[derive(Debug)]
pub struct Policy {
    /// What chapter it is in.
    pub chapter: &'static str,
    /// Its name.
    pub title: &'static str,
    /// How it is turned on; empty when it always is.
    pub on: &'static str,
    /// What it does, in a sentence or two.
    pub does: &'static str,
    /// When not to use it.
    pub avoid: &'static str,
    /// Its settings.
    pub parts: &'static [Part],
}

const fn part(def: &'static Def, keys: &'static [&'static str], source: &'static str) -> Part {
    Part { def, keys, source }
}

const BALANCERS: &str = "Balancers";
const TRIES: &str = "Tries and time";
const HEALTH: &str = "Health";
const LIMITS: &str = "Limits and admission";
const DEGRADED: &str = "Degraded answers";
const CONNECTIONS: &str = "Connections";

const FINAGLE: &str = "Finagle";
const MITZENMACHER: &str = "Mitzenmacher 2001";
const MAGLEV: &str = "Eisenbud et al., NSDI 2016; Mirrokni et al. 2016";
const PREQUAL: &str = "Wydrowski et al., NSDI 2024";
const SRE: &str = "SRE book, ch. 21 and 22";
const AWS: &str = "AWS Architecture Blog 2015";
const NETFLIX: &str = "Netflix concurrency-limits";
const BALEEN: &str = "Baleen";

/// All policies, in the order of the page.
pub static POLICIES: &[Policy] = &[
    Policy {
        chapter: BALANCERS,
        title: "Round robin",
        on: "`balance = \"round-robin\"`",
        does: "Endpoints in turn, spread smoothly by weight.",
        avoid: "When requests or endpoints differ in speed: a slow endpoint gets as many requests as a fast one and a queue grows \
                there. Many processes that start together also walk in step.",
        parts: &[part(&BALANCE, &["kind"], "nginx smooth weighted round robin")],
    },
    Policy {
        chapter: BALANCERS,
        title: "Random",
        on: "`balance = \"random\"`",
        does: "An endpoint drawn by weight.",
        avoid: "Above half of the capacity: at 90% load a request takes ten times its own time, with two choices two and a half.",
        parts: &[part(&BALANCE, &["kind"], "queueing theory (M/M/1)")],
    },
    Policy {
        chapter: BALANCERS,
        title: "Least loaded of two",
        on: "`balance = \"least-loaded\"`",
        does: "Of two endpoints drawn at random the one with fewer requests in flight, in relation to its weight.",
        avoid: "When an endpoint fails fast: it has little in flight and attracts requests until it is ejected. Keep ejection on, \
                or use `peak-ewma`, where failures cost.",
        parts: &[part(&BALANCE, &["kind"], MITZENMACHER)],
    },
    Policy {
        chapter: BALANCERS,
        title: "Least loaded of all",
        on: "`balance = \"least-loaded-of-all\"`",
        does: "Of all endpoints the one with the fewest requests in flight, ties at random.",
        avoid: "With thousands of endpoints (it looks at loads of all), and with many processes: each sees only its own requests, \
                so a fast failing endpoint attracts all of them.",
        parts: &[part(&BALANCE, &["kind"], "HAProxy leastconn; ties at random: Baleen")],
    },
    Policy {
        chapter: BALANCERS,
        title: "Peak EWMA",
        on: "the default",
        does: "Of two endpoints drawn at random the one with the lower product of recent latency and requests in flight. A slow \
               answer counts at once and is forgotten over `decay`; failures count as slow.",
        avoid: "When latency says nothing about the endpoint: requests that differ by a factor of a hundred, long polling, streams. \
                Then use `least-loaded`.",
        parts: &[part(&BALANCE, &["kind", "decay"], FINAGLE)],
    },
    Policy {
        chapter: BALANCERS,
        title: "Aperture",
        on: "`balance = \"aperture\"`",
        does: "Two choices among a part of the endpoints. With `peers`, the parts of all processes together cover the endpoints \
               evenly; without, each process draws its own part.",
        avoid: "With few endpoints (below some tens) or few processes: it saves connections that cost nothing and makes load less \
                even. Without correct `peers`, some endpoints are drawn by many and some by none.",
        parts: &[
            part(&BALANCE, &["kind", "load", "decay", "min", "band", "smooth"], FINAGLE),
            part(&PEERS, &["index", "count"], "Finagle deterministic aperture"),
        ],
    },
    Policy {
        chapter: BALANCERS,
        title: "Maglev, and what sticks",
        on: "`balance = \"maglev\"` and `sticky = { by = ... }`",
        does: "Requests with the same `sticky` value go to the same endpoint; when one endpoint of n goes, about one in n of the \
               values moves. An endpoint above `bound` passes requests on.",
        avoid: "When nothing is gained by it (no cache or session in the endpoint): two choices spread load better. Never as the \
                only place where a session is kept.",
        parts: &[part(&BALANCE, &["kind", "bound"], MAGLEV), part(&STICKY, &["by", "ttl"], BALEEN)],
    },
    Policy {
        chapter: BALANCERS,
        title: "Prequal",
        on: "`balance = \"prequal\"`",
        does: "Endpoints are asked for requests in flight and latency; of the answers at hand, the fastest that is not hot is \
               chosen, or the one with the fewest in flight when all are.",
        avoid: "When endpoints do not answer probes: then it is `least-loaded`. When this process is their only caller, `peak-ewma` \
                knows the same without asking.",
        parts: &[
            part(&BALANCE, &["kind", "probes", "pool", "quantile", "age"], PREQUAL),
            part(&BALANCE, &["probe_path", "probe_timeout"], BALEEN),
        ],
    },
    Policy {
        chapter: BALANCERS,
        title: "Zones",
        on: "`zone = \"prefer\"`, and `zone = \"NAME\"` at the top of the file",
        does: "Traffic stays in its zone while enough endpoints there are usable, and spills over in part when not.",
        avoid: "When callers are spread over zones otherwise than endpoints: the zone with many callers overloads its few \
                endpoints while others idle.",
        parts: &[
            part(&ROOT, &["zone"], BALEEN),
            part(
                &ZONE,
                &["overprovision", "endpoints"],
                "Envoy locality weights and overprovisioning",
            ),
        ],
    },
    Policy {
        chapter: BALANCERS,
        title: "Slow start",
        on: "`slow_start = \"30s\"`",
        does: "A new or returning endpoint gets its share of requests step by step.",
        avoid: "When endpoints are ready as soon as they listen, or when most of a cluster is replaced at once: then the few old \
                ones carry everything.",
        parts: &[part(&SLOW_START, &["window", "min"], "Envoy slow start mode")],
    },
    Policy {
        chapter: TRIES,
        title: "Retries and their budget",
        on: "the default; `retry = \"off\"` turns it off",
        does: "A failed request that may be sent twice is tried on another endpoint. All retries and hedges of a name together are \
               a share of its successes: in a total outage there are almost none.",
        avoid: "In more than one layer (attempts multiply: three tries in three layers are 27), and for what must not happen twice.",
        parts: &[
            part(
                &RETRY,
                &["tries", "budget", "floor_per_second", "window"],
                "Finagle RetryBudget; paid by successes: Brooker 2022",
            ),
            part(&RETRY, &["requeue_budget", "requeue_floor_per_second"], "Finagle requeues"),
            part(&RETRY, &["backoff", "jitter"], AWS),
            part(&RETRY, &["statuses", "methods"], "RFC 9110"),
            part(
                &RETRY,
                &["grpc_statuses", "retry_after"],
                "gRPC retry design A6; RFC 9110 section 10.2.3",
            ),
            part(&RETRY, &["resets", "replay"], BALEEN),
        ],
    },
    Policy {
        chapter: TRIES,
        title: "Hedging",
        on: "`hedge = {}`",
        does: "A second try beside one that takes longer than most; the first answer wins. Never beyond the retry budget.",
        avoid: "When slowness comes from load: a hedge is more load. When requests are slow by nature and not by the endpoint. When \
                there are no endpoints to spare.",
        parts: &[part(
            &HEDGE,
            &["quantile", "min"],
            "Dean and Barroso, \"The Tail at Scale\", 2013",
        )],
    },
    Policy {
        chapter: TRIES,
        title: "Timeouts and deadlines",
        on: "the default; deadlines of callers are believed from `trusted_callers` only",
        does: "A request ends when its time is up, wherever it is; a request that can not be answered in time is refused before it \
               waits. The time that is left is sent on.",
        avoid: "Never go without. Do not set timeouts of an inner layer longer than those of the layer around it.",
        parts: &[
            part(
                &ROUTE,
                &["total_timeout", "try_timeout", "idle_timeout", "tunnel_timeout"],
                FINAGLE,
            ),
            part(&DEADLINE, &["send"], "gRPC deadlines; linkerd `l5d-ctx-deadline`"),
            part(&LISTENER, &["trusted_callers", "deadline_skew"], BALEEN),
        ],
    },
    Policy {
        chapter: TRIES,
        title: "Poisonous requests",
        on: "the default; `poison = \"off\"` turns it off",
        does: "A request under which endpoints die one after the other is not tried on more of them, and its like is refused for a \
               while.",
        avoid: "When endpoints break connections as a matter of course (idle timeouts far below ours, a balancer in between that \
                resets): then good requests are blamed.",
        parts: &[part(&POISON, &["deaths", "quarantine"], BALEEN)],
    },
    Policy {
        chapter: HEALTH,
        title: "Failures in a row",
        on: "the default; `consecutive_failures = \"off\"` turns it off, `eject = \"off\"` all ejection",
        does: "So many failures in a row take an endpoint out for all workers. After a backoff one request tries it.",
        avoid: "When a status says something about the request and not about the endpoint (`status_from`).",
        parts: &[
            part(
                &EJECT,
                &["consecutive_failures", "status_from", "grpc_statuses", "backoff"],
                "Finagle failure accrual",
            ),
            part(&EJECT, &["ceiling", "panic"], "Envoy max_ejection_percent and panic threshold"),
        ],
    },
    Policy {
        chapter: HEALTH,
        title: "Success rate",
        on: "`eject = { success_rate = \"80%\" }`",
        does: "An endpoint with a smaller share of successes than this is taken out.",
        avoid: "When what the endpoints share can fail (a database): all fall below it together, and `ceiling` of them go. The \
                outlier policy compares with peers instead.",
        parts: &[part(
            &SUCCESS_RATE,
            &["min", "window", "last", "requests"],
            "Finagle successRate, successRateWithinDuration",
        )],
    },
    Policy {
        chapter: HEALTH,
        title: "Outlier by success",
        on: "the default; `eject = { outlier = \"off\" }` turns it off",
        does: "An endpoint that fails clearly more than its peers is taken out.",
        avoid: "When endpoints of one cluster serve different things: split the cluster.",
        parts: &[
            part(
                &OUTLIER,
                &["deviations", "endpoints", "requests", "window"],
                "Envoy outlier detection",
            ),
            part(&OUTLIER, &["gap"], BALEEN),
        ],
    },
    Policy {
        chapter: HEALTH,
        title: "Outlier by latency",
        on: "`eject = { latency = {} }`",
        does: "An endpoint that is clearly slower than the median of its peers is taken out.",
        avoid: "With `peak-ewma` it is mostly not needed: a slow endpoint gets little as it is. Not where endpoints differ in \
                hardware or distance.",
        parts: &[part(&LATENCY, &["factor", "gap", "endpoints", "requests", "window"], BALEEN)],
    },
    Policy {
        chapter: LIMITS,
        title: "Fixed limits",
        on: "the default",
        does: "So many at once for a name, a cluster and an endpoint; the next waits or is refused.",
        avoid: "As the only protection of an upstream whose speed changes: the right number changes with it. Never turn the \
                cluster's limit up to be rid of refusals.",
        parts: &[
            part(&ROUTE, &["concurrency"], BALEEN),
            part(
                &CLUSTER,
                &["concurrency", "endpoint_concurrency"],
                "Envoy circuit breakers (1024)",
            ),
        ],
    },
    Policy {
        chapter: LIMITS,
        title: "Adaptive limit: AIMD",
        on: "`adaptive = \"aimd\"`",
        does: "The limit grows by one while all goes well and shrinks by a share when a try fails or is slow.",
        avoid: "When failures say nothing about load: a bug that answers 503 shrinks the limit to `min`.",
        parts: &[part(&ADAPTIVE, &["kind", "initial", "min", "max", "backoff", "slow"], NETFLIX)],
    },
    Policy {
        chapter: LIMITS,
        title: "Adaptive limit: Gradient2",
        on: "`adaptive = \"gradient2\"`",
        does: "The limit follows how far recent latencies are above their long average.",
        avoid: "When latency changes for other reasons than load (batch hours, caches that go cold, a mix of fast and slow \
                requests).",
        parts: &[part(
            &ADAPTIVE,
            &["kind", "initial", "min", "max", "smoothing", "long_window", "tolerance", "queue"],
            NETFLIX,
        )],
    },
    Policy {
        chapter: LIMITS,
        title: "Queue",
        on: "the default; `queue = 0` turns it off",
        does: "Requests above the limit wait, so many and so long. While the queue stands, the newest goes first.",
        avoid: "As a buffer for load that lasts: a queue helps with bursts only. A long one makes every answer late.",
        parts: &[part(
            &CLUSTER,
            &["queue", "queue_timeout", "queue_order"],
            "Maurer, \"Fail at Scale\", 2015",
        )],
    },
    Policy {
        chapter: LIMITS,
        title: "Controlled delay",
        on: "the default; `codel = \"off\"` turns it off",
        does: "In a queue that stands, who waited too long is refused.",
        avoid: "For work that nobody waits for: there, late is better than never.",
        parts: &[part(&CODEL, &["target", "interval"], "Nichols and Jacobson 2012; folly Codel")],
    },
    Policy {
        chapter: LIMITS,
        title: "Admission by priority",
        on: "`admission = \"dagor\"`",
        does: "In overload the least urgent requests are refused first, here and, told by a response field, at the callers.",
        avoid: "When all requests have one priority: users are then shed by chance groups only, and CoDel does as well.",
        parts: &[
            part(
                &ADMISSION,
                &["target", "window", "requests", "down", "up"],
                "Zhou et al. (DAGOR), SoCC 2018",
            ),
            part(&ROUTE, &["priority"], "RFC 9218 section 4.1"),
            part(&RULE, &["priority"], "RFC 9218 section 4.1"),
        ],
    },
    Policy {
        chapter: LIMITS,
        title: "Client-side throttling",
        on: "`throttle = {}`",
        does: "While an upstream refuses most requests, most are refused here.",
        avoid: "With few requests (a handful decides), and when one bad kind of request fails always: it would throttle the good.",
        parts: &[part(&THROTTLE, &["k", "window"], SRE)],
    },
    Policy {
        chapter: LIMITS,
        title: "Rates",
        on: "`rate = { limit = \"100/s\" }`",
        does: "Each caller may ask so often; above it the answer is 429.",
        avoid: "To protect an upstream from overload: a rate does not know how slow it has become. It is for fairness between \
                callers.",
        parts: &[part(&RATE, &["limit", "burst", "key"], "token bucket")],
    },
    Policy {
        chapter: DEGRADED,
        title: "Another name",
        on: "`fallback = \"/svc/NAME\"`",
        does: "A request that would be refused goes to another name, once.",
        avoid: "When the other has no capacity to spare: the first overload becomes its overload. A fallback that is never used in \
                good times is one that nobody knows to work.",
        parts: &[part(&ROUTE, &["fallback"], "Finagle and linkerd alternatives")],
    },
    Policy {
        chapter: DEGRADED,
        title: "Alternatives",
        on: "the default where a name leads to `a | b`, or `to = { first = [\"a\", \"b\"] }`",
        does: "The first cluster that has a usable endpoint takes the request. With `standby`, a share of them goes to the second one, \
               so that it is known to work.",
        avoid: "When the second has no capacity to spare, or answers something else: the first one's outage becomes its own.",
        parts: &[part(
            &ALTERNATIVES,
            &["fallback", "standby"],
            "Finagle name trees; by health: Baleen",
        )],
    },
    Policy {
        chapter: DEGRADED,
        title: "Stale answers",
        on: "`stale = {}`",
        does: "An answer that was good lately, when nothing else is left.",
        avoid: "For what must be current, or differs by user without saying so (`Vary`, `Cache-Control: private`).",
        parts: &[part(&STALE, &["age", "bytes", "body"], "RFC 5861")],
    },
    Policy {
        chapter: DEGRADED,
        title: "Fixed answer",
        on: "`answer = { status = 503, body = ... }`",
        does: "A fixed answer, when nothing else is left.",
        avoid: "With a status that says success, unless an empty answer is right for callers: it hides the outage.",
        parts: &[part(&ANSWER, &["status", "type", "body", "file"], BALEEN)],
    },
    Policy {
        chapter: CONNECTIONS,
        title: "Connections to endpoints",
        on: "the default",
        does: "Idle connections are kept for the next request, the least recently used first.",
        avoid: "Never go without. Keep idle times below those of the endpoints.",
        parts: &[
            part(&CLUSTER, &["connect_timeout"], FINAGLE),
            part(&POOL, &["order", "idle", "idle_timeout", "age"], "Facebook link imbalance 2014"),
        ],
    },
];
