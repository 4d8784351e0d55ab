//! Reads callgrind's output and says which layer each instruction belongs to.
//!
//! Expects names and positions uncompressed. An inlined instruction carries the file it was
//! written in, so the file decides first; the standard library's own files say nothing about
//! who asked, so there the function's name decides.

use std::collections::BTreeMap;

/// Layers, in the order of tables.
pub const LAYERS: &[&str] = &["codec", "policy", "telemetry", "shell", "runtime", "libc and std"];

/// Instructions by layer and by function, each counted where it executes.
#[derive(Debug, Default, PartialEq)]
pub struct Costs {
    pub by_layer: BTreeMap<&'static str, u64>,
    pub by_function: BTreeMap<String, u64>,
}

impl Costs {
    /// All instructions.
    pub fn total(&self) -> u64 {
        self.by_layer.values().sum()
    }
}

/// Adds up a whole profile.
pub fn parse(text: &str) -> Costs {
    let mut costs = Costs::default();
    let (mut file, mut function) = ("", "");
    let mut inclusive_next = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "fl" | "fi" | "fe" => file = value,
                "fn" => function = value,
                // The line after says what the call cost inside: counted there already.
                "calls" => inclusive_next = true,
                _ => {}
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(at), Some(cost)) = (words.next(), words.next()) else { continue };
        let (true, Ok(cost)) = (at.starts_with(|c: char| c.is_ascii_digit()), cost.parse::<u64>())
        else {
            continue;
        };
        if std::mem::take(&mut inclusive_next) {
            continue;
        }
        *costs.by_layer.entry(layer(file, function)).or_default() += cost;
        match costs.by_function.get_mut(function) {
            Some(sum) => *sum += cost,
            None => drop(costs.by_function.insert(function.to_owned(), cost)),
        }
    }
    costs
}

/// Parts of a path, parts of a name, and whose they are.
const OWNERS: &[(&[&str], &[&str], &str)] = &[
    (&["baleen-http1/", "/httparse-"], &["baleen_http1", "httparse"], "codec"),
    (
        &["baleen-policy/", "baleen-base/", "/libm-"],
        &["baleen_policy", "baleen_base", "libm::"],
        "policy",
    ),
    (&["baleen-telemetry/"], &["baleen_telemetry"], "telemetry"),
    (
        &["baleen-proxy/", "baleen-config/", "baleen-discovery/", "crates/baleen/"],
        &["baleen_proxy", "baleen_config", "baleen_discovery", "baleen::"],
        "shell",
    ),
    (&["/tokio-", "/mio-", "/socket2-"], &["tokio::", "mio::", "socket2::"], "runtime"),
];

fn layer(file: &str, function: &str) -> &'static str {
    let by_file = OWNERS.iter().find(|(files, _, _)| files.iter().any(|part| file.contains(part)));
    if let Some((_, _, layer)) = by_file {
        return layer;
    }
    // The crate named first owns a function: `tokio::task<baleen_proxy::x>` is tokio's.
    let first = |names: &[&str]| names.iter().filter_map(|name| function.find(name)).min();
    let owner = OWNERS.iter().filter_map(|(_, names, layer)| Some((first(names)?, *layer)));
    owner.min().map_or("libc and std", |(_, layer)| layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_decide_before_names() {
        let tokio = "/registry/tokio-1.54.0/src/io.rs";
        let core = "/rustc/library/core/src/slice.rs";
        for (file, function, expect) in [
            ("crates/baleen-http1/src/head.rs", "baleen_proxy::serve", "codec"),
            (tokio, "baleen_proxy::serve::{{closure}}", "runtime"),
            (core, "baleen_policy::core::Core::poll", "policy"),
            (core, "<alloc::vec::Vec<baleen_telemetry::Cell> as Drop>::drop", "telemetry"),
            (core, "tokio::task::poll<baleen_proxy::serve>", "runtime"),
            ("malloc.c", "malloc", "libc and std"),
            ("???", "baleen::main", "shell"),
        ] {
            assert_eq!(layer(file, function), expect, "{file} {function}");
        }
    }

    #[test]
    fn costs_of_calls_are_counted_once() {
        let text = "\
events: Ir

fl=crates/baleen-proxy/src/a.rs
fn=baleen_proxy::a
10 5
fi=crates/baleen-http1/src/b.rs
3 7
fe=crates/baleen-proxy/src/a.rs
11 1
cfi=malloc.c
cfn=malloc
calls=2 40
11 100

fl=malloc.c
fn=malloc
40 100

totals: 113
";
        let costs = parse(text);
        assert_eq!(costs.total(), 113);
        let layers: Vec<_> = costs.by_layer.into_iter().collect();
        assert_eq!(layers, [("codec", 7), ("libc and std", 100), ("shell", 6)]);
        assert_eq!(costs.by_function["baleen_proxy::a"], 13);
    }
}
