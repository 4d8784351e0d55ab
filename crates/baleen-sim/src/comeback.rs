//! Whether a system came back after what hit it: the question behind tipping points and reasons.
//!
//! - The *unrest* of a scenario ends with its last fault, deploy and change of a rate. With none of them it ends at three quarters
//!   of the run: whatever was wrong then was not the start.
//! - A run *came back* when at least [`BACK`] of the calls that start in the last tenth of its duration are answered well. No call
//!   there: the last window with calls after the unrest tells; without one it did not. (A share below 1, because near saturation a sound system loses some calls, too; a system that is stuck
//!   answers hardly any.)
//! - It *took* until the first five windows in a row, from the end of the unrest on, of which as many were answered well.
//!
//! Not here: expectations with limits of their own (`baleen_scenario::judge`). Tested: below.

use std::time::Duration;

use baleen_scenario::model::{Arrivals, Scenario};
use baleen_scenario::outcome::{Run, Window};
use serde::Serialize;

/// Of the calls in the last tenth, at least this share must be answered well.
pub const BACK: f64 = 0.9;
/// Windows that are taken together.
const TOGETHER: usize = 5;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Comeback {
    /// It came back.
    pub back: bool,
    /// How long that took from the end of the unrest, in seconds; only when it came back.
    pub took_s: Option<f64>,
    /// Share of calls of the last tenth that were answered well.
    pub success: f64,
    /// Calls of the last tenth answered well, per second.
    pub goodput: f64,
}

/// When the unrest of a scenario ends.
#[must_use]
pub fn unrest_end(scenario: &Scenario) -> Duration {
    let faults = scenario.faults.iter().map(|f| f.end(scenario.duration));
    let steps = scenario.workloads.iter().flat_map(|w| match &w.arrivals {
        Arrivals::Open { rate, .. } => rate.get(1..).unwrap_or_default(),
        Arrivals::Closed { .. } => &[],
    });
    let steps = steps.map(|s| s.at + s.over);
    let deploys = scenario.deploys.iter().map(|d| {
        let waves = u32::try_from(d.waves.len()).unwrap_or(u32::MAX);
        let each = d.drain.saturating_add(d.down);
        let pauses = d.pause.saturating_mul(waves.saturating_sub(1));
        d.at.saturating_add(each.saturating_mul(waves)).saturating_add(pauses)
    });
    let last = faults.chain(steps).chain(deploys).max();
    last.unwrap_or(scenario.duration / 4 * 3).min(scenario.duration)
}

/// Whether nothing hits it.
fn is_calm(scenario: &Scenario) -> bool {
    let steady = |a: &Arrivals| !matches!(a, Arrivals::Open { rate, .. } if rate.len() > 1);
    scenario.faults.is_empty()
        && scenario.deploys.is_empty()
        && scenario.workloads.iter().all(|w| steady(&w.arrivals))
}

/// Whether the unrest lasts into what is looked at: then a run can't tell whether the system comes back.
#[must_use]
pub fn too_late(scenario: &Scenario) -> bool {
    unrest_end(scenario) > scenario.duration / 10 * 9
}

impl Comeback {
    /// Of a run.
    #[must_use]
    pub fn of(scenario: &Scenario, run: &Run) -> Comeback {
        let windows = run.windows.first().map_or(&[][..], Vec::as_slice);
        let rest_s = unrest_end(scenario).as_secs_f64();
        let since_s = if is_calm(scenario) { 0.0 } else { rest_s };
        Comeback::of_windows(windows, run.window_s, run.duration_s, (since_s, rest_s))
    }

    fn of_windows(
        windows: &[Window],
        window_s: f64,
        duration_s: f64,
        (since_s, rest_s): (f64, f64),
    ) -> Comeback {
        let in_run = |w: &&Window| w.from_s < duration_s;
        let middle = |w: &&Window| w.from_s + window_s / 2.0;
        let tenth = (duration_s * 0.9).min(duration_s - window_s * 0.75);
        let last = windows.iter().filter(in_run).filter(|w| middle(w) >= tenth);
        let (calls, good) = sum(last.clone());
        let lasts_s = last.count().max(1) as f64 * window_s;
        let share = |(calls, good): (u64, u64)| match calls {
            0 => 0.0,
            _ => good as f64 / calls as f64,
        };
        // Where calls are rare, none may have come there by chance.
        let called = |w: &&Window| w.calls > 0 && w.from_s >= since_s;
        let rare = || {
            windows.iter().filter(in_run).rfind(called).map_or(0.0, |w| share((w.calls, w.good)))
        };
        let success = if calls == 0 { rare() } else { share((calls, good)) };
        let back = success >= BACK;
        let after = windows.iter().filter(in_run).filter(|w| w.from_s + window_s > rest_s);
        let after: Vec<Window> = after.copied().collect();
        let fine = |some: &&[Window]| {
            let (calls, good) = sum(some.iter());
            calls > 0 && good as f64 >= BACK * calls as f64
        };
        let first = after.windows(TOGETHER.min(after.len()).max(1)).find(fine);
        let took_s = first.filter(|_| back).map(|some| (some[0].from_s - rest_s).max(0.0));
        let took_s = took_s.map(|s| (s * 1e9).round() / 1e9);
        Comeback { back, took_s, success, goodput: good as f64 / lasts_s }
    }
}

