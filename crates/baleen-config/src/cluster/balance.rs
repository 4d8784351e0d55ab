//! `balance`, `zone` and `slow_start` of `[cluster]`.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{
    Aperture, ApertureLoad, Balance, Maglev, Prequal, Share, SlowStart, Zone,
};

use crate::diagnostic::Findings;
use crate::keys;
use crate::layer::{is_on, layer, on_at, set};
use crate::reader::{Reader, TableOrWord};
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::Table;
use crate::value::Wrong;

/// Longest path of a probe.
const PATH_BYTES_MAX: usize = 1024;

layer! {
    /// What `balance` says.
    BalanceLayer {
        kind: &'static str,
        decay: Duration,
        load: &'static str,
        min: u32,
        band: (u32, u32),
        smooth: Duration,
        bound: Option<u32>,
        probes: u32,
        pool: u32,
        quantile: Share,
        age: Duration,
        probe_path: String,
        probe_timeout: Duration,
    }
}

layer! {
    /// What `zone` says.
    ZoneLayer {
        on: bool,
        overprovision: u32,
        endpoints: u32,
    }
}

layer! {
    /// What `slow_start` says.
    SlowStartLayer {
        on: bool,
        window: Duration,
        min: Share,
    }
}

/// Reads `balance`.
pub(crate) fn read_balance(r: &mut Reader<'_, '_>) -> BalanceLayer {
    match r.table_or_word("balance") {
        Some((def, TableOrWord::Table(table, place))) => balance(def, table, place, r.findings),
        Some((_, TableOrWord::Word(kind) | TableOrWord::Value(kind))) => {
            let word = keys::balancers().iter().find(|k| **k == kind.value);
            BalanceLayer { kind: word.map(|k| At::new(*k, &kind.place)), ..BalanceLayer::default() }
        }
        None => BalanceLayer::default(),
    }
}

fn balance(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> BalanceLayer {
    let mut r = Reader::new(def, table, place, None, findings);
    let kind = r.choice("kind");
    r.only_for(kind.as_ref());
    let layer = BalanceLayer {
        kind,
        decay: r.duration("decay"),
        load: r.choice("load"),
        min: r.integer("min"),
        band: r.decimal_range("band"),
        smooth: r.duration("smooth"),
        bound: r.percent_or_off("bound"),
        probes: r.decimal("probes"),
        pool: r.integer("pool"),
        quantile: r.share("quantile"),
        age: r.duration("age"),
        probe_path: r.text("probe_path", probe_path),
        probe_timeout: r.duration("probe_timeout"),
    };
    r.done();
    layer
}

fn probe_path(text: &str) -> Result<String, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('#');
    if text.starts_with('/') && plain && text.len() <= PATH_BYTES_MAX {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new("expected a path that starts with `/`, without spaces or `#`");
    Err(if plain && !text.is_empty() && !text.starts_with('/') {
        wrong.hint(format!("did you mean \"/{text}\"?"))
    } else {
        wrong
    })
}

/// Reads `zone`.
pub(crate) fn read_zone(r: &mut Reader<'_, '_>) -> ZoneLayer {
    match r.table_or_word("zone") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (overprovision, endpoints) = (r.percent("overprovision"), r.integer("endpoints"));
            r.done();
            ZoneLayer { on: on_at(place), overprovision, endpoints }
        }
        Some((_, TableOrWord::Word(word) | TableOrWord::Value(word))) => {
            ZoneLayer { on: Some(word.map(|w| w == "prefer")), ..ZoneLayer::default() }
        }
        None => ZoneLayer::default(),
    }
}

/// Reads `slow_start`.
pub(crate) fn read_slow_start(r: &mut Reader<'_, '_>) -> SlowStartLayer {
    match r.table_or_word("slow_start") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (window, min) = (r.duration("window"), r.share("min"));
            r.done();
            SlowStartLayer { on: on_at(place), window, min }
        }
        Some((_, TableOrWord::Word(off))) => {
            SlowStartLayer { on: Some(off.map(|_| false)), ..SlowStartLayer::default() }
        }
        Some((_, TableOrWord::Value(text))) => {
            let window = r.short_duration("slow_start", &text);
            SlowStartLayer { on: on_at(&text.place), window, ..SlowStartLayer::default() }
        }
        None => SlowStartLayer::default(),
    }
}

impl BalanceLayer {
    /// The kind in force.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.as_ref().map_or("peak-ewma", |at| at.value)
    }

    pub(crate) fn params(&self) -> Balance {
        let mut decay = Duration::from_secs(10);
        if let Balance::PeakEwma { decay: default } =
            baleen_policy::params::ClusterParams::default().balance
        {
            decay = default;
        }
        set(&mut decay, &self.decay);
        match self.kind() {
            "round-robin" => Balance::RoundRobin,
            "random" => Balance::Random,
            "least-loaded" => Balance::LeastLoaded,
            "least-loaded-of-all" => Balance::LeastLoadedOfAll,
            "aperture" => Balance::Aperture(self.aperture(decay)),
            "maglev" => {
                let mut p = Maglev::default();
                if let Some(bound) = &self.bound {
                    p.bound_percent = bound.value.unwrap_or(0);
                }
                Balance::Maglev(p)
            }
            "prequal" => {
                let mut p = Prequal::default();
                set(&mut p.probes_milli, &self.probes);
                set(&mut p.pool, &self.pool);
                set(&mut p.quantile, &self.quantile);
                set(&mut p.age_max, &self.age);
                Balance::Prequal(p)
            }
            _ => Balance::PeakEwma { decay },
        }
    }

    fn aperture(&self, decay: Duration) -> Aperture {
        let load = match self.load.as_ref().map(|at| at.value) {
            Some("least-loaded") => ApertureLoad::LeastLoaded,
            _ => ApertureLoad::PeakEwma { decay },
        };
        let mut p = Aperture { load, ..Aperture::default() };
        set(&mut p.min, &self.min);
        if let Some(band) = &self.band {
            (p.low_milli, p.high_milli) = band.value;
        }
        set(&mut p.smooth, &self.smooth);
        p
    }
}

impl ZoneLayer {
    pub(crate) fn params(&self) -> Option<Zone> {
        let mut p = Zone::default();
        set(&mut p.overprovision_percent, &self.overprovision);
        set(&mut p.endpoints_min, &self.endpoints);
        is_on(&self.on, false).then_some(p)
    }
}

impl SlowStartLayer {
    pub(crate) fn params(&self) -> Option<SlowStart> {
        let mut p = SlowStart::default();
        set(&mut p.window, &self.window);
        set(&mut p.min, &self.min);
        is_on(&self.on, false).then_some(p)
    }
}
