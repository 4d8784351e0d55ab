//! Replays the committed corpora of the fuzz targets, and random heads.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Every file of the corpus of `target`, in order of name.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{} has {} files", folder.display(), files.len());
    for file in files {
        let data = std::fs::read(&file).expect("readable file");
        let ran = std::panic::catch_unwind(|| body(&data));
        assert!(ran.is_ok(), "replay: {} breaks {target}", file.display());
    }
}

#[test]
fn corpus_of_facts() {
    replay("facts", fuzz_facts);
}

#[test]
fn corpus_of_hints() {
    replay("hints", fuzz_hints);
}

/// Lines of heads that say something to policy, well and badly.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&str] = &[
        "baleen-deadline",
        "Baleen-Deadline",
        "baleen_deadline",
        "grpc-timeout",
        "x-envoy-expected-rq-timeout-ms",
        "l5d-ctx-deadline",
        "baleen-priority",
        "Baleen_Priority",
        "baleen-attempt",
        "x-envoy-attempt-count",
        "grpc-previous-rpc-attempts",
        "grpc-status",
        "Retry-After",
        "grpc-retry-pushback-ms",
        "baleen-admit",
        "baleen-load",
        "Connection",
        "Cookie",
        "x-user",
    ];
    const VALUES: &[&str] = &[
        "0",
        "1",
        "7",
        "8",
        "250",
        "1023",
        "1024",
        "99999999",
        "999999999",
        "1000000000",
        "-1",
        "1H",
        "27777S",
        "99999999m",
        "5u",
        "1 1700000000250000000",
        "1 1699999999950000000",
        "1 1700003600000000000",
        "in-flight=3, latency-us=1200",
        "in-flight=3, in-flight=3, latency-us=1",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "baleen-deadline, baleen-priority",
        "sid=a; sid=b",
        "",
    ];
    let line = (prop::sample::select(NAMES), prop::sample::select(VALUES));
    let line = line.prop_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes());
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_at_all(data in prop::collection::vec(any::<u8>(), 0..100)) {
        fuzz_facts(&data);
        fuzz_hints(&data);
    }

    #[test]
    fn heads_that_say_something(now in any::<[u8; 3]>(), lines in lines()) {
        fuzz_facts(&[&now, b"GET /a?b HTTP/1.1\r\nHost: a\r\n".as_slice(), &lines, b"\r\n"].concat());
        fuzz_hints(&[&now[..1], b"HTTP/1.1 200 OK\r\n", &lines, b"\r\n"].concat());
    }
}
