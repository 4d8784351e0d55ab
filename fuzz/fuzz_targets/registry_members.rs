//! Fuzzes `baleen_discovery::members::fuzz::fuzz_registry_members`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::members::fuzz::fuzz_registry_members(
    data
));
