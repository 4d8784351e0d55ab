//! Rules about Rust source: size, purity, panics, headers.

use super::Finding;
use super::source::{Source, after_block, line_of};

/// Lines a function may have.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines a file may have outside its tests.
const FILE_LINES_MAX: usize = 800;
/// Lines from which a file is mentioned.
const FILE_LINES_NOTED: usize = 400;

/// Words that would let time, entropy or order of a hash into a decision.
const IMPURE: &[&str] = &["Instant", "SystemTime", "HashMap", "HashSet", "RandomState"];

/// What policy, which is alone with its inputs, may not mention either.
const OUTSIDE: &[&str] = &["std::", "thread"];

/// Crates in which everything is decided by inputs and a seed: the same bits on every machine.
const REPEATABLE: &[&str] = &["baleen-policy", "baleen-scenario", "baleen-sim"];

/// Float methods whose last bit differs between machines; `libm` has them all.
const INEXACT: &[&str] = &[
    ".ln(",
    ".ln_1p(",
    ".log(",
    ".log2(",
    ".log10(",
    ".exp(",
    ".exp2(",
    ".exp_m1(",
    ".powf(",
    ".powi(",
    ".cbrt(",
    ".hypot(",
    ".sin(",
    ".cos(",
    ".tan(",
    ".sinh(",
    ".cosh(",
    ".tanh(",
    ".mul_add(",
];

/// Crates that read bytes from outside, where a panic is an outage.
const HOSTILE: &[&str] =
    &["baleen-proxy", "baleen-http1", "baleen-config", "baleen-scenario", "baleen-discovery"];

/// Every file says what it is before anything else.
pub fn header(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![Finding::new(&source.path, 1, "start the file with `//!`: what, why, what is not here")]
}

/// All rules about code that ships.
pub fn live_code(source: &Source) -> Vec<Finding> {
    let mut findings = sizes(source);
    findings.extend(forbidden(source));
    let krate = source.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next());
    let krate = krate.unwrap_or_default();
    if super::table::NO_STD.contains(&krate) {
        findings.extend(no_std(source));
    }
    if krate == "baleen-policy" {
        findings.extend(words(source, OUTSIDE));
    }
    if REPEATABLE.contains(&krate) {
        findings.extend(words(source, IMPURE));
        findings.extend(inexact(source));
    }
    if HOSTILE.contains(&krate) {
        findings.extend(no_unwrap(source));
    }
    findings
}

/// Says that a file grows long, before it is too long.
pub fn long_file_note(source: &Source) -> Option<String> {
    let lines = code_lines(source);
    (lines > FILE_LINES_NOTED && lines <= FILE_LINES_MAX)
        .then(|| format!("{}: {lines} lines; {FILE_LINES_NOTED} is the aim", source.path))
}

fn code_lines(source: &Source) -> usize {
    source.text.lines().count().saturating_sub(source.test_lines)
}

fn sizes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = code_lines(source);
    if lines > FILE_LINES_MAX {
        let message = format!("{lines} lines; at most {FILE_LINES_MAX} without tests");
        findings.push(Finding::new(&source.path, 0, message));
    }
    for (name, line, lines) in functions(&source.live) {
        if lines > FUNCTION_LINES_MAX {
            let message = format!("fn {name} has {lines} lines; at most {FUNCTION_LINES_MAX}");
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings
}

/// Functions with a body: name, first line, number of lines.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '#') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        if let Some(open) = body(code, at + 3) {
            let (first, last) = (line_of(code, at), line_of(code, after_block(code, open) - 1));
            found.push((name, first, last - first + 1));
        }
    }
    found
}

/// Where a function's body opens; `None` for a declaration.
fn body(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(from + at),
            _ => {}
        }
    }
    None
}

fn forbidden(source: &Source) -> Vec<Finding> {
    let rules = [
        ("unbounded_channel", "every queue has a bound"),
        ("todo!", "finish it or leave it out"),
        ("unimplemented!", "finish it or leave it out"),
        ("dbg!", "left over from debugging"),
    ];
    let hits = |(word, why)| {
        source.live_word(word).into_iter().map(move |line| {
            Finding::new(&source.path, line, format!("`{word}` is not allowed: {why}"))
        })
    };
    rules.into_iter().flat_map(hits).collect()
}

fn no_std(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path.ends_with("/src/lib.rs") && !source.live.contains("#![no_std]") {
        findings.push(Finding::new(&source.path, 1, "this crate must say `#![no_std]`"));
    }
    for line in source.live_word("extern crate std") {
        findings.push(Finding::new(&source.path, line, "`extern crate std` outside tests"));
    }
    findings
}

fn words(source: &Source, words: &[&str]) -> Vec<Finding> {
    let hits = |word: &&str| {
        let message = format!("`{word}` where everything is decided by inputs and a seed");
        let lines = source.live_word(word).into_iter();
        lines.map(move |line| Finding::new(&source.path, line, message.clone())).collect::<Vec<_>>()
    };
    words.iter().flat_map(hits).collect()
}

fn inexact(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for method in INEXACT {
        for line in source.live_word(method) {
            let message = format!("`{method}..)`: use libm, it has the same bits anywhere");
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings
}

fn no_unwrap(source: &Source) -> Vec<Finding> {
    let message = "`.unwrap()`: handle it, or `.expect(\"why it can not happen\")`";
    let lines = source.live_word(".unwrap()").into_iter();
    lines.map(|line| Finding::new(&source.path, line, message)).collect()
}
