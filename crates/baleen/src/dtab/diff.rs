//! `baleen dtab diff OLD NEW`: for every name that is known, where it leads with one table and where with the other.
//!
//! Known are the names that are given, those of a configuration, and those that both tables show: their prefixes, and one name
//! below each. With a configuration its namers say what is there; without one, what a table says below a namer is taken to be
//! there. Exit 0, but 1 when a name led somewhere and leads nowhere then.
//!
//! Not here: evaluating (`baleen-names`), what `baleen dtab set` refuses (`check.rs`). Tested: in `tests/it/explain.rs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use baleen_names::{Change, Dtab, Named, Namers, Path, diff, literal_names};
use serde_json::json;

use super::check::{ANY, witnesses};
use super::{Format, set};
use crate::exit::{Exit, Failure};
use crate::explain::parse;
use crate::offline::Offline;
use crate::{input, out};

#[derive(clap::Args)]
pub struct Args {
    /// The table as it is; `-` reads it from standard input
    #[arg(value_name = "OLD")]
    old: String,
    /// The table as it would be
    #[arg(value_name = "NEW")]
    new: String,
    /// A configuration: its names are looked at, too, and its namers say what is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One more name to look at
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.old == "-" && args.new == "-" {
        return Err(Failure::input("both tables can't come from standard input")
            .hint("give one of them as a file"));
    }
    let (old, new) = (table(&args.old)?, table(&args.new)?);
    let mut names: BTreeSet<Path> = literal_names(&[&old, &new]).into_iter().collect();
    for entry in old.entries().iter().chain(new.entries()) {
        names.extend(witnesses(&entry.prefix));
    }
    for name in &args.name {
        names.insert(parse("name", name, Path::parse)?);
    }
    let looked = match &args.config {
        None => Looked::at(&old, &new, names, &Below),
        Some(file) => {
            let loaded = input::load(file).map_err(|diagnostics| {
                input::tell(&diagnostics);
                let found = baleen_config::summary(&diagnostics);
                Failure::input(format!("{}: {found}", file.display()))
            })?;
            let own = loaded.config.logical_names();
            names.extend(own.into_iter().filter_map(|name| Path::parse(name).ok()));
            Looked::at(&old, &new, names, &Offline::new(&loaded))
        }
    };
    out::data(&match args.format {
        Format::Text => looked.text(),
        Format::Json => looked.json(),
    })?;
    if args.format == Format::Text {
        out::say(format_args!("{}", looked.summary()));
    }
    Ok(if looked.lost() == 0 { Exit::Fine } else { Exit::Broke })
}

/// A table from a file or standard input.
fn table(file: &str) -> Result<Dtab, Failure> {
    set::parse(&set::read(file)?, set::source(file))
}

/// Everything below a mount is there.
struct Below;

impl Namers for Below {
    type Cluster = ();

    fn lookup(&self, path: &Path) -> Named<()> {
        let is_inet = path.label(0) == Some(b"$") && path.label(1) == Some(b"inet");
        match path.len() {
            4.. if is_inet => Named::Cluster { cluster: (), labels: 4 },
            labels @ 3.. if path.label(0) == Some(b"#") => Named::Cluster { cluster: (), labels },
            _ => Named::Neg,
        }
    }
}

/// Whether where a name leads, in words, is nowhere: `~`, `!`, or a circle.
fn is_nowhere(words: &str) -> bool {
    words == "~" || words.starts_with('!')
}

/// What came of it.
struct Looked {
    names: usize,
    changes: Vec<Change>,
}

impl Looked {
    fn at<N: Namers>(old: &Dtab, new: &Dtab, names: BTreeSet<Path>, namers: &N) -> Looked {
        let names: Vec<Path> = names.into_iter().collect();
        let all = diff(old, new, &names, namers);
        let mut changes: Vec<Change> = Vec::new();
        for change in all {
            // In order, so a name comes before what stands for those below it, and speaks for them.
            let below = |above: &Change| {
                above.lost == change.lost
                    && above.name.len() + 1 == change.name.len()
                    && change.name.starts_with(&above.name)
            };
            let stands_for_others =
                change.name.label(change.name.len() - 1) == Some(ANY.as_bytes());
            let still_nowhere = is_nowhere(&change.before) && is_nowhere(&change.after);
            let told = stands_for_others && changes.iter().any(below);
            if !still_nowhere && !told {
                changes.push(change);
            }
        }
        Looked { changes, names: names.len() }
    }

    fn lost(&self) -> usize {
        self.changes.iter().filter(|change| change.lost).count()
    }

    /// A few lines for each name that leads elsewhere.
    fn text(&self) -> String {
        let mut text = String::new();
        for Change { name, before, after, lost } in &self.changes {
            let lost = if *lost { "   (lost)" } else { "" };
            // Writing to a String can not fail.
            let _ = writeln!(text, "{name}{lost}\n  - {before}\n  + {after}");
        }
        text
    }

    fn json(&self) -> String {
        let change = |c: &Change| {
            let name = c.name.to_string();
            json!({ "name": name, "before": c.before, "after": c.after, "lost": c.lost })
        };
        let changes: Vec<_> = self.changes.iter().map(change).collect();
        let all = json!({ "names": self.names, "lost": self.lost(), "changes": changes });
        format!("{all:#}\n")
    }

    fn summary(&self) -> String {
        let names = match self.names {
            1 => "1 known name".to_owned(),
            n => format!("{n} known names"),
        };
        match (self.changes.len(), self.lost()) {
            (0, _) => format!("nothing changes for {names}"),
            (n, 0) => format!("of {names}, {n} would lead elsewhere, and none nowhere"),
            (n, lost) => format!("of {names}, {n} would lead elsewhere, {lost} of them nowhere"),
        }
    }
}
