//! How rates, phases, statuses, targets and thresholds are written on the command line.
//!
//! Everything is read before anything starts; what is wrong says what was expected. Not here: what they mean for a run
//! (`expect.rs`, `baleen_drill::load`). Tested: below and in `tests/it/load.rs`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baleen_drill::load::{Phase, RATE_MAX};
use baleen_scenario::model::{Op, RateStep};
use baleen_scenario::parse_duration;

/// A time such as `30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |e| format!("`{text}`: {e}; expected a time, such as 30s, 500ms or 5m");
    parse_duration(text.trim()).map_err(wrong)
}

/// The same, but not nothing.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than nothing".to_owned()),
        some => Ok(some),
    }
}

/// How often: `100/s`, `30/m`, `1/h`.
fn per_second(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}`: expected how often, such as 100/s, 0.5/s or 30/m");
    let Some((count, unit)) = text.split_once('/') else {
        return Err(match text.parse::<f64>() {
            Ok(_) => format!("{}; did you mean {text}/s?", wrong()),
            Err(_) => wrong(),
        });
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let count: f64 = match count.parse() {
        Ok(n) if digits(count) => n,
        _ => return Err(wrong()),
    };
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let rate = count / seconds;
    if rate > RATE_MAX {
        return Err(format!("`{text}`: expected at most {RATE_MAX}/s"));
    }
    Ok(rate)
}

/// `[AT:]RATE[~OVER]`: from `AT` on, reached in a straight line over `OVER`.
pub fn step(text: &str) -> Result<RateStep, String> {
    let (at, rest) = match text.split_once(':') {
        Some((at, rest)) => (duration(at)?, rest),
        None => (Duration::ZERO, text),
    };
    let (rate, over) = match rest.split_once('~') {
        Some((rate, over)) => (rate, duration(over)?),
        None => (rest, Duration::ZERO),
    };
    Ok(RateStep { at, per_second: per_second(rate.trim())?, over })
}

/// `NAME=FROM..TO`.
pub fn phase(text: &str) -> Result<Phase, String> {
    let wrong = || format!("`{text}`: expected NAME=FROM..TO, such as fault=30s..60s");
    let (name, times) = text.split_once('=').ok_or_else(wrong)?;
    let (from, to) = times.split_once("..").ok_or_else(wrong)?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || !name.bytes().all(fine) {
        return Err(format!("`{name}`: a phase is called by letters, digits, `-`, `_` and `.`"));
    }
    if name == "all" {
        return Err("a phase can't be called `all`: that is the whole load".to_owned());
    }
    let (from, to) = (duration(from)?, duration(to)?);
    if from >= to {
        return Err(format!("`{text}`: it ends before it begins"));
    }
    Ok(Phase { name: name.to_owned(), from, to })
}

/// `200,204,3xx,500-503`.
pub fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let one = |part: &str| -> Option<RangeInclusive<u16>> {
        if let Some(hundreds) = part.strip_suffix("xx") {
            let from = hundreds.parse::<u16>().ok().filter(|n| (1..=5).contains(n))? * 100;
            return Some(from..=from + 99);
        }
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (100 <= from && from <= to && to <= 599).then_some(from..=to)
    };
    let wrong = |part| format!("`{part}`: expected statuses, such as 200,204,3xx or 500-503");
    text.split(',').map(|part| one(part.trim()).ok_or_else(|| wrong(part))).collect()
}

/// One target, as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    pub weight: u32,
    pub method: Option<String>,
    pub url: String,
    pub body: Option<PathBuf>,
}

/// `[WEIGHT] [METHOD] URL [@BODYFILE]`; files are relative to `dir`.
pub fn target(text: &str, dir: &Path) -> Result<Written, String> {
    let wrong = || format!("`{text}`: expected [WEIGHT] [METHOD] URL [@FILE]");
    let mut words = text.split_whitespace().peekable();
    let mut written = Written { weight: 1, method: None, url: String::new(), body: None };
    if let Some(weight) = words.peek().and_then(|w| w.parse::<u32>().ok()) {
        if weight == 0 {
            return Err(format!("`{text}`: a weight of 0 is never drawn"));
        }
        written.weight = weight;
        words.next();
    }
    let method = |w: &&str| w.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    written.method = words.next_if(|w| method(w)).map(str::to_owned);
    written.url = words.next().ok_or_else(wrong)?.to_owned();
    if let Some(file) = words.next() {
        let file = file.strip_prefix('@').filter(|f| !f.is_empty()).ok_or_else(wrong)?;
        written.body = Some(dir.join(file));
    }
    if words.next().is_some() {
        return Err(wrong());
    }
    Ok(written)
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measure {
    /// Share of requests that ended well.
    Success,
    /// Requests that ended well, per second.
    Rate,
    /// A quantile within 0 and 1, in seconds.
    Quantile(f64),
    /// In seconds.
    Mean,
    /// In seconds.
    Max,
}

/// A threshold.
#[derive(Clone, PartialEq, Debug)]
pub struct Expect {
    /// As it was written.
    pub text: String,
    /// Of this phase; otherwise of all.
    pub phase: Option<String>,
    /// From when requests were sent, not from when they were due.
    pub service: bool,
    pub measure: Measure,
    pub op: Op,
    /// A share, a number per second, or seconds.
    pub value: f64,
}

/// `[PHASE:][service.]MEASURE OP VALUE`.
pub fn expect(text: &str) -> Result<Expect, String> {
    let ops = [Op::AtMost, Op::AtLeast, Op::Below, Op::Above];
    let found = ops.into_iter().find_map(|op| Some((op, text.split_once(op.as_str())?)));
    let wrong = || {
        format!(
            "`{text}`: expected a measure, <=, >=, < or >, and a value, such as \"p99 <= 50ms\""
        )
    };
    let (op, (left, value)) = found.ok_or_else(wrong)?;
    let (left, value) = (left.trim(), value.trim());
    let (phase, left) = match left.split_once(':') {
        Some((phase, left)) => (Some(phase.trim().to_owned()), left.trim()),
        None => (None, left),
    };
    let (service, left) = match left.strip_prefix("service.") {
        Some(left) => (true, left),
        None => (false, left),
    };
    let quantile = || {
        let percent: f64 = left.strip_prefix('p')?.parse().ok()?;
        (percent > 0.0 && percent < 100.0).then_some(Measure::Quantile(percent / 100.0))
    };
    let measure = match left {
        "success" => Measure::Success,
        "rate" => Measure::Rate,
        "mean" => Measure::Mean,
        "max" => Measure::Max,
        _ => quantile().ok_or_else(|| {
            format!("`{left}` is not measured; there are success, rate, mean, max, and quantiles such as p50, p99 and p99.9")
        })?,
    };
    let value = match measure {
        Measure::Success => share(value)?,
        Measure::Rate => per_second(value)?,
        _ => duration(value)?.as_secs_f64(),
    };
    if service && matches!(measure, Measure::Success | Measure::Rate) {
        return Err(format!("`{text}`: only latencies are measured from sending, too"));
    }
    Ok(Expect { text: text.trim().to_owned(), phase, service, measure, op, value })
}

/// `99.9%`, as a share of 1.
pub fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}`: expected a share, such as 99.9%");
    let percent: f64 =
        text.strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&percent) { Ok((percent * 1e8).round() / 1e10) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let step = |text| step(text).map(|s| (s.at.as_secs(), s.per_second, s.over.as_secs()));
        assert_eq!(step("100/s"), Ok((0, 100.0, 0)));
        assert_eq!(step("30s:30/m"), Ok((30, 0.5, 0)));
        assert_eq!(step("1m:1000/s~20s"), Ok((60, 1000.0, 20)));
        for (text, says) in [
            ("100", "did you mean 100/s?"),
            ("-1/s", "how often"),
            ("1e3/s", "how often"),
            ("x:1/s", "expected a time"),
            ("9999999/s", "at most"),
        ] {
            let e = step(text).expect_err(text);
            assert!(e.contains(says), "{text}: {e}");
        }
    }

    #[test]
    fn phases_and_statuses() {
        let p = phase("fault=30s..1m").expect("a phase");
        assert_eq!((p.name.as_str(), p.from.as_secs(), p.to.as_secs()), ("fault", 30, 60));
        for bad in ["fault", "=1s..2s", "a b=1s..2s", "x=2s..1s", "all=1s..2s"] {
            assert!(phase(bad).is_err(), "{bad}");
        }
        assert_eq!(statuses("200, 3xx,500-503"), Ok(vec![200..=200, 300..=399, 500..=503]));
        for bad in ["", "6xx", "20", "503-500", "ok"] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets() {
        let at = |text| target(text, Path::new("/d"));
        let t = at("9 POST http://h/x @a.json").expect("a target");
        assert_eq!((t.weight, t.method.as_deref()), (9, Some("POST")));
        assert_eq!((t.url.as_str(), t.body), ("http://h/x", Some(PathBuf::from("/d/a.json"))));
        assert_eq!(at("http://h/").map(|t| (t.weight, t.method)), Ok((1, None)));
        for bad in ["", "0 http://h/", "POST", "http://h/ a.json", "http://h/ @a b"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn thresholds() {
        let e = expect("fault: service.p99.9 <= 50ms").expect("a threshold");
        assert_eq!(
            (e.phase.as_deref(), e.service, e.op, e.value),
            (Some("fault"), true, Op::AtMost, 0.05)
        );
        assert!(matches!(e.measure, Measure::Quantile(q) if (q - 0.999).abs() < 1e-9));
        let e = expect("success>=99.9%").expect("a threshold");
        assert!((e.value - 0.999).abs() < 1e-12 && e.measure == Measure::Success);
        for bad in ["p99", "p99<=50", "p100<=1s", "latency<1s", "success>=1", "service.rate>1/s"] {
            assert!(expect(bad).is_err(), "{bad}");
        }
    }
}
