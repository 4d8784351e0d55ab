//! `baleen explain`: where a logical name leads, step by step, down to endpoints.
//!
//! Without a running proxy from the configuration, its services files and what registries said last (on the disk); with
//! `--live` as the running one sees it. Exit 0 when the name leads somewhere, 1 when it leads nowhere, 2 for bad input.
//! Not here: delegation (`baleen-names`). Tested: in `tests/it/explain.rs`.

use std::path::PathBuf;

use baleen_config::Names;
use baleen_discovery::store::follower::last_good;
use baleen_drill::fault::{Client, ClientError};
use baleen_names::{Dtab, NameTree, Node, ParseError, Path, bind, delegate};
use clap::ValueEnum;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::offline::Offline;
use crate::{input, out};

/// Show where a logical name leads: each step, the entry that fired for it, and the endpoints at its end.
#[derive(clap::Args)]
pub struct Args {
    /// The logical name, such as /svc/web
    name: String,
    /// A delegation table to put over the base table, as a request's `baleen-dtab` would
    #[arg(long, value_name = "DTAB", default_value = "")]
    dtab: String,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "baleen.toml")]
    config: PathBuf,
    /// Ask a running proxy instead: the address of its admin pages
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    live: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree for people
    Text,
    /// One JSON object
    Json,
}

/// A name explained.
pub struct Explained {
    /// Each step.
    pub node: Node,
    /// What it comes to, as a tree of bound paths.
    pub bound: String,
    /// It leads somewhere.
    pub leads: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let name = parse("name", &args.name, Path::parse)?;
    let over = parse("table", &args.dtab, Dtab::parse)?;
    let explained = match &args.live {
        Some(url) => live(url, args)?,
        None => offline(&args.config, &name, &over)?,
    };
    let Explained { node, bound, leads } = &explained;
    out::data(&match args.format {
        Format::Text => format!("{}\nleads to: {bound}\n", node.text()),
        Format::Json => {
            let all = json!({ "leads": leads, "bound": bound, "delegation": node });
            format!("{all:#}\n")
        }
    })?;
    Ok(if *leads { Exit::Fine } else { Exit::Broke })
}

/// Reads a name or a table; a mistake is shown with its place.
pub fn parse<T>(
    what: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    parse(text).map_err(|e| Failure::input(format!("this is no {what}: {e}\n{}", e.caret(text))))
}

fn offline(config: &std::path::Path, name: &Path, over: &Dtab) -> Result<Explained, Failure> {
    let loaded = input::load(config).map_err(|diagnostics| {
        input::tell(&diagnostics);
        let found = baleen_config::summary(&diagnostics);
        Failure::input(format!("{}: {found}", config.display()))
    })?;
    let known = Offline::new(&loaded);
    let base = base(&loaded.config.names)?;
    let layers = [&base, over];
    let node = baleen_names::explain(
        &delegate(&layers, name, &known),
        &[("base", &base), ("override", over)],
        &|leaf| known.describe(leaf),
    );
    let (bound, leads) = match bind(&layers, name, &known) {
        Ok(b) => {
            let leads = !matches!(b.tree, NameTree::Neg | NameTree::Fail) || !b.pending.is_empty();
            (b.tree.to_string(), leads)
        }
        Err(error) => (format!("! ({error})"), false),
    };
    Ok(Explained { node, bound, leads })
}

/// The base table: of a store what was kept of it on the disk, and after it what the configuration itself says.
fn base(names: &Names) -> Result<Dtab, Failure> {
    if names.store.is_none() {
        return Ok(names.dtab.clone());
    }
    let ns = &names.namespace;
    let file = names.state_dir.as_ref().map(|dir| dir.join(format!("{ns}.table")));
    let last = match file.as_deref().map(last_good) {
        Some(Ok(Some(record))) => record.dtab,
        Some(Err(why)) => {
            return Err(Failure::input(format!(
                "what was kept of table {ns} can't be read: {why}"
            )));
        }
        Some(Ok(None)) | None => {
            let why =
                format!("table {ns} is in a store, and nothing of it was kept on the disk yet");
            return Err(Failure::input(why).hint("ask a running proxy: --live http://ADMIN"));
        }
    };
    let table = parse("table", &last.unwrap_or_default(), Dtab::parse)?;
    let too_long = || Failure::input(format!("table {ns} is too long"));
    table.concat(&names.dtab).ok_or_else(too_long)
}

fn live(url: &str, args: &Args) -> Result<Explained, Failure> {
    let (name, dtab) = (Client::encode(&args.name), Client::encode(&args.dtab));
    let answer = Client::new(url).ask("GET", &format!("/explain?name={name}&dtab={dtab}"), None);
    let answer = answer.map_err(|e| match e {
        ClientError::Refused { status: ..500, .. } => Failure::input(e.to_string()),
        _ => Failure::environment(format!("{url}: {e}"))
            .hint("the admin pages of a running `baleen run` answer this: `[admin] listen`"),
    })?;
    let foreign = || Failure::environment(format!("{url} answered something else"));
    Ok(Explained {
        node: serde_json::from_value(answer["delegation"].clone()).map_err(|_| foreign())?,
        bound: answer["bound"].as_str().ok_or_else(foreign)?.to_owned(),
        leads: answer["leads"].as_bool().ok_or_else(foreign)?,
    })
}
