//! Draws, judging with numbers, and whole fleets in virtual time.

use baleen_base::Prng;
use proptest::prelude::*;

use super::super::{Note, Record};
use super::*;

fn calls(failures: u64, calls: u64) -> Calls {
    Calls { calls, failures }
}

fn seconds(s: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(s)
}

fn staged(shares: &[f64], bake: u64) -> Staged {
    let note = Note::new("ann@box", 1000, "");
    let bake = Duration::from_secs(bake);
    Staged::new("8-1000".to_owned(), "/svc => /#/b".to_owned(), shares.to_vec(), bake, &note)
}

#[test]
fn worse_is_what_chance_does_not_explain() {
    for (before, after, want) in [
        (calls(0, 49), calls(50, 50), Verdict::Unknown),
        (calls(0, 50), calls(49, 49), Verdict::Unknown),
        (calls(0, 50), calls(0, 50), Verdict::Same),
        (calls(0, 50), calls(10, 50), Verdict::Same),
        (calls(0, 50), calls(20, 50), Verdict::Same),
        (calls(0, 50), calls(30, 50), Verdict::Worse),
        (calls(0, 500), calls(10, 50), Verdict::Worse),
        (calls(100, 10_000), calls(3, 50), Verdict::Same),
        (calls(100, 10_000), calls(10, 50), Verdict::Worse),
        (calls(0, 1_000_000), calls(9_900, 1_000_000), Verdict::Same),
        (calls(0, 1_000_000), calls(10_100, 1_000_000), Verdict::Worse),
        (calls(500, 1000), calls(0, 1000), Verdict::Same),
        (calls(50, 50), calls(50, 50), Verdict::Same),
    ] {
        assert_eq!(judge(before, after), want, "{before:?} {after:?}");
    }
}

/// Ten thousand proxies look at every tenth of two thousand calls that fail as often as before.
#[test]
fn chance_rarely_ends_a_change() {
    let mut rng = Prng::new(7);
    let mut wrong = 0;
    for _ in 0..10_000 {
        let mut after = Calls::default();
        let mut fails = |n: u64| (0..n).filter(|_| rng.below(100) == 0).count() as u64;
        let before = calls(fails(2000), 2000);
        for _ in 0..200 {
            after = after.and(calls(fails(10), 10));
            if judge(before, after) == Verdict::Worse {
                wrong += 1;
                break;
            }
        }
    }
    assert!(wrong <= 3, "{wrong} of 10000 went back for nothing");
}

#[test]
fn draws_are_even_and_a_step_keeps_those_before_it() {
    for change in ["8-1763719200000", "9-1763719200000", "x"] {
        let draws: Vec<f64> =
            (0..10_000).map(|n| draw(&format!("proxy-{n}.example:{n}"), change)).collect();
        for share in [0.01, 0.1, 0.5] {
            let has = draws.iter().filter(|d| **d < share).count() as f64;
            let off = (has - share * 1e4).abs() / (1e4 * share * (1.0 - share)).sqrt();
            assert!(off < 4.0, "{share}: {has}");
        }
        assert!(draws.iter().all(|d| (0.0..1.0).contains(d)));
    }
    assert_ne!(draw("a", "b"), draw("b", "a"));
    // Others in the fleet, or later ones, must draw the same.
    assert_eq!(format!("{:.12}", draw("web-1", "8-1000")), DRAWN);
}

const DRAWN: &str = "0.900946197002";

#[test]
fn a_proxy_that_fares_worse_goes_back_for_good() {
    let mut taker = Taker::new("a");
    assert_eq!(taker.poll(seconds(0), calls(0, 0)), None);
    assert_eq!(taker.poll(seconds(60), calls(5, 1000)), None);
    taker.saw(seconds(60), Some(&staged(&[100.0], 60)));
    assert_eq!((taker.uses(), taker.report()), (None, None));
    assert_eq!(taker.poll(seconds(61), calls(5, 1000)), Some(Turn::Took));
    assert_eq!(taker.uses(), Some("8-1000"));
    assert_eq!(taker.poll(seconds(62), calls(6, 1040)), None);
    let report = Report { before: calls(5, 1000), after: calls(1, 40), left: None };
    assert_eq!(taker.report(), Some(("8-1000", report.clone())));
    assert_eq!(Report::read(&report.write()), Some(report));
    let Some(Turn::Left(why)) = taker.poll(seconds(63), calls(66, 1200)) else { panic!("left") };
    assert_eq!(
        why,
        "30.50 % of 200 calls failed with the new table, 0.50 % of 1000 calls before it"
            .replace("calls before", "before")
    );
    assert_eq!(taker.uses(), None);
    // It does not take it again, and says so until the change is gone.
    taker.saw(seconds(64), Some(&staged(&[100.0], 60).at(0, 9999)));
    assert_eq!(taker.poll(seconds(64), calls(66, 2000)), None);
    assert_eq!(taker.report().and_then(|(_, r)| r.left), Some(why));
    taker.saw(seconds(65), None);
    assert_eq!((taker.uses(), taker.report()), (None, None));
}

