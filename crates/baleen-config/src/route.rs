//! `[route]`: settings of logical names.
//!
//! Not here: `to` beyond keeping it (`target.rs`), and what contradicts what (`checks.rs`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{RouteParams, Share};

use crate::diagnostic::Findings;
use crate::layer::{layer, set};
use crate::reader::{Reader, TableOrWord};
use crate::span::{At, Place};
use crate::table::Def;
use crate::target::{self, Target};
use crate::tree::Table;

layer! {
    /// What a `[route]` table says.
    RouteLayer {
        to: Target,
        total_timeout: Duration,
        try_timeout: Duration,
        idle_timeout: Duration,
        tunnel_timeout: Duration,
        tries: u16,
        budget: Share,
        floor_per_second: u32,
        window: Duration,
        backoff: (Duration, Duration),
        statuses: Vec<u16>,
        replay: u32,
    }
}

/// Reads a `[route]` table, or one in it.
pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    named: Option<&str>,
    findings: &mut Findings,
) -> RouteLayer {
    let mut r = Reader::new(def, table, place, named, findings);
    let mut layer = RouteLayer::default();
    if named.is_some()
        && let Some(entry) = r.entry("to")
    {
        // What is wrong was said; the name leads somewhere all the same.
        let target = target::read(&entry.node, r.findings).unwrap_or_else(Target::nowhere);
        layer.to = Some(At::new(target, &entry.node.place));
    }
    layer.total_timeout = r.duration("total_timeout");
    layer.try_timeout = r.duration("try_timeout");
    layer.idle_timeout = r.duration("idle_timeout");
    layer.tunnel_timeout = r.duration("tunnel_timeout");
    match r.table_or_word("retry") {
        Some((def, TableOrWord::Table(table, place))) => {
            read_retry(def, table, place, &mut layer, r.findings)
        }
        Some((_, TableOrWord::Word(off))) => layer.tries = Some(off.map(|_| 1)),
        None => {}
    }
    r.done();
    layer
}

fn read_retry(
    def: &'static Def,
    table: &Table,
    place: &Place,
    layer: &mut RouteLayer,
    findings: &mut Findings,
) {
    let mut r = Reader::new(def, table, place, None, findings);
    layer.tries = r.integer("tries");
    layer.budget = r.share("budget");
    layer.floor_per_second = r.integer("floor_per_second");
    layer.window = r.duration("window");
    layer.backoff = r.duration_range("backoff");
    layer.statuses = r.integers("statuses").map(|at| at.map(sorted));
    layer.replay = r.bytes("replay");
    r.done();
}

fn sorted(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

impl RouteLayer {
    /// The parameters of a name.
    pub(crate) fn params(&self, name: &str) -> RouteParams {
        let mut p = RouteParams { name: name.to_owned(), ..RouteParams::default() };
        set(&mut p.total_timeout, &self.total_timeout);
        set(&mut p.try_timeout, &self.try_timeout);
        set(&mut p.idle_timeout, &self.idle_timeout);
        set(&mut p.tunnel_timeout, &self.tunnel_timeout);
        set(&mut p.tries, &self.tries);
        set(&mut p.pool.floor_per_second, &self.floor_per_second);
        set(&mut p.pool.window, &self.window);
        set(&mut p.retry_statuses, &self.statuses);
        set(&mut p.replay_bytes, &self.replay);
        if let Some(budget) = &self.budget {
            p.pool.share_ppm = budget.value.ppm();
        }
        if let Some(backoff) = &self.backoff {
            (p.backoff.base, p.backoff.max) = backoff.value;
        }
        p
    }
}
