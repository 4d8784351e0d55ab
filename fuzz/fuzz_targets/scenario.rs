//! Fuzzes `baleen_scenario::fuzz::fuzz_scenario`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_scenario::fuzz::fuzz_scenario(data));
