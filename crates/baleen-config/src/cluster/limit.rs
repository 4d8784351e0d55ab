//! `adaptive`, `codel`, `admission` and `throttle` of `[cluster]`.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{Adaptive, Admission, Aimd, CoDel, Gradient2, Share, Throttle};

use crate::diagnostic::Findings;
use crate::layer::{is_on, layer, on_at, set};
use crate::reader::{Reader, TableOrWord};
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::Table;

layer! {
    /// What `adaptive` says.
    AdaptiveLayer {
        on: bool,
        kind: &'static str,
        initial: u32,
        min: u32,
        max: u32,
        backoff: Share,
        slow: Duration,
        smoothing: Share,
        long_window: u32,
        tolerance: u32,
        queue: u32,
    }
}

layer! {
    /// What `codel` says.
    CoDelLayer {
        on: bool,
        target: Duration,
        interval: Duration,
    }
}

layer! {
    /// What `admission` says.
    AdmissionLayer {
        on: bool,
        target: Duration,
        window: Duration,
        requests: u32,
        down: Share,
        up: Share,
    }
}

layer! {
    /// What `throttle` says.
    ThrottleLayer {
        on: bool,
        k: u32,
        window: Duration,
    }
}

/// Reads `adaptive`.
pub(crate) fn read_adaptive(r: &mut Reader<'_, '_>) -> AdaptiveLayer {
    match r.table_or_word("adaptive") {
        Some((def, TableOrWord::Table(table, place))) => adaptive(def, table, place, r.findings),
        Some((_, TableOrWord::Word(word) | TableOrWord::Value(word))) => {
            let kind = match word.value {
                "aimd" => Some("aimd"),
                "gradient2" => Some("gradient2"),
                _ => None,
            };
            AdaptiveLayer {
                on: Some(At::new(kind.is_some(), &word.place)),
                kind: kind.map(|k| At::new(k, &word.place)),
                ..AdaptiveLayer::default()
            }
        }
        None => AdaptiveLayer::default(),
    }
}

fn adaptive(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> AdaptiveLayer {
    let mut r = Reader::new(def, table, place, None, findings);
    let kind = r.choice("kind");
    r.only_for(kind.as_ref());
    let layer = AdaptiveLayer {
        on: on_at(place),
        kind,
        initial: r.integer("initial"),
        min: r.integer("min"),
        max: r.integer("max"),
        backoff: r.share("backoff"),
        slow: r.duration("slow"),
        smoothing: r.share("smoothing"),
        long_window: r.integer("long_window"),
        tolerance: r.percent("tolerance"),
        queue: r.integer("queue"),
    };
    r.done();
    layer
}

/// Reads `codel`.
pub(crate) fn read_codel(r: &mut Reader<'_, '_>) -> CoDelLayer {
    match r.table_or_word("codel") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (target, interval) = (r.duration("target"), r.duration("interval"));
            r.done();
            CoDelLayer { on: on_at(place), target, interval }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            CoDelLayer { on: Some(off.map(|_| false)), ..CoDelLayer::default() }
        }
        None => CoDelLayer::default(),
    }
}

/// Reads `admission`.
pub(crate) fn read_admission(r: &mut Reader<'_, '_>) -> AdmissionLayer {
    match r.table_or_word("admission") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (target, window) = (r.duration("target"), r.duration("window"));
            let (requests, down, up) = (r.integer("requests"), r.share("down"), r.share("up"));
            r.done();
            AdmissionLayer { on: on_at(place), target, window, requests, down, up }
        }
        Some((_, TableOrWord::Word(word) | TableOrWord::Value(word))) => {
            AdmissionLayer { on: Some(word.map(|w| w == "dagor")), ..AdmissionLayer::default() }
        }
        None => AdmissionLayer::default(),
    }
}

/// Reads `throttle`.
pub(crate) fn read_throttle(r: &mut Reader<'_, '_>) -> ThrottleLayer {
    match r.table_or_word("throttle") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (k, window) = (r.decimal("k"), r.duration("window"));
            r.done();
            ThrottleLayer { on: on_at(place), k, window }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            ThrottleLayer { on: Some(off.map(|_| false)), ..ThrottleLayer::default() }
        }
        None => ThrottleLayer::default(),
    }
}

impl AdaptiveLayer {
    pub(crate) fn params(&self) -> Option<Adaptive> {
        if !is_on(&self.on, false) {
            return None;
        }
        if self.kind.as_ref().is_some_and(|at| at.value == "aimd") {
            let mut p = Aimd::default();
            set(&mut p.initial, &self.initial);
            set(&mut p.min, &self.min);
            set(&mut p.max, &self.max);
            set(&mut p.backoff, &self.backoff);
            set(&mut p.slow, &self.slow);
            return Some(Adaptive::Aimd(p));
        }
        let mut p = Gradient2::default();
        set(&mut p.initial, &self.initial);
        set(&mut p.min, &self.min);
        set(&mut p.max, &self.max);
        set(&mut p.smoothing, &self.smoothing);
        set(&mut p.long_window, &self.long_window);
        set(&mut p.tolerance_percent, &self.tolerance);
        set(&mut p.queue, &self.queue);
        Some(Adaptive::Gradient2(p))
    }
}

impl CoDelLayer {
    pub(crate) fn params(&self) -> Option<CoDel> {
        let mut p = CoDel::default();
        set(&mut p.target, &self.target);
        set(&mut p.interval, &self.interval);
        is_on(&self.on, true).then_some(p)
    }
}

impl AdmissionLayer {
    pub(crate) fn params(&self) -> Option<Admission> {
        let mut p = Admission::default();
        set(&mut p.target, &self.target);
        set(&mut p.window, &self.window);
        set(&mut p.calls, &self.requests);
        set(&mut p.down, &self.down);
        set(&mut p.up, &self.up);
        is_on(&self.on, false).then_some(p)
    }
}

impl ThrottleLayer {
    pub(crate) fn params(&self) -> Option<Throttle> {
        let mut p = Throttle::default();
        if let Some(k) = &self.k {
            p.k_percent = k.value / 10;
        }
        set(&mut p.window, &self.window);
        is_on(&self.on, false).then_some(p)
    }
}
