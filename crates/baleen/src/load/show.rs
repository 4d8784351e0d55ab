//! What came of a load, as text and as JSON.
//!
//! Not here: the page (`page.rs`). Tested: in `tests/it/load.rs`.

use std::fmt::Write;
use std::time::Duration;

use baleen_drill::load::{Hdr, Summary, Window};
use baleen_scenario::report::draw;
use serde_json::{Value, json};

use super::Came;
use super::expect::{self, Part};
use crate::out::Paint;

/// Quantiles that are shown, with their names.
pub const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];
/// Most targets and phases that are shown one by one.
const LINES_MAX: usize = 24;

pub fn text(came: &Came<'_>) -> String {
    let paint = Paint::stdout();
    let (task, sum) = (came.task, &came.all);
    let mut out = String::new();
    // Writing to a String can not fail.
    let _ = writeln!(out, "{}\n{}, {:?}\n", paint.bold(&task.title), task.how, task.duration);
    if let Some(behind) = &came.behind {
        let _ = writeln!(out, "{}: {behind}\n", paint.red("NOT A RESULT"));
    }
    if sum.interrupted {
        let _ = writeln!(out, "{}", paint.yellow("interrupted; so far:"));
    }
    counts(&mut out, sum, paint);
    let whole = expect::whole(sum, task.duration);
    let success = whole.success().unwrap_or(f64::NAN);
    let _ = writeln!(
        out,
        "success   {} ({} of {}), {}/s",
        draw::percent(success, 3),
        sum.ok,
        sum.due,
        draw::number(whole.rate(), 4)
    );
    ends(&mut out, sum);
    let _ = writeln!(out, "\nlatency of requests that ended well");
    header(&mut out);
    latency(&mut out, "from when it was due", whole.latency);
    latency(&mut out, "from when it was sent", whole.service);
    if sum.bad.count() > 0 {
        latency(&mut out, "not well, from due", &sum.bad);
    }
    parts(&mut out, came);
    for v in &came.verdicts {
        let word = if v.held { paint.green("held") } else { paint.red("broke") };
        let _ = writeln!(out, "expect    {}: {word}, {}", v.expected, v.measured);
    }
    out
}

fn counts(out: &mut String, sum: &Summary, paint: Paint) {
    let late = format!("{} late, {} skipped", sum.late, sum.skipped);
    let late = if sum.late + sum.skipped > 0 { paint.yellow(late) } else { late };
    let again =
        if sum.tries > sum.sent { format!(" ({} tries)", sum.tries) } else { String::new() };
    let _ = writeln!(
        out,
        "requests  {} due, {} sent{again}, {late}; {} connections",
        sum.due, sum.sent, sum.connections
    );
}

/// How requests ended.
fn ends(out: &mut String, sum: &Summary) {
    let mut words: Vec<String> = sum.statuses.iter().map(|(s, n)| format!("{s}: {n}")).collect();
    words.extend(sum.failures.iter().map(|(why, n)| format!("{why}: {n}")));
    if sum.wrong_body > 0 {
        words.push(format!("without the text: {}", sum.wrong_body));
    }
    if !words.is_empty() {
        let _ = writeln!(out, "ends      {}", words.join("  "));
    }
}

fn header(out: &mut String) {
    let _ = write!(out, "  {:<22}{:>10}", "", "mean");
    for (name, _) in QUANTILES {
        let _ = write!(out, "{name:>10}");
    }
    let _ = writeln!(out, "{:>10}", "max");
}

fn time(d: Option<Duration>) -> String {
    d.map_or("-".to_owned(), |d| draw::time(d.as_secs_f64(), 3))
}

fn latency(out: &mut String, name: &str, hist: &Hdr) {
    let _ = write!(out, "  {name:<22}{:>10}", time(hist.mean()));
    for (_, q) in QUANTILES {
        let _ = write!(out, "{:>10}", time(hist.quantile(q)));
    }
    let _ = writeln!(out, "{:>10}", time(hist.max()));
}

/// Phases, workloads and targets.
fn parts(out: &mut String, came: &Came<'_>) {
    let line = |out: &mut String, name: &str, part: &Part<'_>| {
        let success = part.success().map_or("-".to_owned(), |s| draw::percent(s, 3));
        let at = |q| time(part.latency.quantile(q));
        let _ = writeln!(
            out,
            "  {name:<22}{:>10}{success:>12}{:>10}{:>10}{:>10}",
            part.due,
            at(0.5),
            at(0.99),
            time(part.service.quantile(0.99))
        );
    };
    let head = |out: &mut String, what: &str| {
        let _ = writeln!(
            out,
            "\n{what:<24}{:>10}{:>12}{:>10}{:>10}{:>10}",
            "due", "success", "p50", "p99", "sent p99"
        );
    };
    if !came.all.phases.is_empty() {
        head(out, "phase");
        for (name, part) in expect::phases(&came.all, came.task.duration).take(LINES_MAX) {
            line(out, name, &part);
        }
    }
    if came.sums.len() > 1 {
        head(out, "workload");
        for ((name, _), sum) in came.task.loads.iter().zip(&came.sums).take(LINES_MAX) {
            line(out, name, &expect::whole(sum, came.task.duration));
        }
    }
    let [(_, load)] = &came.task.loads[..] else {
        out.push('\n');
        return;
    };
    if load.targets.len() > 1 {
        let _ = writeln!(out, "\n{:<48}{:>10}{:>12}", "target", "due", "success");
        for (target, sum) in load.targets.iter().zip(&came.all.targets).take(LINES_MAX) {
            let name = format!("{} {}{}", target.method, target.url.host, target.url.path);
            let success = draw::percent(sum.ok as f64 / sum.due as f64, 3);
            let _ = writeln!(out, "  {name:<46}{:>10}{success:>12}", sum.due);
        }
        let more = load.targets.len().saturating_sub(LINES_MAX);
        if more > 0 {
            let _ = writeln!(out, "  and {more} more");
        }
    }
    out.push('\n');
}

