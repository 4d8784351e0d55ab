//! Tests of the scenario file as its users see it: what it means, what its mistakes look like. Hostile input: `src/fuzz.rs`.

mod meaning;
mod mistakes;
mod reference;
mod set;
mod support;
