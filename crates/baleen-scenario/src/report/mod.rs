//! A run drawn for people and written for programs.
//!
//! [`html`] makes one page that fetches nothing: verdicts, topology, charts over one time axis, heat maps, phases, the log
//! around the tipping point, the command to run it again. [`sweep_html`] draws many runs against one setting; [`terminal`]
//! has sparklines; [`json`] has everything; [`svg`] is one small picture. All texts of a scenario are hostile here: they are
//! escaped, and cut where they would not fit.
//!
//! | module | idea |
//! |---|---|
//! | `markup` | a writer that escapes and closes |
//! | `axis`, `chart` | scales; one chart |
//! | `timeline`, `heat`, `topology` | the drawings of a run |
//! | `tables`, `words`, `number` | figures in words |
//! | `page`, `sweep`, `compare`, `style`, `terminal`, `columns`, `picture` | what people get |
//! | `junit` | what a build server gets |
//!
//! Not here: figures (`record`), verdicts (`judge`), writing files. Tested: in `report/tests.rs`.

mod axis;
mod chart;
pub(crate) mod columns;
mod compare;
mod heat;
mod junit;
mod markup;
pub(crate) mod number;
mod page;
mod picture;
mod style;
mod sweep;
mod tables;
mod terminal;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
mod topology;
mod words;

pub use compare::html as compare_html;
pub use junit::junit;
pub use page::{Beside, html, html_beside};
pub use picture::svg;
pub use sweep::{SweepPoint, sweep_html};
pub use terminal::terminal;

/// The pieces that pages of other runners are made of.
pub mod draw {
    pub use super::axis::Scale;
    pub use super::chart::{Chart, LEFT, RIGHT, Series, Span, Unit};
    pub use super::markup::Markup;
    pub use super::number::{count, number, percent, rate, time};
    pub use super::page::{finish, start};
}

use serde::Serialize;

use crate::model::Scenario;
use crate::outcome::{Run, Verdict};

/// What [`json`] writes.
#[derive(Serialize)]
struct Whole<'a> {
    /// All expectations held, and all invariants.
    held: bool,
    verdicts: &'a [Verdict],
    /// Runs it again, as the file stands: settings of a command line are not in it.
    command: Option<String>,
    run: &'a Run,
}

/// The run, its verdicts and the command that runs it again, as one JSON object.
#[must_use]
pub fn json(scenario: &Scenario, run: &Run, verdicts: &[Verdict]) -> String {
    let held = run.is_sound() && verdicts.iter().all(|v| v.held);
    let command = words::file(scenario).map(|f| format!("baleen sim {f} --seed {:#x}", run.seed));
    let whole = Whole { held, verdicts, command, run };
    serde_json::to_string(&whole).expect("figures are plain data")
}
