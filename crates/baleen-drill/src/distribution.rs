//! Times as distributions: `20ms`, `exp(100ms)`, `20ms + exp(100ms)`, `lognormal(50ms, 0.5)`, `uniform(10ms, 30ms)`.
//!
//! A distribution is a sum of terms, drawn independently from one random stream, so that a seed gives the same times again.
//! Parsing says where it stopped understanding and what would have been right.
//! Not here: waiting. Tested: in `distribution/tests.rs`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use baleen_base::Prng;

/// Most terms in a sum.
const TERMS_MAX: usize = 8;
/// Longest time that may be written; a drawn time is cut here, too.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// One part of a sum.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Term {
    /// Always the same.
    Constant(Duration),
    /// Exponential, with this mean.
    Exp(Duration),
    /// Even between the two.
    Uniform(Duration, Duration),
    /// `median * e^(sigma * z)`, `z` being normal. The mean is `median * e^(sigma^2 / 2)`.
    LogNormal(Duration, f64),
}

/// A time that is drawn anew for each use: a sum of independent terms.
#[derive(Clone, PartialEq, Debug)]
pub struct Distribution {
    terms: Vec<Term>,
}

impl Distribution {
    /// Always this long (at most an hour).
    #[must_use]
    pub fn constant(time: Duration) -> Distribution {
        Distribution { terms: vec![Term::Constant(time.min(LONGEST))] }
    }

    /// Draw a time; at most [`LONGEST`].
    pub fn sample(&self, rng: &mut Prng) -> Duration {
        let mut sum = Duration::ZERO;
        for term in &self.terms {
            sum = (sum + term.sample(rng)).min(LONGEST);
        }
        sum
    }

    /// What many draws average to.
    #[must_use]
    pub fn mean(&self) -> Duration {
        self.terms.iter().fold(Duration::ZERO, |sum, term| (sum + term.mean()).min(LONGEST))
    }

    /// Whether every draw is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.terms.iter().all(|term| *term == Term::Constant(Duration::ZERO))
    }
}

/// `time * factor`, cut at [`LONGEST`].
fn scaled(time: Duration, factor: f64) -> Duration {
    let seconds = time.as_secs_f64() * factor;
    if seconds.is_finite() && seconds < LONGEST.as_secs_f64() {
        Duration::from_secs_f64(seconds.max(0.0))
    } else {
        LONGEST
    }
}

/// Draws from the exponential distribution with mean 1.
pub(crate) fn unit_exponential(rng: &mut Prng) -> f64 {
    // `unit` is in [0, 1), so this is the logarithm of something in (0, 1].
    -(1.0 - rng.unit()).ln()
}

