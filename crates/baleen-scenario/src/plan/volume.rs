//! How much a rate of records is, per second and per day, and what is left of it compressed.
//!
//! Tested: in `tests.rs`.

use serde::Serialize;

use super::{bytes, count, positive};

/// How many times smaller records become, unless told otherwise: what general compressors (zstd, gzip) make of logs and JSON is
/// between 4 and 10; a measurement of your own records is better.
pub const COMPRESSION: f64 = 5.0;
const DAY_SECONDS: f64 = 86_400.0;

/// A rate of records, in bytes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Volume {
    /// Bytes per second.
    pub per_second: f64,
    /// Bytes per day.
    pub per_day: f64,
    /// How many times smaller.
    pub compression: f64,
    /// Bytes per second, compressed.
    pub compressed_per_second: f64,
    /// Bytes per day, compressed.
    pub compressed_per_day: f64,
    /// How it was found.
    pub arithmetic: Vec<String>,
}

impl Volume {
    /// `10 MB/s, 0.86 TB/day`.
    #[must_use]
    pub fn plain(&self) -> String {
        both(self.per_second)
    }

    /// The same, compressed.
    #[must_use]
    pub fn compressed(&self) -> String {
        both(self.compressed_per_second)
    }
}

/// How much records of this size are.
///
/// # Errors
/// What is out of bounds.
pub fn volume(rate: f64, record_bytes: f64, compression: f64) -> Result<Volume, String> {
    let rate = positive("the rate", rate)?;
    let record = positive("the size of a record", record_bytes)?;
    if !(1.0..=1000.0).contains(&compression) {
        return Err("the compression is not within 1 and 1000".to_owned());
    }
    let per_second = rate * record;
    let compressed = per_second / compression;
    let arithmetic = vec![
        format!("{} x {} = {}/s", count(rate), bytes(record), bytes(per_second)),
        format!("{}/s x 86400 s = {}/day", bytes(per_second), daily(per_second * DAY_SECONDS)),
        format!(
            "{}/s / {compression} = {}/s = {}/day",
            bytes(per_second),
            bytes(compressed),
            daily(compressed * DAY_SECONDS)
        ),
    ];
    Ok(Volume {
        per_second,
        per_day: per_second * DAY_SECONDS,
        compression,
        compressed_per_second: compressed,
        compressed_per_day: compressed * DAY_SECONDS,
        arithmetic,
    })
}

fn both(per_second: f64) -> String {
    format!("{}/s, {}/day", bytes(per_second), daily(per_second * DAY_SECONDS))
}

/// Disks are counted in TB: from a tenth of one on.
fn daily(value: f64) -> String {
    if (1e11..1e12).contains(&value) { format!("{:.2} TB", value / 1e12) } else { bytes(value) }
}
