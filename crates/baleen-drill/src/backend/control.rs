//! `/_control`: a look at a backend (`GET`) and changes to it (`POST /_control?time=300ms&error=5%25&status=503`).
//!
//! Exists only when the backend was started with it. A change takes all its settings or, with a mistake in one, none.
//! Not here: who may do it; the backend listens on loopback unless told otherwise. Tested: below.

use std::fmt::Write;

use super::Params;
use super::echo::quote;
use super::state::State;
use baleen_scenario::Distribution;

/// The path it has.
pub(super) const PATH: &[u8] = b"/_control";

/// Largest body that can be set at run time.
const BODY_BYTES_MAX: u64 = 1 << 40;

/// Status and body of the answer to a request for `PATH`.
pub(super) fn answer(state: &State, post: bool, query: &[u8]) -> (u16, String) {
    if post {
        let changed = apply(&state.params.borrow(), query);
        match changed {
            Ok(params) => *state.params.borrow_mut() = params,
            Err(why) => return (400, format!("{why}\n")),
        }
    }
    (200, render(state))
}

fn render(state: &State) -> String {
    let (params, counts) = (state.params.borrow(), state.counts());
    let mut out = String::from("{\"name\":");
    quote(&mut out, state.name.as_bytes());
    out.push_str(",\"time\":");
    quote(&mut out, params.time.to_string().as_bytes());
    let _ = writeln!(
        out,
        ",\"error\":{},\"status\":{},\"body\":{},\"slots\":{},\"queue\":{},\"serving\":{},\"waiting\":{},\
         \"connections\":{},\"requests\":{},\"answered\":{},\"errors\":{},\"queue_full\":{},\"gone\":{}}}",
        params.error,
        params.error_status,
        params.body_bytes,
        params.slots,
        params.queue,
        state.serving(),
        state.waiting(),
        counts.connections,
        counts.requests,
        counts.answered,
        counts.errors,
        counts.queue_full,
        counts.gone,
    );
    out
}

fn apply(params: &Params, query: &[u8]) -> Result<Params, String> {
    let mut params = params.clone();
    for pair in query.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let key = decode(&pair[..at])?;
        let value = decode(pair.get(at + 1..).unwrap_or_default())?;
        match key.as_str() {
            "time" => params.time = value.parse::<Distribution>().map_err(|e| e.to_string())?,
            "error" => params.error = parse_share(&value)?,
            "status" => params.error_status = parse_status(&value)?,
            "body" => {
                let bytes = value.parse().ok().filter(|n| *n <= BODY_BYTES_MAX);
                params.body_bytes =
                    bytes.ok_or_else(|| format!("`{value}` is no number of bytes"))?;
            }
            _ => {
                return Err(format!("there is no `{key}`: it is one of time, error, status, body"));
            }
        }
    }
    Ok(params)
}

/// Percent-decoding. A plus stays a plus, because sums of times have one.
pub(crate) fn decode(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let value = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = value.and_then(|d| u8::from_str_radix(d, 16).ok());
        out.push(value.ok_or("a `%` is not followed by two hex digits (a plain one is `%25`)")?);
        rest = &rest[2..];
    }
    String::from_utf8(out).map_err(|_| "not UTF-8".to_owned())
}

/// A share such as `5%` or `0.05`.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(n) if (0.0..=scale).contains(&n) => Ok(n / scale),
        Ok(_) => Err(format!("`{text}` is not within 0% and 100%")),
        Err(_) => Err(format!("`{text}` is no share: expected something like 5% or 0.05")),
    }
}

/// A status from 200 to 599.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_status(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(format!("`{text}` is no status from 200 to 599")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_takes_all_or_nothing() {
        let before = Params::default();
        let after = apply(&before, b"time=20ms+exp(5ms)&error=5%25&status=503&body=7").expect("ok");
        assert_eq!(after.time.to_string(), "20ms + exp(5ms)");
        assert!((after.error - 0.05).abs() < 1e-12);
        assert_eq!((after.error_status, after.body_bytes), (503, 7));
        for (query, says) in [
            (&b"time=20"[..], "without a unit"),
            (b"error=2", "not within"),
            (b"error=half", "no share"),
            (b"status=99", "no status"),
            (b"body=-1", "no number"),
            (b"colour=red", "one of time"),
            (b"error=5%", "two hex digits"),
            (b"error=5%+1", "two hex digits"),
            (b"error=%ff", "UTF-8"),
        ] {
            let e = apply(&before, query).expect_err("a mistake");
            assert!(e.contains(says), "{e}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(parse_share("100%"), Ok(1.0));
        assert_eq!(parse_share("0.25"), Ok(0.25));
        assert!(parse_share("NaN").is_err());
        assert!(parse_share("-1%").is_err());
    }
}
