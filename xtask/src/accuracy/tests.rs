//! What is quoted, what is counted, what fails.

use super::*;

fn row(what: &str, verdict: &str) -> Row {
    Row { what: what.to_owned(), verdict: verdict.to_owned() }
}

fn entry_of(name: &str, rows: Vec<Row>, words: &[&str]) -> Entry {
    let part = Part { phase: "during".to_owned(), caller: "all".to_owned(), rows };
    let comparison =
        Comparison { title: "a title".to_owned(), seeds: 20, repeats: 3, parts: vec![part] };
    let result = Ok(Compared { text: "the table\nthe sum\n".to_owned(), comparison });
    Entry { kept: kept(name, result), words: words.iter().map(ToString::to_string).collect() }
}

fn kept(name: &str, result: Result<Compared, String>) -> Kept {
    Kept {
        name: name.to_owned(),
        date: "2026-01-02 03:04 UTC".to_owned(),
        seconds: 90,
        command: format!("baleen compare scenarios/drills/{name}.toml"),
        machine: "2 cores".to_owned(),
        version: "baleen 0.1.0".to_owned(),
        result,
    }
}

#[test]
fn the_scenarios_own_words_are_found() {
    let text = "# A scenario.\n#\n# Accuracy: p99 is off,\n#   because of timers.\n\n# Not this.\n[scenario]\n\
                # Accuracy: tries too.\nx = 1 # Accuracy: not this\n# Accuracy:\n";
    assert_eq!(words(text), ["p99 is off, because of timers.", "tries too."]);
    assert!(words("# accuracy is fine\n").is_empty());
}

#[test]
fn a_miss_must_be_explained_by_the_name_of_its_figure() {
    let rows = || vec![row("success", "within"), row("p99", "missed"), row("p50", "no_data")];
    let check = |words: &[&str]| verdict(&[entry_of("kill", rows(), words)]);
    check(&["p99 is off because of timers"]).unwrap();
    check(&["P99: timers"]).unwrap();
    for words in [&[][..], &["p999 is off"], &["it is off"]] {
        let why = check(words).unwrap_err().to_string();
        assert!(why.contains("kill: p99 during (all calls) missed"), "{why}");
    }
    verdict(&[entry_of("fine", vec![row("p99", "within")], &[])]).unwrap();
}

#[test]
fn what_was_not_measured_fails_and_is_on_the_page() {
    let void = Entry { kept: kept("dead", Err("a\nthe drill was void".to_owned())), words: vec![] };
    let page = page::render(&[void], "cargo xtask accuracy");
    assert!(page.contains("| [dead](#dead) | 0 | 0 | not measured |"), "{page}");
    assert!(
        page.contains("It could not be measured:\n\n```\na\nthe drill was void\n```"),
        "{page}"
    );
    let void = Entry { kept: kept("dead", Err("a\nthe drill was void".to_owned())), words: vec![] };
    assert_eq!(page::short(&void.kept), "not measured: the drill was void");
    assert!(verdict(&[void]).unwrap_err().to_string().contains("the drill was void"));
}

#[test]
fn the_page_counts_by_figure_and_by_scenario() {
    let one = entry_of(
        "kill",
        vec![row("success", "within"), row("p99", "missed"), row("p50", "no_data")],
        &["p99: the machine's timers"],
    );
    let two = entry_of("stop", vec![row("success", "within"), row("p99", "within")], &["unused"]);
    let page = page::render(&[one, two], "cargo xtask accuracy");
    for part in [
        "| success | 2 | 2 |",
        "| p99 | 2 | 1 |",
        "| p50 | 0 | 0 |",
        "| all | 4 | 3 |",
        "| [kill](#kill) | 2 | 1 | p99 during |",
        "| [stop](#stop) | 2 | 2 |  |",
        "> p99: the machine's timers",
        "Run from 2026-01-02 03:04 UTC to 2026-01-02 03:04 UTC: baleen 0.1.0; 2 cores.",
        "Again: `baleen compare scenarios/drills/stop.toml` (90 s)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("unused"), "{page}");
}

#[test]
fn what_compare_says_can_be_read() {
    let json = r#"{"held":false,"text":"t","comparison":{"title":"x","seeds":2,"repeats":1,"notes":[],"parts":[
        {"phase":"during","caller":"all","from_s":1,"to_s":2,"calls":3.0,
         "rows":[{"what":"p99","predicted":null,"verdict":"missed","why":null}]}]}}"#;
    let read: Compared = serde_json::from_str(json).unwrap();
    assert_eq!(read.comparison.parts[0].rows[0].verdict, "missed");
}

#[test]
fn only_names_that_are_there_can_be_asked_for() {
    let all = names(None).unwrap();
    assert!(all.len() >= 14, "{all:?}");
    assert_eq!(names(Some(&all[0])).unwrap(), [all[0].clone()]);
    assert!(names(Some("no such")).unwrap_err().to_string().contains(&all[0]));
}

#[test]
fn the_end_of_what_was_said_is_kept() {
    let talk: String = (0..30).map(|n| format!("line {n}\n\n")).collect();
    let last = last_lines(&talk, "x");
    assert!(last.starts_with("line 18\n") && last.ends_with("line 29"), "{last}");
    assert_eq!(last_lines("\n", "signal: 9"), "signal: 9");
}
