//! `/_drill`: a look at a server (`GET`) and faults that it plays itself (`POST /_drill?slow=4&ramp_ms=60000`).
//!
//! `slow`: work takes so many times as long, with `ramp_ms` growing from 1 over so long; `slow=1` ends it. `capacity`: only this share of
//! the places is there, at least one; `capacity=1` ends it. `wipe=1`: the cache is empty. `errors=0.6&status=503`: this share of
//! requests is answered so, without work or a place; `errors=0` ends it. `fail_first=8&status=503`: so are the next eight;
//! `fail_first=0` ends it. Those of several faults are told apart by `fault=N`. All these replace what was said before.
//! A change takes all its settings or, with a mistake in one, none. Answered outside of places and queue.
//! Not here: who asks; a server listens on loopback only. Tested: below and in `tests/server/`.

use serde_json::json;

use super::errors::{Hit, Which};
use super::state::{Slow, State};
use crate::backend::decode;
use crate::cast::monotonic;

/// The path it has.
pub(super) const PATH: &[u8] = b"/_drill";

/// Most times as long, and longest ramp, in milliseconds.
const FACTOR_MAX: f64 = 1e6;
const RAMP_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Most requests that fail first.
const FIRST_MAX: u32 = 1_000_000;
/// With which errors, and with this one if nothing is said.
const STATUS: std::ops::RangeInclusive<u16> = 500..=599;
const STATUS_USUAL: u16 = 503;

/// What is to change.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Change {
    slow: Option<f64>,
    ramp_ms: Option<u64>,
    capacity: Option<f64>,
    wipe: bool,
    errors: Option<f64>,
    fail_first: Option<u32>,
    status: Option<u16>,
    fault: Option<u16>,
}

impl Change {
    /// Errors that are to change.
    fn hits(self) -> impl Iterator<Item = Hit> {
        let fault = self.fault.unwrap_or(0);
        let status = self.status.unwrap_or(STATUS_USUAL);
        let share = self.errors.map(|share| Which::Share((share * 1e6).round() as u32));
        let both = [share, self.fail_first.map(Which::First)];
        both.into_iter().flatten().map(move |which| Hit { fault, which, status })
    }
}

/// Status and body of the answer to a request for `PATH`; `post`: it is to change something.
pub(super) fn answer(state: &State, post: bool, query: &[u8]) -> (u16, String) {
    if post {
        let change = read(query).and_then(|change| possible(state, change));
        match change {
            Ok(change) => apply(state, change),
            Err(why) => return (400, format!("{why}\n")),
        }
    } else if !query.is_empty() {
        return (400, "changes are made by POST\n".to_owned());
    }
    (200, render(state))
}

fn read(query: &[u8]) -> Result<Change, String> {
    let mut change = Change::default();
    for pair in query.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let key = decode(&pair[..at])?;
        let value = decode(pair.get(at + 1..).unwrap_or_default())?;
        let twice = match key.as_str() {
            "slow" => change.slow.replace(number(&key, &value, 0.001, FACTOR_MAX)?).is_some(),
            "capacity" => change.capacity.replace(number(&key, &value, 0.0, 1.0)?).is_some(),
            "ramp_ms" => change.ramp_ms.replace(whole(&key, &value, 1..=RAMP_MS_MAX)?).is_some(),
            "errors" => change.errors.replace(number(&key, &value, 0.0, 1.0)?).is_some(),
            "fail_first" => {
                change.fail_first.replace(whole(&key, &value, 0..=FIRST_MAX)?).is_some()
            }
            "status" => change.status.replace(whole(&key, &value, STATUS)?).is_some(),
            "fault" => change.fault.replace(whole(&key, &value, 0..=u16::MAX)?).is_some(),
            "wipe" if value == "1" => std::mem::replace(&mut change.wipe, true),
            "wipe" => return Err(format!("`wipe={value}`: it is only 1")),
            _ => {
                return Err(format!(
                    "there is no `{key}`: it is one of slow, ramp_ms, capacity, wipe, errors, fail_first, status, fault"
                ));
            }
        };
        if twice {
            return Err(format!("`{key}` twice"));
        }
    }
    match change {
        Change { slow: None, ramp_ms: Some(_), .. } => Err("`ramp_ms` without `slow`".to_owned()),
        Change { errors: None, fail_first: None, status, fault, .. }
            if status.is_some() || fault.is_some() =>
        {
            Err("`status` and `fault` go with `errors` or `fail_first`".to_owned())
        }
        change if change == Change::default() => Err("nothing is to change".to_owned()),
        change => Ok(change),
    }
}

