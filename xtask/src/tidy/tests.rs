//! Each rule with text that breaks it, and with text that only looks as if.

use serde_json::json;

use super::source::{Source, is_within};
use super::{graph, repo_rules, rust_rules};

/// Findings of the rules for shipped code, as `line: start of message`.
fn live(path: &str, text: &str) -> Vec<String> {
    let findings = rust_rules::live_code(&Source::new(path, text));
    findings.into_iter().map(|f| format!("{}: {}", f.line, f.message)).collect()
}

#[track_caller]
fn check(path: &str, text: &str, expect: &[&str]) {
    let found = live(path, text);
    assert_eq!(found.len(), expect.len(), "{path}: {found:#?}");
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.contains(expect), "{found:?} should contain {expect:?}");
    }
}

const POLICY: &str = "crates/baleen-policy/src/a.rs";
const PROXY: &str = "crates/baleen-proxy/src/a.rs";

#[test]
fn every_file_has_a_header() {
    let bad = |text| rust_rules::header(&Source::new("a.rs", text)).len();
    assert_eq!(bad("//! What.\nfn f() {}"), 0);
    assert_eq!(bad("use x;\n//! Late."), 1);
    assert_eq!(bad("/// Not a header."), 1);
    assert_eq!(bad(""), 1);
}

#[test]
fn policy_is_pure() {
    check(POLICY, "use std::fmt;", &["`std::`"]);
    check(POLICY, "use core::fmt;\nfn f(t: Instant) {}", &["2: `Instant`"]);
    check(POLICY, "let m: HashMap<u8, u8> = HashMap::new();", &["HashMap", "HashMap"]);
    check(POLICY, "fn thread_count() {} struct MyInstant;", &[]);
    check(POLICY, "// std::time::Instant\nlet s = \"std::\"; /* SystemTime /* x */ thread */", &[]);
    check(POLICY, "#[cfg(test)]\nmod tests { use std::time::Instant; }\nfn f() {}", &[]);
    check(POLICY, "#[cfg(test)]\nmod tests { fn a() {} }\nuse std::fmt;", &["3: `std::`"]);
    check("crates/baleen-telemetry/src/a.rs", "use std::time::Instant;", &[]);
}

#[test]
fn policy_has_no_inexact_floats() {
    check(POLICY, "let a = x.ln();\nlet b = (y + 1.0).powf(2.0);", &["1: `.ln(", "2: `.powf("]);
    check(POLICY, "let a = libm::log(x); let b = libm::sqrt(x);", &[]);
    check(PROXY, "let a = x.sqrt();", &[]);
}

#[test]
fn a_run_is_decided_by_its_seed_alone() {
    const SIM: &str = "crates/baleen-sim/src/a.rs";
    check(SIM, "let a = x.exp(); let b = x.sqrt();", &["`.exp("]);
    check(SIM, "use std::collections::HashMap;", &["`HashMap`"]);
    check("crates/baleen-drill/src/a.rs", "let a = x.exp(); let m: HashMap<u8, u8>;", &[]);
}

#[test]
fn no_std_crates_say_so() {
    check("crates/baleen-base/src/lib.rs", "//! X.\n", &["#![no_std]"]);
    check("crates/baleen-base/src/lib.rs", "//! #![no_std]\n", &["#![no_std]"]);
    let text = "//! X.\n#![no_std]\n#[cfg(test)]\nextern crate std;\n";
    check("crates/baleen-base/src/lib.rs", text, &[]);
    check(
        "crates/baleen-base/src/lib.rs",
        "#![no_std]\nextern crate std;",
        &["2: `extern crate std"],
    );
    check("crates/baleen-http1/src/lib.rs", "//! X.\n", &[]);
}

#[test]
fn nothing_unfinished_or_unbounded() {
    check("xtask/src/a.rs", "let (a, b) = mpsc::unbounded_channel();", &["unbounded_channel"]);
    check("xtask/src/a.rs", "fn f() {\n todo!()\n}", &["2: `todo!`"]);
    check("xtask/src/a.rs", "dbg!(x); let y = mydbg!(x);", &["dbg!"]);
    check("xtask/src/a.rs", "let s = \"todo!()\"; let r = r#\"dbg!(\"x\")\"#;", &[]);
}

