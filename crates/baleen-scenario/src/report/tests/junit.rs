//! JUnit XML: what build servers read is well formed, and says the same as the verdicts.

use super::*;
use crate::outcome::Verdict;

/// Declaration first, tags balanced, attributes quoted and not twice, texts escaped, only characters that XML has.
fn check_xml(text: &str) {
    let rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    check_balance(rest);
    let sound = |c: char| matches!(c, '\n' | '\t' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}');
    assert!(rest.chars().all(|c| sound(c) || c > '\u{ffff}'), "{rest:?}");
    for tag in rest.split('<').skip(1).filter(|t| !t.starts_with('/')) {
        let (tag, text) = tag.split_once('>').unwrap();
        let parts: Vec<&str> = tag.split('"').collect();
        assert_eq!(parts.len() % 2, 1, "{tag}");
        let mut names: Vec<&str> =
            parts.iter().step_by(2).filter(|n| n.contains('=')).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{tag}");
        for text in parts.iter().skip(1).step_by(2).chain([&text]) {
            for and in text.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
                assert!(known.iter().any(|k| and.starts_with(k)), "{text}");
            }
        }
    }
}

/// How many of each: test cases, failures, errors, as elements and as the suite counts them.
fn counts(text: &str) -> [usize; 3] {
    let elements = ["<testcase ", "<failure ", "<error "].map(|tag| text.matches(tag).count());
    let suite = text.split("<testsuite ").nth(1).unwrap();
    let said = ["tests", "failures", "errors"].map(|name| {
        let (_, value) = suite.split_once(&format!("{name}=\"")).unwrap();
        value.split('"').next().unwrap().parse::<usize>().unwrap()
    });
    assert_eq!(elements, said);
    said
}

fn two() -> (Scenario, Vec<(Run, Vec<Verdict>)>) {
    let (s, run) = sample::sample();
    let verdicts = judge(&s, &run);
    (s, vec![(run.clone(), verdicts.clone()), (run, verdicts)])
}

#[test]
fn a_case_for_each_expectation_and_run() {
    let (s, runs) = two();
    let broken = runs[0].1.iter().filter(|v| !v.held).count();
    assert!(broken > 0 && broken < s.expects.len());
    let text = junit(&s, &runs, &[], &[]);
    check_xml(&text);
    keep("junit.xml", &text);
    assert_eq!(counts(&text), [2 * s.expects.len(), 2 * broken, 0]);
    for part in ["(run 1)", "(run 2)", "file=\"sample.toml\" line=\"5\"", "skipped=\"0\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let why = &runs[0].1.iter().find(|v| !v.held).unwrap().measured;
    assert!(text.contains(&why.replace('<', "&lt;").replace('>', "&gt;")), "{text}");
    let one = junit(&s, &runs[..1], &[], &[]);
    check_xml(&one);
    assert!(!one.contains("(run"), "{one}");
}

#[test]
fn a_void_run_neither_held_nor_broke() {
    let (s, runs) = two();
    let void = |nth: usize| vec![(nth, "the generator could not keep up".to_owned())];
    let text = junit(&s, &runs, &void(1), &[]);
    let broken = runs[0].1.iter().filter(|v| !v.held).count();
    assert_eq!(counts(&text), [2 * s.expects.len(), broken, s.expects.len()]);
    assert!(text.contains("<error message=\"the generator could not keep up\""), "{text}");
    // One that gave no figures at all is an error, too.
    let text = junit(&s, &runs[..1], &void(1), &[]);
    check_xml(&text);
    assert_eq!(counts(&text), [s.expects.len() + 1, broken, 1]);
    let text = junit(&s, &[], &void(usize::MAX - 1), &[]);
    assert_eq!(counts(&text)[0], 0, "{text}");
    let text = junit(&s, &[], &void(0), &[]);
    assert_eq!(counts(&text), [1, 0, 1]);
}

#[test]
fn an_unsound_run_is_an_error() {
    let (s, mut runs) = two();
    runs[0].0.stopped = Some("a guard tripped".to_owned());
    runs[1].0.violations.push("one went missing".to_owned());
    let text = junit(&s, &runs, &[], &[]);
    assert_eq!(counts(&text), [2 * s.expects.len(), 0, 2 * s.expects.len()]);
    assert!(text.contains("a guard tripped") && text.contains("one went missing"), "{text}");
}

#[test]
fn hostile_texts_stay_texts_and_nothing_expected_is_one_case() {
    let (mut s, runs) = two();
    s.title = format!("{HOSTILE}\u{0}\u{fffe}\u{ffff}");
    s.file = std::path::PathBuf::from(HOSTILE);
    let mut verdicts = runs[0].1.clone();
    verdicts[0].expected = HOSTILE.to_owned();
    verdicts[0].place = HOSTILE.to_owned();
    for v in &mut verdicts {
        v.held = false;
        v.measured = format!("{HOSTILE}\u{ffff}");
    }
    let text = junit(&s, &[(runs[0].0.clone(), verdicts)], &[], &[]);
    check_xml(&text);
    s.expects.clear();
    let text = junit(&s, &[(runs[0].0.clone(), Vec::new())], &[], &[]);
    check_xml(&text);
    assert_eq!(counts(&text), [1, 0, 0]);
}
