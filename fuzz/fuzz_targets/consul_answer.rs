//! Fuzzes `baleen_discovery::consul::fuzz::fuzz_consul_answer`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::consul::fuzz::fuzz_consul_answer(data));
