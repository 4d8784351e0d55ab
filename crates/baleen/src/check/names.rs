//! What can be proved of a configuration's delegation table, as diagnostics at the entries themselves.
//!
//! Only of a table that the configuration writes itself. Not here: the proofs (`baleen-names`). Tested: in `tests/it/explain.rs`.

use baleen_config::{Config, Diagnostic, Place};
use baleen_names::{Finding, Path, Prefix, Question, What, prove};
use baleen_policy::params::FallbackBy;

use crate::input::Loaded;
use crate::offline::Offline;

/// Everything that is wrong with the table.
pub fn check(loaded: &Loaded) -> Vec<Diagnostic> {
    let (config, names) = (&loaded.config, &loaded.config.names);
    if !names.own {
        return Vec::new();
    }
    let question = Question {
        dtab: &names.dtab,
        asked: &asked(config),
        facts: &Offline::new(loaded),
        by_health: config.route_params("").fallback_by == FallbackBy::Health,
    };
    let known = Offline::new(loaded);
    let finding =
        |f: Finding| Some(diagnostic(names.entry_places.get(f.entry)?, f, config, &known));
    prove(&question).into_iter().filter_map(finding).collect()
}

/// The names that requests may have. Where a header may bring any name, all that the table speaks of.
fn asked(config: &Config) -> Vec<Prefix> {
    let of_listeners = config.listeners.iter().flat_map(|listener| {
        listener.rules.iter().filter_map(|rule| rule.name()).chain([&listener.name])
    });
    let mut asked: Vec<Prefix> = Vec::new();
    for template in of_listeners {
        match pattern(template.as_str()) {
            Some(pattern) => asked.push(pattern),
            None => {
                asked.extend(config.names.dtab.entries().iter().map(|entry| entry.prefix.clone()));
            }
        }
    }
    let fixed = config.logical_names().into_iter();
    asked.extend(fixed.filter_map(|name| Path::parse(name).ok()).map(Prefix::from));
    asked
}

/// What a template gives, as a prefix; nothing when that may be any path.
fn pattern(template: &str) -> Option<Prefix> {
    let mut text = String::new();
    for segment in template.strip_prefix('/')?.split('/') {
        let segments = segment.strip_prefix("{path:").and_then(|s| s.strip_suffix('}'));
        match segments.and_then(|n| n.parse().ok()) {
            Some(n) => text.push_str(&"/*".repeat(n)),
            None if segment.contains('{') => text.push_str("/*"),
            None => {
                text.push('/');
                text.push_str(segment);
            }
        }
    }
    Prefix::parse(&text).ok()
}

fn diagnostic(place: &Place, finding: Finding, config: &Config, known: &Offline) -> Diagnostic {
    let warning = |title: String| Diagnostic::warning(place, title);
    let entry = |i: usize| match config.names.dtab.entries().get(i) {
        Some(entry) => format!("{} => {}", entry.prefix, entry.dst),
        None => String::new(),
    };
    match finding.what {
        What::Loop { way, .. } => Diagnostic::warning(place, "names go round in a circle")
            .label(way)
            .hint("requests for such names are refused; let one of these entries lead elsewhere"),
        What::MayLoop { entries } => {
            let others: Vec<String> = entries.into_iter().map(entry).collect();
            warning("some names may go round in a circle".to_owned())
                .label(format!("these lead to each other: {}", others.join(" ; ")))
        }
        What::Unreached => warning("this entry never matches".to_owned())
            .label("no request here has a name that begins like this, and no entry leads to one")
            .hint("remove it, or let a listener or a rule give such names"),
        What::Shadowed { by } => warning("this entry is never tried".to_owned())
            .label(format!("`{}`, which is later, always has the last word", entry(by)))
            .hint("later entries win: put the general ones first"),
        What::NoMount { path, .. } => {
            let near = known.nearest_mount(&path);
            warning(format!("nothing is mounted at {}", path.take(2)))
                .label("leads nowhere")
                .maybe_hint(near.map(|near| format!("did you mean `/#/{near}`?")))
        }
        What::Nowhere { leaf } => {
            warning(format!("{leaf} leads nowhere")).label("there is no such thing now")
        }
        What::NeverTried { alternative, before } => {
            warning(format!("{alternative} is never tried"))
                .label(format!("`{before}` before it always has the last word"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_as_patterns() {
        let text = |template| pattern(template).map(|p| p.to_string());
        assert_eq!(text("/svc/{host}").as_deref(), Some("/svc/*"));
        assert_eq!(text("/svc/{method}-{host}/x").as_deref(), Some("/svc/*/x"));
        assert_eq!(text("/svc/{path:2}").as_deref(), Some("/svc/*/*"));
        assert_eq!(text("/svc/web").as_deref(), Some("/svc/web"));
        assert_eq!(text("{header:l5d-name}"), None);
    }
}
