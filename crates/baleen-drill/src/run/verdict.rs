//! Whether a run says anything: a generator that could not keep up, a machine without time left, or lost events must never look
//! like a result.
//!
//! Not here: faults whose effect was not seen, processes that ended unasked (`director`, `scene`). Tested: below.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use crate::sample::{BUSY, Sample, busy_share};
use crate::server::LOST;
use crate::workload::{LATE_NS, Told};

/// More than this share of calls begun late, or never, and the generator did not keep up.
const LATE_SHARE_MAX: f64 = 0.01;
/// In more than this share of the seconds the machine may not be without time left.
const BUSY_SHARE_MAX: f64 = 0.1;
/// Processors that the thread which makes calls may use: it has just one.
const CLIENT_MAX: f64 = 0.9;
/// Share of a second for which a quota may keep this machine's processors from us.
const THROTTLED_MAX: f64 = 0.05;
/// Of more than this share of the answered calls access logs may not be silent.
const SILENT_SHARE_MAX: f64 = 0.001;
/// What is read of a line of a log.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// How well the generator kept up.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Generator {
    /// Calls that were due.
    pub due: u64,
    /// Begun late.
    pub late: u64,
    /// Never begun.
    pub skipped: u64,
    /// Tries for which this machine had no descriptor, port or memory.
    pub starved: u64,
    /// The latest that a call was said to be due, in milliseconds.
    pub lag_max_ms: f64,
}

impl Generator {
    /// Of what clients told.
    #[must_use]
    pub fn of(told: &Told) -> Generator {
        Generator {
            due: told.done.len() as u64 + told.left_out + told.skipped + told.cut,
            late: told.late,
            skipped: told.skipped,
            starved: told.starved,
            lag_max_ms: told.lag_max_ns as f64 / 1e6,
        }
    }
}

/// What was lost of what was told.
#[must_use]
pub fn lost(told: &Told, events: u64, folder: &Path) -> Vec<String> {
    let mut why = Vec::new();
    if told.left_out > 0 {
        why.push(format!("{} calls were too many to be kept", told.left_out));
    }
    if told.starved > 0 {
        let n = told.starved;
        why.push(format!("for {n} tries this machine had no descriptor, port or memory"));
    }
    if events > 0 {
        why.push(format!("{events} events of servers were too many to be kept"));
    }
    let logs = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    for log in logs.filter(|path| path.extension().is_some_and(|e| e == "log")) {
        let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("access-") {
            let said = File::open(&log).ok().and_then(|log| said(BufReader::new(log)));
            why.extend(said.map(|said| format!("{name}: {said}")));
        }
    }
    why.sort();
    why
}

/// The first line that begins with [`LOST`], without it.
fn said(mut log: impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if let Some(said) = line.strip_prefix(LOST.as_bytes()) {
            return Some(String::from_utf8_lossy(said).trim().to_owned());
        }
    }
}

/// What answered calls without a line in an access log mean: `Ok` for a note.
#[must_use]
pub fn silent(silent: u64, answered: u64) -> Option<Result<String, String>> {
    let why = format!(
        "of {answered} answered calls {silent} are in no access log: how often they were tried is not known"
    );
    let void = silent as f64 > SILENT_SHARE_MAX * answered as f64;
    (silent > 0).then_some(if void { Err(why) } else { Ok(why) })
}

