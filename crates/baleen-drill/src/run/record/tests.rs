//! What was told, made into a run: it must add up, whatever was cut off.

use super::*;
use crate::events::Event;
use baleen_scenario::model::WorkloadId;
use baleen_scenario::outcome::CallEnd;

const EPOCH: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn scenario() -> Scenario {
    let text = "[scenario]\nduration = \"10s\"\n[[workload]]\nto = \"web\"\nrate = \"1/s\"\n[service.web]\n\
                replicas = 2\n[[fault]]\nname = \"f\"\non = \"web/0\"\nkind = \"crash\"\nat = \"5s\"\nfor = \"1s\"\n";
    baleen_scenario::parse_str("a.toml", text, &[]).expect("a scenario").0
}

fn at(ms: u64, what: What) -> Event {
    Event { at: EPOCH + ms * MS, what }
}

fn left(ms: u64, since: u64, how: How) -> Event {
    at(ms, What::Left { since: EPOCH + since * MS, worked: 5_000, how })
}

fn level(ms: u64, busy: u32, queued: u32) -> Event {
    at(ms, What::Level { busy, queued })
}

fn ran(lives: Vec<Life>, done: &[Done]) -> (Run, Samples) {
    let scenario = scenario();
    let lives = BTreeMap::from([((ServiceId(0), 0), lives)]);
    let attempts = Attempts::new();
    run(&Told {
        scenario: &scenario,
        seed: 1,
        epoch: EPOCH,
        done,
        attempts: &attempts,
        lives: &lives,
        notes: &[
            Note { at: EPOCH - 1, kind: "fault", text: "too early".to_owned() },
            Note { at: EPOCH + 7, kind: "fault", text: "in time".to_owned() },
        ],
    })
}

#[test]
fn calls_and_requests_are_counted() {
    let events = vec![
        at(100, What::Arrived),
        level(100, 1, 0),
        at(110, What::Arrived),
        level(110, 1, 1),
        left(150, 100, How::Answered),
        level(150, 1, 0),
        left(250, 110, How::Answered),
        level(250, 0, 0),
    ];
    let done = |due: u64, end: u64, how| Done {
        workload: WorkloadId(0),
        id: due,
        due: EPOCH + due * MS,
        sent: EPOCH + due * MS,
        end: EPOCH + end * MS,
        how,
        attempts: 2,
    };
    let done = [done(90, 151, CallEnd::Status(200)), done(95, 251, CallEnd::Timeout)];
    let (run, samples) = ran(vec![Life { events, ended: None }], &done);
    assert_eq!(run.violations, Vec::<String>::new());
    assert_eq!((run.calls, run.events, run.events_hash.as_str()), (2, 0, ""));
    let web = &run.services[0];
    assert_eq!(web.windows.iter().map(|w| w.answered).sum::<u64>(), 2);
    // 50 ms and 140 ms there, over ten seconds.
    assert!((web.mean_there - 0.019).abs() < 1e-9, "{}", web.mean_there);
    let busy: f64 = web.windows.iter().map(|w| w.busy).sum();
    assert!((busy * run.window_s - 0.15).abs() < 1e-9, "{busy}");
    assert_eq!(run.log.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["in time"]);
    assert_eq!(samples.times, [vec![0.005, 0.005]]);
}

#[test]
fn what_a_killed_server_had_is_lost_with_it() {
    let first = vec![
        at(4900, What::Arrived),
        level(4900, 1, 0),
        at(4950, What::Arrived),
        at(4950, What::Arrived),
        level(4950, 1, 2),
    ];
    // It came when the pipe was read again.
    let second = vec![at(6100, What::Arrived), level(6100, 1, 0)];
    let lives = vec![
        Life { events: first, ended: Some(EPOCH + 5000 * MS) },
        Life { events: second, ended: Some(EPOCH + 20_000 * MS) },
    ];
    let (run, _) = ran(lives, &[]);
    assert_eq!(run.violations, Vec::<String>::new());
    let web = &run.services[0];
    assert_eq!(web.windows.iter().map(|w| w.lost).sum::<u64>(), 3);
    assert_eq!(web.windows.iter().map(|w| w.arrived).sum::<u64>(), 4);
}

#[test]
fn what_was_cut_off_does_no_harm() {
    let events = vec![
        // From before the run.
        left(0, 0, How::Answered),
        Event { at: EPOCH - 5, what: What::Arrived },
        at(10, What::Left { since: EPOCH - 5, worked: 1, how: How::Answered }),
        level(10, 3, 7),
        // Told out of order.
        left(30, 20, How::Refused),
        at(20, What::Arrived),
        // After the end.
        at(10_500, What::Arrived),
    ];
    let (run, _) = ran(vec![Life { events, ended: None }], &[]);
    assert_eq!(run.violations, Vec::<String>::new());
    assert_eq!(run.services[0].windows.iter().map(|w| w.refused).sum::<u64>(), 1);
    assert_eq!(run.ended_s, 10.0);
}

#[test]
fn of_many_times_some_are_kept_evenly_and_all_are_counted() {
    let many = 2 * TIMES_MAX as u64 + 1;
    let answered = |nth: u64| {
        let worked = if nth < many / 2 { 1_000 } else { 5_000_000 };
        let at = EPOCH + nth * 1000;
        Event { at, what: What::Left { since: at, worked, how: How::Answered } }
    };
    let life = Life { events: (0..many).map(answered).collect(), ended: None };
    let (_, samples) = ran(vec![life], &[]);
    assert_eq!(samples.seen, [many]);
    let times = &samples.times[0];
    assert_eq!(times.len(), TIMES_MAX * 2 / 3 + 1);
    // Half of them are the later ones, and those of more than four seconds are told, too.
    let late = times.iter().filter(|time| **time == 5.0).count();
    assert!(late.abs_diff(times.len() / 2) <= 1, "{late} of {}", times.len());
}

#[test]
fn answered_calls_that_no_access_log_has_are_counted() {
    let text = "[scenario]\nduration = \"10s\"\n[[workload]]\nto = \"/svc/web\"\nrate = \"1/s\"\n[service.web]\n";
    let scenario = baleen_scenario::parse_str("a.toml", text, &[]).expect("a scenario").0;
    let done = |id, how| Done {
        workload: WorkloadId(0),
        id,
        due: EPOCH,
        sent: EPOCH,
        end: EPOCH + MS,
        how,
        attempts: 1,
    };
    let fine = CallEnd::Status(200);
    let done = [done(1, fine), done(2, fine), done(3, CallEnd::Status(503)), done(4, fine)];
    let (attempts, lives) = (Attempts::from([(1, 1), (4, 2)]), BTreeMap::new());
    let told = Told {
        scenario: &scenario,
        seed: 1,
        epoch: EPOCH,
        done: &done,
        attempts: &attempts,
        lives: &lives,
        notes: &[],
    };
    assert_eq!(run(&told).1.silent, (1, 3));
}
