//! What binding a name costs, uncached, for tables of 10 to 10,000 entries: `cargo run --release -p baleen-names --example bind_cost`.
//! Prints, in microseconds, what the worst tables that may come with a request can make of a bind; then the median of batches, in
//! nanoseconds. A measurement to look at, not a test: it asserts nothing about time.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use baleen_names::{Dtab, NODES_MAX, Named, Namers, Path, bind, bind_within};

const BATCHES: usize = 101;

/// Three labels are a cluster.
struct Files;

impl Namers for Files {
    type Cluster = u32;

    fn lookup(&self, path: &Path) -> Named<u32> {
        match path.len() {
            0..3 => Named::Neg,
            _ => Named::Cluster { cluster: 7, labels: 3 },
        }
    }
}

/// An entry for each service, and the general ones.
fn services(count: usize) -> String {
    let mut text = "/svc => /#/files; /http => /svc; /http/1.1/* => /svc; /host => /$/io.buoyant.http.domainToPathPfx/svc;\n".to_owned();
    for i in 0..count {
        let _ = writeln!(text, "/svc/service-{i} => /#/files/service-{i};");
    }
    text
}

/// An entry for each service in any environment, of which many match by their first labels.
fn wildcards(count: usize) -> String {
    let mut text = "/svc => /#/files;\n".to_owned();
    for i in 0..count {
        let _ = writeln!(text, "/svc/*/service-{i} => /#/files/service-{i}; /*/*/*/v{i} => ~;");
    }
    text
}

/// The median over batches of the nanoseconds of one run.
fn median_ns(mut run: impl FnMut()) -> u128 {
    let start = Instant::now();
    run();
    let once = start.elapsed().as_nanos().max(1);
    let batch = (2_000_000 / once).clamp(1, 10_000);
    let mut each: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..batch).for_each(|_| run());
            start.elapsed().as_nanos() / batch
        })
        .collect();
    each.sort_unstable();
    each[BATCHES / 2]
}

fn row(what: &str, count: usize, text: &str, name: &str, over: &str) {
    let dtab = Dtab::parse(text).expect("a dtab");
    let over = Dtab::parse(over).expect("a dtab");
    let name = Path::parse(name).expect("a path");
    let layers = [&dtab, &over];
    let all = median_ns(|| drop(black_box(bind(black_box(&layers), black_box(&name), &Files))));
    println!("{what:<44} {count:>7} {all:>10}");
}

/// As much as may come with a request.
const OVERRIDE_BYTES: usize = 8192;
const OVERRIDE_ENTRIES: usize = 64;
/// What the proxy looks at for a request with a table of its own.
const OVERRIDE_NODES: usize = 1_000;

/// A tree of `count` names below `to`, each one label more.
fn fan(to: &str, count: usize, sign: &str) -> String {
    let names: Vec<_> = (0..count).map(|i| format!("{to}/{i}")).collect();
    names.join(sign)
}

/// Entries that lead from `/c0` over `count` names to `to`.
fn chain(count: usize, to: &str) -> String {
    let mut text = String::new();
    for i in 0..count {
        let next = if i + 1 == count { to.to_owned() } else { format!("/c{}", i + 1) };
        let _ = write!(text, "/c{i}=>{next};");
    }
    text
}

/// An entry with `*` at places of its own.
fn stars(turn: usize) -> String {
    let star = |i: usize| ((turn * 2_654_435_761) >> (i % 29)) & 1 == 1;
    let labels = (0..40).map(|i| if star(i) { "/*" } else { "/a" });
    format!("{}=>/b;", labels.collect::<String>())
}

/// Three names, each to the next twenty times.
fn three(to: &str, sign: &str) -> String {
    let [g, h, to] = ["/g", "/h", to].map(|to| fan(to, 20, sign));
    format!("/f=>{g};/g=>{h};/h=>{to};")
}

