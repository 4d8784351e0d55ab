//! Reading what a person wrote: a configuration, and the services files it names, as one.
//!
//! `check` and `run` see the same mistakes because both come here. Tested: in `tests/cli.rs` and `tests/it/config_errors.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use baleen_config::{Config, Diagnostic, Look, Severity, render};
use baleen_discovery::files::{self, Services};

use crate::out::{self, Paint};
use crate::run::wire::Wiring;

/// A configuration without mistakes.
pub struct Loaded {
    pub config: Config,
    /// What the services folder says, if there is one.
    pub services: Option<Services>,
    /// What is legal but dangerous or without effect.
    pub warnings: Vec<Diagnostic>,
}

impl Loaded {
    /// How many endpoints each cluster has, as far as that is known.
    pub fn endpoints(&self) -> BTreeMap<&str, usize> {
        let from_files = self.services.iter().flat_map(|s| &s.clusters);
        let mut clusters: BTreeMap<&str, usize> =
            from_files.map(|(name, endpoints)| (name.as_str(), endpoints.len())).collect();
        for name in self.config.cluster_names() {
            let endpoints = self.config.static_endpoints(name);
            let known = clusters.entry(name).or_default();
            *known = endpoints.map_or(*known, <[_]>::len);
        }
        clusters
    }
}

/// Read a configuration and its services files. All that is wrong is told at once.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let (config, mut warnings) = baleen_config::load(path)?;
    let services = match config.services_dir.as_deref().map(files::load).transpose() {
        Ok(services) => services,
        Err(errors) => {
            warnings.extend(errors);
            return Err(warnings);
        }
    };
    let have: BTreeSet<String> = services.iter().flat_map(|s| s.clusters.keys().cloned()).collect();
    for name in &have {
        if config.static_endpoints(name).is_some() {
            let path = config.services_dir.as_deref().unwrap_or(Path::new("")).join(name);
            let title = format!("the file for cluster `{name}` is not used");
            let warning = Diagnostic::file_error(&path, title)
                .hint(format!("`[cluster.{name}]` has endpoints; remove one of the two"));
            warnings.push(Diagnostic { severity: Severity::Warning, ..warning });
        }
    }
    warnings.extend(config.without_file(&have));
    // What the wiring refuses is a mistake, too, and is told before anything starts.
    if let Err(why) = Wiring::new(config.clone(), services.as_ref()) {
        warnings.push(Diagnostic::file_error(path, why));
        return Err(warnings);
    }
    let mut loaded = Loaded { config, services, warnings };
    let found = crate::check::names::check(&loaded);
    loaded.warnings.extend(found);
    Ok(loaded)
}

/// Diagnostics, for people.
pub fn tell(diagnostics: &[Diagnostic]) {
    let look = if Paint::stderr().is_on() { Look::Colour } else { Look::Plain };
    if !diagnostics.is_empty() {
        out::say(format_args!("{}", render(diagnostics, look).trim_end()));
    }
}