/// Whether generator or machine had no time left.
#[must_use]
pub fn tired(generator: &Generator, busy: &[Sample]) -> Vec<String> {
    let mut why = Vec::new();
    let Generator { due, late, skipped, .. } = *generator;
    if (late + skipped) as f64 > LATE_SHARE_MAX * due as f64 {
        let ms = LATE_NS / 1_000_000;
        why.push(format!(
            "the generator could not keep up: of {due} calls {late} began more than {ms} ms late, {skipped} never"
        ));
    }
    let share = busy_share(busy);
    if share > BUSY_SHARE_MAX {
        let (share, busy) = (share * 100.0, BUSY * 100.0);
        why.push(format!(
            "in {share:.0} % of the seconds all processors were more than {busy:.0} % busy"
        ));
    }
    let share =
        |is: fn(&&Sample) -> bool| busy.iter().filter(is).count() as f64 / busy.len().max(1) as f64;
    let full = share(|s| s.client > CLIENT_MAX);
    if full > BUSY_SHARE_MAX {
        let (full, most) = (full * 100.0, CLIENT_MAX * 100.0);
        why.push(format!(
            "in {full:.0} % of the seconds the thread that makes calls was more than {most:.0} % busy"
        ));
    }
    let kept = share(|s| s.throttled > THROTTLED_MAX);
    if kept > BUSY_SHARE_MAX {
        let kept = kept * 100.0;
        why.push(format!("in {kept:.0} % of the seconds a quota kept processors from the drill"));
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_calls_make_it_void() {
        let generator = Generator { due: 1000, late: 6, skipped: 4, ..Generator::default() };
        assert!(tired(&generator, &[]).is_empty());
        let why = tired(&Generator { skipped: 5, ..generator }, &[]);
        assert!(why[0].starts_with("the generator could not keep up: of 1000 calls 6"), "{why:?}");
        assert!(tired(&Generator::default(), &[]).is_empty());
    }

    fn quiet() -> Sample {
        let processes = Default::default();
        Sample { at_s: 1.0, machine: 0.2, own: 0.1, client: 0.1, throttled: 0.0, processes }
    }

    #[test]
    fn a_full_client_thread_makes_it_void_where_the_machine_has_time() {
        let mut busy = vec![quiet(); 9];
        busy.extend(vec![Sample { client: 0.97, ..quiet() }; 1]);
        assert!(tired(&Generator::default(), &busy).is_empty());
        busy.extend(vec![Sample { client: 0.97, ..quiet() }; 1]);
        let why = tired(&Generator::default(), &busy);
        assert!(why.len() == 1 && why[0].contains("the thread that makes calls"), "{why:?}");
    }

    #[test]
    fn a_quota_that_keeps_processors_makes_it_void() {
        let busy = [quiet(), Sample { throttled: 0.04, ..quiet() }];
        assert!(tired(&Generator::default(), &busy).is_empty());
        let busy = [quiet(), Sample { throttled: 0.06, ..quiet() }];
        let why = tired(&Generator::default(), &busy);
        assert!(why.len() == 1 && why[0].contains("a quota"), "{why:?}");
    }

    #[test]
    fn calls_that_no_access_log_has_make_it_void() {
        assert_eq!(silent(0, 0), None);
        assert!(silent(1, 1000).expect("said").is_ok());
        assert!(silent(2, 1000).expect("said").is_err());
        assert!(silent(1, 1).expect("said").is_err());
    }

    #[test]
    fn a_machine_without_time_makes_it_void() {
        let of = |machine| Sample { machine, ..quiet() };
        let mut busy: Vec<Sample> = vec![of(0.5); 19];
        busy.push(of(0.99));
        assert!(tired(&Generator::default(), &busy).is_empty());
        busy.truncate(9);
        busy.push(of(0.96));
        busy.push(of(1.0));
        assert_eq!(tired(&Generator::default(), &busy).len(), 1);
    }

    #[test]
    fn what_servers_could_not_tell_is_found_in_their_logs() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = "x".repeat(9_000);
        let text = format!("it began\n\u{fffd}{long}\n{LOST}7 events are lost\n{LOST}more\n");
        std::fs::write(dir.path().join("web-0.log"), text).expect("written");
        let text = format!("all is well, not {LOST}\n");
        std::fs::write(dir.path().join("web-1.log"), text).expect("written");
        let told = Told { starved: 1, ..Told::default() };
        let why = lost(&told, 3, dir.path());
        assert_eq!(why.len(), 3, "{why:?}");
        assert!(why.contains(&"web-0: 7 events are lost".to_owned()));
        assert!(lost(&Told::default(), 0, Path::new("/nowhere/at/all")).is_empty());
    }
}
