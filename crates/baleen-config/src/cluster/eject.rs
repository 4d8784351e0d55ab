//! `eject` of `[cluster]`.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{EjectParams, LatencyOutlier, Share, SuccessOutlier, SuccessRate};

use crate::diagnostic::Findings;
use crate::layer::{is_on, layer, on_at, set};
use crate::reader::{Reader, TableOrWord};
use crate::retry;
use crate::span::Place;
use crate::table::Def;
use crate::tree::Table;
use crate::value;

layer! {
    /// What `eject` says.
    EjectLayer {
        on: bool,
        consecutive_failures: Option<u32>,
        status_from: u16,
        grpc_statuses: u32,
        backoff: (Duration, Duration),
        ceiling: Share,
        panic: Share,
    } {
        success_rate: SuccessRateLayer,
        outlier: OutlierLayer,
        latency: LatencyLayer,
    }
}

layer! {
    /// What `success_rate` says.
    SuccessRateLayer {
        on: bool,
        min: Share,
        window: Duration,
        last: u32,
        requests: u32,
    }
}

layer! {
    /// What `outlier` says.
    OutlierLayer {
        on: bool,
        deviations: u32,
        gap: Share,
        endpoints: u32,
        requests: u32,
        window: Duration,
    }
}

layer! {
    /// What `latency` says.
    LatencyLayer {
        on: bool,
        factor: u32,
        gap: Duration,
        endpoints: u32,
        requests: u32,
        window: Duration,
    }
}

/// Reads `eject`.
pub(crate) fn read(r: &mut Reader<'_, '_>) -> EjectLayer {
    match r.table_or_word("eject") {
        Some((def, TableOrWord::Table(table, place))) => eject(def, table, place, r.findings),
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            EjectLayer { on: Some(off.map(|_| false)), ..EjectLayer::default() }
        }
        None => EjectLayer::default(),
    }
}

fn eject(def: &'static Def, table: &Table, place: &Place, findings: &mut Findings) -> EjectLayer {
    let mut r = Reader::new(def, table, place, None, findings);
    let layer = EjectLayer {
        on: on_at(place),
        consecutive_failures: r.integer_or_off("consecutive_failures"),
        status_from: r.integer("status_from"),
        grpc_statuses: r.integers("grpc_statuses").map(|at| at.map(retry::bits)),
        backoff: r.duration_range("backoff"),
        ceiling: r.share("ceiling"),
        panic: r.share("panic"),
        success_rate: success_rate(&mut r),
        outlier: outlier(&mut r),
        latency: latency(&mut r),
    };
    r.done();
    layer
}

fn success_rate(r: &mut Reader<'_, '_>) -> SuccessRateLayer {
    match r.table_or_word("success_rate") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (min, window) = (r.share("min"), r.duration("window"));
            let (last, requests) = (r.integer("last"), r.integer("requests"));
            r.done();
            SuccessRateLayer { on: on_at(place), min, window, last, requests }
        }
        Some((_, TableOrWord::Word(off))) => {
            SuccessRateLayer { on: Some(off.map(|_| false)), ..SuccessRateLayer::default() }
        }
        Some((_, TableOrWord::Value(text))) => {
            let min = r.short("success_rate", &text, value::share(text.value));
            SuccessRateLayer { on: on_at(&text.place), min, ..SuccessRateLayer::default() }
        }
        None => SuccessRateLayer::default(),
    }
}

fn outlier(r: &mut Reader<'_, '_>) -> OutlierLayer {
    match r.table_or_word("outlier") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let layer = OutlierLayer {
                on: on_at(place),
                deviations: r.decimal("deviations"),
                gap: r.share("gap"),
                endpoints: r.integer("endpoints"),
                requests: r.integer("requests"),
                window: r.duration("window"),
            };
            r.done();
            layer
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            OutlierLayer { on: Some(off.map(|_| false)), ..OutlierLayer::default() }
        }
        None => OutlierLayer::default(),
    }
}

fn latency(r: &mut Reader<'_, '_>) -> LatencyLayer {
    match r.table_or_word("latency") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let layer = LatencyLayer {
                on: on_at(place),
                factor: r.percent("factor"),
                gap: r.duration("gap"),
                endpoints: r.integer("endpoints"),
                requests: r.integer("requests"),
                window: r.duration("window"),
            };
            r.done();
            layer
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            LatencyLayer { on: Some(off.map(|_| false)), ..LatencyLayer::default() }
        }
        None => LatencyLayer::default(),
    }
}

impl EjectLayer {
    /// The parameters. When all of it is off, nothing takes an endpoint out.
    pub(crate) fn params(&self) -> EjectParams {
        let mut p = EjectParams::default();
        if let Some(failures) = &self.consecutive_failures {
            p.consecutive_failures = failures.value.unwrap_or(0);
        }
        set(&mut p.status_from, &self.status_from);
        set(&mut p.grpc_failures, &self.grpc_statuses);
        p.success_rate = self.success_rate.params();
        p.success_outlier = self.outlier.params();
        p.latency_outlier = self.latency.params();
        if let Some(backoff) = &self.backoff {
            (p.backoff_min, p.backoff_max) = backoff.value;
        }
        set(&mut p.ceiling, &self.ceiling);
        set(&mut p.panic, &self.panic);
        if !is_on(&self.on, true) {
            p.consecutive_failures = 0;
            (p.success_rate, p.success_outlier, p.latency_outlier) = (None, None, None);
        }
        p
    }
}

impl SuccessRateLayer {
    fn params(&self) -> Option<SuccessRate> {
        let mut p = SuccessRate::default();
        set(&mut p.min, &self.min);
        set(&mut p.window, &self.window);
        set(&mut p.last, &self.last);
        set(&mut p.requests_min, &self.requests);
        is_on(&self.on, false).then_some(p)
    }
}

impl OutlierLayer {
    fn params(&self) -> Option<SuccessOutlier> {
        let mut p = SuccessOutlier::default();
        set(&mut p.deviations_milli, &self.deviations);
        set(&mut p.gap_min, &self.gap);
        set(&mut p.endpoints_min, &self.endpoints);
        set(&mut p.requests_min, &self.requests);
        set(&mut p.window, &self.window);
        is_on(&self.on, true).then_some(p)
    }
}

impl LatencyLayer {
    fn params(&self) -> Option<LatencyOutlier> {
        let mut p = LatencyOutlier::default();
        set(&mut p.factor_percent, &self.factor);
        set(&mut p.gap_min, &self.gap);
        set(&mut p.endpoints_min, &self.endpoints);
        set(&mut p.requests_min, &self.requests);
        set(&mut p.window, &self.window);
        is_on(&self.on, false).then_some(p)
    }
}
