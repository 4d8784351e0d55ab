//! Capacity arithmetic: what survivors get, how many cores and servers a rate needs, how much is written.
//!
//! Nothing is run and no file is read: a few numbers in, a few numbers out, each with the arithmetic that gave it, so that a
//! person can follow it and argue with it. Results are data and can be written as JSON.
//!
//! | file | question |
//! |---|---|
//! | `survivors.rs` | servers die one after the other: what does each of the rest get, and when does it cascade? |
//! | `cores.rs` | how many servers does a rate need, with headroom, and with a failure domain to lose? |
//! | `volume.rs` | how much is that per second and per day, and compressed? |
//! | `number.rs` | `100k`, `1KB`, `20%`, read and written |
//!
//! Bounds: [`SERVERS_MAX`], [`RATE_MAX`]. Not here: what a scenario says (`lint`). Tested: in `tests.rs`.

mod cores;
mod number;
mod survivors;
#[cfg(test)]
mod tests;
mod volume;

pub use cores::{Cores, CoresAsk, Domains, cores};
pub use number::{bytes, count, parse_bytes, parse_count, parse_percent, percent};
pub use survivors::{Survivor, Survivors, survivors};
pub use volume::{COMPRESSION, Volume, volume};

/// Most servers, cores of one, and failure domains.
pub const SERVERS_MAX: u32 = 1_000_000;
/// Greatest rate, and greatest of anything that is counted.
pub const RATE_MAX: f64 = 1e15;

/// A rate is a number above zero; what arithmetic can be made with. Otherwise why not.
fn positive(what: &str, value: f64) -> Result<f64, String> {
    if value > 0.0 && value <= RATE_MAX {
        Ok(value)
    } else {
        Err(format!("{what} is not above 0 and at most {}", count(RATE_MAX)))
    }
}

/// So many there can be. Otherwise why not.
fn number_of(what: &str, value: u32, least: u32) -> Result<f64, String> {
    if (least..=SERVERS_MAX).contains(&value) {
        Ok(f64::from(value))
    } else {
        Err(format!("{what} is not within {least} and {SERVERS_MAX}"))
    }
}

/// The least whole number that is not below; what is a billionth above a whole number comes from division and is that number.
fn up(value: f64) -> f64 {
    (value - value * 1e-9).ceil()
}
