//! `docs/reference/headers.md` and the code name the same header fields.
//!
//! Names are found in the source by how fields are looked up and written; a way that is not in `WAYS` is not seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use baleen_http1::Known;

const PAGE: &str = include_str!("../../../docs/reference/headers.md");

/// What stands before a field's name in the source.
const WAYS: &[&str] = &[
    ".append(\"",
    ".append_with(\"",
    "let name = \"",
    ".find(b\"",
    ".set(view, \"",
    "is(name, b\"",
    ".0.eq_ignore_ascii_case(b\"",
    "value(response, b\"",
    "date_of(response, b\"",
    "            (b\"",
    "FIELD: &[u8] = b\"",
    "format_args!(\"",
];

/// What goes with a field that is on the page; about framing, which `docs/reference/strictness.md` is about; no field at all.
const ELSEWHERE: &[&str] = &["tracestate", "content-length", "hint"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("readable folder");
    for path in entries.map(|entry| entry.expect("readable folder").path()) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match (path.is_dir(), stem) {
            (_, "tests" | "fuzz" | "refusal") => {}
            (true, _) => sources(&path, out),
            (false, _) => out.push(path),
        }
    }
}

/// The names in one file.
fn names_in(text: &str, into: &mut BTreeSet<String>) {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for way in WAYS {
        for rest in code.split(way).skip(1) {
            let end = if *way == "format_args!(\"" { ": " } else { "\"" };
            let Some(name) = rest.split('\n').next().and_then(|line| line.split_once(end)) else {
                continue;
            };
            let name = name.0.to_ascii_lowercase();
            if name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                into.insert(name);
            }
        }
    }
}

fn names(krate: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    sources(&folder, &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        names_in(&std::fs::read_to_string(&file).expect("readable file"), &mut names);
    }
    names
}

/// What the page's tables have in their first columns.
fn on_page() -> BTreeSet<String> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let names = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_ascii_lowercase).collect()
}

#[test]
fn every_field_of_the_code_is_on_the_page() {
    let mut code = names("baleen-proxy");
    assert!(code.len() > 20, "{code:?}");
    let known = names("baleen-http1");
    let for_policy = known.into_iter().filter(|n| Known::of(n.as_bytes()) == Known::ForPolicy);
    code.extend(for_policy);
    for name in ["baleen-deadline", "baleen-load", "retry-after", "set-cookie", "cache-status"] {
        assert!(code.contains(name), "{name} is not found in the source: {code:?}");
    }
    let page = on_page();
    let missing: Vec<_> = code
        .iter()
        .filter(|name| !page.contains(*name) && !ELSEWHERE.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/reference/headers.md: {missing:?}");
}

#[test]
fn every_field_on_the_page_is_in_the_code() {
    let mut code = names("baleen-proxy");
    code.extend(names("baleen-http1"));
    let unknown: Vec<_> = on_page().into_iter().filter(|name| !code.contains(name)).collect();
    assert!(unknown.is_empty(), "the code knows nothing of {unknown:?}");
}
