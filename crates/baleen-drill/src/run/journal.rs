//! What happens in a drill, as it happens: kept for the report, and written to a file line by line.
//!
//! Bounds: [`NOTES_MAX`] lines are kept; the file takes all. Not here: what is worth a line. Tested: below.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

/// Most lines that are kept.
const NOTES_MAX: usize = 20_000;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// When, on the machine's monotonic clock, in nanoseconds.
    pub at: u64,
    /// A word, as in [`baleen_scenario::outcome::LogLine`].
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

#[derive(Default)]
struct Inner {
    notes: Vec<Note>,
    files: Vec<File>,
    /// Why lines are missing in a file.
    failed: Option<String>,
}

/// Takes notes.
#[derive(Default)]
pub struct Journal {
    epoch: AtomicU64,
    inner: Mutex<Inner>,
}

impl Journal {
    /// One that is written to a file at this path, and to another: what an earlier run wrote there goes.
    ///
    /// # Errors
    /// It can't be made.
    pub fn new(path: &Path, also: Option<&File>) -> std::io::Result<Journal> {
        let mut files = vec![File::create(path)?];
        if let Some(also) = also {
            let mut also = also.try_clone()?;
            if also.metadata()?.is_file() {
                also.set_len(0)?;
                also.rewind()?;
            }
            files.push(also);
        }
        let inner = Inner { files, ..Inner::default() };
        Ok(Journal { epoch: AtomicU64::new(0), inner: Mutex::new(inner) })
    }

    /// The run begins then: times count from it.
    pub fn begin(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line.
    pub fn note(&self, at: u64, kind: &'static str, text: impl Into<String>) {
        let text = text.into();
        let epoch = self.epoch.load(Ordering::Relaxed);
        // Negative before the run begins; null before it is known when it will.
        let at_s = (epoch > 0).then(|| (at as f64 - epoch as f64) / 1e9);
        let line = json!({"at_s": at_s, "kind": kind, "text": text});
        let mut inner = self.lock();
        let line = format!("{line}\n");
        // A full disk must not end the drill before its faults are undone.
        let written = inner.files.iter_mut().map(|file| file.write_all(line.as_bytes()));
        let failed = written.filter_map(Result::err).last();
        if let Some(e) = failed {
            inner.failed.get_or_insert_with(|| e.to_string());
        }
        if inner.notes.len() < NOTES_MAX {
            inner.notes.push(Note { at, kind, text });
        }
    }

    /// Why lines are missing in a file, if they are.
    pub fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// All lines that were kept, in order of time.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = self.lock().notes.clone();
        notes.sort_by_key(|note| note.at);
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal.jsonl");
        let journal = Journal::new(&path, None).expect("a file");
        journal.note(5, "process", "before \"it\" begins\n");
        journal.begin(2_000_000_000);
        journal.note(3_500_000_000, "fault", "second");
        journal.note(3_000_000_000, "fault", "first");
        let text = std::fs::read_to_string(&path).expect("a file");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines[0]["at_s"], serde_json::Value::Null);
        assert_eq!(lines[1], json!({"at_s": 1.5, "kind": "fault", "text": "second"}));
        let texts: Vec<String> = journal.notes().into_iter().map(|n| n.text).collect();
        assert_eq!(texts[1..], ["first", "second"]);
    }

    #[test]
    fn another_file_has_the_last_run_and_a_full_disk_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let [path, other] = ["journal.jsonl", "other"].map(|name| dir.path().join(name));
        let also = File::create(&other).expect("a file");
        for text in ["of the first run, which is longer", "second"] {
            let journal = Journal::new(&path, Some(&also)).expect("files");
            journal.note(1, "fault", text);
            assert_eq!(journal.failed(), None);
        }
        let [text, copy] = [&path, &other].map(|path| std::fs::read_to_string(path).expect("text"));
        assert!(text.contains("second") && text.lines().count() == 1, "{text}");
        assert_eq!(text, copy);
        let full = File::options().write(true).open("/dev/full").expect("it is there");
        let journal = Journal::new(&path, Some(&full)).expect("files");
        journal.note(1, "fault", "lost");
        assert!(journal.failed().is_some());
    }
}