#[test]
fn a_change_whose_driver_is_dead_is_dropped() {
    let change = staged(&[50.0, 100.0], 60);
    let named = |has: bool| {
        let mut names = (0..100).map(|n| format!("p{n}"));
        names.find(|p| (draw(p, &change.id) < 0.5) == has).expect("one of a hundred")
    };
    for has in [true, false] {
        let mut taker = Taker::new(named(has));
        taker.saw(seconds(10), Some(&change));
        assert_eq!(taker.poll(seconds(10), calls(0, 0)), has.then_some(Turn::Took));
        // It goes on: the next step's time counts from here.
        taker.saw(seconds(80), Some(&change.at(0, 80_000)));
        assert_eq!(taker.poll(seconds(169), calls(0, 0)), None);
        assert_eq!(taker.uses().is_some(), has);
        // The same again is no progress.
        taker.saw(seconds(169), Some(&change.at(0, 80_000)));
        let turn = taker.poll(seconds(170), calls(0, 0));
        assert!(matches!(&turn, Some(Turn::Withdraw(why)) if why.contains("90s")), "{turn:?}");
        assert_eq!((taker.uses(), taker.report()), (None, None));
        assert_eq!(taker.poll(seconds(171), calls(0, 0)), None);
    }
}

#[test]
fn what_is_no_report_is_not_read() {
    for wrong in [
        "",
        "null",
        "{}",
        r#"{"before":{"calls":1,"failures":2},"after":{"calls":1,"failures":0}}"#,
        r#"{"before":{"calls":-1,"failures":0},"after":{"calls":1,"failures":0}}"#,
    ] {
        assert_eq!(Report::read(wrong.as_bytes()), None, "{wrong}");
    }
    let long = Report { before: calls(0, 1), after: calls(0, 1), left: Some("x".repeat(600)) };
    assert_eq!(Report::read(&long.write()), None);
}

/// A fleet with a store that all see at once, in steps of a second.
struct Fleet {
    now: u64,
    record: Record,
    takers: Vec<(Taker, Calls)>,
    driver: Option<Driver>,
    rng: Prng,
    /// Calls of a proxy in a second.
    rate: u64,
    /// Of a thousand, with the current and the staged table.
    fails: [u64; 2],
    withdrawn: Option<String>,
    took: usize,
}

impl Fleet {
    fn new(proxies: usize, rate: u64, fails: [u64; 2], seed: u64) -> Fleet {
        let record = Record::new(7, Some("/svc => /#/a".to_owned()), &Note::new("x", 0, ""));
        Fleet {
            now: 0,
            record,
            takers: (0..proxies).map(|n| (Taker::new(format!("p{n}")), calls(0, 0))).collect(),
            driver: None,
            rng: Prng::new(seed),
            rate,
            fails,
            withdrawn: None,
            took: 0,
        }
    }

    fn tick(&self) -> Tick {
        seconds(self.now)
    }

    fn stage(&mut self, staged: Staged) {
        self.driver = Some(Driver::new(self.tick(), staged.clone()));
        self.record.staged = Some(staged);
    }

    fn withdraw(&mut self, why: String) {
        self.record.staged = None;
        self.driver = None;
        self.withdrawn = Some(why);
    }

    fn second(&mut self) {
        self.now += 1;
        let now = self.tick();
        let mut dead = None;
        for (taker, total) in &mut self.takers {
            taker.saw(now, self.record.staged.as_ref());
            let fails = self.fails[usize::from(taker.uses().is_some())];
            let failed = (0..self.rate).filter(|_| self.rng.below(1000) < fails).count() as u64;
            *total = total.and(calls(failed, self.rate));
            match taker.poll(now, *total) {
                Some(Turn::Withdraw(why)) => dead = Some(why),
                Some(Turn::Took) => self.took += 1,
                Some(Turn::Left(_)) | None => {}
            }
        }
        if let Some(why) = dead {
            self.withdraw(why);
        }
        self.drive();
    }

