//! `[cluster]`: settings of concrete destinations.
//!
//! Not here: what contradicts what (`checks.rs`). Tested: in `tests/it/`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use baleen_policy::params::{Balance, ClusterParams, PoolOrder, Share};

use crate::diagnostic::Findings;
use crate::endpoint::{self, Endpoint};
use crate::layer::{layer, set};
use crate::reader::{Reader, TableOrWord};
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::{Node, Table};

layer! {
    /// What a `[cluster]` table says.
    ClusterLayer {
        endpoints: Vec<Endpoint>,
        balance: &'static str,
        decay: Duration,
        connect_timeout: Duration,
        concurrency: u32,
        queue: u32,
        queue_timeout: Duration,
        consecutive_failures: u32,
        status_from: u16,
        backoff: (Duration, Duration),
        ceiling: Share,
        panic: Share,
        order: PoolOrder,
        idle: u32,
        idle_timeout: Duration,
        age: Duration,
    }
}

/// Reads a `[cluster]` table, or one in it.
pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    named: Option<&str>,
    findings: &mut Findings,
) -> ClusterLayer {
    let mut r = Reader::new(def, table, place, named, findings);
    let mut layer = ClusterLayer::default();
    if named.is_some()
        && let Some(list) = r.texts("endpoints")
    {
        layer.endpoints = Some(endpoints(&list, r.findings));
    }
    match r.table_or_word("balance") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            layer.balance = r.choice("kind");
            layer.decay = r.duration("decay");
            r.done();
        }
        Some((_, TableOrWord::Word(kind))) => {
            layer.balance = crate::keys::BALANCES
                .iter()
                .find(|k| **k == kind.value)
                .map(|k| At::new(*k, &kind.place))
        }
        None => {}
    }
    layer.connect_timeout = r.duration("connect_timeout");
    layer.concurrency = r.integer("concurrency");
    layer.queue = r.integer("queue");
    layer.queue_timeout = r.duration("queue_timeout");
    match r.table_or_word("eject") {
        Some((def, TableOrWord::Table(table, place))) => {
            read_eject(def, table, place, &mut layer, r.findings)
        }
        Some((_, TableOrWord::Word(off))) => layer.consecutive_failures = Some(off.map(|_| 0)),
        None => {}
    }
    if let Some((def, table, place)) = r.table("pool") {
        let mut r = Reader::new(def, table, place, None, r.findings);
        layer.order = r.choice("order").map(|at| at.map(pool_order));
        layer.idle = r.integer("idle");
        layer.idle_timeout = r.duration("idle_timeout");
        layer.age = r.duration("age");
        r.done();
    }
    r.done();
    layer
}

fn read_eject(
    def: &'static Def,
    table: &Table,
    place: &Place,
    layer: &mut ClusterLayer,
    findings: &mut Findings,
) {
    let mut r = Reader::new(def, table, place, None, findings);
    layer.consecutive_failures = r.integer("consecutive_failures");
    layer.status_from = r.integer("status_from");
    layer.backoff = r.duration_range("backoff");
    layer.ceiling = r.share("ceiling");
    layer.panic = r.share("panic");
    r.done();
}

fn pool_order(word: &str) -> PoolOrder {
    if word == "random" { PoolOrder::Random } else { PoolOrder::LeastRecentlyUsed }
}

fn endpoints(list: &At<Vec<&Node>>, findings: &mut Findings) -> At<Vec<Endpoint>> {
    let mut seen: BTreeMap<SocketAddr, Place> = BTreeMap::new();
    let mut found = Vec::new();
    for node in &list.value {
        let Some(text) = node.as_str() else { continue };
        match endpoint::parse_endpoint(text) {
            Ok(endpoint) => {
                if let Some(first) = seen.insert(endpoint.addr, node.place.clone()) {
                    findings.push(endpoint::duplicate(&node.place, &first, endpoint.addr));
                }
                found.push(endpoint);
            }
            Err(error) => {
                let place = node.inside(error.span.clone());
                let error = endpoint::LineError { span: 0..place.span.len(), ..error };
                findings.push(endpoint::line_error(&place, error));
            }
        }
    }
    At::new(found, &list.place)
}

impl ClusterLayer {
    /// The parameters of a cluster.
    pub(crate) fn params(&self, name: &str) -> ClusterParams {
        let mut p = ClusterParams { name: name.to_owned(), ..ClusterParams::default() };
        let before = match p.balance {
            Balance::PeakEwma { decay } => decay,
            _ => Duration::from_secs(10),
        };
        p.balance = match self.balance.as_ref().map(|at| at.value) {
            Some("round-robin") => Balance::RoundRobin,
            Some("random") => Balance::Random,
            Some("least-loaded") => Balance::LeastLoaded,
            _ => Balance::PeakEwma { decay: self.decay.as_ref().map_or(before, |at| at.value) },
        };
        set(&mut p.connect_timeout, &self.connect_timeout);
        set(&mut p.concurrency, &self.concurrency);
        set(&mut p.queue, &self.queue);
        set(&mut p.queue_timeout, &self.queue_timeout);
        set(&mut p.eject.consecutive_failures, &self.consecutive_failures);
        set(&mut p.eject.status_from, &self.status_from);
        set(&mut p.eject.ceiling, &self.ceiling);
        set(&mut p.eject.panic, &self.panic);
        if let Some(backoff) = &self.backoff {
            (p.eject.backoff_min, p.eject.backoff_max) = backoff.value;
        }
        set(&mut p.pool.order, &self.order);
        set(&mut p.pool.idle_max, &self.idle);
        set(&mut p.pool.idle_timeout, &self.idle_timeout);
        set(&mut p.pool.age_max, &self.age);
        p
    }
}
