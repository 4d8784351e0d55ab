//! Targets and tables of `bench load`.
//!
//! Not here: measuring. Tested: below.

use std::fmt::Write as _;

use super::tools::Who;
use super::{CONNECTIONS, Case, DELAY, Figures, RATE, SLOW_RATE, Sample};
use crate::bench::results::Spread;

/// How far the rate may be off.
const RATE_MAX: f64 = 0.001;
/// How far the median may be off what a blocking socket measures.
const MEDIAN_MAX: f64 = 0.05;

/// What should hold.
pub struct Target {
    pub what: String,
    pub measured: String,
    pub met: bool,
}

fn per_cpu(s: &Sample) -> f64 {
    s.requests / s.cpu_s.max(1e-9)
}

impl Figures {
    fn of(&self, case: Case, who: Who) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |s| s.case == case && s.who == who)
    }

    fn spread(&self, case: Case, who: Who, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.of(case, who).filter_map(of))
    }

    /// Ours by theirs, of the same round.
    fn ratio(&self, other: Who) -> Option<Spread> {
        let ours = self.of(Case::Closed, Who::Baleen);
        Spread::of(ours.filter_map(|s| {
            let theirs = self.of(Case::Closed, other).find(|t| t.round == s.round)?;
            Some(per_cpu(s) / per_cpu(theirs))
        }))
    }

    /// Share by which what arrived differs from what should have.
    fn off(&self, who: Who) -> Option<Spread> {
        let wanted = f64::from(RATE * self.seconds);
        self.spread(Case::Rate, who, |s| Some(s.arrived? / wanted - 1.0))
    }

    /// The tool's figure by that of the blocking socket, less one.
    fn beside_truth(&self, who: Who, p99: bool) -> Option<Spread> {
        self.spread(Case::Latency, who, |s| {
            let (p50, p99_truth) = s.truth_ms?;
            Some(if p99 { s.p99_ms? / p99_truth } else { s.p50_ms? / p50 } - 1.0)
        })
    }
}

pub fn targets(figures: &Figures) -> Vec<Target> {
    let shown = |s: Option<Spread>, show: &dyn Fn(f64) -> String| {
        let text = |s: Spread| format!("{} [{} - {}]", show(s.median), show(s.min), show(s.max));
        s.map_or("not measured".to_owned(), text)
    };
    let ratio = figures.ratio(Who::Oha);
    let off = figures.off(Who::Baleen);
    let median = figures.beside_truth(Who::Baleen, false);
    vec![
        Target {
            what: "requests per CPU second, at least oha's".to_owned(),
            measured: shown(ratio, &|r| format!("{r:.2}")),
            met: ratio.is_some_and(|r| r.median >= 1.0),
        },
        Target {
            what: format!("requests that arrive at {RATE}/s, within 0.1 %"),
            measured: shown(off, &|o| format!("{:+.3} %", o * 100.0)),
            met: off.is_some_and(|o| o.min.abs().max(o.max.abs()) <= RATE_MAX),
        },
        Target {
            what: format!(
                "median on a server that takes {DELAY}, within 5 % of a blocking socket's"
            ),
            measured: shown(median, &|o| format!("{:+.1} %", o * 100.0)),
            met: median.is_some_and(|o| o.median.abs() <= MEDIAN_MAX),
        },
    ]
}

pub fn targets_table(figures: &Figures) -> String {
    let mut out = String::from("| target | median [least - greatest] | met |\n|---|---|---|\n");
    for target in targets(figures) {
        let met = if target.met { "yes" } else { "**no**" };
        // Writing to a String can not fail.
        let _ = writeln!(out, "| {} | {} | {met} |", target.what, target.measured);
    }
    out
}

pub fn render(figures: &Figures) -> String {
    let Figures { date, machine, rounds, seconds, command, .. } = figures;
    let mut out = format!(
        "## Beside wrk, oha and k6\n\n{date}, {machine}. {rounds} rounds, interleaved, each run {seconds} s. \
         The server has one core, the tool another. Medians [least - greatest].\n\n"
    );
    out += &targets_table(figures);
    let _ = write!(
        out,
        "\n### Requests per CPU second\n\nClosed loop, {CONNECTIONS} connections, answers of 128 bytes. CPU time is user and \
         system time of the whole process, its start included. Last column: ours divided by theirs, paired by round.\n\n\
         | tool | requests per CPU second | CPU per request | ours / theirs |\n|---|---|---|---|\n"
    );
    for (who, version) in &figures.versions {
        let Some(s) = figures.spread(Case::Closed, *who, |s| Some(per_cpu(s))) else { continue };
        let ratio = figures
            .ratio(*who)
            .map_or("-".to_owned(), |r| format!("{:.2} [{:.2} - {:.2}]", r.median, r.min, r.max));
        let _ = writeln!(
            out,
            "| {} ({version}) | {:.0} [{:.0} - {:.0}] | {:.2} us | {ratio} |",
            who.name(),
            s.median,
            s.min,
            s.max,
            1e6 / s.median
        );
    }
    rate(&mut out, figures);
    latency(&mut out, figures);
    for problem in &figures.problems {
        let _ = writeln!(out, "\nLeft out: {problem}.");
    }
    let _ = write!(out, "\nCommand: `{command}`.\n");
    out
}