    fn drive(&mut self) {
        let now = self.tick();
        let reports = self.takers.iter().enumerate();
        let reports = reports
            .filter_map(|(n, (taker, _))| Some((format!("p{n}"), taker.report()?.1)))
            .collect();
        let Some(driver) = &mut self.driver else { return };
        driver.heard(reports);
        match driver.poll(now) {
            Drive::Wait(at) => assert!(at > now),
            Drive::Step(step) => {
                let staged = driver.staged().at(step, self.now * 1000);
                driver.stepped(now, staged.clone());
                self.record.staged = Some(staged);
            }
            Drive::Finish => {
                let dtab = driver.staged().dtab.clone();
                self.record = Record::new(8, Some(dtab), &Note::new("x", 0, ""));
                self.driver = None;
            }
            Drive::Withdraw(why) => self.withdraw(why),
        }
    }

    fn using(&self) -> usize {
        self.takers.iter().filter(|(taker, _)| taker.uses().is_some()).count()
    }
}

const STEPS: [f64; 3] = [1.0, 10.0, 100.0];

#[test]
fn a_good_change_reaches_all() {
    let mut fleet = Fleet::new(200, 10, [5, 5], 1);
    (0..120).for_each(|_| fleet.second());
    fleet.stage(staged(&STEPS, 60));
    let mut most = Vec::new();
    for _ in 0..3 {
        (0..59).for_each(|_| fleet.second());
        most.push(fleet.using());
        fleet.second();
    }
    (0..5).for_each(|_| fleet.second());
    assert_eq!((fleet.record.version, fleet.withdrawn), (8, None));
    assert!(most[0] <= 8 && (8..=40).contains(&most[1]) && most[2] == 200, "{most:?}");
}

#[test]
fn a_bad_change_stays_with_the_few() {
    let mut fleet = Fleet::new(200, 10, [5, 300], 2);
    (0..120).for_each(|_| fleet.second());
    fleet.stage(staged(&[5.0, 100.0], 60));
    (0..60).for_each(|_| fleet.second());
    let why = fleet.withdrawn.clone().expect("withdrawn");
    assert!(why.contains("% of") && fleet.took <= 20 && fleet.took > 0, "{why} {}", fleet.took);
    fleet.second();
    assert_eq!((fleet.using(), fleet.record.version), (0, 7));
}

#[test]
fn few_calls_each_are_judged_together() {
    // A call a second each: in half a minute no proxy knows anything by itself.
    let mut fleet = Fleet::new(50, 1, [5, 300], 3);
    (0..120).for_each(|_| fleet.second());
    fleet.stage(staged(&[100.0], 30));
    (0..31).for_each(|_| fleet.second());
    let why = fleet.withdrawn.clone().expect("withdrawn");
    assert!(!why.contains("went back"), "{why}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the fleet, the change and when the driver dies: in the end all use the same table, and a change that makes
    /// every second call fail is never the table where anybody calls.
    #[test]
    fn in_the_end_all_use_the_same(
        proxies in 1..40_usize,
        rate in 0..20_u64,
        bad in any::<bool>(),
        steps in prop::sample::select(vec![vec![100.0], vec![50.0, 100.0], vec![1.0, 10.0, 100.0]]),
        dies in prop::option::of(0..120_u64),
        seed in any::<u64>(),
    ) {
        let mut fleet = Fleet::new(proxies, rate, [5, if bad { 500 } else { 5 }], seed);
        (0..100).for_each(|_| fleet.second());
        fleet.stage(staged(&steps, 30));
        for second in 0..(30 * steps.len() as u64 + 95) {
            if dies == Some(second) {
                fleet.driver = None;
            }
            fleet.second();
        }
        prop_assert_eq!(&fleet.record.staged, &None);
        prop_assert_eq!(fleet.using(), 0);
        if fleet.record.version == 8 {
            prop_assert!(!bad || rate == 0 || (rate * 30 * proxies as u64) < 2 * CALLS_MIN);
        } else {
            prop_assert!(fleet.withdrawn.is_some());
        }
    }
}
