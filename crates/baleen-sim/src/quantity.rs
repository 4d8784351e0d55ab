//! A number with its unit, as it stands in a scenario, so that it can be varied: `400/s`, `10ms`, `20%`, `64`.
//!
//! What has no number at its front (`exp(10ms)`) can't be varied, only listed. Ends written as whole numbers without a unit stay
//! whole, because keys that count take nothing else.
//! Not here: what a key takes (the scenario's reader says). Tested: below.

use std::fmt;

/// A number, and what stands behind it.
#[derive(Clone, PartialEq, Debug)]
pub struct Quantity {
    /// The number.
    pub number: f64,
    /// What stands behind it: `ms`, `/s`, `%`, or nothing.
    pub unit: String,
    /// It counts something: only whole numbers are meant.
    pub whole: bool,
}

/// Units of time, in nanoseconds, and of size, in bytes; those of one kind can be mixed.
const SCALES: [&[(&str, f64)]; 2] = [
    &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)],
    &[("B", 1.0), ("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)],
];

/// Digits that a number is written with.
const DIGITS: i32 = 6;

impl Quantity {
    /// Read. Errors: what was expected.
    pub fn parse(text: &str) -> Result<Quantity, String> {
        let text = text.trim();
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(at);
        let wrong = || format!("`{text}` is no number with a unit, such as 400/s, 10ms, 20% or 64");
        let whole = unit.is_empty() && !number.contains('.');
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let plain = unit.chars().all(|c| c.is_ascii_alphabetic() || c == '/' || c == '%');
        if !number.is_finite() || !plain {
            return Err(wrong());
        }
        Ok(Quantity { number, unit: unit.to_owned(), whole })
    }

    /// The same, of another number; rounded when it counts.
    #[must_use]
    pub fn with(&self, number: f64) -> Quantity {
        let number = if self.whole { number.round() } else { shortened(number) };
        Quantity { number, unit: self.unit.clone(), whole: self.whole }
    }

    /// The same where this one is meant that a key has now: without a unit it gets that one's, and is whole only if that is.
    #[must_use]
    pub fn like(&self, present: &Quantity) -> Quantity {
        let unit = if self.unit.is_empty() { &present.unit } else { &self.unit };
        Quantity { number: self.number, unit: unit.clone(), whole: self.whole && present.whole }
    }

    /// Both in one unit: that of either if the other has none, the smaller one if they can be converted.
    pub fn alike(a: &Quantity, b: &Quantity) -> Result<(Quantity, Quantity), String> {
        let in_unit = |q: &Quantity, factor: f64, unit: &str| Quantity {
            number: shortened(q.number * factor),
            unit: unit.to_owned(),
            whole: a.whole && b.whole,
        };
        if a.unit == b.unit || b.unit.is_empty() {
            return Ok((in_unit(a, 1.0, &a.unit), in_unit(b, 1.0, &a.unit)));
        }
        if a.unit.is_empty() {
            return Ok((in_unit(a, 1.0, &b.unit), in_unit(b, 1.0, &b.unit)));
        }
        for scale in SCALES {
            let of = |q: &Quantity| scale.iter().find(|(name, _)| *name == q.unit);
            if let (Some(x), Some(y)) = (of(a), of(b)) {
                let base = if x.1 < y.1 { x } else { y };
                return Ok((in_unit(a, x.1 / base.1, base.0), in_unit(b, y.1 / base.1, base.0)));
            }
        }
        Err(format!("`{a}` and `{b}` have different units"))
    }
}

/// With few enough digits to be read by a person, and to be written the same everywhere.
fn shortened(number: f64) -> f64 {
    if number == 0.0 {
        return 0.0;
    }
    let places = DIGITS - 1 - libm::floor(libm::log10(number.abs())) as i32;
    let scale = libm::exp10(f64::from(places.abs()));
    if places >= 0 { (number * scale).round() / scale } else { (number / scale).round() * scale }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Quantity {
        Quantity::parse(text).expect(text)
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        for text in ["400/s", "9.3/s", "10ms", "20%", "64", "0", "1.5", "64KiB", "100MB/s"] {
            assert_eq!(read(text).to_string(), text);
        }
        assert!(read("64").whole && !read("64.0").whole && !read("64/s").whole);
        for text in ["", "x", "exp(10ms)", "1.2.3", "-1", "10 ms", "1e3", "10ms + 2ms", "inf"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_ends_get_one_unit() {
        for (a, b, expected) in [
            ("10ms", "1s", "10ms 1000ms"),
            ("2m", "30s", "120s 30s"),
            ("100", "400/s", "100/s 400/s"),
            ("5%", "50", "5% 50%"),
            ("1KiB", "1MiB", "1KiB 1024KiB"),
            ("3", "9", "3 9"),
        ] {
            let (a, b) = Quantity::alike(&read(a), &read(b)).expect("alike");
            assert_eq!(format!("{a} {b}"), expected);
        }
        assert!(Quantity::alike(&read("10ms"), &read("10%")).is_err());
    }

    #[test]
    fn other_numbers_are_short_and_whole_where_they_count() {
        assert_eq!(read("3").with(4.6).to_string(), "5");
        assert_eq!(read("3/s").with(10.0 / 3.0).to_string(), "3.33333/s");
        assert_eq!(read("3/s").with(123_456_789.0).to_string(), "123457000/s");
        assert_eq!(read("3.0").with(0.1 + 0.2).to_string(), "0.3");
        assert_eq!(read("3s").with(0.0).to_string(), "0s");
    }
}
