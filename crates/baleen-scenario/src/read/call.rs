//! How a caller calls: the habits that workloads and services share.
//!
//! Tested: in `tests/it/`.

use baleen_config::reading::{Findings, Reader, logical};
use baleen_config::{At, Diagnostic, Place, Wrong};

use super::names::{DEFAULT_GROUP, Names};
use super::proxy::{drawn, zero};
use crate::model::{Balance, CallSpec, Pool, PoolOrder, ProxyId, ServiceId, To, nowhere};

/// Who makes a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    Workload,
    Service(ServiceId),
}

/// A call that somebody makes, for checks over all of them.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) to: To,
    /// Where that is said.
    pub(super) place: Place,
    /// How many times at once.
    pub(super) count: u32,
}

/// All calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) list: Vec<Call>,
}

/// Whom: a logical name or a service. `via` is checked here, too. What is wrong stands for the first service.
fn to(r: &mut Reader<'_, '_>, names: &Names) -> (To, Option<Place>) {
    let nowhere = To::Service(ServiceId(0));
    let parse = |text: &str| match text.starts_with('/') {
        true => logical(text).map(|name| To::Name { name, via: ProxyId(0) }),
        false => names.service(text).map(To::Service).map_err(|wrong| {
            let wrong = Wrong {
                label: format!("{}; a logical name starts with `/`", wrong.label),
                ..wrong
            };
            match names.groups.iter().any(|g| g.value == text) {
                true => wrong.hint("this is a group of proxies: write to = \"/svc/NAME\" and via"),
                false => wrong,
            }
        }),
    };
    let to = r.text("to", parse);
    let via = r.text("via", |text| match names.group(text) {
        // It is there once somebody uses it.
        Err(_) if text == DEFAULT_GROUP => Ok(ProxyId(0)),
        other => other,
    });
    let Some(to) = to else { return (nowhere, None) };
    match (to.value, via) {
        (To::Name { name, .. }, via) => {
            let via = via.map_or(ProxyId(0), |at| at.value);
            (To::Name { name, via }, Some(to.place))
        }
        (service, Some(via)) => {
            only_through("via", &via.place, &to.place, r.findings);
            (service, Some(to.place))
        }
        (service, None) => (service, Some(to.place)),
    }
}

const BALANCERS: [(&str, Balance); 5] = [
    ("random", Balance::Random),
    ("round-robin", Balance::RoundRobin),
    ("power-of-two", Balance::PowerOfTwo),
    ("least-loaded-first", Balance::LeastLoadedFirst),
    ("least-loaded-random", Balance::LeastLoadedRandom),
];
const POOLS: [(&str, Option<PoolOrder>); 4] = [
    ("off", None),
    ("most-recently-used", Some(PoolOrder::MostRecentlyUsed)),
    ("least-recently-used", Some(PoolOrder::LeastRecentlyUsed)),
    ("random", Some(PoolOrder::Random)),
];

/// What a word of a list stands for.
pub(super) fn meaning<T: Copy>(list: &[(&str, T)], word: Option<&At<&'static str>>) -> Option<T> {
    let word = word?;
    list.iter().find(|(name, _)| *name == word.value).map(|(_, value)| *value)
}

/// Reads all settings that workloads and calls of services share, with where it says whom; nowhere when that is wrong.
pub(super) fn read(r: &mut Reader<'_, '_>, names: &Names) -> (CallSpec, Option<Place>) {
    let (to, place) = to(r, names);
    let balance = r.choice("balance");
    let pool = r.choice("pool");
    let idle_max = r.integer::<u32>("pool_idle_max");
    let max = r.integer_or_off::<u32>("pool_max");
    let deadline = r.boolean("deadline");
    if let (To::Service(_), Some(to), Some(at)) = (&to, &place, &deadline) {
        only_through("deadline", &at.place, to, r.findings);
    }
    if let (To::Name { .. }, Some(to)) = (&to, &place) {
        let places = [
            ("balance", balance.as_ref().map(|at| &at.place)),
            ("pool", pool.as_ref().map(|at| &at.place)),
            ("pool_idle_max", idle_max.as_ref().map(|at| &at.place)),
            ("pool_max", max.as_ref().map(|at| &at.place)),
        ];
        for (key, place) in places {
            if let Some(place) = place {
                no_effect(key, place, to, r.findings);
            }
        }
    }
    let spec = CallSpec {
        to,
        timeout: r.duration_or_off("timeout").and_then(|at| at.value),
        tries: r.integer("tries").map_or(1, |at| at.value),
        wait: drawn(r, "wait").unwrap_or_else(zero),
        balance: meaning(&BALANCERS, balance.as_ref()).unwrap_or(Balance::Random),
        pool: Pool {
            order: meaning(&POOLS, pool.as_ref()).flatten(),
            idle_max: idle_max.map_or(256, |at| at.value),
            max: max.and_then(|at| at.value),
        },
        deadline: deadline.is_some_and(|at| at.value),
        idempotent_ppm: r.share("idempotent").map_or(1_000_000, |at| at.value.ppm()),
        priority: r.integer("priority").map_or(3, |at| at.value),
        place: place.clone().unwrap_or_else(nowhere),
    };
    (spec, place)
}

fn only_through(key: &str, place: &Place, to: &Place, findings: &mut Findings) {
    let error = Diagnostic::error(place, format!("`{key}` has no effect"));
    let error = error.label("only a logical name goes through Baleen");
    findings.push(error.related(to, "this goes to the service straight"));
}

fn no_effect(key: &str, place: &Place, to: &Place, findings: &mut Findings) {
    let error = Diagnostic::error(place, format!("`{key}` has no effect"));
    let error = error.label("only a caller that goes to a service straight chooses by itself");
    findings.push(
        error
            .related(to, "this goes through Baleen")
            .hint("Baleen's are set in [mesh.cluster], such as balance = \"peak-ewma\""),
    );
}
