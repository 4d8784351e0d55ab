//! Thresholds held against what a load gave.
//!
//! Not here: how they are written (`spell.rs`). Tested: below and in `tests/it/load.rs`.

use std::time::Duration;

use baleen_drill::load::{Hdr, Phase, Summary};
use baleen_scenario::report::draw;

use super::spell::{Expect, Measure};

/// What became of a threshold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub expected: String,
    pub measured: String,
    pub held: bool,
}

/// A part of a load, or all of it.
pub struct Part<'a> {
    pub seconds: f64,
    pub due: u64,
    pub ok: u64,
    pub latency: &'a Hdr,
    pub service: &'a Hdr,
}

impl Part<'_> {
    pub fn success(&self) -> Option<f64> {
        (self.due > 0).then(|| self.ok as f64 / self.due as f64)
    }

    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.ok as f64 / self.seconds } else { 0.0 }
    }
}

/// The whole of a load that was meant to last so long.
pub fn whole(sum: &Summary, duration: Duration) -> Part<'_> {
    // What is under way at the end is waited for; the rate is of the time in which requests became due.
    let seconds = if sum.interrupted { sum.elapsed } else { duration };
    let seconds = seconds.min(sum.elapsed.max(Duration::from_nanos(1))).as_secs_f64();
    Part { seconds, due: sum.due, ok: sum.ok, latency: &sum.latency, service: &sum.service }
}

/// Its phases, with their names.
pub fn phases(sum: &Summary, duration: Duration) -> impl Iterator<Item = (&str, Part<'_>)> {
    sum.phases.iter().map(move |p| {
        let seconds = p.to.min(duration).saturating_sub(p.from).as_secs_f64();
        let (latency, service) = (&p.latency, &p.service);
        (p.name.as_str(), Part { seconds, due: p.due, ok: p.ok, latency, service })
    })
}

/// A threshold of a phase that there is not.
pub fn unknown_phase<'a>(expects: &'a [Expect], phases: &[Phase]) -> Option<(&'a Expect, &'a str)> {
    expects.iter().find_map(|e| {
        let phase = e.phase.as_deref()?;
        let known = phase == "all" || phases.iter().any(|p| p.name == phase);
        (!known).then_some((e, phase))
    })
}

pub fn judge(expects: &[Expect], sum: &Summary, duration: Duration) -> Vec<Verdict> {
    let judge = |e: &Expect| match e.phase.as_deref() {
        None | Some("all") => one(e, &whole(sum, duration)),
        Some(phase) => match phases(sum, duration).find(|(name, _)| *name == phase) {
            Some((_, part)) => one(e, &part),
            None => verdict(e, None, "no such phase".to_owned()),
        },
    };
    expects.iter().map(judge).collect()
}

fn one(e: &Expect, part: &Part<'_>) -> Verdict {
    let hist = if e.service { part.service } else { part.latency };
    let seconds = |d: Option<Duration>| d.map(|d| d.as_secs_f64());
    let measured = match e.measure {
        Measure::Success => part.success(),
        Measure::Rate => Some(part.rate()),
        Measure::Quantile(q) => seconds(hist.quantile(q)),
        Measure::Mean => seconds(hist.mean()),
        Measure::Max => seconds(hist.max()),
    };
    let shown = match (measured, e.measure) {
        (None, Measure::Success | Measure::Rate) => "no request was due".to_owned(),
        (None, _) => "no request ended well".to_owned(),
        (Some(v), Measure::Success) => draw::percent(v, 3),
        (Some(v), Measure::Rate) => format!("{}/s", draw::number(v, 4)),
        (Some(v), _) => draw::time(v, 3),
    };
    verdict(e, measured, shown)
}

/// What could not be measured did not hold.
fn verdict(e: &Expect, measured: Option<f64>, shown: String) -> Verdict {
    let held = measured.is_some_and(|v| e.op.holds(v, e.value));
    Verdict { expected: e.text.clone(), measured: shown, held }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::spell;

    #[test]
    fn thresholds_hold_or_not() {
        let mut sum =
            Summary { due: 1000, ok: 999, elapsed: Duration::from_secs(11), ..Summary::default() };
        for ms in 1..=100 {
            sum.latency.record(Duration::from_millis(ms));
            sum.service.record(Duration::from_millis(1));
        }
        let held = |text| {
            let expect = spell::expect(text).expect(text);
            judge(&[expect], &sum, Duration::from_secs(10))[0].held
        };
        assert!(held("success>=99.9%") && !held("success>99.9%"));
        assert!(held("p50<=51ms") && !held("p99<=50ms") && held("service.max<2ms"));
        assert!(held("rate>=99.9/s") && !held("rate>=100/s"));
        assert!(held("all:mean>=50ms"));
        let empty = judge(
            &[spell::expect("p99<=1h").expect("one")],
            &Summary::default(),
            Duration::from_secs(1),
        );
        assert!(!empty[0].held, "what was not measured does not hold");
    }
}
