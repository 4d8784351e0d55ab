//! Input that wants to break the reader: no panic, bounded output, every diagnostic renders.

use std::fmt::Write;
use std::path::Path;

use baleen_config::{
    DIAGNOSTICS_MAX, Look, parse_endpoint, parse_services, parse_str, render, to_json,
};
use proptest::prelude::*;

/// Reads it and shows what is wrong in every way there is.
fn read(text: &str) {
    let (Ok((_, diagnostics)) | Err(diagnostics)) = parse_str("a.toml", text);
    assert!(diagnostics.len() <= DIAGNOSTICS_MAX);
    let shown = render(&diagnostics, Look::Plain) + &to_json(&diagnostics);
    let raw = shown.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(raw, None, "a control character reaches the terminal");
    for d in &diagnostics {
        let (line, column) = d.line_column();
        assert!(shown.contains(&format!("a.toml:{line}:{column}")), "{shown}");
    }
    let _ = render(&diagnostics, Look::Colour);
}

/// A whole file, to be damaged.
const WHOLE: &str = r#"
workers = 2
include = []
[admin]
listen = "127.0.0.1:9990"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.0/8", "::1"]
name = "/svc/{host}"
min_rate = "240B/s"
[[listener.rule]]
host = "*.example.com"
path = "/images"
name = "/svc/images"
[namer.files]
kind = "files"
dir = "services"
[route]
total_timeout = "5s"
retry = { tries = 3, budget = "20%", backoff = "25ms..250ms", statuses = [502, 503] }
[route."/svc/images"]
to = [{ cluster = "a", weight = 9 }, { first = ["b", "c"] }]
hedge = { quantile = "95%", min = "1ms" }
rate = { limit = "100/s", burst = 10, key = "header:x-key" }
answer = { status = 503, type = "text/plain", body = "sorry" }
[cluster]
balance = { kind = "aperture", band = "0.5..2", min = 3 }
adaptive = { kind = "aimd", backoff = "90%" }
throttle = { k = 1.5 }
zone = { overprovision = "140%" }
eject = { success_rate = "80%", outlier = { deviations = 1.9 }, latency = "off" }
[cluster.web]
endpoints = ["127.0.0.1:9001 2 zone=eu", "[::1]:80"]
"#;

proptest! {
    #[test]
    fn any_text(text in ".{0,300}") {
        read(&text);
    }

    #[test]
    fn any_bytes_in_a_services_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse_services(Path::new("web"), &text) {
            let _ = render(&errors, Look::Plain);
        }
        let _ = parse_endpoint(&text);
    }

    #[test]
    fn words_of_the_format(words in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "\"", "'", "\"\"\"", "#", " ", "\r\n", "\t", "\u{7f}", "ä", "\u{1b}[31m",
        "route", "cluster", "listener", "rule", "namer", "files", "to", "first", "weight", "retry", "eject", "web", "include",
        "listen", "endpoints", "\"/svc/web\"", "\"5s\"", "\"127.0.0.1:1\"", "1", "-9223372036854775808", "99999999999999999999",
        "1.5", "nan", "balance", "fallback", "answer", "\"99%\"", "\"1/s\"", "\"0.5..2\"", "zone", "peers", "true", "1979-05-27", "\\", "\"\\u0000\"",
    ]), 0..60)) {
        read(&words.concat());
    }

    #[test]
    fn a_whole_file_with_pieces_changed(
        changes in prop::collection::vec((0..WHOLE.len(), 0..12usize, "[\\[\\]{}=\"'\\\\#.,\n a-z0-9\u{0}\u{1b}ä-]{0,6}"), 1..4),
    ) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for (at, take, put) in changes {
            let at = at.min(bytes.len());
            let end = (at + take).min(bytes.len());
            bytes.splice(at..end, put.bytes());
        }
        read(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_whole_file_is_right() {
    assert!(parse_str("a.toml", WHOLE).is_ok());
}

#[test]
fn many_mistakes_are_cut() {
    let text: String = (0..10_000).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "key{i} = 1");
        text
    });
    let errors = parse_str("a.toml", &text).unwrap_err();
    assert_eq!(errors.len(), DIAGNOSTICS_MAX);
    assert!(errors.last().unwrap().notes.last().unwrap().contains("more are not shown"));
    read(&text);
}

#[test]
fn long_lines_and_deep_nesting() {
    read(&format!("x = \"{}\"", "y".repeat(1 << 20)));
    read(&format!("{} = 1", "y".repeat(1 << 20)));
    read(&format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000)));
    read(&format!("route.\"/svc/x\".to = {}\"a\"{}", "{first=[".repeat(60), "]}".repeat(60)));
    read(&"[a.".repeat(10_000));
    read(&"=\n".repeat(50_000));
    read(&format!("route.retry.statuses = [{}]", "1,".repeat(100_000)));
    read(&"[[listener]]\n".repeat(2_000));
}
