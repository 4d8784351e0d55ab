//! Fuzzes `baleen_http1::fuzz::fuzz_request_head`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_http1::fuzz::fuzz_request_head(data));
