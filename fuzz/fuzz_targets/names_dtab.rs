//! Fuzzes `baleen_names::fuzz::fuzz_dtab`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_names::fuzz::fuzz_dtab(data));
