//! Fuzzes `baleen_discovery::keeper::snapshot::fuzz::fuzz_names_snapshot`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::keeper::snapshot::fuzz::fuzz_names_snapshot(data));