/// Tables that were written to cost much: what they do, the table, the name.
fn hostile() -> Vec<(&'static str, String, String)> {
    let label = "x".repeat(3_500);
    let two = format!("/f=>{};/g=>{};", fan("/g", 64, "|"), fan("/#/files", 64, "|"));
    let nothing = "|~".repeat(2_500);
    let deep = |sign: &str| {
        let ends = vec!["/e"; 1_200].join(sign);
        format!(
            "/n/a=>/n;/n/b=>/w;/w=>{};/v=>{};/u=>{ends}",
            fan("/v", 60, sign),
            fan("/u", 60, sign)
        )
    };
    let many: String = (1..=62).map(stars).collect();
    let dots = "a.".repeat(200);
    let deep_name = format!("/n{}/b", "/a".repeat(96));
    let one = "/a".repeat(40);
    vec![
        (
            "alternatives at the end of a long way",
            format!("{}{}", chain(60, "/f"), three("/#/files", "|")),
            "/c0".into(),
        ),
        (
            "the same of a union",
            format!("{}{}", chain(60, "/f"), three("/#/files", "&")),
            "/c0".into(),
        ),
        ("with long names", format!("{}{two}", chain(50, &format!("/f/{label}"))), "/c0".into()),
        ("with long names behind", format!("{}{two}", chain(50, "/f")), format!("/c0/{label}")),
        (
            "nothing, often",
            format!("/f=>{};/g=>{};/h=>~{nothing}", fan("/g", 64, "|"), fan("/h", 64, "|")),
            "/f".into(),
        ),
        ("too deep, often", deep("|"), deep_name.clone()),
        ("too deep, often, in unions", deep("&"), deep_name),
        (
            "entries with many *",
            many + &format!("/s=>{};/t=>{}", fan("/t", 64, "|"), fan(&one, 14, "|")),
            "/s/a".into(),
        ),
        (
            "a utility, often",
            format!(
                "/f=>{};/g=>{};/h=>/$/io.buoyant.http.domainToPathPfx/i/{dots}",
                fan("/g", 64, "|"),
                fan("/h", 64, "|")
            ),
            "/f".into(),
        ),
        ("a middle, often", format!("/s/E=>{}", fan("/#/files/P/s/E", 400, "|")), "/s/E".into()),
        (
            "a middle behind many names",
            format!(
                "{}/f=>{};/g=>{}",
                chain(50, "/f"),
                fan("/g", 64, "|"),
                fan("/#/files/P/c0", 64, "|")
            ),
            "/c0".into(),
        ),
        ("the same entry 64 times", "/s=>/s & /t;".repeat(64), "/s".into()),
    ]
}

/// The median of a few runs in microseconds.
fn few_us(mut run: impl FnMut()) -> u128 {
    let mut each: Vec<u128> = (0..5)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_micros()
        })
        .collect();
    each.sort_unstable();
    each[each.len() / 2]
}

fn hostile_rows() {
    println!(
        "{:<44} {:>7} {:>10} {:>10}",
        "made to cost much, median us", "bytes", NODES_MAX, OVERRIDE_NODES
    );
    let base = Dtab::parse(&services(1_000)).expect("a dtab");
    for (what, text, name) in hostile() {
        let over = Dtab::parse(&text).expect(what);
        let fits = text.len() <= OVERRIDE_BYTES && over.len() <= OVERRIDE_ENTRIES;
        assert!(fits, "{what}: {} bytes, {} entries", text.len(), over.len());
        let name = Path::parse(&name).expect("a path");
        let us = |nodes| {
            few_us(|| {
                drop(black_box(bind_within(
                    black_box(&[&base, &over]),
                    black_box(&name),
                    &Files,
                    nodes,
                )));
            })
        };
        println!("{what:<44} {:>7} {:>10} {:>10}", text.len(), us(NODES_MAX), us(OVERRIDE_NODES));
    }
    println!();
}

fn main() {
    hostile_rows();
    println!("{:<44} {:>7} {:>10}", "", "entries", "median ns");
    for count in [10, 100, 1_000, 10_000] {
        let text = services(count);
        let last = format!("/svc/service-{}", count - 1);
        row("a service", count, &text, &last, "");
        row("an unknown service", count, &text, "/svc/unknown", "");
        row(
            "method and host, three rewrites",
            count,
            &text,
            &format!("/http/1.1/GET/service-{}", count / 2),
            "",
        );
        row("the same with an override", count, &text, &last, &format!("{last} => /svc/P{last}"));
        row("many *", count, &wildcards(count), &format!("/svc/eu/service-{}", count / 2), "");
    }
    for count in [8, 64] {
        let text = services(count);
        println!(
            "{:<44} {count:>7} {:>10}",
            "reading an override",
            median_ns(|| drop(black_box(Dtab::parse(&text))))
        );
    }
    let text = services(1_000);
    println!(
        "{:<44} {:>7} {:>10}",
        "reading a table",
        1_000,
        median_ns(|| drop(black_box(Dtab::parse(&text))))
    );
}
