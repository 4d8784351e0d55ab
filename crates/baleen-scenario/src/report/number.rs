//! Numbers for people: shares in per cent, times with the unit that fits, rates, counts. Never `NaN`, never `inf`.
//!
//! Not here: parsing. Tested: below.

/// A number with so many significant digits, without zeros that say nothing; `1.2k` and the like from ten thousand on.
pub fn number(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "-".to_owned();
    }
    for (unit, from) in [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)] {
        if x.abs() >= from {
            let unit_is = if unit == "k" { 1e3 } else { from };
            return format!("{}{unit}", plain(x / unit_is, digits));
        }
    }
    plain(x, digits)
}

/// The same, without a unit. Whole digits are never cut.
pub fn plain(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "-".to_owned();
    }
    let mut whole = 1;
    let mut rest = x.abs();
    while rest >= 10.0 {
        (whole, rest) = (whole + 1, rest / 10.0);
    }
    let mut lead = 0;
    let mut small = x.abs();
    while small > 0.0 && small < 1.0 && lead < 12 {
        (lead, small) = (lead + 1, small * 10.0);
    }
    let decimals = if lead > 0 { lead - 1 + digits } else { digits.saturating_sub(whole) };
    let text = format!("{x:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A share of 1 in per cent. What is not all is never shown as `100 %`, what is not nothing never as `0 %`.
pub fn percent(share: f64, digits: usize) -> String {
    if !share.is_finite() {
        return "-".to_owned();
    }
    let p = share * 100.0;
    let missing = 100.0 - p;
    // Near all, what is missing has the digits.
    let text = if (50.0..100.0).contains(&p) {
        let text = plain(missing, digits.saturating_sub(1).max(1));
        let decimals =
            text.split_once('.').map_or(0, |(_, d)| d.len()).max(digits.saturating_sub(2));
        let shown = format!("{p:.decimals$}");
        if shown.starts_with("100") {
            format!("{:.1$}", p, 12).trim_end_matches('0').to_owned()
        } else if shown.contains('.') {
            shown.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            shown
        }
    } else {
        plain(p, digits)
    };
    format!("{text} %")
}

/// Seconds, in the unit that fits.
pub fn time(seconds: f64, digits: usize) -> String {
    if !seconds.is_finite() {
        return "-".to_owned();
    }
    let size = seconds.abs();
    let (factor, unit) = match size {
        0.0 => (1.0, "s"),
        _ if size < 1e-6 => (1e9, "ns"),
        _ if size < 1e-3 => (1e6, "us"),
        _ if size < 1.0 => (1e3, "ms"),
        _ if size < 120.0 => (1.0, "s"),
        _ if size < 7200.0 => (1.0 / 60.0, "min"),
        _ => (1.0 / 3600.0, "h"),
    };
    // 0.9996 s are a second, not 1000 ms.
    let text = plain(seconds * factor, digits);
    match (text.as_str(), unit) {
        ("1000", "ns") => "1 us".to_owned(),
        ("1000", "us") => "1 ms".to_owned(),
        ("1000", "ms") => "1 s".to_owned(),
        _ => format!("{text} {unit}"),
    }
}

/// Per second.
pub fn rate(x: f64, digits: usize) -> String {
    let text = number(x, digits);
    if ["-", "0"].contains(&text.as_str()) { text } else { text + "/s" }
}

/// A whole number, in groups of three digits.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_what_matters() {
        let check = |share: f64, expected: &str| assert_eq!(percent(share, 3), expected);
        check(1.0, "100 %");
        check(0.0, "0 %");
        check(0.932, "93.2 %");
        check(0.999, "99.9 %");
        check(0.999_87, "99.987 %");
        check(0.999_999_9, "99.99999 %");
        check(0.5, "50 %");
        check(0.123_456, "12.3 %");
        check(0.000_012, "0.0012 %");
        check(0.95, "95 %");
        check(f64::NAN, "-");
    }

    #[test]
    fn times_have_their_unit() {
        let check = |s: f64, expected: &str| assert_eq!(time(s, 3), expected);
        check(0.0, "0 s");
        check(0.412, "412 ms");
        check(0.000_35, "350 us");
        check(5e-9, "5 ns");
        check(0.999_9, "1 s");
        check(3.4, "3.4 s");
        check(90.0, "90 s");
        check(600.0, "10 min");
        check(36_000.0, "10 h");
        check(f64::INFINITY, "-");
    }

    #[test]
    fn numbers_are_short() {
        let check = |x: f64, expected: &str| assert_eq!(number(x, 3), expected);
        check(0.0, "0");
        check(-0.0, "0");
        check(1.2, "1.2");
        check(400.0, "400");
        check(1234.0, "1234");
        check(12_345.0, "12.3k");
        check(3e6, "3M");
        check(0.001_234_5, "0.00123");
        check(f64::NAN, "-");
        assert_eq!(rate(3.4, 3), "3.4/s");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(count(12), "12");
    }
}
