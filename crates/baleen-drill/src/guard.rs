//! Guards: what must hold at every moment of a drill; when it does not, the drill is over.
//!
//! Why: a drill breaks things on purpose, and somebody may be watching something else. Trip: a condition does not hold over the
//! calls that ended in the last `over`. Recovery: none, a drill that tripped is over. Cold start: nothing is judged before the
//! warm-up has been over for that long, nor a window in which nothing ended that could be measured. Scope: what clients see.
//!
//! Bounds: the windows of `workload::Live`. Not here: ending the drill (`run`). Tested: below.

use std::time::Duration;

use baleen_scenario::model::{Condition, Guard, Metric, Scenario, Subject, WorkloadId};

use crate::workload::{Live, Sum};

/// Of which workload a guard is; `None`: of all.
fn of(guard: &Guard) -> Option<WorkloadId> {
    match guard.subject {
        Subject::Workload(w) => Some(w),
        Subject::All | Subject::Service(_) => None,
    }
}

/// The first guard that does not hold now: what it asks for and what was measured, for people.
#[must_use]
pub fn tripped(scenario: &Scenario, live: &Live, epoch: u64, now: u64) -> Option<String> {
    let since = Duration::from_nanos(now.saturating_sub(epoch));
    for guard in &scenario.guards {
        if now < epoch || since < scenario.warmup + guard.over {
            continue;
        }
        let sum = live.window(of(guard), guard.over, now);
        for condition in &guard.conditions {
            let Some(measured) = measure(condition.metric, &sum, guard.over) else { continue };
            if !condition.op.holds(measured, condition.value) {
                return Some(words(scenario, guard, *condition, measured));
            }
        }
    }
    None
}

/// In the unit of conditions: a share of 1, seconds, or a number. `None`: nothing could be measured.
fn measure(metric: Metric, sum: &Sum, over: Duration) -> Option<f64> {
    let (calls, good) = (sum.calls as f64, sum.good as f64);
    match metric {
        Metric::Goodput => Some(good / over.as_secs_f64()),
        Metric::Success => (sum.calls > 0).then(|| good / calls),
        Metric::Quantile(ppm) => {
            let q = f64::from(ppm) / 1e6;
            let longest = sum.latency_max_ns as f64 / 1e9;
            sum.latency.quantile(q).map(|d| d.as_secs_f64().min(longest))
        }
        Metric::Mean => (sum.good > 0).then(|| sum.latency.sum().as_secs_f64() / good),
        Metric::Max => (sum.good > 0).then(|| sum.latency_max_ns as f64 / 1e9),
        // Known only when the drill is over; guards do not ask for it.
        Metric::Tries | Metric::Load | Metric::Rate => None,
    }
}

fn words(scenario: &Scenario, guard: &Guard, condition: Condition, measured: f64) -> String {
    let Condition { metric, op, value } = condition;
    let (name, unit) = match metric {
        Metric::Success => ("success".to_owned(), Unit::Share),
        Metric::Goodput => ("goodput".to_owned(), Unit::Rate),
        Metric::Quantile(ppm) => {
            (format!("p{}", (f64::from(ppm) / 1e4).to_string().replace('.', "")), Unit::Time)
        }
        Metric::Mean => ("mean".to_owned(), Unit::Time),
        Metric::Max => ("max".to_owned(), Unit::Time),
        Metric::Tries | Metric::Load | Metric::Rate => ("tries".to_owned(), Unit::Number),
    };
    let of = of(guard).map_or("all calls", |w| scenario.workloads[w.index()].name.as_str());
    let (value, measured) = (unit.show(value), unit.show(measured));
    format!(
        "the guard at {}: {name} of {of} is to be {} {value}, and was {measured} over {:?}",
        guard.place.file_line(),
        op.as_str(),
        guard.over
    )
}

#[derive(Clone, Copy)]
enum Unit {
    Share,
    Rate,
    Time,
    Number,
}

impl Unit {
    fn show(self, x: f64) -> String {
        match self {
            Unit::Share => format!("{:.2}%", x * 100.0),
            Unit::Rate => format!("{x:.1}/s"),
            Unit::Time => format!("{:.1} ms", x * 1e3),
            Unit::Number => format!("{x:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baleen_telemetry::Hist;

    fn scenario(to: &str, guard: &str) -> Scenario {
        let text = format!(
            "[scenario]\nduration = \"60s\"\nwarmup = \"2s\"\n[[workload]]\nname = \"shop\"\nto = \"{to}\"\nrate = \"1/s\"\n\
             [service.web]\nreplicas = 1\n[[guard]]\nover = \"1s\"\n{guard}\n"
        );
        baleen_scenario::parse_str("a.toml", &text, &[]).expect("a scenario").0
    }

    /// Calls that ended in a window: so many good ones of so many milliseconds after two tries, and bad ones.
    fn sum(good: u64, ms: u64, bad: u64) -> Sum {
        let mut latency = Hist::default();
        (0..good).for_each(|_| latency.record(Duration::from_millis(ms)));
        let (calls, attempts) = (good + bad, 2 * good + bad);
        let latency_max_ns = ms * 1_000_000;
        Sum { calls, good, timeouts: bad, failed: 0, attempts, latency, latency_max_ns }
    }

    #[test]
    fn what_is_measured() {
        let ask = |metric, sum: &Sum| measure(metric, sum, Duration::from_secs(2));
        let some = sum(8, 30, 2);
        assert_eq!(ask(Metric::Success, &some), Some(0.8));
        assert_eq!(ask(Metric::Goodput, &some), Some(4.0));
        assert_eq!(ask(Metric::Max, &some), Some(0.03));
        assert_eq!(ask(Metric::Tries, &some), None);
        let p99 = ask(Metric::Quantile(990_000), &some).expect("measured");
        assert!((0.029..=0.03).contains(&p99), "{p99}");
        let none = sum(0, 0, 0);
        assert_eq!(ask(Metric::Success, &none), None);
        assert_eq!(ask(Metric::Quantile(500_000), &none), None);
        // That nothing ends is something that goodput can say.
        assert_eq!(ask(Metric::Goodput, &none), Some(0.0));
    }

    #[test]
    fn nothing_is_judged_before_the_warm_up_is_over_for_long() {
        let scenario = scenario("web", "goodput = \">= 5/s\"");
        let live = Live::new(&scenario);
        let after = |ms: u64| tripped(&scenario, &live, 1_000, 1_000 + ms * 1_000_000);
        assert_eq!(after(0), None);
        assert_eq!(after(2_999), None);
        let why = after(3_000).expect("tripped");
        let rest = "goodput of all calls is to be >= 5.0/s, and was 0.0/s over 1s";
        assert!(why.starts_with("the guard at a.toml:") && why.ends_with(rest), "{why}");
        assert_eq!(tripped(&scenario, &live, 5_000_000_000, 1), None);
    }
}
