//! Fuzzes `baleen_discovery::folder::fuzz::fuzz_folder_value`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::folder::fuzz::fuzz_folder_value(data));
