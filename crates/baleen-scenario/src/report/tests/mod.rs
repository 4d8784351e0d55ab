//! Pages, drawings and terminals of runs told by hand. With `BALEEN_SAMPLES=DIR` the pages are also written there, to look at.

mod balance;
mod junit;
mod sample;

use std::time::Duration;

use super::*;
use crate::Recorder;
use crate::judge::judge;
use crate::outcome::{LogLine, Node};
use crate::record::tests::{fault, ms, scenario, service, workload};
use balance::check_balance;

const HOSTILE: &str = "</script><script>alert(1)</script><b>&\"'\u{202e}\u{1b}[31m]]>";

/// Written where `BALEEN_SAMPLES` says, if it does.
fn keep(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("BALEEN_SAMPLES") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// Tags are balanced, nothing is fetched, no number is not one.
pub(crate) fn check_page(page: &str) {
    check_balance(page);
    for bad in ["NaN", "inf ", "\"inf", "http://", "https://", "src=", "@import", "url(http"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        let at = page.find(bad);
        assert_eq!(at, None, "{bad}: {:?}", at.map(|i| &page[i.saturating_sub(80)..][..160]));
    }
    for block in page.split("<svg").skip(1) {
        let drawn = block.split("</svg>").next().unwrap();
        assert!(!drawn.contains("undefined"));
    }
}

#[test]
fn a_void_run_says_so_above_its_figures() {
    let (s, run) = sample::sample();
    let html = html(&s, &run, &[], "again");
    assert_eq!(html, html_beside(&s, &run, &[], &Beside::default(), "again"));
    assert!(html.contains("no expectations"));
    let void = vec!["the <b>generator</b> could not keep up".to_owned()];
    let said = vec!["killed (crash): SIGKILL; not seen".to_owned()];
    let page = html_beside(&s, &run, &[], &Beside { void, said }, "again");
    check_page(&page);
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what} is not there"));
    let figures = place("Who calls whom");
    assert!(place("void: this run neither passed nor failed") < figures);
    assert!(place("the &lt;b&gt;generator") < figures);
    assert!(place("killed (crash): SIGKILL; not seen") < figures);
    for none in ["no expectations", "expects nothing"] {
        assert!(html.contains(none) && !page.contains(none), "{none}");
    }
}

#[test]
fn a_run_that_was_stopped_says_so() {
    let (s, mut run) = sample::sample();
    run.stopped = Some("more than 7 calls in flight, at 1.0 s".to_owned());
    for text in all_of(&s, &run) {
        for part in ["stopped:", "more than 7 calls in flight", "; the run was stopped"] {
            assert!(text.contains(part), "{part}");
        }
    }
    let parsed: serde_json::Value = serde_json::from_str(&json(&s, &run, &[])).unwrap();
    assert_eq!(parsed["held"], false);
    assert_eq!(parsed["run"]["stopped"], "more than 7 calls in flight, at 1.0 s");
}

fn all_of(s: &Scenario, run: &Run) -> [String; 2] {
    let verdicts = judge(s, run);
    let page = html(s, run, &verdicts, "baleen sim one.toml --seed 7");
    check_page(&page);
    let text = terminal(s, run, &verdicts, 100, false);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let parsed: serde_json::Value = serde_json::from_str(&json(s, run, &verdicts)).unwrap();
    assert_eq!(parsed["run"]["title"], s.title);
    [page, text]
}

