//! Text to a distribution, saying where it stopped understanding and what would have been right.
//!
//! ```text
//! sum   = term ("+" term)*
//! term  = time | "exp(" time ")" | "uniform(" time "," time ")" | "lognormal(" time "," number ")"
//!       | "mix(" percent sum ("," percent sum)+ ")" | "empirical(" time ("," time)+ ")"
//! ```
//!
//! Never panics, whatever the text; depth and lengths are bounded. Not here: what is drawn. Tested: in `distribution/tests.rs`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{
    DEPTH_MAX, Distribution, LONGEST, LONGEST_NANOS, Part, Percent, SAMPLES_MAX, TERMS_MAX, Term,
    WHOLE_PPM, Written,
};

const FORMS: &str = "a time (20ms), exp(mean), uniform(least, most), lognormal(median, sigma), mix(90% one, 10% other) or \
                     empirical(time, time, ...)";
const FUNCTIONS: [&str; 5] = ["exp", "uniform", "lognormal", "mix", "empirical"];
const UNITS: &str = "a time has a unit: ns, us, ms, s, m or h, as in 20ms";
const SHARES: &str = "each part begins with its share, as in mix(90% 1ms, 10% exp(20ms))";

/// Why a text is no distribution, with the place where it stops being one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// The whole text.
    pub text: String,
    /// Byte offset of what is wrong.
    pub at: usize,
    /// Its length in bytes; at least 1.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text.get(..self.at).map_or(0, |t| t.chars().count());
        writeln!(f, "{}", self.message)?;
        writeln!(f, "    {}", self.text.replace(char::is_control, "?"))?;
        write!(f, "    {}{}", " ".repeat(before), "^".repeat(self.len.max(1)))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Distribution {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Distribution, ParseError> {
        let mut parser = Parser { text, at: 0 };
        let sum = parser.sum(0)?;
        match parser.peek() {
            None => Ok(sum),
            Some(c) => Err(parser.unexpected(c, "`+` or the end")),
        }
    }
}

