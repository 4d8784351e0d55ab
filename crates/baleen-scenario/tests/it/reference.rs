//! The list of settings, the reader, the reference page and the schema say the same.

use std::collections::BTreeSet;

use baleen_config::defaults_of;
use baleen_config::table::{Def, Kind};
use baleen_scenario::keys::{
    CACHE, CALL, DEPLOY, EXPECT, FAULT, GUARD, LINK, PROXY, REGISTRY, ROOT, SCENARIO, SERVICE,
    STEP, WORKLOAD,
};
use baleen_scenario::model::{CallSpec, Expect, Scenario, nowhere};
use baleen_scenario::{parse_str, reference_markdown, schema_json};

use crate::support::plain;

/// A file that is whole with what comes after it.
const HEAD: &str = "[scenario]\nduration = \"60s\"\n";
const WORKLOAD_HEAD: &str = "[[workload]]\nto = \"/svc/web\"\nrate = \"1/s\"\n";

/// Without places, and without the configuration of proxies, which has tests of its own.
fn told(mut s: Scenario) -> String {
    let spec = |call: &mut CallSpec| call.place = nowhere();
    s.workloads.iter_mut().for_each(|w| spec(&mut w.call));
    for service in &mut s.services {
        service.place = nowhere();
        service.calls.iter_mut().for_each(|step| spec(&mut step.call));
    }
    s.expects.iter_mut().for_each(|e: &mut Expect| e.place = nowhere());
    s.guards.iter_mut().for_each(|g| g.place = nowhere());
    let proxies: Vec<_> =
        s.proxies.drain(..).map(|g| (g.name, g.count, g.workers, g.replaced)).collect();
    format!("{s:#?} {proxies:?}")
}

fn read(text: &str) -> String {
    match parse_str("s.toml", text, &[]) {
        Ok((scenario, _)) => told(scenario),
        Err(errors) => panic!("{text}\n{}", plain(&errors)),
    }
}

/// A table written with nothing but what it needs, and with every default that is printed, means the same. `without`: what
/// only other callers have.
fn same(def: &Def, kind: &str, before: &str, after: &str, without: &[&str]) {
    let defaults: String = defaults_of(def, kind)
        .lines()
        .filter(|line| !without.iter().any(|key| line.starts_with(&format!("{key} ="))))
        .map(|line| format!("{line}\n"))
        .collect();
    let (short, long) = (format!("{before}{after}"), format!("{before}{defaults}{after}"));
    assert!(short != long, "{} has no defaults", def.path);
    assert_eq!(read(&short), read(&long), "{long}");
}

#[test]
fn the_defaults_that_are_printed_are_the_defaults_in_force() {
    let web = "[service.web]\n";
    let (logical, straight) =
        (&["balance", "pool", "pool_idle_max", "pool_max", "kind"], &["via", "deadline", "kind"]);
    let file = format!("{HEAD}{WORKLOAD_HEAD}{web}");
    same(&SCENARIO, "", HEAD, &format!("{WORKLOAD_HEAD}{web}"), &[]);
    same(&PROXY, "", &format!("{file}[proxy]\n"), "", &[]);
    same(&WORKLOAD, "poisson", &format!("{HEAD}{WORKLOAD_HEAD}"), web, logical);
    let own = "[[workload]]\nto = \"web\"\nrate = \"1/s\"\n";
    same(&WORKLOAD, "poisson", &format!("{HEAD}{own}"), web, straight);
    let closed = "[[workload]]\nto = \"web\"\narrivals = \"closed\"\n";
    same(&WORKLOAD, "closed", &format!("{HEAD}{closed}"), web, &["via", "deadline", "arrivals"]);
    same(&SERVICE, "", &file, "", &[]);
    same(&LINK, "", &format!("{file}[[link]]\n"), "", &[]);
    same(&REGISTRY, "", &format!("{file}[registry]\n"), "", &[]);
    let deploy = "[[deploy]]\nservice = \"web\"\nat = \"1s\"\nwaves = [1]\n";
    same(&DEPLOY, "", &format!("{file}{deploy}"), "", &[]);
    let fault = |kind: &str, rest: &str| {
        let fault = format!("[[fault]]\nat = \"1s\"\nkind = \"{kind}\"\n{rest}");
        same(&FAULT, kind, &format!("{file}{fault}"), "", &["kind"]);
    };
    fault("slow", "on = \"web\"\nfactor = 2\n");
    fault("errors", "on = \"web\"\nshare = \"1%\"\n");
    fault("fail-first", "on = \"web\"\ncount = 2\n");
    fault("poison", "on = \"web\"\nshare = \"1%\"\n");
    fault("partition", "on = \"*->*\"\n");
    let guard = "[[guard]]\nsuccess = \">= 50%\"\n";
    same(&GUARD, "", &format!("{file}{guard}"), "", &[]);
    let step = "[[workload.steps]]\nat = \"1s\"\nrate = \"1/s\"\n";
    same(&STEP, "", &format!("{HEAD}{WORKLOAD_HEAD}{step}"), web, &[]);
    let cache = "calls = [\"db\"]\n[service.web.cache]\nhit = \"1%\"\n";
    same(&CACHE, "", &format!("{file}{cache}"), "[service.db]\n", &[]);
    let call = |to: &str| format!("{file}[[service.web.calls]]\nto = \"{to}\"\n");
    same(&CALL, "", &call("/svc/db"), "[service.db]\n", logical);
    same(&CALL, "", &call("db"), "[service.db]\n", straight);
}