fn rate(out: &mut String, figures: &Figures) {
    let _ = write!(
        out,
        "\n### A fixed rate\n\n{RATE} per second, evenly; what arrived is what the server counted. wrk has no rate.\n\n\
         | tool | off by | CPU per request |\n|---|---|---|\n"
    );
    for (who, _) in &figures.versions {
        let Some(off) = figures.off(*who) else { continue };
        let cpu = figures.spread(Case::Rate, *who, |s| Some(s.cpu_s * 1e6 / s.arrived?));
        let _ = writeln!(
            out,
            "| {} | {:+.3} % [{:+.3} - {:+.3}] | {} |",
            who.name(),
            off.median * 100.0,
            off.min * 100.0,
            off.max * 100.0,
            cpu.map_or("-".to_owned(), |c| format!("{:.1} us", c.median))
        );
    }
}

fn latency(out: &mut String, figures: &Figures) {
    let _ = write!(
        out,
        "\n### A known delay\n\nA server that takes {DELAY} (and up to 1 ms more: its timer), {SLOW_RATE} requests per second; of wrk, \
         as many connections as come near that. Beside each: the difference from a blocking socket that asks the same server one \
         request after the other, just before.\n\n| tool | p50 | differs by | p99 | differs by |\n|---|---|---|---|---|\n"
    );
    let truth = |p99: bool| {
        let all = figures.samples.iter().filter_map(|s| s.truth_ms);
        Spread::of(all.map(|(p50, high)| if p99 { high } else { p50 }))
    };
    if let (Some(p50), Some(p99)) = (truth(false), truth(true)) {
        let _ =
            writeln!(out, "| blocking socket | {:.2} ms | | {:.2} ms | |", p50.median, p99.median);
    }
    for (who, _) in &figures.versions {
        let ms = |p99: bool| {
            let s = figures.spread(Case::Latency, *who, |s| if p99 { s.p99_ms } else { s.p50_ms });
            s.map_or("-".to_owned(), |s| format!("{:.2} ms", s.median))
        };
        let differs = |p99: bool| {
            let s = figures.beside_truth(*who, p99);
            s.map_or("-".to_owned(), |s| {
                let percent = |x: f64| format!("{:+.1}", x * 100.0);
                format!("{} % [{} - {}]", percent(s.median), percent(s.min), percent(s.max))
            })
        };
        if figures.of(Case::Latency, *who).next().is_some() {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                who.name(),
                ms(false),
                differs(false),
                ms(true),
                differs(true)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(case: Case, who: Who, round: u32, requests: f64) -> Sample {
        Sample {
            case,
            who,
            round,
            requests,
            arrived: Some(requests),
            cpu_s: 1.0,
            p50_ms: Some(20.5),
            p99_ms: Some(21.0),
            truth_ms: (case == Case::Latency).then_some((20.0, 21.0)),
        }
    }

    fn figures(samples: Vec<Sample>) -> Figures {
        let versions = vec![(Who::Baleen, "1".to_owned()), (Who::Oha, "2".to_owned())];
        Figures { seconds: 1, samples, versions, ..Figures::default() }
    }

    #[test]
    fn targets_are_met_or_not() {
        let f = figures(vec![
            sample(Case::Closed, Who::Baleen, 0, 200.0),
            sample(Case::Closed, Who::Oha, 0, 100.0),
            sample(Case::Rate, Who::Baleen, 0, 2001.0),
            sample(Case::Latency, Who::Baleen, 0, 1.0),
        ]);
        let met: Vec<bool> = targets(&f).iter().map(|t| t.met).collect();
        assert_eq!(met, [true, true, true]);
        assert!(render(&f).contains("| 2.00 [2.00 - 2.00] |"), "{}", render(&f));
        let f = figures(vec![
            sample(Case::Closed, Who::Baleen, 0, 90.0),
            sample(Case::Closed, Who::Oha, 0, 100.0),
            sample(Case::Rate, Who::Baleen, 0, 2000.0),
            sample(Case::Rate, Who::Baleen, 1, 1990.0),
        ]);
        let met: Vec<bool> = targets(&f).iter().map(|t| t.met).collect();
        assert_eq!(met, [false, false, false], "what was not measured is not met");
    }
}