fn number(key: &str, value: &str, least: f64, most: f64) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("`{key}={value}`: it is a number from {least} to {most}")),
    }
}

fn whole<N>(key: &str, value: &str, range: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let (least, most) = (range.start(), range.end());
    let found = value.parse().ok().filter(|n| range.contains(n));
    found.ok_or_else(|| format!("`{key}={value}`: it is a whole number from {least} to {most}"))
}

/// Nobody may believe that a fault was played which this server can't play.
fn possible(state: &State, change: Change) -> Result<Change, String> {
    if change.capacity.is_some() && state.service.concurrency.is_none() {
        return Err("`capacity`: this server works on any number of requests".to_owned());
    }
    if change.wipe && state.service.cache.is_none() {
        return Err("`wipe`: this server has no cache".to_owned());
    }
    // There is room for both sorts.
    if change.hits().any(|hit| !state.errors.has_room(&hit)) {
        return Err("`errors`, `fail_first`: there are too many already".to_owned());
    }
    Ok(change)
}

fn apply(state: &State, change: Change) {
    if let Some(factor) = change.slow {
        let ramp_ns = change.ramp_ms.unwrap_or(0) * 1_000_000;
        state.make_slow(Slow { factor, since: monotonic(), ramp_ns });
    }
    if change.wipe {
        state.wipe();
    }
    if let Some(share) = change.capacity {
        state.places.cut(share);
    }
    change.hits().for_each(|hit| state.errors.set(hit));
}

fn render(state: &State) -> String {
    let (busy, waiting) = state.places.level();
    let (arrived, left) = (state.arrived.get(), state.left.get());
    let told = json!({
        "service": state.service.name,
        "replica": state.replica,
        "places": state.places.places(),
        "busy": busy,
        "waiting": waiting,
        "slow": state.slow().at(monotonic()),
        "fills": state.fills(),
        "wipes": state.wipes.get(),
        "errors": state.errors.told(),
        "connections": state.connections.get(),
        "arrived": arrived,
        "left": left,
    });
    format!("{told}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_takes_all_or_nothing() {
        let all = read(b"slow=4&ramp_ms=60000&capacity=0.5&wipe=1").expect("fine");
        let expected = Change {
            slow: Some(4.0),
            ramp_ms: Some(60_000),
            capacity: Some(0.5),
            wipe: true,
            ..Change::default()
        };
        assert_eq!(all, expected);
        let both = read(b"errors=0.6&fail_first=8&status=504&fault=3").expect("fine");
        let hits: Vec<Hit> = both.hits().collect();
        let hit = |which| Hit { fault: 3, which, status: 504 };
        assert_eq!(hits, [hit(Which::Share(600_000)), hit(Which::First(8))]);
        assert_eq!(expected.hits().count(), 0);
        for (query, says) in [
            (&b""[..], "nothing"),
            (b"slow=NaN", "a number from"),
            (b"slow=0", "a number from"),
            (b"slow=inf", "a number from"),
            (b"slow=4&slow=5", "twice"),
            (b"slow=4&capacity=2", "from 0 to 1"),
            (b"capacity=-1", "from 0 to 1"),
            (b"ramp_ms=5", "without `slow`"),
            (b"slow=4&ramp_ms=0", "a whole number from 1"),
            (b"slow=4&ramp_ms=99999999999999", "a whole number from 1"),
            (b"errors=1.1", "from 0 to 1"),
            (b"errors=1&errors=0", "twice"),
            (b"fail_first=-1", "from 0 to 1000000"),
            (b"fail_first=1000001", "from 0 to 1000000"),
            (b"errors=1&status=404", "from 500 to 599"),
            (b"errors=1&fault=65536", "from 0 to 65535"),
            (b"slow=4&status=503", "go with `errors`"),
            (b"fault=3", "go with `errors`"),
            (b"wipe=2", "only 1"),
            (b"slow", "a number from"),
            (b"colour=red", "one of slow"),
            (b"slow=%zz", "two hex digits"),
        ] {
            let e = read(query).expect_err("a mistake");
            assert!(e.contains(says), "{e}");
        }
    }
}
