//! Results as Markdown, put between markers into `docs/benchmarks.md`.

use std::fmt::Write as _;

use super::peers::Peer;
use super::plan::{CASES, Case, Load};
use super::results::{Metric, Results, Spread};
use super::targets::{self, Judged};

/// The page before anything was measured.
pub const PAGE: &str = "\
# Benchmarks

What a request through Baleen costs, next to other proxies on the same machine in the same run. How it is measured, and why so:
[internals/measuring.md](internals/measuring.md).

";

/// Replaces the part of `page` named `name`, or adds it at the end.
pub fn splice(page: &str, name: &str, text: &str) -> String {
    let (open, close) = (format!("<!-- generated: {name} -->"), format!("<!-- end: {name} -->"));
    let part = format!("{open}\n\n{}\n\n{close}", text.trim());
    match (page.find(&open), page.find(&close)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{part}{}", &page[..from], &page[to + close.len()..])
        }
        _ => format!("{}\n\n{part}\n", page.trim_end()),
    }
}

/// Everything that was measured.
pub fn render(results: &Results) -> String {
    let mut out = String::from("## Targets\n\n");
    out += "Paired ratios: each Baleen run divided by the peer's run of the same round. ";
    out += "Median [least - greatest].\n\n";
    out += &targets_table(results);
    out += "\n![CPU per request against HAProxy](benchmarks.svg)\n";
    for case in CASES {
        if results.samples.iter().any(|s| s.case == case.name) {
            out += &case_section(results, case);
        }
    }
    if !results.memory.is_empty() {
        out += &memory_section(results);
    }
    out += &conditions(results);
    out
}

/// Targets alone: also printed at the end of a run.
pub fn targets_table(results: &Results) -> String {
    judged_table(&targets::judge(results))
}

/// Any targets.
pub fn judged_table(targets: &[Judged]) -> String {
    let mut out = String::from("| target | limit | measured | met |\n|---|---|---|---|\n");
    for judged in targets {
        let measured =
            judged.measured.map_or("not measured".to_owned(), |m| spread(m, judged.digits));
        let met = match (judged.measured, judged.met) {
            (None, _) => "-",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        // Writing to a String can not fail.
        let _ = writeln!(out, "| {} | {} | {measured} | {met} |", judged.title, judged.limit);
    }
    out
}

fn case_section(results: &Results, case: &Case) -> String {
    let mut out = format!("\n## {}\n\n", case.title);
    let open = matches!(case.load, Load::Open(_));
    out += "| proxy | us CPU per request | user | system | ratio to HAProxy | ";
    out += if open { "late % | " } else { "requests/s | " };
    out += "p50 us | p99 us | p99.9 us |\n|---|---|---|---|---|---|---|---|---|\n";
    for peer in case.peers {
        let get = |metric| results.spread(case.name, *peer, metric);
        let Some(cpu) = get(Metric::CpuUs) else { continue };
        let median = |metric, digits| get(metric).map_or("-".into(), |s| number(s.median, digits));
        let digits = if cpu.median < 100.0 { 2 } else { 0 };
        let ratio = results.ratio(case.name, *peer, Peer::Haproxy, Metric::CpuUs);
        let cells = [
            peer.title().to_owned(),
            spread(cpu, digits),
            median(Metric::UserUs, digits),
            median(Metric::SystemUs, digits),
            ratio.map_or("-".into(), |r| spread(r, 2)),
            if open { median(Metric::LatePercent, 2) } else { median(Metric::PerSecond, 0) },
            median(Metric::P50Us, 0),
            median(Metric::P99Us, 0),
            median(Metric::P999Us, 0),
        ];
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let rounds = results.rounds_of(case.name);
    let _ = match rounds.noisy_let_in {
        false => writeln!(out, "\n{} of {} rounds counted.", rounds.used.len(), rounds.all),
        true => writeln!(
            out,
            "\nAll {} rounds counted although most were disturbed by other processes: read with care.",
            rounds.all
        ),
    };
    out
}

fn memory_section(results: &Results) -> String {
    let mut out = String::from("\n## Memory of idle connections\n\n");
    out += "Resident memory added by 10,000 client connections that each made one request and then wait; one worker.\n\n";
    out += "| proxy | bytes per connection | resident before, MB | resident after, MB |\n|---|---|---|---|\n";
    for peer in Peer::ALL {
        let Some(each) = results.memory_of(peer) else { continue };
        let of = |f: fn(&super::results::Memory) -> u64| {
            let all = results.memory.iter().filter(|m| m.peer == peer);
            Spread::of(all.map(|m| f(m) as f64 / 1e6)).map_or(0.0, |s| s.median)
        };
        let (before, after) = (of(|m| m.before_bytes), of(|m| m.after_bytes));
        let _ =
            writeln!(out, "| {} | {} | {before:.1} | {after:.1} |", peer.title(), spread(each, 0));
    }
    out
}

fn conditions(results: &Results) -> String {
    let mut out = String::from("\n## Conditions\n\n");
    let _ = writeln!(out, "* Command: `{}`, on {}.", results.command, results.date);
    let _ = writeln!(out, "* Machine: {}; everything on loopback.", results.machine);
    for (peer, version) in &results.versions {
        let _ = writeln!(out, "* {}: {version}", peer.title().trim_matches('*'));
    }
    let _ = writeln!(
        out,
        "* {} rounds, each {} ms of warm-up and {} ms of measuring per proxy; order shuffled (seed {}).",
        results.rounds, results.warmup_ms, results.measure_ms, results.seed
    );
    let redone: u32 = results.samples.iter().map(|s| s.redone).sum();
    let noisy = results.samples.iter().filter(|s| s.noisy).count();
    let _ = writeln!(
        out,
        "* {} measurements, {redone} done again because of other processes or an error, {noisy} still disturbed.",
        results.samples.len()
    );
    for problem in &results.problems {
        let _ = writeln!(out, "* Not measured: {}", problem.lines().next().unwrap_or_default());
    }
    out
}

/// `median [least - greatest]`.
pub fn spread(s: Spread, digits: usize) -> String {
    let n = |value| number(value, digits);
    format!("{} [{} - {}]", n(s.median), n(s.min), n(s.max))
}

/// With commas between thousands.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(c);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample;
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(1234567.0, 0), "1,234,567");
        assert_eq!(number(999.5, 2), "999.50");
        assert_eq!(number(-123.0, 0), "-123");
    }

    #[test]
    fn a_part_is_replaced_and_the_rest_kept() {
        let once = splice("# Page\n\nintro\n", "x", "one");
        let twice = splice(&format!("{once}\nafter\n"), "x", "two");
        assert!(twice.starts_with("# Page\n\nintro\n"));
        assert!(twice.contains("two") && !twice.contains("one") && twice.ends_with("after\n"));
        assert_eq!(splice(&twice, "x", "two"), twice);
        assert!(splice(&twice, "y", "three").contains("two"));
    }

    #[test]
    fn a_report_has_tables_targets_and_problems() {
        let mut results =
            Results { rounds: 1, problems: vec!["envoy: gone\nlong".into()], ..Results::default() };
        results.samples.push(sample("c64-w1-128", 0, Peer::Baleen, 9.0, false));
        results.samples.push(sample("c64-w1-128", 0, Peer::Haproxy, 10.0, false));
        let text = render(&results);
        for part in [
            "| **Baleen** | 9.00 [9.00 - 9.00] | 2.25 | 6.75 | 0.90 [0.90 - 0.90] | 1,000 |",
            "at most 0.90 | 0.90 [0.90 - 0.90] | yes |",
            "at most 0.45 | not measured | - |",
            "* Not measured: envoy: gone\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
