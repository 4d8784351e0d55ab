//! Replays the committed corpus of the fuzz target, and input that wants to break the reader.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// A whole file, to be damaged.
const WHOLE: &str = include_str!("../../../../fuzz/corpus/scenario/whole.toml");

/// Every file of the corpus, in order of name.
#[test]
fn corpus_of_scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/scenario");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{} has {} files", folder.display(), files.len());
    for file in files {
        let data = std::fs::read(&file).expect("readable file");
        let ran = std::panic::catch_unwind(|| fuzz_scenario(&data));
        assert!(ran.is_ok(), "replay: {} breaks scenario", file.display());
    }
}

#[test]
fn the_whole_file_is_right() {
    assert!(parse_str("s.toml", WHOLE, &[]).is_ok());
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_scenario(&data);
    }

    #[test]
    fn words_of_the_format(words in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "\"", "#--set\n", " ", "\t", "\u{7f}", "ä", "\u{1b}[31m",
        "scenario", "workload", "service", "fault", "expect", "link", "deploy", "proxy", "mesh", "web", "duration", "to",
        "\"web\"", "\"/svc/web\"", "\"1m\"", "\"-1s\"", "\"400/s\"", "\"exp(1s)\"", "\"web->web\"", "\"web/0..3\"", "on", "at",
        "kind", "\"crash\"", "\"<= 1s\"", "p99", "during", "\"fault\"", "calls", "replicas", "1", "99999999999999999999", "1.5",
        "-9223372036854775808", "nan", "true", "1979-05-27", "\\", "\"\\u0000\"", "rate", "steps", "via",
    ]), 0..60)) {
        fuzz_scenario(words.concat().as_bytes());
    }

    #[test]
    fn a_whole_file_with_pieces_changed(
        changes in prop::collection::vec(
            (0..WHOLE.len(), 0..12usize, "[\\[\\]{}=\"'\\\\#.,\n a-z0-9/>@%\u{0}\u{1b}ä-]{0,6}"), 1..4),
    ) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for (at, take, put) in changes {
            let at = at.min(bytes.len());
            let end = (at + take).min(bytes.len());
            bytes.splice(at..end, put.bytes());
        }
        fuzz_scenario(&bytes);
    }

    #[test]
    fn a_whole_file_with_lines_left_out_and_doubled(
        changes in prop::collection::vec((0..300usize, any::<bool>()), 1..5),
    ) {
        let mut lines: Vec<&str> = WHOLE.lines().collect();
        for (at, double) in changes {
            let at = at % lines.len();
            if double { lines.insert(at, lines[at]); } else { lines.remove(at); }
        }
        fuzz_scenario(lines.join("\n").as_bytes());
    }

    #[test]
    fn a_whole_file_with_values_set(
        set in prop::collection::vec((
            "(service|workload|fault|link|expect|mesh|proxy|scenario|deploy|registry)(\\.(web|users|calls|0|1|9|slow|crash-2|route|\
             rate|at|on|time|replicas|cache|hit|count|steps|\"/svc/front\"|duration|lag|waves)){1,4}",
            "(0|1|99|-1|1\\.5|off|true|400/s|2s|\"web\"|\\[\\]|\\{\\}|\\[\"db\"\\]|exp\\(1s\\)|[ -~]{0,8})",
        ), 1..4),
    ) {
        let set: Vec<String> = set.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        fuzz_scenario(format!("{WHOLE}{SET}{}", set.join("\n")).as_bytes());
    }
}

/// Bounds of time and memory: large and deep input is refused or cut, not worked on without end.
#[test]
fn long_and_deep_input() {
    let head = "[scenario]\nduration = \"1m\"\n";
    let workload = "[[workload]]\nto = \"/svc/s0\"\nrate = \"1/s\"\n";
    let many = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<String>();
    let read = |text: String| {
        let (Ok((_, list)) | Err(list)) = parse_str("s.toml", &text, &[]);
        shown(&list);
    };
    // A chain as long as there may be services, each calling the next; and all calling all that come after.
    let chain = |n: usize| format!("[service.s{n}]\ncalls = [\"s{}\"]\n", n + 1);
    read(format!("{head}{workload}{}[service.s255]\n", many(255, &chain)));
    let all = |n: usize| {
        let calls = many(8, &|k| format!("\"s{}\",", (n + k + 1).min(255)));
        format!("[service.s{n}]\ncalls = [{calls}]\n")
    };
    read(format!("{head}{workload}{}[service.s255]\n", many(255, &all)));
    read(format!("{head}{}[service.s0]\n", workload.repeat(2_000)));
    read(format!("{head}{workload}{}", many(3_000, &|n| format!("[service.s{n}]\n"))));
    let fault = "[[fault]]\nat = \"1s\"\non = \"s0\"\nkind = \"crash\"\n";
    read(format!("{head}{workload}[service.s0]\nreplicas = 4096\n{}", fault.repeat(1024)));
    read(format!("{head}{workload}[service.s0]\n{}", "[[link]]\n".repeat(1_024)));
    read(format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000)));
    read(format!("[scenario]\ntitle = \"{}\"", "y".repeat(1 << 20)));
    read("[a.".repeat(10_000));
    let long = Override { key: "a.".repeat(100_000), value: "1".into() };
    assert!(parse_str("s.toml", head, &[long]).is_err());
}