pub fn json(came: &Came<'_>) -> Value {
    let (task, sum) = (came.task, &came.all);
    let verdict = |v: &expect::Verdict| json!({ "expected": v.expected, "measured": v.measured, "held": v.held });
    let workload = |((name, load), sum): (&(String, baleen_drill::load::Load), &Summary)| {
        let target = |(t, s): (&baleen_drill::load::Target, &baleen_drill::load::TargetSum)| {
            json!({
                "method": t.method, "host": t.url.host, "path": t.url.path, "weight": t.weight,
                "due": s.due, "ok": s.ok,
            })
        };
        json!({
            "name": name,
            "seed": load.seed,
            "threads": load.threads,
            "connections_max": load.connections_max,
            "requests": requests(sum),
            "figures": part(&expect::whole(sum, task.duration)),
            "targets": load.targets.iter().zip(&sum.targets).map(target).collect::<Vec<_>>(),
        })
    };
    let phase = |(p, (name, figures)): (&baleen_drill::load::PhaseSum, (&str, Part<'_>))| {
        json!({
            "name": name, "from_s": p.from.as_secs_f64(), "to_s": p.to.as_secs_f64(),
            "skipped": p.skipped, "figures": part(&figures),
        })
    };
    json!({
        "valid": came.behind.is_none(),
        "why_not_valid": came.behind.map(|b| b.to_string()),
        "held": came.held(),
        "verdicts": came.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "title": task.title,
        "how": task.how,
        "duration_s": task.duration.as_secs_f64(),
        "elapsed_s": sum.elapsed.as_secs_f64(),
        "interrupted": sum.interrupted,
        "requests": requests(sum),
        "figures": part(&expect::whole(sum, task.duration)),
        "phases": sum.phases.iter().zip(expect::phases(sum, task.duration)).map(phase).collect::<Vec<_>>(),
        "workloads": task.loads.iter().zip(&came.sums).map(workload).collect::<Vec<_>>(),
        "windows": (0u64..).zip(&sum.windows).map(window).collect::<Vec<_>>(),
    })
}

fn requests(sum: &Summary) -> Value {
    let failures: serde_json::Map<String, Value> =
        sum.failures.iter().map(|(why, n)| (why.to_string(), json!(n))).collect();
    let statuses: serde_json::Map<String, Value> =
        sum.statuses.iter().map(|(status, n)| (status.to_string(), json!(n))).collect();
    json!({
        "due": sum.due, "sent": sum.sent, "tries": sum.tries, "late": sum.late, "late_waiting": sum.late_waiting,
        "skipped": sum.skipped, "unpaced": sum.unpaced, "done": sum.done, "ok": sum.ok, "wrong_body": sum.wrong_body,
        "failed": sum.failed(), "failures": failures, "statuses": statuses, "connections": sum.connections,
        "body_bytes": sum.body_bytes,
    })
}

fn part(part: &Part<'_>) -> Value {
    json!({
        "due": part.due,
        "ok": part.ok,
        "success": part.success(),
        "ok_per_second": part.rate(),
        "latency_s": times(part.latency),
        "service_s": times(part.service),
    })
}

fn times(hist: &Hdr) -> Value {
    let seconds = |d: Option<Duration>| json!(d.map(|d| d.as_secs_f64()));
    let mut all = serde_json::Map::new();
    all.insert("count".to_owned(), json!(hist.count()));
    all.insert("mean".to_owned(), seconds(hist.mean()));
    all.insert("min".to_owned(), seconds(hist.min()));
    for (name, q) in QUANTILES {
        all.insert(name.to_owned(), seconds(hist.quantile(q)));
    }
    all.insert("max".to_owned(), seconds(hist.max()));
    Value::Object(all)
}

fn window((second, w): (u64, &Window)) -> Value {
    let at = |q| w.latency.quantile(q).map(|d| d.as_secs_f64());
    json!({
        "from_s": second, "due": w.due, "ok": w.ok, "late": w.late, "skipped": w.skipped,
        "p50_s": at(0.5), "p99_s": at(0.99), "max_s": at(1.0),
    })
}
