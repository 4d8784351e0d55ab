//! `baleen plan`: capacity arithmetic, before anything is bought or run.
//!
//! Raw arguments are read here; the arithmetic is `baleen_scenario::plan`. Tested: in `tests/planning.rs`.

use std::fmt::Write;

use baleen_scenario::plan::{
    self, COMPRESSION, Cores, CoresAsk, Survivors, Volume, bytes, count, parse_bytes, parse_count,
    parse_percent, percent,
};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::out;

/// Capacity arithmetic: what survivors get, how many servers a rate needs, how much is written
///
/// Say at least one of `--servers` (what is left for each as servers go), `--per-core` (how many servers) and `--record` (how
/// many bytes). Numbers take k, M, G: 100k is 100,000.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    baleen plan --rate 100k --servers 8 --limit 15k\n  \
    baleen plan --rate 10k --per-core 10 --cores 32 --headroom 20%\n  \
    baleen plan --rate 10k --record 1KB")]
pub struct Args {
    /// Requests (or records) per second, of all together
    #[arg(long, value_parser = parse_count)]
    rate: f64,
    /// How many servers there are
    #[arg(long, value_name = "N")]
    servers: Option<u32>,
    /// Requests per second that one server can carry
    #[arg(long, value_name = "RATE", value_parser = parse_count, requires = "servers")]
    limit: Option<f64>,
    /// Requests per second that one core can carry
    #[arg(long, value_name = "RATE", value_parser = parse_count, requires = "cores")]
    per_core: Option<f64>,
    /// Cores of one server
    #[arg(long, value_name = "N", requires = "per_core")]
    cores: Option<u32>,
    /// Share of capacity that is to stay free
    #[arg(long, value_name = "SHARE", value_parser = parse_percent, requires = "per_core")]
    headroom: Option<f64>,
    /// Failure domains (racks, zones) that the servers are spread over; one of them can be lost
    #[arg(long, value_name = "N", default_value_t = 3)]
    domains: u32,
    /// Size of a record; 1KB is 1000 bytes, 1KiB is 1024
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    record: Option<f64>,
    /// How many times smaller records become when they are compressed
    #[arg(long, value_name = "FACTOR", default_value_t = COMPRESSION)]
    compression: f64,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let survivors = args.servers.map(|n| plan::survivors(args.rate, n, args.limit));
    let survivors = survivors.transpose().map_err(Failure::input)?;
    let cores = args.per_core.zip(args.cores).map(|(per_core, cores)| {
        let headroom = args.headroom.unwrap_or(0.0);
        plan::cores(&CoresAsk { rate: args.rate, per_core, cores, headroom, domains: args.domains })
    });
    let cores = cores.transpose().map_err(Failure::input)?;
    let volume = args.record.map(|size| plan::volume(args.rate, size, args.compression));
    let volume = volume.transpose().map_err(Failure::input)?;
    if survivors.is_none() && cores.is_none() && volume.is_none() {
        let failure = Failure::input("there is nothing to plan: a rate alone says nothing");
        return Err(failure.hint("add --servers 8, or --per-core 10 --cores 32, or --record 1KB"));
    }
    let text = match args.format {
        Format::Json => json_text(survivors.as_ref(), cores.as_ref(), volume.as_ref()),
        Format::Text => {
            let parts = [
                survivors.as_ref().map(survivors_text),
                cores.as_ref().map(cores_text),
                volume.as_ref().map(volume_text),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
        }
    };
    out::data(&text)?;
    Ok(Exit::Fine)
}

fn json_text(s: Option<&Survivors>, c: Option<&Cores>, v: Option<&Volume>) -> String {
    let parts = [
        ("survivors", s.map(|s| json!(s))),
        ("cores", c.map(|c| json!(c))),
        ("volume", v.map(|v| json!(v))),
    ];
    let found = parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), part?)));
    format!("{}\n", Value::Object(found.collect::<Map<_, _>>()))
}

fn arithmetic(text: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn survivors_text(s: &Survivors) -> String {
    let paint = out::Paint::stdout();
    let title = format!("{}/s over {} servers, as they go", count(s.rate), s.servers);
    let mut text = format!("{}\n", paint.bold(title));
    let _ =
        writeln!(text, "  {:>6} {:>6} {:>9} {:>8} {:>8}", "lost", "left", "each", "more", "step");
    for row in &s.rows {
        let (more, step) = match row.lost {
            0 => (String::new(), String::new()),
            _ => (format!("+{}", percent(row.growth)), format!("+{}", percent(row.step))),
        };
        let over =
            if row.within == Some(false) { paint.red("  above the limit") } else { String::new() };
        let line =
            format!("  {:>6} {:>6} {:>9} {more:>8} {step:>8}", row.lost, row.left, count(row.each));
        let _ = writeln!(text, "{}{over}", line.trim_end());
    }
    arithmetic(&mut text, &s.arithmetic);
    if let Some(verdict) = &s.verdict {
        let _ = writeln!(text, "{}", paint.bold(verdict));
    }
    text
}

fn cores_text(c: &Cores) -> String {
    let paint = out::Paint::stdout();
    let mut text = format!("{}\n", paint.bold("cores and servers"));
    arithmetic(&mut text, &c.arithmetic);
    let headroom = match c.with_headroom > c.servers {
        true => format!(", {} with headroom", count(c.with_headroom)),
        false => String::new(),
    };
    let verdict = format!(
        "{} cores, {} servers{headroom}; {} to lose one of {} domains",
        count(c.cores),
        count(c.servers),
        count(c.domains.servers),
        c.domains.domains
    );
    let _ = writeln!(text, "{}", paint.bold(verdict));
    text
}

fn volume_text(v: &Volume) -> String {
    let paint = out::Paint::stdout();
    let mut text = format!("{}\n", paint.bold("volume"));
    arithmetic(&mut text, &v.arithmetic);
    let year = format!("{}/year", bytes(v.compressed_per_day * 365.0));
    let verdict =
        format!("{}; compressed {} times: {}, {year}", v.plain(), v.compression, v.compressed());
    let _ = writeln!(text, "{}", paint.bold(verdict));
    text
}
