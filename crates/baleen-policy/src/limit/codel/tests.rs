//! Controlled delay against a simulated queue.

use alloc::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A queue in milliseconds: one is served each `serve_ms`.
struct World {
    p: CoDel,
    c: CoDelState,
    now: u64,
    waiting: VecDeque<u64>,
    served: u32,
    refused: u32,
    longest_served: u64,
    shortest_refused: u64,
}

impl World {
    fn new() -> World {
        World {
            p: CoDel::default(),
            c: CoDelState::default(),
            now: 0,
            waiting: VecDeque::new(),
            served: 0,
            refused: 0,
            longest_served: 0,
            shortest_refused: u64::MAX,
        }
    }

    /// `per_ms` come in each of so many milliseconds; one slot gets free every `serve_ms`.
    fn run(&mut self, ms: u64, per_ms: u32, serve_ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            (0..per_ms).for_each(|_| self.waiting.push_back(self.now));
            if self.now.is_multiple_of(serve_ms) {
                self.serve();
            }
        }
    }

    fn serve(&mut self) {
        while let Some(came) = self.waiting.pop_front() {
            let waited = self.now - came;
            let empty = self.waiting.is_empty();
            let now = Tick::from_millis(self.now);
            match self.c.left(&self.p, now, Duration::from_millis(waited), empty) {
                Verdict::Serve => {
                    self.served += 1;
                    self.longest_served = self.longest_served.max(waited);
                    return;
                }
                Verdict::Refuse => {
                    self.refused += 1;
                    self.shortest_refused = self.shortest_refused.min(waited);
                }
            }
        }
    }

    fn forget(&mut self) {
        (self.served, self.refused, self.longest_served) = (0, 0, 0);
    }
}

#[test]
fn steady_overload_refuses_who_waited_long_and_no_other() {
    let mut w = World::new();
    w.run(1000, 1, 2);
    assert!(w.c.stands());
    w.forget();
    w.run(10_000, 1, 2);
    assert_eq!(w.served, 5000, "all that can be served");
    assert!((4900..=5100).contains(&w.refused), "{}", w.refused);
    assert!(w.shortest_refused > 40, "only above twice the target");
    // The first of each interval is served whatever it waited; here that is within a few milliseconds of the rest.
    assert!(w.longest_served <= 45, "{}", w.longest_served);
}

#[test]
fn stops_within_an_interval_after_the_load_falls() {
    let mut w = World::new();
    w.run(5000, 2, 1);
    assert!(w.c.stands());
    w.run(200, 0, 1);
    assert!(w.waiting.is_empty());
    w.forget();
    w.run(100, 1, 1);
    assert_eq!(w.refused, 0);
    w.run(2, 1, 1);
    assert!(!w.c.stands());
}

#[test]
fn a_burst_shorter_than_an_interval_refuses_nobody() {
    let mut w = World::new();
    w.run(1000, 1, 1);
    w.run(1, 90, 1);
    w.run(200, 0, 1);
    assert_eq!((w.refused, w.waiting.len()), (0, 0));
    assert!(w.longest_served > 80, "they did wait");
}

/// The steps of folly's `CodelTest`, with its default target.
#[test]
fn steps_of_the_original() {
    use Verdict::{Refuse, Serve};
    let p = CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    let mut c = CoDelState::default();
    let mut left =
        |ms, waited| c.left(&p, Tick::from_millis(ms), Duration::from_millis(waited), false);
    assert_eq!(left(110, 100), Serve);
    assert_eq!(left(200, 50), Serve, "the first of an interval");
    assert_eq!(left(200, 50), Refuse);
    assert_eq!(left(310, 2), Serve, "the last interval was overloaded, but this is short");
    assert_eq!(left(400, 20), Refuse);
    assert_eq!(left(411, 20), Serve, "the last one had a short wait");
    assert_eq!(left(412, 20), Serve);
}

#[test]
fn an_empty_queue_does_not_stand() {
    let p = CoDel::default();
    let mut c = CoDelState::default();
    let long = Duration::from_secs(1);
    for ms in [0, 1, 101, 102] {
        c.left(&p, Tick::from_millis(ms), long, false);
    }
    assert!(c.stands());
    c.left(&p, Tick::from_millis(103), long, true);
    c.left(&p, Tick::from_millis(202), long, false);
    assert!(c.stands(), "the interval is not over");
    c.left(&p, Tick::from_millis(203), long, false);
    assert!(!c.stands());
}

#[test]
fn a_target_above_the_interval_counts_as_the_interval() {
    let p = CoDel { target: Duration::from_millis(200), interval: Duration::from_millis(100) };
    let mut c = CoDelState::default();
    for ms in [1, 2] {
        c.left(&p, Tick::from_millis(ms), Duration::from_millis(150), false);
    }
    assert!(c.stands() && c.refuses(&p, Duration::from_millis(201)));
    assert!(!c.refuses(&p, Duration::from_millis(200)));
}

/// Newest first, the waits of those served say nothing: the oldest's do.
#[test]
fn newest_first_keeps_measuring_the_oldest() {
    let p = CoDel::default();
    let mut c = CoDelState::default();
    let at = |ms| Tick::from_millis(ms);
    for ms in 0..500 {
        c.left_newest(&p, at(ms), Some(Duration::from_millis(100 + ms)));
    }
    assert!(c.stands() && c.refuses(&p, Duration::from_millis(41)));
    assert!(!c.refuses(&p, Duration::from_millis(40)));
    c.left_newest(&p, at(500), None);
    for ms in 501..610 {
        c.left_newest(&p, at(ms), Some(Duration::from_millis(1)));
    }
    assert!(!c.stands() && !c.refuses(&p, Duration::MAX));
}

proptest! {
    #[test]
    fn refuses_only_above_twice_the_target_and_repeats(
        target in 0u64..50,
        interval in 0u64..200,
        ops in proptest::collection::vec((0u64..30, 0u64..300, any::<bool>(), any::<bool>()), 0..300),
    ) {
        let p = CoDel { target: Duration::from_millis(target), interval: Duration::from_millis(interval) };
        let (mut a, mut b) = (CoDelState::default(), CoDelState::default());
        let (mut now, mut begun) = (0, None);
        for (step, waited, empty, newest) in ops {
            now += step;
            let (at, wait) = (Tick::from_millis(now), Duration::from_millis(waited));
            if newest {
                let oldest = (!empty).then_some(wait);
                a.left_newest(&p, at, oldest);
                b.left_newest(&p, at, oldest);
            } else {
                let verdict = a.left(&p, at, wait, empty);
                prop_assert_eq!(verdict, b.left(&p, at, wait, empty));
                if verdict == Verdict::Refuse {
                    prop_assert!(a.stands() && waited > 2 * target.min(interval));
                    prop_assert!(begun.is_some(), "never the first");
                }
            }
            begun.get_or_insert(now);
            prop_assert_eq!(a.stands(), b.stands());
        }
        let bytes = postcard::to_allocvec(&a).unwrap();
        prop_assert_eq!(postcard::from_bytes::<CoDelState>(&bytes).unwrap(), a);
    }
}