#[test]
fn hostile_input_meets_no_unwrap() {
    check(PROXY, "let a = b.unwrap();\nlet c = d.expect(\"bounded above\");", &["1: `.unwrap()`"]);
    check(PROXY, "let a = b.unwrap_or(1);", &[]);
    check(PROXY, "#[cfg(test)]\nmod tests {\n fn f() { a.unwrap(); }\n}", &[]);
    check("crates/baleen-drill/src/a.rs", "let a = b.unwrap();", &[]);
}

#[test]
fn functions_fit_a_screen() {
    let function =
        |lines: usize| format!("fn f<'a>(x: &'a [u8; 3]) {{\n{}}}\n", "x;\n".repeat(lines - 2));
    check("xtask/src/a.rs", &function(70), &[]);
    check("xtask/src/a.rs", &format!("\n{}", function(71)), &["2: fn f has 71 lines"]);
    // Braces in literals and characters do not count, a trait's declaration has no body.
    let odd = format!("trait T {{ fn d(&self); }}\nconst C: char = '{{';\n{}", function(71));
    check("xtask/src/a.rs", &odd, &["3: fn f has 71"]);
    check("xtask/src/a.rs", &format!("#[cfg(test)]\nmod t {{\n{}}}", function(100)), &[]);
}

#[test]
fn files_stay_short_without_their_tests() {
    check("xtask/src/a.rs", &"x;\n".repeat(800), &[]);
    check("xtask/src/a.rs", &"x;\n".repeat(801), &["801 lines"]);
    let tests = format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", "x;\n".repeat(500), "y;\n".repeat(500));
    check("xtask/src/a.rs", &tests, &[]);
    assert!(rust_rules::long_file_note(&Source::new("a.rs", &tests)).is_some());
    assert!(rust_rules::long_file_note(&Source::new("a.rs", &"x;\n".repeat(400))).is_none());
}

#[test]
fn test_modules_are_known_by_declaration_and_place() {
    let source = Source::new("crates/a/src/lib.rs", "#[cfg(test)]\nmod harness;\nmod real;");
    let modules = source.test_module_files();
    assert!(is_within("crates/a/src/harness.rs", &modules));
    assert!(is_within("crates/a/src/harness/link.rs", &modules));
    assert!(!is_within("crates/a/src/real.rs", &modules));
    assert!(!is_within("crates/a/src/harnessed.rs", &modules));
    let inner = Source::new("crates/a/src/b.rs", "#[cfg(test)]\npub(crate) mod c;");
    assert_eq!(inner.test_module_files(), ["crates/a/src/b/c"]);
    assert!(Source::new("crates/a/tests/it/main.rs", "").is_test());
    assert!(Source::new("crates/a/src/b/tests.rs", "").is_test());
    assert!(!Source::new("crates/a/src/tester.rs", "").is_test());
}

#[test]
fn blanking_keeps_lines_and_sees_through_odd_literals() {
    let text = "let a = '\\''; let b = \"\\\"\";\nlet c: &'static str = r##\"\"#\"##;\ntodo!()";
    check("xtask/src/a.rs", text, &["3: `todo!`"]);
    let source = Source::new("a.rs", "let s = \"é\n\"; // ü\nx");
    assert_eq!(source.code.lines().count(), 3);
    assert_eq!(source.code.len(), source.text.len());
}

fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> serde_json::Value {
    let dependencies: Vec<_> =
        dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
    json!({ "id": name, "name": name, "dependencies": dependencies })
}

/// Messages about one set of packages, without those about absent rows.
fn graph_findings(packages: Vec<serde_json::Value>, edges: &[(&str, &str)]) -> Vec<String> {
    let ids: Vec<_> = packages.iter().map(|p| p["id"].clone()).collect();
    let nodes: Vec<_> = edges
        .iter()
        .map(|(from, to)| {
            json!({ "id": from, "deps": [{ "pkg": to, "dep_kinds": [{ "kind": null }] }] })
        })
        .collect();
    let mut all = packages;
    for (_, to) in edges {
        all.push(json!({ "id": to, "name": to, "dependencies": [] }));
    }
    let metadata =
        json!({ "workspace_members": ids, "packages": all, "resolve": { "nodes": nodes } });
    let findings = graph::check(&metadata).into_iter().map(|f| f.message);
    findings.filter(|message| !message.contains("is gone")).collect()
}