#[test]
fn a_sample_run_is_drawn() {
    let (s, run) = sample::sample();
    assert_eq!(run.violations, Vec::<String>::new());
    let [page, text] = all_of(&s, &run);
    keep("sample.html", &page);
    keep("sample.txt", &text);
    let verdicts = judge(&s, &run);
    keep("sample.json", &json(&s, &run, &verdicts));
    keep("sample-colour.txt", &terminal(&s, &run, &verdicts, 120, true));
    for part in [
        "one replica turns slow",
        "latency +1s on web/3",
        "Calls per second",
        "web: requests there",
        "each row one replica",
        "Success fell below 99 %",
        "baleen sim one.toml --seed 7",
        "sample.toml:7",
        ">broken<",
        "for=\"c2\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["faults", "━", "goodput", "p99", "queue web", "█", "before", "during", "whole"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let wide = |l: &str| l.starts_with(['g', 'f']) && l.chars().count() > 100;
    assert!(!text.lines().any(wide), "{text}");
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let [(s, a), (_, b)] = [sample::sample(), sample::sample()];
    assert_eq!(html(&s, &a, &[], "x"), html(&s, &b, &[], "x"));
}

#[test]
fn an_empty_run_is_drawn() {
    let mut s = scenario();
    s.title = String::new();
    all_of(&s, &Recorder::new(&s).finish(&s, 1, ms(0), 0, 0));
    s.faults.push(fault("f", 0, None, vec![crate::model::On::Rack(0)]));
    all_of(&s, &Recorder::new(&s).finish(&s, 1, ms(0), 0, 0));
    s.duration = Duration::from_nanos(1);
    s.warmup = Duration::from_secs(1);
    let mut run = Recorder::new(&s).finish(&s, 1, ms(0), 0, 0);
    all_of(&s, &run);
    // What no recorder gives, but a file could hold.
    run.windows = Vec::new();
    run.phases = Vec::new();
    run.callers = Vec::new();
    run.services = Vec::new();
    run.topology = Default::default();
    run.duration_s = 0.0;
    all_of(&s, &run);
}

#[test]
fn hostile_names_stay_text() {
    let mut s = scenario();
    s.title = HOSTILE.to_owned();
    s.workloads = (0..20).map(|_| workload(HOSTILE)).collect();
    s.services = vec![service(HOSTILE, 3), service(HOSTILE, 1)];
    s.faults.push(fault(HOSTILE, 10, Some(5), vec![crate::model::On::Rack(0)]));
    let mut r = Recorder::new(&s);
    r.note(ms(1), "fault", || HOSTILE.to_owned());
    r.violation(ms(1), HOSTILE.to_owned());
    let run = r.finish(&s, 1, ms(100_000), 1, 1);
    let verdicts = vec![Verdict {
        expected: HOSTILE.to_owned(),
        measured: HOSTILE.to_owned(),
        held: false,
        place: HOSTILE.to_owned(),
    }];
    let page = html(&s, &run, &verdicts, HOSTILE);
    check_page(&page);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(page.contains("the expectation broke; invariants broke"));
    assert!(!page.contains("<b>") && !page.contains('\u{202e}') && !page.contains('\u{1b}'));
    let text = terminal(&s, &run, &verdicts, 80, false);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    let points = [SweepPoint { label: HOSTILE.to_owned(), ..point(1.0, true) }];
    let page = sweep_html(HOSTILE, HOSTILE, &points, HOSTILE);
    check_page(&page);
    assert_eq!(page.matches("<script").count(), 2);
}

fn point(value: f64, held: bool) -> SweepPoint {
    SweepPoint {
        value,
        label: format!("{value}/s"),
        goodput: (value * 0.98).min(410.0 - (value - 400.0).max(0.0) * 0.6),
        success: (400.0 / value).min(1.0),
        p50_s: if value < 400.0 { 0.1 } else { 0.9 },
        p99_s: if value < 400.0 { 0.4 } else { 2.0 },
        tries: if value < 400.0 { 1.02 } else { 2.6 },
        held,
    }
}

#[test]
fn a_sweep_is_drawn() {
    let points: Vec<SweepPoint> =
        (1..=14).map(|i| point(f64::from(i) * 50.0, f64::from(i) * 50.0 < 400.0)).collect();
    let page = sweep_html("load", "workload.web.rate", &points, "baleen sim a.toml --sweep x");
    check_page(&page);
    keep("sweep.html", &page);
    assert_eq!(page.matches("an expectation broke at").count(), 7 * 4);
    assert!(page.contains("14 values of workload.web.rate, expectations broke at 7"));
    check_page(&sweep_html("none", "k", &[], ""));
    check_page(&sweep_html("one", "k", &[point(5.0, false)], ""));
    let label = "odd".to_owned();
    let odd =
        SweepPoint { label, goodput: f64::NAN, p99_s: f64::INFINITY, ..point(f64::NAN, true) };
    let odd_y = SweepPoint { value: 1.0, ..odd.clone() };
    check_page(&sweep_html("odd", "k", &[odd, odd_y, point(2.0, true)], ""));
}

#[test]
fn much_is_cut_and_said() {
    let mut s = scenario();
    s.workloads = (0..30).map(|i| workload(&format!("w{i}"))).collect();
    s.services = (0..40).map(|i| service(&format!("s{i}"), 200)).collect();
    s.faults = (0..40)
        .map(|i| fault(&format!("f{i}"), 10 + i, Some(1), vec![crate::model::On::Rack(0)]))
        .collect();
    let run = Recorder::new(&s).finish(&s, 1, ms(100_000), 1, 1);
    let [page, _] = all_of(&s, &run);
    for more in ["18 more workloads", "16 more services", "24 more faults", "and 10 more"] {
        assert!(page.contains(more), "{more}");
    }
    assert!(page.len() < 6_000_000, "{}", page.len());
}

#[test]
fn the_log_is_shown_around_the_tipping_point() {
    let (s, mut run) = sample::sample();
    let line = |i: usize| LogLine { at_s: i as f64, kind: "queue", text: format!("line {i} here") };
    run.log = (0..120).map(line).collect();
    let at = tables::tipped(&run, 5.0).unwrap();
    assert!((30.0..33.0).contains(&at), "{at}");
    let page = html(&s, &run, &[], "");
    let (near, _) = page.split_once("<details>").unwrap();
    let (_, near) = near.split_once("What happened").unwrap();
    let shown = |i: f64| near.contains(&format!("line {i} here"));
    assert!(shown(at.ceil()) && shown(at.ceil() - 1.0) && shown(at.ceil() + 25.0));
    assert!(!shown(5.0) && !shown(100.0));
    assert!(page.contains("line 119 here"));
}

#[test]
fn boxes_stand_right_of_their_callers_even_in_loops() {
    let node = |kind: &'static str, hit: bool| Node {
        name: format!("a {kind}"),
        kind,
        note: "8 replicas".to_owned(),
        hit,
    };
    let nodes = vec![
        node("workload", false),
        node("proxy", false),
        node("service", true),
        node("service", false),
    ];
    // The service calls the other one by way of the proxy that calls it.
    let edges = vec![(0, 1), (1, 2), (1, 3), (2, 1), (3, 3), (9, 1)];
    let mut m = markup::Markup::new();
    topology::draw(&mut m, &crate::outcome::Topology { nodes, edges });
    let drawn = m.finish();
    check_balance(&drawn);
    assert_eq!(drawn.matches("class=\"edge\"").count(), 5);
    assert_eq!(drawn.matches("node service hit").count(), 1);
    let x: Vec<f64> = drawn
        .split("<rect x=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
        .collect();
    assert!(x[0] < x[1] && x[1] < x[2] && x[2] == x[3], "{x:?}");
}

#[test]
fn the_style_has_a_rule_for_each_caller() {
    for i in 0..page::CALLERS_MAX {
        assert!(style::STYLE.contains(&format!("#c{i}:checked~.c{i}")));
    }
    assert!(!style::STYLE.contains("</") && !style::SCRIPT.contains("</"));
}

#[test]
fn a_heat_map_of_many_is_small() {
    let mut s = scenario();
    s.services = vec![service("big", 1000)];
    let mut r = Recorder::new(&s);
    let mut rng = baleen_base::Prng::new(3);
    for at in 0..100_000u64 {
        let replica = rng.below(1000) as u32;
        r.level(crate::model::ServiceId(0), replica, ms(at), rng.below(9) as u32, 0);
    }
    let run = r.finish(&s, 1, ms(100_000), 1, 1);
    let page = html(&s, &run, &[], "");
    check_page(&page);
    assert!(page.len() < 1_500_000, "{}", page.len());
}
