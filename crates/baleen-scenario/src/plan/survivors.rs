//! What the survivors get when servers die, and from which loss on all of them follow.
//!
//! `k` of `n` lost multiplies the load of each of the rest by `n / (n - k)`; so `k` can be lost as long as what each carries before
//! is at most `(n - k) / n` of what it can. A server that gets more than it can fails as well, which gives its load to the
//! rest: the cascade. Source: the Google SRE book, chapter 22.
//!
//! Tested: in `tests.rs`.

use serde::Serialize;

use super::{count, number_of, percent, positive, up};

/// Up to so many servers every loss has a line; above, the first three and some shares.
const LINES_FULL: u32 = 32;
/// Shares of servers left that have a line, in percent.
const SHARES: [u32; 9] = [95, 90, 80, 75, 67, 50, 33, 25, 10];

/// A rate over servers that die one after the other.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Survivors {
    /// Requests per second, of all.
    pub rate: f64,
    /// How many at first.
    pub servers: u32,
    /// What each can carry, if that is known.
    pub limit: Option<f64>,
    /// From none lost to one left.
    pub rows: Vec<Survivor>,
    /// How many may be lost; `None` without a limit, or when even all of them can't carry it.
    pub survives: Option<u32>,
    /// The result, in words.
    pub verdict: Option<String>,
    /// How it was found.
    pub arithmetic: Vec<String>,
}

/// After a loss.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Survivor {
    /// How many are gone.
    pub lost: u32,
    /// How many are left.
    pub left: u32,
    /// Requests per second of each of those.
    pub each: f64,
    /// More than with all of them, as a part of 1.
    pub growth: f64,
    /// More than with one lost less, as a part of 1.
    pub step: f64,
    /// Whether that is within the limit.
    pub within: Option<bool>,
}

/// What each survivor gets.
///
/// # Errors
/// What is out of bounds.
pub fn survivors(rate: f64, servers: u32, limit: Option<f64>) -> Result<Survivors, String> {
    let rate = positive("the rate", rate)?;
    let n = number_of("the number of servers", servers, 1)?;
    let limit = limit.map(|l| positive("the limit", l)).transpose()?;
    let row = |left: u32| {
        let each = rate / f64::from(left);
        Survivor {
            lost: servers - left,
            left,
            each,
            growth: n / f64::from(left) - 1.0,
            step: if left == servers { 0.0 } else { 1.0 / f64::from(left) },
            within: limit.map(|limit| needed(rate, limit) <= f64::from(left)),
        }
    };
    let rows = lefts(servers, rate, limit).into_iter().map(row).collect();
    let mut found = Survivors {
        rate,
        servers,
        limit,
        rows,
        survives: None,
        verdict: None,
        arithmetic: vec![format!(
            "{} / {servers} = {} each; k lost: times {servers} / ({servers} - k)",
            count(rate),
            count(rate / n)
        )],
    };
    if let Some(limit) = limit {
        judge(&mut found, limit);
    }
    Ok(found)
}

/// Servers that carry the rate within their limit.
fn needed(rate: f64, limit: f64) -> f64 {
    up(rate / limit)
}

/// How many are left, line by line.
fn lefts(servers: u32, rate: f64, limit: Option<f64>) -> Vec<u32> {
    if servers <= LINES_FULL {
        return (1..=servers).rev().collect();
    }
    let shares = SHARES.iter().map(|s| (u64::from(servers) * u64::from(*s) / 100) as u32);
    let mut lefts: Vec<u32> = (servers - 3..=servers).chain(shares).chain([1]).collect();
    if let Some(limit) = limit {
        // Where it tips: the last that holds, and the next.
        let edge = needed(rate, limit);
        let both =
            [edge, edge - 1.0].into_iter().filter(|e| (1.0..=f64::from(servers)).contains(e));
        lefts.extend(both.map(|e| e as u32));
    }
    lefts.sort_unstable_by(|a, b| b.cmp(a));
    lefts.dedup();
    lefts
}

fn judge(found: &mut Survivors, limit: f64) {
    let Survivors { rate, servers, .. } = *found;
    let (n, needed) = (f64::from(servers), needed(rate, limit));
    let used = rate / n / limit;
    found.arithmetic.push(format!(
        "{} / {} = {} used; k of {servers} can be lost at ({servers} - k) / {servers} used or less",
        count(rate / n),
        count(limit),
        percent(used)
    ));
    if needed > n {
        found.verdict = Some(format!(
            "too few: {} of {} each are needed, there are {servers}",
            count(needed),
            count(limit)
        ));
        return;
    }
    let survives = servers - needed as u32;
    found.survives = Some(survives);
    let losses = if survives == 1 { "1 loss".to_owned() } else { format!("{survives} losses") };
    if survives + 1 == servers {
        found.verdict = Some(format!("survives {losses}: one server can carry it all"));
        return;
    }
    let tipped = rate / f64::from(servers - survives - 1);
    found.verdict = Some(format!(
        "survives {losses}, the {} cascades to zero: {} each is above {}, who fails gives its load to the rest",
        ordinal(survives + 1),
        count(tipped),
        count(limit)
    ));
}

fn ordinal(n: u32) -> String {
    let words =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
    match words.get((n as usize).saturating_sub(1)) {
        Some(word) => (*word).to_owned(),
        None => {
            let end = match (n % 10, n % 100) {
                (_, 11..=13) => "th",
                (1, _) => "st",
                (2, _) => "nd",
                (3, _) => "rd",
                _ => "th",
            };
            format!("{n}{end}")
        }
    }
}