/// Draws from the normal distribution with mean 0 and deviation 1 (Box and Muller, one of the pair).
fn unit_normal(rng: &mut Prng) -> f64 {
    let radius = (2.0 * unit_exponential(rng)).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

impl Term {
    fn sample(&self, rng: &mut Prng) -> Duration {
        match *self {
            Term::Constant(time) => time,
            Term::Exp(mean) => scaled(mean, unit_exponential(rng)),
            Term::Uniform(low, high) => low + scaled(high.saturating_sub(low), rng.unit()),
            Term::LogNormal(median, sigma) => scaled(median, (sigma * unit_normal(rng)).exp()),
        }
    }

    fn mean(&self) -> Duration {
        match *self {
            Term::Constant(time) | Term::Exp(time) => time,
            Term::Uniform(low, high) => (low + high) / 2,
            Term::LogNormal(median, sigma) => scaled(median, (sigma * sigma / 2.0).exp()),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            if i > 0 {
                f.write_str(" + ")?;
            }
            match term {
                Term::Constant(time) => write!(f, "{time:?}")?,
                Term::Exp(mean) => write!(f, "exp({mean:?})")?,
                Term::Uniform(low, high) => write!(f, "uniform({low:?}, {high:?})")?,
                Term::LogNormal(median, sigma) => write!(f, "lognormal({median:?}, {sigma})")?,
            }
        }
        Ok(())
    }
}

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
        let mut terms = Vec::new();
        loop {
            let start = parser.skip_space();
            if terms.len() == TERMS_MAX {
                return Err(parser.error(start, 1, format!("more than {TERMS_MAX} terms"), None));
            }
            terms.push(parser.term()?);
            let at = parser.skip_space();
            match parser.peek() {
                None => return Ok(Distribution { terms }),
                Some('+') => parser.bump(),
                Some(c) => {
                    let message = format!("expected `+` or the end, found `{c}`");
                    return Err(parser.error(at, c.len_utf8(), message, None));
                }
            }
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
    let time = parser.duration()?;
    let at = parser.skip_space();
    match parser.peek() {
        None => Ok(time),
        Some(_) => {
            let len = text.len() - at;
            Err(parser.error(at, len, "expected the end after a time".to_owned(), None))
        }
    }
}

const FORMS: &str = "a time (20ms), exp(mean), uniform(least, most) or lognormal(median, sigma)";
const UNITS: &str = "a time has a unit: ns, us, ms, s, m or h, as in 20ms";

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_space(&mut self) -> usize {
        self.take_while(char::is_whitespace);
        self.at
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &str {
        let rest = &self.text[self.at..];
        let len = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn error(&self, at: usize, len: usize, message: String, hint: Option<&str>) -> ParseError {
        let hint = hint.map(str::to_owned);
        ParseError { text: self.text.to_owned(), at, len: len.max(1), message, hint }
    }

    fn expect(&mut self, wanted: char) -> Result<(), ParseError> {
        let at = self.skip_space();
        match self.peek() {
            Some(c) if c == wanted => {
                self.bump();
                Ok(())
            }
            Some(c) => {
                let message = format!("expected `{wanted}`, found `{c}`");
                Err(self.error(at, c.len_utf8(), message, None))
            }
            None => Err(self.error(at, 1, format!("expected `{wanted}`, found the end"), None)),
        }
    }

    fn term(&mut self) -> Result<Term, ParseError> {
        let at = self.at;
        match self.peek() {
            Some(c) if c.is_ascii_digit() || c == '.' => Ok(Term::Constant(self.duration()?)),
            Some(c) if c.is_ascii_alphabetic() => {
                let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
                self.function(at, &name)
            }
            Some(c) => {
                let message = format!("expected a time or a distribution, found `{c}`");
                Err(self.error(at, c.len_utf8(), message, Some(FORMS)))
            }
            None => {
                let message = "expected a time or a distribution, found the end".to_owned();
                Err(self.error(at, 1, message, Some(FORMS)))
            }
        }
    }

    fn function(&mut self, at: usize, name: &str) -> Result<Term, ParseError> {
        if !["exp", "uniform", "lognormal"].contains(&name) {
            let message = format!("there is no distribution `{name}`");
            return Err(self.error(at, name.len(), message, Some(FORMS)));
        }
        self.expect('(')?;
        self.skip_space();
        let first = self.duration()?;
        let term = match name {
            "exp" => Term::Exp(first),
            "uniform" => {
                self.expect(',')?;
                let start = self.skip_space();
                let high = self.duration()?;
                if high < first {
                    let message = format!("the most, {high:?}, is below the least, {first:?}");
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

    fn sigma(&mut self) -> Result<f64, ParseError> {
        let at = self.skip_space();
        let (number, len) = self.number()?;
        if self.peek().is_some_and(char::is_alphabetic) {
            let message = "sigma has no unit".to_owned();
            return Err(self.error(self.at, 1, message, Some("as in lognormal(50ms, 0.5)")));
        }
        if number > 5.0 {
            return Err(self.error(at, len, format!("sigma {number} is not within 0 and 5"), None));
        }
        Ok(number)
    }

    fn number(&mut self) -> Result<(f64, usize), ParseError> {
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        let (len, value) = (digits.len(), digits.parse::<f64>());
        match value {
            Ok(number) if number.is_finite() => Ok((number, len)),
            _ => Err(self.error(at, len, "expected a number".to_owned(), Some(UNITS))),
        }
    }

    fn duration(&mut self) -> Result<Duration, ParseError> {
        let start = self.at;
        let (number, _) = self.number()?;
        let at = self.at;
        let unit = self.take_while(char::is_alphabetic).to_owned();
        let seconds = match unit.as_str() {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" if number == 0.0 => 1.0,
            "" => {
                let message = "a number without a unit".to_owned();
                return Err(self.error(start, at - start, message, Some(UNITS)));
            }
            _ => {
                let message = format!("there is no unit `{unit}`");
                return Err(self.error(at, unit.len(), message, Some(UNITS)));
            }
        };
        let time = number * seconds;
        if time > LONGEST.as_secs_f64() {
            let message = format!("longer than {} s", LONGEST.as_secs());
            return Err(self.error(start, self.at - start, message, None));
        }
        Ok(Duration::from_secs_f64(time))
    }
}

#[cfg(test)]
mod tests;
