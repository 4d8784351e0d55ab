//! What helps against what each scenario shows, and what does not: each as `--set` on the command line of its guide page, with
//! what must come of it. `pages` prints the figures of the same runs there.

use baleen_scenario::outcome::Figures;

use super::{figures, quantile, read, sound};

/// A scenario with settings changed, and what must come of it.
pub struct Variant {
    /// A file of `scenarios/`.
    pub name: &'static str,
    /// As `--set` writes them. None: as it is.
    pub set: &'static [&'static str],
    /// The phase whose figures are shown, and of which caller.
    pub phase: &'static str,
    pub of: &'static str,
    /// A caller's figures there.
    pub holds: fn(&Figures) -> bool,
}

const fn v(
    name: &'static str,
    set: &'static [&'static str],
    (phase, of): (&'static str, &'static str),
    holds: fn(&Figures) -> bool,
) -> Variant {
    Variant { name, set, phase, of, holds }
}

fn good(f: &Figures, share: f64) -> bool {
    f.success >= share
}

/// Median below this, in seconds.
fn median(f: &Figures, below: f64) -> bool {
    quantile(f, 500_000) < below
}

pub const VARIANTS: &[Variant] = &[
    v("black-hole", &[], ("during broken", "naive"), |f| f.success < 0.5),
    v("black-hole", &["workload.naive.balance=random"], ("during broken", "naive"), |f| {
        (0.88..0.92).contains(&f.success)
    }),
    v("black-hole", &["workload.naive.balance=power-of-two"], ("during broken", "naive"), |f| {
        (0.7..0.85).contains(&f.success)
    }),
    v("black-hole", &[], ("during broken", "baleen"), |f| good(f, 0.998)),
    v("cache-wipe", &[], ("after wipe", "all"), |f| f.success < 0.1),
    v("cache-wipe", &["service.db.queue=200"], ("after wipe", "all"), |f| good(f, 0.7)),
    v("cache-wipe", &["service.db.order=lifo"], ("after wipe", "all"), |f| good(f, 0.7)),
    // First in, first out takes up whoever is about to leave.
    v("cache-wipe", &["service.db.on_gone=skip"], ("after wipe", "all"), |f| f.success < 0.1),
    v("cascade", &[], ("after second", "all"), |f| f.success < 0.01),
    v("cascade", &["service.web.queue=60"], ("after second", "all"), |f| good(f, 0.98)),
    v("cascade", &["service.web.on_gone=skip"], ("after second", "all"), |f| f.success < 0.05),
    v("cascade", &["workload.shop.tries=1"], ("after second", "all"), |f| {
        (0.86..0.89).contains(&f.success)
    }),
    v("cascade", &["workload.shop.rate=850/s"], ("after second", "all"), |f| good(f, 0.99)),
    v("deploy-waves", &[], ("whole", "all"), |f| good(f, 0.9999)),
    v("deploy-waves", &["deploy.waves=[1, 2, 5]"], ("whole", "all"), |f| !good(f, 0.995)),
    v("deploy-waves", &["deploy.drain=0s"], ("whole", "all"), |f| f.tries > 1.001),
    v("herd", &[], ("whole", "herd"), |f| !median(f, 0.08)),
    v("herd", &["workload.balance=least-loaded-random"], ("whole", "herd"), |f| median(f, 0.0205)),
    v("herd", &["workload.balance=power-of-two"], ("whole", "herd"), |f| median(f, 0.0205)),
    v("link-imbalance", &[], ("before pause", "web"), |f| median(f, 0.015)),
    v("link-imbalance", &[], ("after pause", "web"), |f| !median(f, 0.02)),
    v("link-imbalance", &["workload.pool=least-recently-used"], ("after pause", "web"), |f| {
        median(f, 0.01)
    }),
    v("link-imbalance", &["workload.pool=random"], ("after pause", "web"), |f| median(f, 0.01)),
    v("metastable-queue", &[], ("whole", "all"), |f| f.success < 0.01),
    v("metastable-queue", &["service.db.queue=30"], ("whole", "all"), |f| good(f, 0.9)),
    v("metastable-queue", &["workload.tries=1"], ("whole", "all"), |f| good(f, 0.9)),
    v("metastable-queue", &["service.db.on_gone=skip"], ("whole", "all"), |f| good(f, 0.9)),
    v("metastable-queue", &["service.db.order=lifo"], ("whole", "all"), |f| good(f, 0.8)),
    v("metastable-queue", &["workload.to=/svc/db", "workload.tries=1"], ("whole", "all"), |f| {
        good(f, 0.9)
    }),
    v("poison-request", &[], ("during poison", "all"), |f| f.success < 0.95),
    v("poison-request", &["workload.tries=1"], ("during poison", "all"), |f| f.success < 0.9),
    v("poison-request", &["workload.to=/svc/web"], ("during poison", "all"), |f| good(f, 0.995)),
    v("retry-storm", &[], ("during outage", "all"), |f| f.success < 0.05 && f.tries > 3.5),
    v("retry-storm", &["fault.outage.share=50%"], ("during outage", "all"), |f| good(f, 0.99)),
    v("retry-storm-budgets", &[], ("during outage", "all"), |f| f.tries < 1.2),
    v("retry-storm-budgets", &["fault.outage.share=50%"], ("during outage", "all"), |f| {
        (0.7..0.9).contains(&f.success) && f.tries < 1.2
    }),
    v("silent-connections", &[], ("during forgotten", "all"), |f| f.success < 0.05),
    v(
        "silent-connections",
        &["service.web.calls.0.timeout=100ms"],
        ("during forgotten", "all"),
        |f| good(f, 0.99),
    ),
    v("slow-replica", &[], ("before slow", "all"), |f| quantile(f, 990_000) <= 0.5),
    v("slow-replica", &[], ("during slow", "all"), |f| quantile(f, 990_000) <= 0.8),
    v("slow-replica", &["mesh.cluster.balance=round-robin"], ("during slow", "all"), |f| {
        quantile(f, 990_000) > 1.0
    }),
    v("slow-replica", &["mesh.cluster.eject.latency.requests=20"], ("during slow", "all"), |f| {
        quantile(f, 990_000) <= 0.6
    }),
    v("thick-clients", &[], ("during brownout", "all"), |f| f.goodput >= 300.0),
    v("thick-clients", &[], ("after brownout", "all"), |f| good(f, 0.99)),
    v("thick-clients", &["service.web.queue=off"], ("after brownout", "all"), |f| f.success < 0.2),
    v(
        "thick-clients",
        &["service.web.queue=off", "service.web.on_gone=ignore"],
        ("after brownout", "all"),
        |f| f.success < 0.01,
    ),
    v("timelike-routers", &[], ("whole", "all"), |f| !median(f, 1.4)),
    v("timelike-routers", &["workload.balance=least-loaded-random"], ("whole", "all"), |f| {
        median(f, 0.14)
    }),
    v("timelike-routers", &["workload.balance=power-of-two"], ("whole", "all"), |f| {
        median(f, 0.14)
    }),
    v("timelike-routers", &["workload.clients=1"], ("whole", "all"), |f| median(f, 0.096)),
];

#[test]
fn what_helps_helps_and_what_does_not_does_not() {
    let mut wrong = Vec::new();
    for variant in VARIANTS {
        let scenario = read(variant.name, variant.set);
        let run = sound(&scenario, scenario.seed, false);
        let seen = figures(&run, variant.phase, variant.of);
        if !(variant.holds)(seen) {
            wrong.push(format!("{} {:?} {}: {seen:?}", variant.name, variant.set, variant.phase));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
