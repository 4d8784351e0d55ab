//! `[cluster]`: settings of concrete destinations.
//!
//! Not here: balancing, ejection, limits (modules of their own), and what contradicts what (`checks`). Tested: in `tests/it/`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use baleen_policy::params::{ClusterParams, PoolOrder, QueueOrder};

use crate::diagnostic::Findings;
use crate::endpoint::{self, Endpoint};
use crate::layer::{layer, set};
use crate::reader::Reader;
use crate::shell::ClusterShell;
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::{Node, Table};

mod balance;
mod eject;
mod limit;

pub(crate) use balance::{BalanceLayer, SlowStartLayer, ZoneLayer};
pub(crate) use eject::EjectLayer;
pub(crate) use limit::{AdaptiveLayer, AdmissionLayer, CoDelLayer, ThrottleLayer};

layer! {
    /// What a `[cluster]` table says.
    ClusterLayer {
        endpoints: Vec<Endpoint>,
        connect_timeout: Duration,
        concurrency: u32,
        endpoint_concurrency: Option<u32>,
        queue: u32,
        queue_timeout: Duration,
        queue_order: QueueOrder,
    } {
        balance: BalanceLayer,
        zone: ZoneLayer,
        slow_start: SlowStartLayer,
        adaptive: AdaptiveLayer,
        codel: CoDelLayer,
        admission: AdmissionLayer,
        throttle: ThrottleLayer,
        eject: EjectLayer,
        pool: PoolLayer,
    }
}

layer! {
    /// What `pool` says.
    PoolLayer {
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
    layer.balance = balance::read_balance(&mut r);
    layer.zone = balance::read_zone(&mut r);
    layer.slow_start = balance::read_slow_start(&mut r);
    layer.connect_timeout = r.duration("connect_timeout");
    layer.concurrency = r.integer("concurrency");
    layer.endpoint_concurrency = r.integer_or_off("endpoint_concurrency");
    layer.adaptive = limit::read_adaptive(&mut r);
    layer.queue = r.integer("queue");
    layer.queue_timeout = r.duration("queue_timeout");
    layer.queue_order = r.choice("queue_order").map(|at| at.map(queue_order));
    layer.codel = limit::read_codel(&mut r);
    layer.admission = limit::read_admission(&mut r);
    layer.throttle = limit::read_throttle(&mut r);
    layer.eject = eject::read(&mut r);
    if let Some((def, table, place)) = r.table("pool") {
        let mut r = Reader::new(def, table, place, None, r.findings);
        layer.pool.order = r.choice("order").map(|at| at.map(pool_order));
        layer.pool.idle = r.integer("idle");
        layer.pool.idle_timeout = r.duration("idle_timeout");
        layer.pool.age = r.duration("age");
        r.done();
    }
    r.done();
    layer
}

fn pool_order(word: &str) -> PoolOrder {
    if word == "random" { PoolOrder::Random } else { PoolOrder::LeastRecentlyUsed }
}

fn queue_order(word: &str) -> QueueOrder {
    if word == "fifo" { QueueOrder::Fifo } else { QueueOrder::AdaptiveLifo }
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
        p.balance = self.balance.params();
        p.zone = self.zone.params();
        p.slow_start = self.slow_start.params();
        set(&mut p.connect_timeout, &self.connect_timeout);
        set(&mut p.concurrency, &self.concurrency);
        if let Some(most) = &self.endpoint_concurrency {
            p.endpoint_concurrency = most.value.unwrap_or(u32::MAX);
        }
        p.adaptive = self.adaptive.params();
        set(&mut p.queue, &self.queue);
        set(&mut p.queue_timeout, &self.queue_timeout);
        set(&mut p.queue_order, &self.queue_order);
        p.codel = self.codel.params();
        p.admission = self.admission.params();
        p.throttle = self.throttle.params();
        p.eject = self.eject.params();
        set(&mut p.pool.order, &self.pool.order);
        set(&mut p.pool.idle_max, &self.pool.idle);
        set(&mut p.pool.idle_timeout, &self.pool.idle_timeout);
        set(&mut p.pool.age_max, &self.pool.age);
        p
    }

    /// What only the proxy sees of them.
    pub(crate) fn shell(&self) -> ClusterShell {
        let mut shell = ClusterShell::default();
        set(&mut shell.probe_path, &self.balance.probe_path);
        set(&mut shell.probe_timeout, &self.balance.probe_timeout);
        shell
    }
}
