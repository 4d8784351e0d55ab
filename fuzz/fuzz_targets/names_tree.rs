//! Fuzzes `baleen_names::fuzz::fuzz_tree`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_names::fuzz::fuzz_tree(data));
