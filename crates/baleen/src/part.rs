//! `baleen part`: what `baleen drill` starts as processes of its own. Hidden, because nobody else has a use for it.
//!
//! Not here: what they do (`baleen_drill`). Tested: in `tests/it/part.rs`.

use std::path::PathBuf;

use baleen_drill::cast::Cast;
use baleen_drill::server::{self, Life};
use baleen_scenario::model::ServiceId;

use crate::exit::{Exit, Failure};

/// Be a part of a drill; `baleen drill` starts these.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Be one replica of a service, and tell on standard output what happens to requests
    Server(ServerArgs),
    /// Wait on standard input until the drill of a folder ends, and remove what it leaves when it died
    Watch {
        /// The drill's folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct ServerArgs {
    /// Who is where in this drill: JSON
    #[arg(long, value_name = "FILE")]
    cast: PathBuf,
    /// The name of the service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Which of its replicas, counted from 0
    #[arg(long, value_name = "N")]
    replica: u32,
    /// The replica has died before: its cache is empty
    #[arg(long)]
    anew: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.part {
        Part::Server(args) => serve(args),
        Part::Watch { folder } => {
            let (life, told) = (std::io::stdin(), std::io::stdout());
            let watched = baleen_drill::process::watch(folder, life, told);
            watched.map(|()| Exit::Fine).map_err(|e| Failure::input(e.to_string()))
        }
    }
}

fn serve(args: &ServerArgs) -> Result<Exit, Failure> {
    let path = args.cast.display();
    let text = std::fs::read_to_string(&args.cast)
        .map_err(|e| Failure::input(format!("can't read {path}: {e}")))?;
    let cast: Cast = serde_json::from_str(&text)
        .map_err(|e| Failure::input(format!("{path} is no cast of a drill: {e}")))?;
    let scenario = cast.load().map_err(Failure::input)?;
    let name = &args.service;
    let at = scenario.services.iter().position(|service| service.name == *name);
    let service = at.and_then(|at| u16::try_from(at).ok()).map(ServiceId);
    let service = service.ok_or_else(|| Failure::input(format!("there is no service `{name}`")))?;
    let life = Life { anew: args.anew };
    server::serve(&cast, service, args.replica, life)
        .map_err(|e| Failure::bind(format!("{name}/{} can't serve: {e}", args.replica), &e))?;
    Ok(Exit::Fine)
}
