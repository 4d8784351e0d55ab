//! Tries and timeouts.

use super::{
    by_name, call, has, said, scenario, service, silent, step, times, with_mesh, workload,
};
use crate::model::{CallSpec, Gone, Scenario};

/// A workload, and services in a row, each called with so many tries.
fn layers(tries: &[u16]) -> Scenario {
    let n = tries.len() as u16;
    let mut services: Vec<_> =
        (0..n).map(|i| service(&format!("s{i}"), 10, 1000, 10, "1ms")).collect();
    for (i, service) in (1..n).zip(&mut services) {
        service.calls = vec![step(call(i, 0.01, tries[i as usize]))];
    }
    scenario(vec![workload("users", 10.0, call(0, 60.0, tries[0]))], services)
}

/// The SRE book, chapter 22: three layers of four are 64. AWS: five of three are 243.
#[test]
fn tries_multiply() {
    let text = said(&layers(&[4, 4, 4]), "tries multiply");
    has(
        &text,
        &[
            "`users` that fails at `s2` becomes 64 attempts",
            "4 x 4 x 4 = 64",
            "users -> s0 -> s1 -> s2",
            "times 4",
        ],
    );
    has(&said(&layers(&[3, 3, 3, 3, 3]), "tries multiply"), &["= 243"]);
    has(&said(&layers(&[1, 3, 1, 2]), "tries multiply"), &["3 x 2 = 6", "s3"]);
    // One layer alone does not multiply, and two by two is not much.
    silent(&layers(&[1, 1, 9]), "tries multiply");
    silent(&layers(&[2, 2]), "tries multiply");
}

#[test]
fn who_can_do_without_cuts_it() {
    let mut s = layers(&[4, 4, 4]);
    s.services[1].calls[0].required = false;
    has(&said(&s, "tries multiply"), &["fails at `s1` becomes 16 attempts"]);
}

/// The worst of several paths.
#[test]
fn the_longest_product_is_found() {
    let mut s = layers(&[2, 2, 2]);
    s.services[0].calls.push(step(call(2, 0.01, 5)));
    has(&said(&s, "tries multiply"), &["users -> s0 -> s2", "2 x 5 = 10"]);
}

#[test]
fn tries_without_a_budget() {
    let s = layers(&[4, 1]);
    let text = said(&s, "without a budget");
    has(&text, &["`users` tries `s0` up to 4 times", "10/s x 4 = 40/s", "at most 12/s"]);
    silent(&layers(&[1, 1]), "without a budget");
    // Through Baleen the caller's own tries have no budget either; Baleen's have.
    let through = |tries| {
        let mut s = layers(&[1]);
        s.services[0].name = "web".to_owned();
        s.workloads[0].call = by_name("/svc/web", call(0, 3.0, tries));
        with_mesh(s, "")
    };
    silent(&through(1), "without a budget");
    has(
        &said(&through(3), "without a budget"),
        &["`/svc/web` up to 3 times", "leave retries to Baleen"],
    );
}

fn two(front: CallSpec, back: CallSpec) -> Scenario {
    let mut web = service("web", 10, 100, 10, "1ms");
    web.calls = vec![step(back)];
    scenario(vec![workload("users", 10.0, front)], vec![web, service("db", 10, 100, 10, "1ms")])
}

const LONGER: &str = "waits longer for `db`";

#[test]
fn a_timeout_longer_than_the_callers() {
    let text = said(&two(call(0, 1.0, 1), call(1, 2.0, 1)), LONGER);
    has(
        &text,
        &["than `users` waits for `web`", "up to 2s", "after 1s nobody waits", "at most 1s here"],
    );
    silent(&two(call(0, 2.0, 1), call(1, 2.0, 1)), LONGER);
    let text = said(&two(call(0, 2.0, 1), call(1, 1.0, 3)), LONGER);
    has(&text, &["3 tries of 1s = 3s"]);
    let waits = CallSpec { wait: times("500ms"), ..call(1, 1.0, 2) };
    has(
        &said(&two(call(0, 2.0, 1), waits), LONGER),
        &["2 tries of 1s and 500ms between them = 2.5s"],
    );
    silent(&two(call(0, 0.0, 1), call(1, 2.0, 3)), LONGER);
    has(&said(&two(call(0, 2.0, 1), call(1, 0.0, 1)), "without end"), &["only 2s", "no timeout"]);
}

#[test]
fn who_stops_with_its_caller_may_wait() {
    let mut s = two(call(0, 1.0, 1), call(1, 2.0, 1));
    s.services[0].on_gone = Gone::Stop;
    silent(&s, LONGER);
}

/// Of several callers the least patient one counts.
#[test]
fn the_least_patient_caller() {
    let mut s = two(call(0, 5.0, 1), call(1, 2.0, 1));
    s.workloads.push(workload("hasty", 1.0, call(0, 0.5, 1)));
    has(&said(&s, LONGER), &["than `hasty` waits"]);
}

/// Baleen gives up after its total timeout, whatever the caller says.
#[test]
fn through_baleen_its_total_timeout_counts() {
    let mut s = two(call(0, 2.0, 1), by_name("/svc/old", call(1, 10.0, 1)));
    s.services[1].name = "old".to_owned();
    let of = |total: &str| {
        let mesh = format!("[route]\ntotal_timeout = \"{total}\"\ntry_timeout = \"500ms\"\n");
        with_mesh(s.clone(), &mesh)
    };
    has(&said(&of("5s"), "waits longer for `/svc/old`"), &["up to 5s"]);
    silent(&of("1s"), "waits longer");
}
