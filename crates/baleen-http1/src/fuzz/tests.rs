//! Replays the committed corpora of the fuzz targets, and random bytes.

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
fn corpus_of_request_heads() {
    replay("request_head", fuzz_request_head);
}

#[test]
fn corpus_of_response_heads() {
    replay("response_head", fuzz_response_head);
}

#[test]
fn corpus_of_chunked_bodies() {
    replay("chunked_body", fuzz_chunked_body);
}

#[test]
fn corpus_of_exchanges() {
    replay("exchange", fuzz_exchange);
}

/// Bytes that are much like HTTP, so that parsing gets far.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "GET ",
        "POST ",
        "HEAD ",
        "OPTIONS ",
        "CONNECT ",
        "/",
        "*",
        "http://",
        "a",
        "b:80",
        "[::1]",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 101 x\r\n",
        "HTTP/1.0 304\r\n",
        "Host: a\r\n",
        "Host:",
        "Content-Length: 3\r\n",
        "Content-Length:",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:",
        "Connection: close\r\n",
        "Connection: upgrade\r\nUpgrade: w\r\n",
        "Connection:",
        "keep-alive",
        "X: y\r\n",
        "x",
        ":",
        " ",
        "\t",
        ",",
        ";",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "\0",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "5",
        "f",
        "?",
        "#",
        "Expect: 100-continue\r\n",
        "\u{e9}",
    ];
    let word = prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(|w| w.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_at_all(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_request_head(&data);
        fuzz_response_head(&data);
        fuzz_chunked_body(&data);
        fuzz_exchange(&data);
    }

    #[test]
    fn what_is_nearly_http(data in nearly_http()) {
        fuzz_request_head(&data);
        fuzz_response_head(&[b"\0".as_slice(), &data].concat());
        fuzz_chunked_body(&data);
        fuzz_exchange(&data);
    }
}