#[test]
fn edges_outside_the_table_fail() {
    let base = package("baleen-base", &[]);
    let good = package("baleen-policy", &[("baleen-base", None), ("libm", None)]);
    assert_eq!(graph_findings(vec![base.clone(), good], &[]), [""; 0]);
    let bad = package("baleen-http1", &[("baleen-base", None)]);
    let found = graph_findings(vec![base.clone(), bad], &[]);
    assert_eq!(found, ["baleen-http1 may not depend on baleen-base"]);
    let dev = package("baleen-http1", &[("baleen-base", Some("dev"))]);
    assert_eq!(graph_findings(vec![base.clone(), dev], &[]), [""; 0]);
    let stranger = package("baleen-misc", &[]);
    assert_eq!(
        graph_findings(vec![base, stranger], &[]),
        ["baleen-misc is not in the crate table"]
    );
}

#[test]
fn tokio_stays_where_the_table_says() {
    let bad = package("baleen-telemetry", &[("tokio", None)]);
    assert_eq!(graph_findings(vec![bad], &[]), ["baleen-telemetry may not use tokio (tokio)"]);
    let fine = package("baleen-proxy", &[("tokio", None), ("tokio-util", None)]);
    assert_eq!(graph_findings(vec![fine], &[]), [""; 0]);
    let edges = [("baleen-config", "helper"), ("helper", "tokio")];
    let found = graph_findings(vec![package("baleen-config", &[("helper", None)])], &edges);
    assert_eq!(found, ["baleen-config must be free of tokio but reaches tokio"]);
}

#[test]
fn a_row_without_its_crate_is_named() {
    let metadata = json!({ "workspace_members": [], "packages": [], "resolve": { "nodes": [] } });
    assert!(graph::check(&metadata).iter().any(|f| f.message.contains("baleen-policy is gone")));
}

#[test]
fn no_std_crates_get_no_std_features() {
    let tree = "baleen-policy v0.1.0 (x)|\nserde v1.0.1|alloc,derive\nlibm v0.2.1|default (*)\n";
    assert!(graph::check_std_features("baleen-policy", tree).is_empty());
    let tree = "baleen-policy v0.1.0 (x)|\nserde v1.0.1|alloc,std\nserde v1.0.1|alloc,std (*)\n";
    let found = graph::check_std_features("baleen-policy", tree);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("gets serde with feature std"));
}

#[test]
fn machine_paths_are_found() {
    let bad = concat!("run = \"/ro", "ot/x\"");
    assert_eq!(repo_rules::machine_paths("a.md", bad).len(), 1);
    let bad = concat!("line\nsee /wo", "rk/y and /ho", "me/z");
    let found = repo_rules::machine_paths("a.md", bad);
    assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 2]);
    let fine = concat!("https://example.org/ho", "me/x and ./wo", "rk/y");
    assert!(repo_rules::machine_paths("a.md", fine).is_empty());
}

#[test]
fn changelog_fragments_say_their_kind() {
    let bad = |path, text| repo_rules::changelog_fragment(path, text).len();
    assert_eq!(bad("changelog.d/0001-x.md", "added: a thing\n\nmore"), 0);
    assert_eq!(bad("changelog.d/0001-x.md", "a thing\nadded: it"), 1);
    assert_eq!(bad("changelog.d/0001-x.md", "added: \n"), 1);
    assert_eq!(bad("changelog.d/0001-x.txt", "added: a thing"), 1);
    assert_eq!(bad("changelog.d/README.md", "# Fragments"), 0);
    assert_eq!(bad("docs/x.md", "anything"), 0);
}

#[test]
fn every_dependency_has_its_line() {
    let manifest =
        "[workspace.dependencies]\nours = { path = \"x\" }\nserde = \"1\"\n\n[profile.x]\na = 1\n";
    let good = "| name | why it | over what |\n|---|---|---|\n| `serde` | a | b |\n";
    assert!(repo_rules::dependencies(manifest, good).is_empty());
    assert_eq!(repo_rules::dependencies(manifest, "").len(), 1);
    assert_eq!(repo_rules::dependencies(manifest, "| `serde` | a | |\n").len(), 1);
    let stale = format!("{good}| `gone` | a | b |\n");
    let found = repo_rules::dependencies(manifest, &stale);
    assert!(found[0].message.contains("`gone` is no dependency"));
}

#[test]
fn the_map_mentions_every_crate() {
    let crates = ["baleen".to_owned(), "baleen-base".to_owned()];
    assert!(repo_rules::architecture("`baleen` and crates/baleen-base", &crates).is_empty());
    let found =
        repo_rules::architecture("crates/baleen-base", &["baleen-ba".to_owned(), "x".to_owned()]);
    assert_eq!(found.len(), 1, "{found:?}");
}