/// A time such as `250ms`, `1.5s` or `0`.
///
/// # Errors
/// What is wrong and where.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let mut parser = Parser { text, at: 0 };
    parser.skip_space();
    let nanos = parser.time()?;
    let at = parser.skip_space();
    match parser.peek() {
        None => Ok(Duration::from_nanos(nanos)),
        Some(_) => {
            let len = text.len() - at;
            Err(parser.error(at, len, "expected the end after a time", None))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_space(&mut self) -> usize {
        self.take_while(char::is_whitespace);
        self.at
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn error(
        &self,
        at: usize,
        len: usize,
        message: impl Into<String>,
        hint: Option<&str>,
    ) -> ParseError {
        let (text, hint) = (self.text.to_owned(), hint.map(str::to_owned));
        ParseError { text, at, len: len.max(1), message: message.into(), hint }
    }

    fn unexpected(&self, found: char, wanted: &str) -> ParseError {
        self.error(self.at, found.len_utf8(), format!("expected {wanted}, found `{found}`"), None)
    }

    /// `wanted` comes next; space before it does not matter.
    fn expect(&mut self, wanted: char) -> Parsed<()> {
        let at = self.skip_space();
        match self.peek() {
            Some(c) if c == wanted => {
                self.bump();
                Ok(())
            }
            Some(c) => Err(self.unexpected(c, &format!("`{wanted}`"))),
            None => Err(self.error(at, 1, format!("expected `{wanted}`, found the end"), None)),
        }
    }

    /// After an item of a list: whether there is another. Otherwise the list has ended.
    fn more(&mut self, wanted: &str) -> Parsed<bool> {
        let at = self.skip_space();
        match self.peek() {
            Some(c @ (',' | ')')) => {
                self.bump();
                Ok(c == ',')
            }
            Some(c) => Err(self.unexpected(c, wanted)),
            None => Err(self.error(at, 1, format!("expected {wanted}, found the end"), None)),
        }
    }

    /// Stops, behind space, at what is no `+`.
    fn sum(&mut self, depth: usize) -> Parsed<Distribution> {
        self.skip_space();
        let first = self.term(depth)?;
        let mut rest = Vec::new();
        loop {
            self.skip_space();
            if self.peek() != Some('+') {
                return Ok(Distribution { first, rest });
            }
            self.bump();
            let start = self.skip_space();
            if rest.len() + 1 == TERMS_MAX {
                return Err(self.error(start, 1, format!("more than {TERMS_MAX} terms"), None));
            }
            rest.push(self.term(depth)?);
        }
    }

    fn term(&mut self, depth: usize) -> Parsed<Term> {
        let at = self.at;
        match self.peek() {
            Some(c) if c.is_ascii_digit() || c == '.' => Ok(Term::Constant(self.time()?)),
            Some(c) if c.is_ascii_alphabetic() => {
                let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
                self.function(at, name, depth)
            }
            Some(c) => {
                let message = match c {
                    '-' => "expected a time or a distribution, found `-`: no time is negative"
                        .to_owned(),
                    c => format!("expected a time or a distribution, found `{c}`"),
                };
                Err(self.error(at, c.len_utf8(), message, Some(FORMS)))
            }
            None => Err(self.error(
                at,
                1,
                "expected a time or a distribution, found the end",
                Some(FORMS),
            )),
        }
    }

    fn function(&mut self, at: usize, name: &str, depth: usize) -> Parsed<Term> {
        if !FUNCTIONS.contains(&name) {
            let message = format!("there is no distribution `{name}`");
            return Err(self.error(at, name.len(), message, Some(FORMS)));
        }
        self.expect('(')?;
        self.skip_space();
        match name {
            "mix" => return self.mix(at, depth),
            "empirical" => return self.empirical(at),
            _ => {}
        }
        let first = self.time()?;
        let term = match name {
            "exp" => Term::Exp(first),
            "uniform" => {
                self.expect(',')?;
                let start = self.skip_space();
                let high = self.time()?;
                if high < first {
                    let message = format!(
                        "the most, {}, is below the least, {}",
                        Written(high),
                        Written(first)
                    );
                    return Err(self.error(start, self.at - start, message, None));
                }
                Term::Uniform(first, high)
            }
            _ => {
                self.expect(',')?;
                Term::LogNormal(first, self.sigma()?)
            }
        };
        self.expect(')')?;
        Ok(term)
    }

    /// Behind `mix(`, which begins at `start`.
    fn mix(&mut self, start: usize, depth: usize) -> Parsed<Term> {
        if depth == DEPTH_MAX {
            return Err(self.error(
                start,
                3,
                format!("more than {DEPTH_MAX} mixes within each other"),
                None,
            ));
        }
        let mut parts = Vec::new();
        loop {
            let at = self.skip_space();
            if parts.len() == TERMS_MAX {
                return Err(self.error(at, 1, format!("more than {TERMS_MAX} parts"), None));
            }
            let share_ppm = self.share()?;
            let times = self.sum(depth + 1)?;
            parts.push(Part { share_ppm, times });
            if !self.more("`+`, `,` or `)`")? {
                break;
            }
        }
        let sum: u32 = parts.iter().map(|p| p.share_ppm).sum();
        if sum != WHOLE_PPM {
            let message = format!("shares are {} together, not 100%", Percent(sum));
            return Err(self.error(start, self.at - start, message, None));
        }
        Ok(Term::Mix(parts.into()))
    }

    /// `99.9%`: at most all, in parts per million.
    fn share(&mut self) -> Parsed<u32> {
        let at = self.at;
        if !self.peek().is_some_and(|c| c.is_ascii_digit() || c == '.') {
            return Err(self.error(at, 1, "expected a share", Some(SHARES)));
        }
        let (number, _) = self.number()?;
        if self.peek() != Some('%') {
            return Err(self.error(at, self.at - at, "a share ends with `%`", Some(SHARES)));
        }
        self.bump();
        let ppm = number * 1e4;
        let message = if ppm > f64::from(WHOLE_PPM) {
            "more than 100%"
        } else if ppm < 0.5 {
            "a share is at least 0.0001%"
        } else if (ppm - ppm.round()).abs() > 1e-6 {
            "a share has at most four digits behind the point"
        } else {
            return Ok(ppm.round() as u32);
        };
        Err(self.error(at, self.at - at, message, None))
    }

    /// Behind `empirical(`, which begins at `start`.
    fn empirical(&mut self, start: usize) -> Parsed<Term> {
        let mut samples = Vec::new();
        loop {
            let at = self.skip_space();
            if samples.len() == SAMPLES_MAX {
                return Err(self.error(at, 1, format!("more than {SAMPLES_MAX} samples"), None));
            }
            samples.push(self.time()?);
            if !self.more("`,` or `)`")? {
                break;
            }
        }
        if samples.len() < 2 {
            return Err(self.error(
                start,
                self.at - start,
                "fewer than 2 samples",
                Some("a constant is written as 20ms"),
            ));
        }
        Ok(Term::Empirical(samples.into()))
    }

    fn sigma(&mut self) -> Parsed<f64> {
        let at = self.skip_space();
        let (number, len) = self.number()?;
        if self.peek().is_some_and(char::is_alphabetic) {
            return Err(self.error(
                self.at,
                1,
                "sigma has no unit",
                Some("as in lognormal(50ms, 0.5)"),
            ));
        }
        if number > 5.0 {
            return Err(self.error(at, len, format!("sigma {number} is not within 0 and 5"), None));
        }
        Ok(number)
    }

    fn number(&mut self) -> Parsed<(f64, usize)> {
        let at = self.at;
        if self.peek() == Some('-') {
            return Err(self.error(at, 1, "no time is negative", Some(UNITS)));
        }
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok((number, digits.len())),
            _ => Err(self.error(at, digits.len(), "expected a number", Some(UNITS))),
        }
    }

    /// In nanoseconds: 0, or from 1 on.
    fn time(&mut self) -> Parsed<u64> {
        let start = self.at;
        let (number, _) = self.number()?;
        let at = self.at;
        let unit = self.take_while(char::is_alphabetic);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" if number == 0.0 => 1.0,
            "" => {
                return Err(self.error(start, at - start, "a number without a unit", Some(UNITS)));
            }
            _ => {
                return Err(self.error(
                    at,
                    unit.len(),
                    format!("there is no unit `{unit}`"),
                    Some(UNITS),
                ));
            }
        };
        let time = number * scale;
        if time > LONGEST_NANOS as f64 {
            let message = format!("longer than {} s", LONGEST.as_secs());
            return Err(self.error(start, self.at - start, message, None));
        }
        if time > 0.0 && time < 1.0 {
            return Err(self.error(
                start,
                self.at - start,
                "shorter than 1ns",
                Some("times are whole nanoseconds; 0 is none"),
            ));
        }
        Ok(time.round() as u64)
    }
}