/// Every list of settings has its defaults looked at above, or none.
#[test]
fn no_default_is_left_out() {
    let seen = [
        "scenario",
        "proxy",
        "workload",
        "workload.steps",
        "service",
        "service.calls",
        "service.cache",
        "link",
        "registry",
        "deploy",
        "fault",
        "guard",
    ];
    each(&ROOT, &mut |def| {
        let has = def.keys.iter().any(|key| !key.default.is_empty());
        assert!(!has || seen.contains(&def.path), "{}", def.path);
    });
    assert!(EXPECT.keys.iter().all(|key| key.default.is_empty()));
}

fn each(def: &'static Def, f: &mut impl FnMut(&'static Def)) {
    f(def);
    for key in def.keys {
        if let Some(inner) = key.kind.inner() {
            each(inner, f);
        }
    }
}

#[test]
fn the_schema_is_json_and_knows_only_these_keys() {
    let schema: serde_json::Value = serde_json::from_str(&schema_json()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["workload"]["items"]["required"][0], "to");
    let web = &schema["properties"]["service"]["additionalProperties"];
    assert_eq!(web["properties"]["parallel"]["type"], "boolean");
    assert_eq!(web["additionalProperties"], false);
    let mesh = &schema["properties"]["mesh"];
    assert_eq!(mesh["properties"]["route"]["type"], "object");
}

#[test]
fn every_key_is_in_the_reference_and_the_schema() {
    let (page, schema) = (reference_markdown(), schema_json());
    each(&ROOT, &mut |def| {
        let mut names = BTreeSet::new();
        for key in def.keys {
            let table =
                matches!(key.kind, Kind::Table(_) | Kind::Tables(..) | Kind::TablesByName(..));
            let row = format!("| `{}` | {} |", key.name, key.kind.describe());
            assert!(table || page.contains(&row), "{}.{}", def.path, key.name);
            assert!(schema.contains(&format!("\"{}\": {{", key.name)), "{}.{}", def.path, key.name);
            assert!(table || key.doc.ends_with('.'), "{}.{}", def.path, key.name);
            assert!(names.insert(key.name), "{}.{} is there twice", def.path, key.name);
        }
        assert!(def.path.is_empty() || page.contains(&format!("[{}", def.path)), "{}", def.path);
    });
}

/// The cells of a table are separated by bars, so no text may have one.
#[test]
fn the_reference_is_a_valid_table() {
    let page = reference_markdown();
    for part in page.split("| key | type | default | scope | meaning |\n").skip(1) {
        for line in part.lines().take_while(|l| l.starts_with('|')).skip(1) {
            assert_eq!(line.matches(" | ").count(), 4, "{line}");
        }
    }
}

/// The example at the top of the page is right.
#[test]
fn the_example_is_right() {
    let page = reference_markdown();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    crate::support::right(example);
}

/// The page in the repository is what the code prints. `BALEEN_UPDATE=1` writes it anew.
#[test]
fn the_page_in_the_repository_is_up_to_date() {
    let page = reference_markdown();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/scenarios.md");
    if std::env::var_os("BALEEN_UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/scenarios.md is old: run this test with BALEEN_UPDATE=1"
    );
}
