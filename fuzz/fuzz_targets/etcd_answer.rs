//! Fuzzes `baleen_discovery::etcd::fuzz::fuzz_etcd_answer`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::etcd::fuzz::fuzz_etcd_answer(data));
