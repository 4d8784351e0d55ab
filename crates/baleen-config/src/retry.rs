//! `retry`, `hedge` and `poison` of `[route]`.
//!
//! Not here: what contradicts what (`checks`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{Hedge, Jitter, Poison, RouteParams, Share};

use crate::diagnostic::{Diagnostic, Findings};
use crate::layer::{is_on, layer, on_at, set};
use crate::number;
use crate::reader::{Reader, TableOrWord};
use crate::shell::Methods;
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::Table;

layer! {
    /// What `retry` says.
    RetryLayer {
        on: bool,
        tries: u16,
        budget: Share,
        floor_per_second: u32,
        window: Duration,
        requeue_budget: Share,
        requeue_floor_per_second: u32,
        backoff: (Duration, Duration),
        jitter: Jitter,
        statuses: Vec<u16>,
        grpc_statuses: u32,
        resets: bool,
        methods: Vec<String>,
        retry_after: Duration,
        replay: u32,
    }
}

layer! {
    /// What `hedge` says.
    HedgeLayer {
        on: bool,
        quantile: Share,
        min: Duration,
    }
}

layer! {
    /// What `poison` says.
    PoisonLayer {
        on: bool,
        deaths: u8,
        quarantine: Duration,
    }
}

/// Reads `retry`.
pub(crate) fn read_retry(r: &mut Reader<'_, '_>) -> RetryLayer {
    match r.table_or_word("retry") {
        Some((def, TableOrWord::Table(table, place))) => retry(def, table, place, r.findings),
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            RetryLayer { on: Some(off.map(|_| false)), ..RetryLayer::default() }
        }
        None => RetryLayer::default(),
    }
}

fn retry(def: &'static Def, table: &Table, place: &Place, findings: &mut Findings) -> RetryLayer {
    let mut r = Reader::new(def, table, place, None, findings);
    let layer = RetryLayer {
        on: on_at(place),
        tries: r.integer("tries"),
        budget: r.share("budget"),
        floor_per_second: r.integer("floor_per_second"),
        window: r.duration("window"),
        requeue_budget: r.share("requeue_budget"),
        requeue_floor_per_second: r.integer("requeue_floor_per_second"),
        backoff: r.duration_range("backoff"),
        jitter: r.choice("jitter").map(|at| at.map(jitter)),
        statuses: r.integers("statuses").map(|at| at.map(sorted)),
        grpc_statuses: r.integers("grpc_statuses").map(|at| at.map(bits)),
        resets: r.boolean("resets"),
        methods: methods(&mut r),
        retry_after: r.duration("retry_after"),
        replay: r.bytes("replay"),
    };
    r.done();
    layer
}

fn jitter(word: &str) -> Jitter {
    match word {
        "equal" => Jitter::Equal,
        "decorrelated" => Jitter::Decorrelated,
        _ => Jitter::Full,
    }
}

fn methods(r: &mut Reader<'_, '_>) -> Option<At<Vec<String>>> {
    let list = r.texts("methods")?;
    let mut found = Vec::new();
    for node in list.value {
        match number::method(node.as_str().unwrap_or("")) {
            Ok(method) => found.push(method),
            Err(wrong) => r.findings.push(
                Diagnostic::error(&node.place, "invalid value for `methods`")
                    .label(wrong.label)
                    .maybe_hint(wrong.hint),
            ),
        }
    }
    Some(At::new(found, &list.place))
}

fn sorted(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// Bit `n` for status `n`.
pub(crate) fn bits(statuses: Vec<u32>) -> u32 {
    statuses.iter().fold(0, |bits, n| bits | 1u32.checked_shl(*n).unwrap_or(0))
}

/// Reads `hedge`.
pub(crate) fn read_hedge(r: &mut Reader<'_, '_>) -> HedgeLayer {
    match r.table_or_word("hedge") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (quantile, min) = (r.share("quantile"), r.duration("min"));
            r.done();
            HedgeLayer { on: on_at(place), quantile, min }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            HedgeLayer { on: Some(off.map(|_| false)), ..HedgeLayer::default() }
        }
        None => HedgeLayer::default(),
    }
}

/// Reads `poison`.
pub(crate) fn read_poison(r: &mut Reader<'_, '_>) -> PoisonLayer {
    match r.table_or_word("poison") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (deaths, quarantine) = (r.integer("deaths"), r.duration("quarantine"));
            r.done();
            PoisonLayer { on: on_at(place), deaths, quarantine }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            PoisonLayer { on: Some(off.map(|_| false)), ..PoisonLayer::default() }
        }
        None => PoisonLayer::default(),
    }
}

impl RetryLayer {
    /// Puts what it says into the parameters.
    pub(crate) fn apply(&self, p: &mut RouteParams) {
        set(&mut p.tries, &self.tries);
        set(&mut p.pool.floor_per_second, &self.floor_per_second);
        set(&mut p.requeue.floor_per_second, &self.requeue_floor_per_second);
        set(&mut p.pool.window, &self.window);
        set(&mut p.requeue.window, &self.window);
        set(&mut p.backoff.jitter, &self.jitter);
        set(&mut p.retry_statuses, &self.statuses);
        set(&mut p.retry_grpc, &self.grpc_statuses);
        set(&mut p.retry_resets, &self.resets);
        set(&mut p.retry_after_max, &self.retry_after);
        set(&mut p.replay_bytes, &self.replay);
        if let Some(budget) = &self.budget {
            p.pool.share_ppm = budget.value.ppm();
        }
        if let Some(budget) = &self.requeue_budget {
            p.requeue.share_ppm = budget.value.ppm();
        }
        if let Some(backoff) = &self.backoff {
            (p.backoff.base, p.backoff.max) = backoff.value;
        }
        if !is_on(&self.on, true) {
            p.tries = 1;
        }
    }

    /// Which methods may be sent twice.
    pub(crate) fn methods(&self) -> Methods {
        let set = |at: &At<Vec<String>>| Methods::of(at.value.iter().map(String::as_str));
        self.methods.as_ref().map(set).unwrap_or_default()
    }
}

impl HedgeLayer {
    pub(crate) fn params(&self) -> Option<Hedge> {
        let mut p = Hedge::default();
        set(&mut p.quantile, &self.quantile);
        set(&mut p.min, &self.min);
        is_on(&self.on, false).then_some(p)
    }
}

impl PoisonLayer {
    pub(crate) fn params(&self) -> Poison {
        let mut p = Poison::default();
        set(&mut p.deaths, &self.deaths);
        set(&mut p.quarantine, &self.quarantine);
        if !is_on(&self.on, true) {
            p.deaths = 0;
        }
        p
    }
}
