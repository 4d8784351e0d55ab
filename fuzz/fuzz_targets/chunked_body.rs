//! Fuzzes `baleen_http1::fuzz::fuzz_chunked_body`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_http1::fuzz::fuzz_chunked_body(data));
