//! Fuzzes `baleen_discovery::kubernetes::fuzz::fuzz_kubernetes_watch`, where the properties are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| baleen_discovery::kubernetes::fuzz::fuzz_kubernetes_watch(data));
