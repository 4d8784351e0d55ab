//! Lanes in virtual time.

use std::time::Duration;

use baleen_base::{Prng, Tick};
use proptest::prelude::*;

use super::*;
use crate::Times;

fn ms(n: u64) -> Tick {
    Tick::from_millis(n)
}

fn time(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What happened on the other side.
#[derive(Debug, PartialEq)]
enum Seen {
    Got(u64, usize),
    End(u64),
    Reset(u64),
}

/// Let time pass until `to`, and write down what comes out.
fn pass(lane: &mut Lane, from: Tick, to: Tick, seen: &mut Vec<Seen>) {
    let mut now = from;
    loop {
        match lane.poll(now) {
            Out::Bytes(bytes) => seen.push(Seen::Got(now.as_millis(), bytes.len())),
            Out::End => seen.push(Seen::End(now.as_millis())),
            Out::Reset => seen.push(Seen::Reset(now.as_millis())),
            Out::Wait(at) if at <= to => now = at,
            Out::Wait(_) | Out::Idle => return,
        }
    }
}

/// A chunk of 1,000 bytes every 10 ms, five of them, and the end; then 10 s.
fn run(toxics: &[Toxic]) -> Vec<Seen> {
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), toxics);
    let mut seen = Vec::new();
    for n in 0..5 {
        lane.push(ms(n * 10), &[0; 1000]);
        pass(&mut lane, ms(n * 10), ms(n * 10 + 9), &mut seen);
    }
    lane.end(ms(50));
    pass(&mut lane, ms(50), ms(10_000), &mut seen);
    seen
}

fn bytes(seen: &[Seen]) -> usize {
    seen.iter().map(|s| if let Seen::Got(_, n) = s { *n } else { 0 }).sum()
}

#[test]
fn without_toxics_all_comes_at_once() {
    let mut want: Vec<Seen> = (0..5).map(|n| Seen::Got(n * 10, 1000)).collect();
    want.push(Seen::End(50));
    assert_eq!(run(&[]), want);
}

#[test]
fn latency_moves_all_and_keeps_the_order() {
    let seen = run(&[Toxic::Latency { latency: time(100), jitter: time(0) }]);
    assert_eq!(seen[0], Seen::Got(100, 1000));
    assert_eq!(seen[4], Seen::Got(140, 1000));
    let seen = run(&[Toxic::Latency { latency: time(50), jitter: time(50) }]);
    let at: Vec<u64> =
        seen.iter().filter_map(|s| if let Seen::Got(t, _) = s { Some(*t) } else { None }).collect();
    assert!(at.is_sorted() && bytes(&seen) == 5000, "{seen:?}");
    let drawn = Times::new(|rng| Duration::from_millis(rng.below(3)));
    assert_eq!(bytes(&run(&[Toxic::Delay(drawn)])), 5000);
}

#[test]
fn a_rate_is_kept() {
    // 5,000 bytes at 10,000 a second take half a second.
    let seen = run(&[Toxic::Bandwidth { bytes_per_second: 10_000 }]);
    assert_eq!((bytes(&seen), seen.last()), (5000, Some(&Seen::End(500))));
    assert_eq!(run(&[Toxic::Bandwidth { bytes_per_second: 0 }]), []);
}

#[test]
fn ends_of_all_kinds() {
    assert_eq!(run(&[Toxic::SlowClose { delay: time(200) }]).last(), Some(&Seen::End(250)));
    assert_eq!(run(&[Toxic::Timeout { after: Some(time(30)) }]), [Seen::End(30)]);
    // The sender's own end passes, as in Toxiproxy.
    assert_eq!(run(&[Toxic::Timeout { after: None }]), [Seen::End(50)]);
    assert_eq!(run(&[Toxic::ResetPeer { after: time(25) }]), [Seen::Reset(25)]);
    let seen = run(&[Toxic::LimitData { bytes: 2500 }]);
    assert_eq!((bytes(&seen), seen.last()), (2500, Some(&Seen::End(20))));
    let seen = run(&[Toxic::Stall { bytes: 2500 }]);
    assert_eq!((bytes(&seen), seen.len()), (2500, 3));
}

#[test]
fn slices_have_the_size_and_the_pause() {
    let seen = run(&[Toxic::Slicer { average: 100, variation: 0, delay: time(1) }]);
    assert_eq!(
        (seen[0].clone_key(), seen[1].clone_key(), bytes(&seen)),
        ((0, 100), (1, 100), 5000)
    );
}

impl Seen {
    fn clone_key(&self) -> (u64, usize) {
        if let Seen::Got(t, n) = self { (*t, *n) } else { (0, 0) }
    }
}

#[test]
fn a_pulled_cable_and_its_return() {
    let mut lane = Lane::new(ms(0), 7);
    let mut seen = Vec::new();
    lane.push(ms(0), b"a");
    pass(&mut lane, ms(0), ms(0), &mut seen);
    lane.set(ms(1), &[Toxic::Silent { after: time(0) }]);
    lane.push(ms(2), b"lost");
    lane.end(ms(3));
    pass(&mut lane, ms(3), ms(9), &mut seen);
    assert_eq!(seen, [Seen::Got(0, 1)]);
    lane.set(ms(10), &[]);
    pass(&mut lane, ms(10), ms(10), &mut seen);
    assert_eq!(seen, [Seen::Got(0, 1), Seen::End(10)]);
}

