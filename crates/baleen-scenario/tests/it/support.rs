//! A whole file with every setting in it, and how findings are shown.

use baleen_config::{Diagnostic, Look, Severity, render};
use baleen_scenario::model::Scenario;
use baleen_scenario::{Loaded, Override, parse_str};

/// A file in which every table and every kind of fault stands.
pub const WHOLE: &str = include_str!("../../../../fuzz/corpus/scenario/whole.toml");

/// What is shown of a file, warnings too. Errors and a scenario exclude each other.
pub fn shown(loaded: &Loaded) -> String {
    let list = match loaded {
        Ok((_, warnings)) => warnings,
        Err(errors) => errors,
    };
    let errors = list.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(loaded.is_err(), errors);
    plain(list)
}

pub fn plain(list: &[Diagnostic]) -> String {
    render(list, Look::Plain)
}

/// A scenario that must be right, without a warning.
pub fn right(text: &str) -> Scenario {
    right_with(text, &[])
}

/// The same with values set.
pub fn right_with(text: &str, set: &[(&str, &str)]) -> Scenario {
    let set: Vec<Override> = set
        .iter()
        .map(|(key, value)| Override { key: (*key).into(), value: (*value).into() })
        .collect();
    match parse_str("s.toml", text, &set) {
        Ok((scenario, warnings)) => {
            assert_eq!(plain(&warnings), "");
            scenario
        }
        Err(errors) => panic!("{}", plain(&errors)),
    }
}