fn sum<'a>(windows: impl Iterator<Item = &'a Window>) -> (u64, u64) {
    windows.fold((0, 0), |(calls, good), w| (calls + w.calls, good + w.good))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of a second with ten calls, of which so many are good.
    fn comeback(good: &[u64], rest_s: f64) -> Comeback {
        let window = |(i, &good): (usize, &u64)| Window {
            from_s: i as f64,
            calls: 10,
            good,
            ..Window::default()
        };
        let windows: Vec<Window> = good.iter().enumerate().map(window).collect();
        Comeback::of_windows(&windows, 1.0, good.len() as f64, (rest_s, rest_s))
    }

    #[test]
    fn the_last_tenth_tells() {
        let mut good = vec![10; 20];
        assert!(comeback(&good, 5.0).back);
        good[18] = 9;
        good[19] = 9;
        let came = comeback(&good, 5.0);
        assert!(came.back && came.success == 0.9 && came.goodput == 9.0, "{came:?}");
        good[19] = 8;
        assert!(!comeback(&good, 5.0).back);
        assert!(!Comeback::of_windows(&[], 1.0, 20.0, (5.0, 5.0)).back, "no call is no recovery");
    }

    #[test]
    fn where_calls_are_rare_the_last_one_tells() {
        let window = |from_s: f64, calls, good| Window { from_s, calls, good, ..Window::default() };
        let back = |windows: &[Window]| Comeback::of_windows(windows, 1.0, 20.0, (5.0, 5.0)).back;
        assert!(back(&[window(2.0, 1, 0), window(7.0, 1, 1), window(19.0, 0, 0)]));
        assert!(!back(&[window(7.0, 1, 1), window(12.0, 1, 0), window(19.0, 0, 0)]));
        assert!(
            !back(&[window(2.0, 1, 1), window(19.0, 0, 0)]),
            "before the unrest it tells nothing"
        );
    }

    #[test]
    fn any_unrest_can_last_too_long() {
        let late = |workload: &str, rest: &str| {
            let text = format!(
                "[scenario]\nduration = \"100s\"\n[[workload]]\nto = \"web\"\nrate = \"1/s\"\n{workload}\n\
                 [service.web]\nreplicas = 2\ntime = \"1ms\"\n{rest}"
            );
            let read = baleen_scenario::parse_str("x.toml", &text, &[]);
            too_late(&read.unwrap_or_else(|wrong| panic!("{wrong:?}")).0)
        };
        let crash =
            |span: &str| format!("[[fault]]\nat = \"80s\"\non = \"web\"\nkind = \"crash\"\n{span}");
        assert!(!late("", ""), "no unrest");
        assert!(!late("", &crash("for = \"10s\"")) && late("", &crash("for = \"11s\"")));
        let step = |at: u32| format!("steps = [{{ at = \"{at}s\", rate = \"2/s\" }}]");
        assert!(!late(&step(90), "") && late(&step(91), ""));
        let deploy = |at: u32| {
            format!("[[deploy]]\nat = \"{at}s\"\nservice = \"web\"\nwaves = [2]\ndown = \"5s\"\n")
        };
        assert!(!late("", &deploy(20)) && late("", &deploy(95)));
    }

    #[test]
    fn it_took_from_the_end_of_the_unrest_to_five_good_windows() {
        let good = [10, 10, 0, 0, 10, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10];
        assert_eq!(comeback(&good, 4.0).took_s, Some(3.0));
        assert_eq!(comeback(&good, 8.0).took_s, Some(0.0));
        let stuck: Vec<u64> = (0..20).map(|i| if i < 5 { 10 } else { 0 }).collect();
        assert_eq!(comeback(&stuck, 2.0).took_s, None);
        assert_eq!(comeback(&[10, 10, 10], 1.0).took_s, Some(0.0), "shorter than five windows");
    }
}