#[test]
fn a_change_lets_go_what_was_held_back() {
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[Toxic::Latency { latency: time(1000), jitter: time(0) }]);
    lane.push(ms(0), b"abc");
    assert_eq!(lane.poll(ms(5)), Out::Wait(ms(1000)));
    lane.set(ms(5), &[]);
    assert_eq!(lane.poll(ms(5)), Out::Bytes(b"abc".to_vec()));
    lane.set(ms(6), &[Toxic::Timeout { after: None }]);
    lane.push(ms(7), b"lost");
    lane.set(ms(8), &[]);
    assert_eq!(lane.poll(ms(8)), Out::End);
}

#[test]
fn a_changed_timeout_closes_nothing() {
    let timeout = |after| Toxic::Timeout { after };
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[timeout(None)]);
    lane.set(ms(5), &[timeout(Some(time(20)))]);
    assert_eq!(lane.poll(ms(5)), Out::Wait(ms(25)));
    lane.set(ms(6), &[]);
    assert_eq!(lane.poll(ms(6)), Out::End);
}

#[test]
fn drawn_times_can_be_changed() {
    let drawn = |n| Times::new(move |_| time(n));
    let (short, long) = (Toxic::Delay(drawn(1)), Toxic::Delay(drawn(100)));
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), std::slice::from_ref(&short));
    lane.set(ms(0), std::slice::from_ref(&long));
    lane.push(ms(0), b"a");
    assert_eq!(lane.poll(ms(0)), Out::Wait(ms(100)));
}

#[test]
fn what_goes_past_counts() {
    let mut lane = Lane::new(ms(0), 7);
    assert!(lane.is_clear());
    lane.pass(90);
    lane.set(ms(0), &[Toxic::LimitData { bytes: 100 }]);
    assert!(!lane.is_clear());
    lane.push(ms(0), &[0; 50]);
    assert_eq!((lane.poll(ms(0)), lane.poll(ms(0))), (Out::Bytes(vec![0; 10]), Out::End));
}

#[test]
fn loss_and_corruption_have_their_shares() {
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[Toxic::PacketLoss { share_ppm: 100_000, correlation_ppm: 0 }]);
    let mut got = 0;
    for _ in 0..20_000 {
        lane.push(ms(0), &[0]);
        got += usize::from(matches!(lane.poll(ms(0)), Out::Bytes(_)));
    }
    assert!((17_800..18_200).contains(&got), "{got}");
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[Toxic::Corrupt { share_ppm: 10_000 }]);
    lane.push(ms(0), &[0; 100_000]);
    let Out::Bytes(bytes) = lane.poll(ms(0)) else { panic!("bytes") };
    let hit = bytes.iter().filter(|b| **b != 0).count();
    assert!((850..1150).contains(&hit) && bytes.iter().all(|b| b.count_ones() <= 1), "{hit}");
}

#[test]
fn a_lane_says_when_it_is_full() {
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[Toxic::Latency { latency: time(10), jitter: time(0) }]);
    while !lane.is_full() {
        lane.push(ms(0), &[0; 65_536]);
    }
    let mut seen = Vec::new();
    pass(&mut lane, ms(0), ms(10), &mut seen);
    assert_eq!((bytes(&seen), lane.is_full()), (LANE_BYTES_MAX, false));
    let mut lane = Lane::new(ms(0), 7);
    lane.set(ms(0), &[Toxic::Slicer { average: 1, variation: 0, delay: time(1) }]);
    lane.push(ms(0), &[0; LANE_PIECES_MAX]);
    assert!(lane.is_full());
}

/// Toxics that lose nothing.
fn faithful() -> impl Strategy<Value = Toxic> {
    let ms = |range: std::ops::Range<u64>| range.prop_map(time);
    prop_oneof![
        (ms(0..50), ms(0..50)).prop_map(|(latency, jitter)| Toxic::Latency { latency, jitter }),
        (1000u64..1_000_000).prop_map(|bytes_per_second| Toxic::Bandwidth { bytes_per_second }),
        ms(0..50).prop_map(|delay| Toxic::SlowClose { delay }),
        (1u64..500, 0u64..500, ms(0..3)).prop_map(|(average, variation, delay)| Toxic::Slicer {
            average,
            variation,
            delay
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_only_slow_loses_nothing(
        toxics in prop::collection::vec(faithful(), 0..4),
        chunks in prop::collection::vec((0u64..20, 1usize..3000), 0..20),
        seed in any::<u64>(),
    ) {
        let mut lane = Lane::new(ms(0), seed);
        lane.set(ms(0), &toxics);
        let (mut sent, mut got, mut now, mut ended) = (Vec::new(), Vec::new(), ms(0), 0);
        let mut rng = Prng::new(seed);
        for (gap, size) in chunks {
            now = now + time(gap);
            let chunk: Vec<u8> = (0..size).map(|_| rng.bits() as u8).collect();
            lane.push(now, &chunk);
            sent.extend(chunk);
        }
        lane.end(now);
        loop {
            match lane.poll(now) {
                Out::Bytes(bytes) => got.extend(bytes),
                Out::End => ended += 1,
                Out::Reset => prop_assert!(false, "a reset"),
                Out::Wait(at) => { prop_assert!(at > now); now = at }
                Out::Idle => break,
            }
        }
        prop_assert_eq!(sent, got);
        prop_assert_eq!(ended, 1);
    }
}
