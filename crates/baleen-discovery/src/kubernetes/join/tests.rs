//! Slices that come, change and go.

use baleen_config::ENDPOINTS_MAX;
use proptest::prelude::*;

use super::*;

fn member(n: u32) -> Member {
    let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into();
    Member { ip, ready: true, leaving: false, zone: 0, pod: None }
}

fn slice(key: &str, service: &str, members: Vec<Member>) -> Slice {
    let service = Some(("ns".to_owned(), service.to_owned()));
    Slice { key: key.into(), service, ports: vec![("http".into(), 80)], members }
}

/// From slices that come together.
fn of(slices: impl Iterator<Item = Slice>) -> Join {
    let mut join = Join::default();
    for slice in slices {
        assert_eq!(join.add(slice), None);
    }
    join.finish();
    join
}

fn addrs(set: &Option<Vec<Endpoint>>) -> Vec<String> {
    set.iter().flatten().map(|e| e.addr.to_string()).collect()
}

#[test]
fn slices_of_a_service_are_put_together() {
    let mut join = Join::default();
    let first = join.put(slice("ns/a", "web", vec![member(1)]));
    assert_eq!(first.changed[0].0, "ns/http/web");
    let both = join.put(slice("ns/b", "web", vec![member(2), member(1)]));
    assert_eq!(addrs(&both.changed[0].1), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(join.put(slice("ns/b", "web", vec![member(1), member(2)])), Outcome::default());
    let left = join.gone("ns/a");
    assert_eq!(left, Outcome::default(), "both are in the other slice too");
    assert_eq!(join.gone("ns/b").changed, [("ns/http/web".to_owned(), None)]);
    assert_eq!(join.gone("ns/b"), Outcome::default());
    assert_eq!((join.members, join.services.len(), join.sets), (0, 0, 0));
}

#[test]
fn a_slice_that_changes_hands_changes_both() {
    let mut join = Join::default();
    join.put(slice("ns/a", "web", vec![member(1)]));
    let moved = join.put(slice("ns/a", "api", vec![member(1)]));
    let keys: Vec<_> = moved.changed.iter().map(|(k, s)| (k.as_str(), s.is_some())).collect();
    assert_eq!(keys, [("ns/http/api", true), ("ns/http/web", false)]);
    let mut nobody = slice("ns/a", "api", vec![]);
    nobody.service = None;
    assert_eq!(join.put(nobody).changed, [("ns/http/api".to_owned(), None)]);
    assert!(join.slices.is_empty());
}

#[test]
fn every_port_is_a_service_of_its_own() {
    let mut join = Join::default();
    let mut two = slice("ns/a", "web", vec![member(1)]);
    two.ports.push(("9090".into(), 9090));
    let outcome = join.put(two);
    assert_eq!(outcome.changed.len(), 2);
    assert_eq!(outcome.changed[0].0, "ns/9090/web");
    assert_eq!(addrs(&outcome.changed[0].1), ["10.0.0.1:9090"]);
    let outcome = join.put(slice("ns/a", "web", vec![member(1)]));
    assert_eq!(outcome.changed, [("ns/9090/web".to_owned(), None)]);
}

#[test]
fn those_that_are_leaving_count_only_when_nobody_is_ready() {
    let ready = member(1);
    let leaving = Member { ready: false, leaving: true, ..member(2) };
    let dead = Member { ready: false, ..member(3) };
    let mut join = Join::default();
    let set = join.put(slice("ns/a", "web", vec![ready, leaving, dead]));
    assert_eq!(addrs(&set.changed[0].1), ["10.0.0.1:80"]);
    let set = join.put(slice("ns/a", "web", vec![leaving, dead]));
    assert_eq!(addrs(&set.changed[0].1), ["10.0.0.2:80"]);
    let set = join.put(slice("ns/a", "web", vec![dead]));
    assert_eq!(set.changed, [("ns/http/web".to_owned(), Some(vec![]))]);
}

#[test]
fn a_pod_with_two_addresses_is_taken_once() {
    let pod = |ip: &str, pod| Member { ip: ip.parse().unwrap(), pod: Some(pod), ..member(0) };
    let mut join = Join::default();
    join.put(slice("ns/six", "web", vec![pod("fd00::1", 1), pod("fd00::2", 2)]));
    let both = join.put(slice("ns/four", "web", vec![pod("10.0.0.1", 1)]));
    assert_eq!(addrs(&both.changed[0].1), ["10.0.0.1:80", "[fd00::2]:80"]);
}

#[test]
fn bounds_are_held_and_said() {
    let mut join = Join::default();
    let many = (0..5).map(|k| {
        slice(&format!("ns/{k}"), "web", (k * 1000..(k + 1) * 1000).map(member).collect())
    });
    let last = many.map(|s| join.put(s)).last().unwrap();
    assert_eq!(last.refused.len(), 1, "{:?}", last.refused);
    assert_eq!(
        join.services[&("ns".into(), "web".into())].sets["ns/http/web"].len(),
        ENDPOINTS_MAX
    );
    // What was said of it is not said again.
    assert!(join.put(slice("ns/5", "web", vec![])).refused.is_empty());

    let one = |n: usize| slice(&format!("ns/{n}"), &format!("s{n:05}"), vec![]);
    let mut join = of((0..SERVICES_MAX).map(one));
    assert!(join.all().1.is_none());
    assert!(join.put(slice("ns/more", "a", vec![])).crowded);
    let (Report::All(all), Some((first, why))) = join.all() else { panic!("nothing left out") };
    assert_eq!((all.len(), first.as_str()), (SERVICES_MAX, "ns/http/s04095"));
    assert!(why.contains("1 services"), "{why}");
    assert!(join.gone("ns/more").crowded, "the one that was left out is in again");
    assert!(join.all().1.is_none());
}

#[test]
fn no_more_slices_than_may_be_kept() {
    let mut join = of((0..SLICES_MAX).map(|n| slice(&format!("ns/{n}"), "web", vec![])));
    let over = join.put(slice("ns/over", "web", vec![]));
    assert!(over.refused[0].1.contains("left out"), "{over:?}");
    assert_eq!(join.slices.len(), SLICES_MAX);
    // One that is known may change.
    assert_eq!(join.put(slice("ns/0", "web", vec![member(1)])).changed.len(), 1);
}

proptest! {
    /// What is told change by change is what is there in the end, whatever the order.
    #[test]
    fn changes_add_up(steps in prop::collection::vec(
        (0..4u8, 0..3u8, prop::collection::vec((0..6u32, any::<bool>(), any::<bool>()), 0..4), any::<bool>()), 0..40)
    ) {
        let mut join = Join::default();
        let mut told: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
        for (key, service, members, gone) in steps {
            let key = format!("ns/{key}");
            let members = members.into_iter()
                .map(|(n, ready, leaving)| Member { ready, leaving, ..member(n) }).collect();
            let outcome = if gone { join.gone(&key) } else { join.put(slice(&key, &format!("s{service}"), members)) };
            for (key, set) in outcome.changed {
                let before = match set {
                    Some(set) => told.insert(key, set.clone()).filter(|b| *b == set),
                    None => { prop_assert!(told.remove(&key).is_some()); None }
                };
                prop_assert!(before.is_none(), "told what was told before");
            }
            prop_assert_eq!(join.all().0, Report::All(told.clone()));
            let again = of(join.slices.values().cloned());
            prop_assert_eq!(again.all(), join.all());
            let sum: usize = join.slices.values().map(|s| s.members.len()).sum();
            prop_assert_eq!(join.members, sum);
            prop_assert_eq!(join.sets, told.len());
        }
    }
}
