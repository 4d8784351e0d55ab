//! A small reader for command-line arguments: flags, values, positionals.
//!
//! Enough for a tool whose users are developers; `baleen` itself uses clap.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

/// Arguments not looked at yet.
pub struct Args(Vec<String>);

impl Args {
    /// What the process was started with, less the program's name.
    pub fn from_env() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// These words.
    #[cfg(test)]
    pub fn of(words: &[&str]) -> Self {
        Self(words.iter().map(ToString::to_string).collect())
    }

    /// Takes the first argument if it is not an option.
    pub fn positional(&mut self) -> Option<String> {
        let first = self.0.first()?;
        (!first.starts_with('-')).then(|| self.0.remove(0))
    }

    /// Takes `--name` and says whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|a| a != name);
        before != self.0.len()
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let joined = format!("{name}=");
        let Some(at) = self.0.iter().position(|a| a == name || a.starts_with(&joined)) else {
            return Ok(None);
        };
        let arg = self.0.remove(at);
        let text = match arg.strip_prefix(&joined) {
            Some(text) => text.to_owned(),
            None if at < self.0.len() => self.0.remove(at),
            None => bail!("{name} needs a value"),
        };
        text.parse().map(Some).map_err(|_| anyhow!("{name}: {text:?} is not valid"))
    }

    /// Like [`Args::value`], for what must be given.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.value(name)?.ok_or_else(|| anyhow!("{name} is missing"))
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => bail!("unknown argument {arg:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Args {
        Args::of(words)
    }

    #[test]
    fn takes_what_is_there_and_refuses_the_rest() {
        let mut a = args(&["proxy", "--rounds", "7", "--only=x", "--quick", "--odd"]);
        assert_eq!(a.positional().as_deref(), Some("proxy"));
        assert_eq!(a.value::<u32>("--rounds").unwrap(), Some(7));
        assert_eq!(a.value::<String>("--only").unwrap().as_deref(), Some("x"));
        assert!(a.flag("--quick"));
        assert!(!a.flag("--no-build"));
        assert!(a.finish().is_err());
    }

    #[test]
    fn a_value_must_parse_and_be_there() {
        assert!(args(&["--rounds", "many"]).value::<u32>("--rounds").is_err());
        assert!(args(&["--rounds"]).value::<u32>("--rounds").is_err());
        assert!(args(&[]).required::<u32>("--rounds").is_err());
    }
}
