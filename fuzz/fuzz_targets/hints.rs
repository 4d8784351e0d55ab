//! Fuzzes `baleen_proxy::fuzz::fuzz_hints`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_proxy::fuzz::fuzz_hints(data));
