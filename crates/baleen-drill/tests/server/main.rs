//! The built-in server of drills over real sockets: what it does with requests, and what it tells of them.
//!
//! Nothing sleeps to be on time: states are awaited through `/_drill`, ends by answers. Times are only bounded from below, or by
//! their median.

mod errors;
mod gone;
mod own_calls;
mod places;
mod support;
mod talk;
mod time;
