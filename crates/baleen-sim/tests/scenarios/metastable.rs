//! Which changes keep a system down after a spike: a server that does 10 requests a second, callers that leave after 4 s and
//! try three times more, 30 requests a second for 5 s at 120 s, room for 101.
//!
//! Closed form: the dead state holds itself when the room is more than what is done within a time limit (101 > 40), and the
//! load more than what is done divided by tries (8 > 10 / 4). In it nothing succeeds and attempts are load times tries.
//! Reference values: 40 seeds each of a small model of the same (Bronson et al., HotOS 2021, and DesCartes' parameters).
//!
//! *Stuck*: of the calls that start in the last 30 s of 400 s less than a tenth is answered. Here ten seeds each.

use super::{between, near, parse, sound};

const SEEDS: u64 = 10;

#[derive(Clone, Copy)]
struct Cell {
    rate: f64,
    spike: bool,
    retries: u32,
    timeout: f64,
    /// With the request that is worked on.
    room: u32,
    /// Share of calls answered below which it counts as stuck.
    below: f64,
    /// More lines of the service, and of the mesh.
    service: &'static str,
    mesh: &'static str,
}

const BASE: Cell = Cell {
    rate: 8.0,
    spike: true,
    retries: 3,
    timeout: 4.0,
    room: 101,
    below: 0.1,
    service: "",
    mesh: "",
};

/// How many of the seeds were stuck, and attempts per second in those.
fn stuck(cell: Cell) -> (u64, f64) {
    let Cell { rate, retries, timeout, room, service, mesh, .. } = cell;
    let steps = if cell.spike {
        format!(
            "steps = [{{ at = \"120s\", rate = \"30/s\" }}, {{ at = \"125s\", rate = \"{rate}/s\" }}]"
        )
    } else {
        String::new()
    };
    let (to, tries, limit) = if mesh.is_empty() {
        ("db", retries + 1, format!("\"{timeout}s\""))
    } else {
        ("/svc/db", 1, "\"off\"".to_owned())
    };
    let text = format!(
        "[scenario]\nduration = \"400s\"\n{mesh}\n\
         [[workload]]\nname = \"app\"\nto = \"{to}\"\nrate = \"{rate}/s\"\n{steps}\n\
         clients = 100\ntimeout = {limit}\ntries = {tries}\n\
         [service.db]\nconcurrency = 1\nqueue = {}\ntime = \"exp(100ms)\"\non_full = \"drop\"\n{service}\n",
        room - 1
    );
    let scenario = parse(&text);
    let (mut down, mut sent) = (0, 0.0);
    for seed in 0..SEEDS {
        let run = sound(&scenario, 100 + seed, false);
        if between(&run, 370.0, 400.0).0 < cell.below {
            down += 1;
            sent += between(&run, 300.0, 400.0).1;
        }
    }
    (down, sent / down.max(1) as f64)
}

fn always(cell: Cell) -> f64 {
    let (down, sent) = stuck(cell);
    assert_eq!(down, SEEDS, "stuck at {}/s with room for {}", cell.rate, cell.room);
    sent
}

fn never(cell: Cell) {
    assert_eq!(stuck(cell).0, 0, "stuck at {}/s with room for {}", cell.rate, cell.room);
}

fn sometimes(cell: Cell, range: std::ops::RangeInclusive<u64>) {
    let (down, _) = stuck(cell);
    assert!(range.contains(&down), "{down} stuck at {}/s with room for {}", cell.rate, cell.room);
}

#[test]
fn a_spike_keeps_it_down_above_hidden_capacity() {
    for rate in [5.0, 7.0, 8.0, 9.0, 9.3] {
        let sent = always(Cell { rate, ..BASE });
        near(&format!("attempts at {rate}/s"), sent, rate * 4.0, 0.03);
    }
    // Between, the spike may end before the queue is full.
    sometimes(Cell { rate: 3.5, ..BASE }, 7..=10);
    never(Cell { rate: 2.4, ..BASE });
}

#[test]
fn without_a_spike_only_what_is_nearly_full_tips() {
    never(Cell { spike: false, ..BASE });
    sometimes(Cell { rate: 9.0, spike: false, ..BASE }, 1..=8);
    sometimes(Cell { rate: 9.3, spike: false, ..BASE }, 3..=9);
}

#[test]
fn without_retries_it_comes_back() {
    for rate in [5.0, 8.0, 9.0] {
        never(Cell { rate, retries: 0, ..BASE });
    }
}

#[test]
fn a_budget_lets_it_come_back() {
    let mesh = "[mesh.route]\ntotal_timeout = \"60s\"\ntry_timeout = \"4s\"\n\
                [mesh.route.retry]\ntries = 4\nbudget = \"10%\"\n[proxy]\ncount = 10";
    for rate in [5.0, 7.0, 8.0] {
        never(Cell { rate, mesh, ..BASE });
    }
}

#[test]
fn a_queue_of_no_more_than_is_done_in_time_lets_it_come_back() {
    for room in [10, 20, 30, 39] {
        never(Cell { room, ..BASE });
    }
    // A little more, and some are still answered: it is stuck, but not wholly.
    sometimes(Cell { room: 45, below: 0.5, ..BASE }, 2..=8);
    sometimes(Cell { room: 50, below: 0.5, ..BASE }, 8..=10);
    always(Cell { room: 75, below: 0.5, ..BASE });
}

#[test]
fn a_server_that_skips_the_dead_or_serves_the_living_comes_back() {
    never(Cell { service: "on_gone = \"skip\"", ..BASE });
    // Last in, first out serves those who still wait; the others only fill the queue.
    let (down, _) = stuck(Cell { service: "order = \"lifo\"", ..BASE });
    assert_eq!(down, 0);
}

/// 9.5/s with a time limit of 3 s and four retries needs no spike (Metafor's example).
#[test]
fn nearly_full_and_impatient_goes_down_by_itself() {
    let cell = Cell { rate: 9.5, spike: false, retries: 4, timeout: 3.0, ..BASE };
    sometimes(cell, 9..=10);
}
