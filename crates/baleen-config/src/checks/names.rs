//! Checks of `[names]` and of namers.
//!
//! Not here: what a table proves about itself (`baleen_names::prove`). Tested: in `tests/it/names.rs`.

use baleen_names::Dtab;

use super::no_effect;
use crate::config::Draft;
use crate::diagnostic::{Diagnostic, Findings};
use crate::namer::{self, Namer, NamerKind};
use crate::names::{Store, follow};
use crate::span::{At, Place};

pub(super) fn all(draft: &Draft, findings: &mut Findings) {
    namer::check(&draft.namers, findings);
    let names = &draft.names;
    if let (Some(dtab), Some(store)) = (&names.dtab, &names.store) {
        let error = Diagnostic::error(&store.place, "names are in two places");
        findings.push(
            error
                .label("the table is kept here")
                .related(&dtab.place, "and written here")
                .hint("leave one of them out; `baleen dtab set` puts a table into a store"),
        );
    }
    if let (Some(at), None) = (&names.namespace, &names.store) {
        findings.push(no_effect(&at.place, "`namespace`", "there is no `store`"));
    }
    let asks = |n: &Namer| !matches!(n.kind, NamerKind::Files { .. });
    let far = matches!(names.store.as_ref().map(|at| &at.value), Some(Store::Url(_)));
    if let Some(at) = &names.state_dir
        && !far
        && !draft.namers.iter().any(|n| asks(&n.namer))
    {
        findings.push(no_effect(&at.place, "`state_dir`", "no registry and no store is asked"));
    }
}

/// A name that is sure to be asked for, in a table that leads it nowhere.
pub(super) fn leads(
    draft: &Draft,
    dtab: &At<Dtab>,
    name: &str,
    place: &Place,
    findings: &mut Findings,
) {
    let namers: Vec<Namer> = draft.namers.iter().map(|n| n.namer.clone()).collect();
    let (title, label) = match follow(&dtab.value, &namers, name) {
        Ok(Some(_)) => return,
        Ok(None) => {
            (format!("the name `{name}` leads nowhere"), "no cluster comes of it".to_owned())
        }
        Err(error) => (format!("the name `{name}` can't be followed"), error.to_string()),
    };
    let error = Diagnostic::error(place, title).label(label);
    findings.push(error.related(&dtab.place, "by this table"));
}
