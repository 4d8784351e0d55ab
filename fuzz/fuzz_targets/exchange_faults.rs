//! Fuzzes `baleen_fault::fuzz::fuzz_filter`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_fault::fuzz::fuzz_filter(data));
