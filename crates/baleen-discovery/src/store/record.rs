//! What the store keeps for a namespace: JSON, with its bounds.
//!
//! ```json
//! {"format":1,"version":7,"dtab":"/svc => /#/etcd;","by":"ann@box","at_ms":1763719200000,"note":"why",
//!  "staged":{"id":"8-1763719300000","dtab":"…","shares":[1,10,100],"step":0,"bake_ms":60000,
//!            "started_ms":1763719300000,"deadline_ms":1763719390000,"by":"ann@box","note":"why"}}
//! ```
//!
//! `dtab` is the text as it was written, comments included, or `null` once the namespace was deleted: its number goes on
//! counting, so that a version never means two tables. Fields that are not known are left alone in reading and lost in writing;
//! a higher `format` is refused.
//!
//! Bounds: the constants below. Not here: keys, writing (`store.rs`), what the text means (`baleen-names`). Tested:
//! `store/tests.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kv::VALUE_BYTES_MAX;

/// Most bytes of a table's text.
pub const TABLE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of who.
pub const BY_BYTES_MAX: usize = 256;
/// Most bytes of why.
pub const NOTE_BYTES_MAX: usize = 1024;
/// Most steps of a staged change.
pub const STEPS_MAX: usize = 16;
/// Shortest and longest that a step bakes.
pub const BAKE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));
/// How much longer than it bakes a step may last before whoever has the change takes its driver for dead.
pub const GRACE: Duration = Duration::from_secs(30);
/// What this program writes.
const FORMAT: u32 = 1;

/// Who changed something, when and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// Who.
    pub by: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Why; may be empty.
    pub why: String,
}

/// A namespace's table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    pub(super) format: u32,
    /// Counts changes of the table, from 1.
    pub version: u64,
    /// The table's text; nothing once it was deleted.
    pub dtab: Option<String>,
    /// Who wrote this version.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why; may be empty.
    #[serde(default)]
    pub note: String,
    /// The change that some have taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
}

/// A change that a growing share of proxies takes first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Staged {
    /// What it is called: its version to be, and when it began.
    pub id: String,
    /// The table's text, if it succeeds.
    pub dtab: String,
    /// Percent of proxies that take it, by steps; rising, to 100.
    pub shares: Vec<f64>,
    /// Which step it is at, from 0.
    pub step: usize,
    /// How long a step is watched.
    pub bake_ms: u64,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this step should have been followed by the next, by its driver's clock: for people and for who wants to change
    /// something next. Proxies go by their own clocks.
    pub deadline_ms: u64,
    /// Who drives it.
    pub by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub note: String,
}

impl Note {
    /// Made to fit its bounds: what is longer is cut, and control characters are spaces.
    #[must_use]
    pub fn new(by: &str, at_ms: u64, why: &str) -> Note {
        Note { by: cut(by, BY_BYTES_MAX), at_ms, why: cut(why, NOTE_BYTES_MAX) }
    }
}

fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Record {
    /// A version of a table.
    #[must_use]
    pub fn new(version: u64, dtab: Option<String>, note: &Note) -> Record {
        let Note { by, at_ms, why } = note.clone();
        Record { format: FORMAT, version, dtab, by, at_ms, note: why, staged: None }
    }

    /// Read what the store has.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Record, String> {
        let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if record.format != FORMAT {
            let format = record.format;
            return Err(format!("its format is {format}; this program knows {FORMAT}"));
        }
        record.check()?;
        Ok(record)
    }

    /// As the store keeps it.
    ///
    /// # Errors
    ///
    /// What is out of bounds.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(|e| e.to_string())?;
        if bytes.len() > VALUE_BYTES_MAX {
            let len = bytes.len();
            return Err(format!("it takes {len} bytes; a store keeps at most {VALUE_BYTES_MAX}"));
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), String> {
        let long = |what, is: usize, most| match is > most {
            true => Err(format!("{what} has {is} bytes; at most {most}")),
            false => Ok(()),
        };
        if self.version == 0 {
            return Err("a version is not 0".to_owned());
        }
        long("the table", self.dtab.as_ref().map_or(0, String::len), TABLE_BYTES_MAX)?;
        long("`by`", self.by.len(), BY_BYTES_MAX)?;
        long("`note`", self.note.len(), NOTE_BYTES_MAX)?;
        let Some(staged) = &self.staged else { return Ok(()) };
        if self.dtab.is_none() {
            return Err("a deleted table has no staged change".to_owned());
        }
        long("the staged table", staged.dtab.len(), TABLE_BYTES_MAX)?;
        long("`by`", staged.by.len(), BY_BYTES_MAX)?;
        long("`note`", staged.note.len(), NOTE_BYTES_MAX)?;
        let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if staged.id.is_empty() || staged.id.len() > 64 || !staged.id.bytes().all(is_id) {
            return Err("a change's id is 1 to 64 letters, digits and `-`".to_owned());
        }
        check_shares(&staged.shares)?;
        if staged.step >= staged.shares.len() {
            return Err(format!("step {} of {}", staged.step, staged.shares.len()));
        }
        check_bake(staged.bake())
    }
}

impl Staged {
    /// A change at its first step.
    #[must_use]
    pub fn new(id: String, dtab: String, shares: Vec<f64>, bake: Duration, note: &Note) -> Staged {
        let bake_ms = u64::try_from(bake.as_millis()).unwrap_or(u64::MAX);
        let Note { by, at_ms, why } = note.clone();
        let staged = Staged {
            id,
            dtab,
            shares,
            step: 0,
            bake_ms,
            started_ms: at_ms,
            deadline_ms: 0,
            by,
            note: why,
        };
        staged.at(0, at_ms)
    }

    /// The same at another step, which begins now.
    #[must_use]
    pub fn at(&self, step: usize, now_ms: u64) -> Staged {
        let patience = u64::try_from(self.patience().as_millis()).unwrap_or(u64::MAX);
        Staged { step, deadline_ms: now_ms.saturating_add(patience), ..self.clone() }
    }

    /// How long a step is watched.
    #[must_use]
    pub fn bake(&self) -> Duration {
        Duration::from_millis(self.bake_ms)
    }

    /// How long a step lasts at most while its driver is alive.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.bake().saturating_add(GRACE)
    }

    /// Which share of proxies has it now, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.shares.get(self.step).map_or(0.0, |percent| percent / 100.0)
    }
}

/// Whether these can be the shares of a staged change: percent, rising, to 100.
///
/// # Errors
///
/// Why not.
pub fn check_shares(shares: &[f64]) -> Result<(), String> {
    if shares.is_empty() || shares.len() > STEPS_MAX {
        return Err(format!("a change has 1 to {STEPS_MAX} steps, not {}", shares.len()));
    }
    if shares.iter().any(|s| !(*s > 0.0 && *s <= 100.0)) {
        return Err("a step is more than 0 and at most 100 percent".to_owned());
    }
    if shares.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("each step is more than the one before".to_owned());
    }
    match shares.last() {
        Some(last) if *last < 100.0 => Err("the last step is 100 percent".to_owned()),
        _ => Ok(()),
    }
}

/// Whether a step can bake so long.
///
/// # Errors
///
/// Why not.
pub fn check_bake(bake: Duration) -> Result<(), String> {
    let (least, most) = BAKE;
    match bake < least || bake > most {
        true => Err(format!("a step bakes {least:?} to {most:?}, not {bake:?}")),
        false => Ok(()),
    }
}
