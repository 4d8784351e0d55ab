//! What is held and what is not: the cases that were thought through, and random reports against simple truths.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    share_ppm: 500_000,
    min: 4,
    window: Duration::from_secs(2),
    keep: Duration::from_secs(600),
};

fn ep(port: u16) -> Endpoint {
    Endpoint { addr: ([10, 0, 0, 1], port).into(), weight: 1, zone: 0 }
}

fn eps(ports: impl IntoIterator<Item = u16>) -> Vec<Endpoint> {
    ports.into_iter().map(ep).collect()
}

/// A namer whose time is set by hand, and the sets as they were told.
struct Case {
    hold: Hold,
    now: Tick,
    told: BTreeMap<String, Vec<u16>>,
}

impl Case {
    /// The registry was heard, and that is a while ago.
    fn new(services: &[(&str, std::ops::Range<u16>)]) -> Case {
        let mut case = Case { hold: Hold::new(RULES), now: Tick::ZERO, told: BTreeMap::new() };
        case.all(services);
        case.after(3600.0);
        case
    }

    fn take(&mut self, told: Vec<Told>) {
        for (name, endpoints) in told {
            let ports = |list: Vec<Endpoint>| {
                let mut ports: Vec<u16> = list.iter().map(|e| e.addr.port()).collect();
                ports.sort_unstable();
                ports
            };
            let before = match endpoints {
                Some(list) => self.told.insert(name, ports(list)),
                None => self.told.remove(&name),
            };
            drop(before);
        }
    }

    fn after(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
        let told = self.hold.poll(self.now);
        self.take(told);
    }

    fn all(&mut self, services: &[(&str, std::ops::Range<u16>)]) {
        let all = services.iter().map(|(name, ports)| ((*name).to_owned(), eps(ports.clone())));
        let told = self.hold.all(self.now, all.collect());
        self.take(told);
    }

    fn set(&mut self, name: &str, ports: impl IntoIterator<Item = u16>) {
        let told = self.hold.changed(self.now, vec![(name.to_owned(), Some(eps(ports)))]);
        self.take(told);
    }

    fn gone(&mut self, name: &str) {
        let told = self.hold.changed(self.now, vec![(name.to_owned(), None)]);
        self.take(told);
    }

    fn release(&mut self, name: Option<&str>) {
        let told = self.hold.release(self.now, name);
        self.take(told);
    }

    /// The ports that are told of a service.
    fn ports(&self, name: &str) -> Option<&[u16]> {
        self.told.get(name).map(Vec::as_slice)
    }

    fn count(&self, name: &str) -> usize {
        self.ports(name).map_or(0, <[u16]>::len)
    }

    fn held(&self) -> usize {
        self.hold.held().iter().map(|h| h.endpoints.len()).sum()
    }
}

#[test]
fn a_report_costs_nothing_for_what_is_held_and_stays() {
    let mut case = Case::new(&[("api", 50..60), ("web", 1..11)]);
    case.all(&[]);
    assert_eq!(case.held(), 20);
    assert_eq!(case.hold.take_held().len(), 2);
    case.after(10.0);
    case.hold.begin(case.now);
    assert!(case.hold.touched.is_empty(), "{:?}", case.hold.touched);
    let told = case.hold.changed(case.now, vec![("web".into(), Some(eps([1])))]);
    assert_eq!(told, [], "it is told already");
    // Only of the one that changed there is news.
    let news: Vec<String> = case.hold.take_held().into_iter().map(|(name, _)| name).collect();
    assert_eq!(news, ["web"]);
    assert_eq!(case.hold.counts(), (2, 20));
}

#[test]
fn what_grew_and_what_only_lost() {
    let mut hold = Hold::new(RULES);
    let mut grown = |sets: &[(&str, &[u16])]| {
        let set = |(name, ports): &(&str, &[u16])| ((*name).to_owned(), eps(ports.iter().copied()));
        let told = hold.all(Tick::ZERO, sets.iter().map(set).collect());
        told.into_iter().map(|(name, _)| (hold.has_grown(&name), name)).collect::<Vec<_>>()
    };
    let is = |list: &[(bool, &str)]| -> Vec<(bool, String)> {
        list.iter().map(|(grew, name)| (*grew, (*name).to_owned())).collect()
    };
    assert_eq!(grown(&[("a", &[]), ("b", &[1, 2])]), is(&[(true, "a"), (true, "b")]));
    assert_eq!(grown(&[("a", &[1]), ("b", &[2])]), is(&[(true, "a"), (false, "b")]));
    assert_eq!(grown(&[("b", &[1, 3])]), is(&[(false, "a"), (true, "b")]));
}

#[test]
fn a_single_removal_is_honoured_at_once() {
    let mut case = Case::new(&[("web", 1..11)]);
    for left in (1..11).rev() {
        case.set("web", 1..left);
        assert_eq!((case.count("web"), case.held()), (usize::from(left) - 1, 0));
        case.after(2.0);
    }
    // Also the last one, and the service.
    case.gone("web");
    assert_eq!(case.ports("web"), None);
}

#[test]
fn more_than_half_at_once_is_held_until_it_is_named_again() {
    let mut case = Case::new(&[("web", 1..11)]);
    case.set("web", 1..5);
    assert_eq!((case.count("web"), case.held()), (10, 6));
    let held = case.hold.held();
    assert_eq!(held[0].service, "web");
    assert_eq!(&*held[0].why, "6 of 10 endpoints went within 2s");
    assert_eq!(held[0].until, case.now + RULES.keep);
    case.after(5.0);
    case.set("web", 1..8);
    assert_eq!((case.count("web"), case.held()), (10, 3));
    case.set("web", 1..11);
    assert_eq!((case.count("web"), case.held()), (10, 0));
}

#[test]
fn exactly_half_is_no_mass_removal() {
    let mut case = Case::new(&[("web", 1..11)]);
    case.set("web", 1..6);
    assert_eq!((case.count("web"), case.held()), (5, 0));
}

#[test]
fn what_went_earlier_in_the_window_comes_back() {
    let mut case = Case::new(&[("web", 1..11)]);
    for left in [10, 9, 8, 7, 6] {
        case.set("web", 1..left);
        assert_eq!(case.held(), 0);
        case.after(0.3);
    }
    assert_eq!(case.count("web"), 5);
    // 1.5 s after the first: the sixth of ten.
    case.set("web", 1..5);
    assert_eq!((case.count("web"), case.held()), (10, 6));
    // And what follows is held with them.
    case.after(0.1);
    case.set("web", []);
    assert_eq!((case.count("web"), case.held()), (10, 10));
}

#[test]
fn a_service_that_vanishes_is_held_and_new_endpoints_are_told() {
    let mut case = Case::new(&[("web", 1..11), ("api", 20..40)]);
    case.gone("web");
    assert_eq!((case.count("web"), case.held()), (10, 10));
    case.after(60.0);
    case.set("web", [77]);
    assert_eq!((case.count("web"), case.held()), (11, 10));
    case.after(541.0);
    assert_eq!(case.ports("web"), Some(&[77][..]));
    assert_eq!(case.held(), 0);
}

#[test]
fn what_is_held_ends_and_a_service_with_nothing_else_is_gone_then() {
    let mut case = Case::new(&[("web", 1..5)]);
    case.gone("web");
    assert_eq!(case.hold.next_deadline(), Some(case.now + RULES.keep));
    case.after(599.0);
    assert_eq!(case.count("web"), 4);
    case.after(1.0);
    assert_eq!(case.ports("web"), None);
    assert_eq!(case.hold.next_deadline(), None);
    assert_eq!(case.hold.counts(), (0, 0));
}

#[test]
fn a_small_set_is_believed() {
    let mut case = Case::new(&[("web", 1..4), ("api", 20..60)]);
    case.gone("web");
    assert_eq!((case.ports("web"), case.held()), (None, 0));
}

#[test]
fn many_small_services_together_are_held() {
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let services: Vec<(&str, std::ops::Range<u16>)> =
        names.iter().zip(1u16..).map(|(n, p)| (n.as_str(), p..p + 1)).collect();
    let mut case = Case::new(&services);
    // Some go one by one; then it is too much, and all come back.
    for name in &names[..10] {
        case.gone(name);
    }
    assert_eq!((case.told.len(), case.held()), (10, 0));
    case.all(&[]);
    assert_eq!((case.told.len(), case.held()), (20, 20));
    assert!(case.hold.held()[0].why.contains("20 of all 20 endpoints of the registry"));
    case.release(None);
    assert_eq!((case.told.len(), case.held()), (0, 0));
}

#[test]
fn a_registry_that_comes_back_empty_takes_nothing() {
    let mut case = Case::new(&[("web", 1..51), ("api", 100..103)]);
    case.all(&[]);
    assert_eq!((case.count("web"), case.count("api"), case.held()), (50, 3, 53));
    // Services register again, one after another.
    for upto in 2..52 {
        case.after(0.2);
        case.set("web", 1..upto);
        assert_eq!(case.count("web"), 50);
    }
    assert_eq!(case.held(), 3);
    case.set("api", 100..103);
    assert_eq!(case.held(), 0);
}

#[test]
fn a_registry_that_comes_and_goes_is_held_each_time() {
    let mut case = Case::new(&[("web", 1..11)]);
    for _ in 0..50 {
        case.all(&[]);
        assert_eq!(case.count("web"), 10);
        case.after(0.7);
        case.all(&[("web", 1..11)]);
        assert_eq!((case.count("web"), case.held()), (10, 0));
        case.after(0.9);
    }
    // The last of them counts from when it happened.
    case.all(&[]);
    case.after(599.0);
    assert_eq!(case.count("web"), 10);
}

#[test]
fn a_deployment_that_replaces_all_at_once_is_no_loss() {
    let mut case = Case::new(&[("web", 1..11)]);
    case.set("web", 21..31);
    assert_eq!((case.count("web"), case.held()), (10, 0));
    case.after(60.0);
    // New ones first, then the old ones go.
    case.set("web", 21..41);
    case.after(0.5);
    case.set("web", 31..41);
    assert_eq!((case.count("web"), case.held()), (10, 0));
}

#[test]
fn a_deployment_that_stops_all_first_is_held_until_it_is_replaced() {
    let mut case = Case::new(&[("web", 1..11)]);
    case.set("web", []);
    assert_eq!((case.count("web"), case.held()), (10, 10));
    for upto in 22..31 {
        case.after(5.0);
        case.set("web", 21..upto);
        assert_eq!((case.count("web"), case.held()), (usize::from(upto) - 21 + 10, 10));
    }
    case.after(5.0);
    case.set("web", 21..31);
    assert_eq!((case.count("web"), case.held()), (10, 0));
}

#[test]
fn fifty_rolled_one_by_one_are_never_held_however_fast() {
    for step in [0.0, 0.02, 0.3, 2.0] {
        let mut case = Case::new(&[("web", 1..51)]);
        let mut ports: Vec<u16> = (1..51).collect();
        for at in 0..50 {
            let old = ports[at];
            ports.remove(at);
            case.set("web", ports.iter().copied());
            assert_eq!((case.count("web"), case.held()), (49, 0));
            case.after(step);
            // Every third one comes back where it was.
            ports.insert(at, if at % 3 == 0 { old } else { old + 100 });
            case.set("web", ports.iter().copied());
            assert_eq!((case.count("web"), case.held()), (50, 0));
            case.after(step);
        }
    }
}

#[test]
fn a_port_that_another_service_has_now_is_never_held() {
    let mut case = Case::new(&[("web", 1..11), ("api", 50..60)]);
    case.gone("web");
    assert_eq!(case.held(), 10);
    // Taken over while held.
    case.set("api", (50..60).chain([3, 4]));
    assert_eq!((case.count("web"), case.held()), (8, 8));
    assert!(!case.ports("web").unwrap().contains(&3));
    // It goes from there, too, and comes back to neither.
    case.set("api", 50..60);
    assert_eq!((case.count("web"), case.count("api")), (8, 10));
    // Taken over by the same report, whatever the order of the names.
    let mut case = Case::new(&[("web", 1..11), ("aa", 50..60), ("zz", 70..80)]);
    case.all(&[("aa", 1..4), ("zz", 5..8)]);
    assert_eq!(case.ports("web"), Some(&[4, 8, 9, 10][..]));
    // Taken over within the window, before the rest goes.
    let mut case = Case::new(&[("web", 1..11), ("api", 50..60)]);
    case.set("web", 1..9);
    case.set("api", (50..60).chain([9]));
    case.after(0.5);
    case.set("api", 50..60);
    case.after(0.5);
    case.set("web", []);
    assert_eq!(case.ports("web"), Some(&[1, 2, 3, 4, 5, 6, 7, 8, 10][..]));
}

#[test]
fn scaling_down_by_hand_is_held_until_somebody_says_so() {
    let mut case = Case::new(&[("web", 1..11), ("api", 50..90)]);
    case.set("web", 1..5);
    assert_eq!((case.count("web"), case.held()), (10, 6));
    case.release(Some("api"));
    assert_eq!(case.held(), 6);
    case.release(Some("web"));
    assert_eq!((case.count("web"), case.held()), (4, 0));
    // Nothing of it comes back with the next removal.
    case.set("web", 1..4);
    assert_eq!((case.count("web"), case.held()), (3, 0));
}

#[test]
fn crash_loops_leave_nothing_behind() {
    let mut case = Case::new(&[("web", 1..6)]);
    for round in 0..100 {
        let port = 100 + round * 10;
        case.set("web", (1..6).chain(port..port + 10));
        case.after(0.5);
        case.set("web", 1..6);
        assert_eq!((case.count("web"), case.held()), (5, 0));
        case.after(0.5);
    }
}

#[test]
fn another_order_is_no_change() {
    let mut case = Case::new(&[("web", 1..11)]);
    assert_eq!(case.hold.changed(case.now, vec![("web".to_owned(), Some(eps((1..11).rev())))]), []);
}

#[test]
fn another_weight_is_no_removal() {
    let mut case = Case::new(&[("web", 1..11)]);
    let heavy = eps(1..11).into_iter().map(|e| Endpoint { weight: 7, ..e }).collect();
    let told = case.hold.changed(case.now, vec![("web".to_owned(), Some(heavy))]);
    assert!(told[0].1.as_ref().unwrap().iter().all(|e| e.weight == 7));
    assert_eq!(case.held(), 0);
}

#[test]
fn what_was_kept_is_what_the_first_report_is_held_against() {
    let mut case = Case::new(&[("web", 1..11), ("api", 50..60)]);
    case.gone("api");
    case.after(100.0);
    let kept = case.hold.kept();
    let mut next = Case { hold: Hold::new(RULES), now: case.now, told: BTreeMap::new() };
    let told = next.hold.seed(next.now, kept.clone());
    next.take(told);
    assert_eq!(next.told, case.told);
    assert_eq!(next.hold.held()[0].until, case.hold.held()[0].until);
    next.after(1.0);
    next.all(&[]);
    assert_eq!((next.count("web"), next.count("api"), next.held()), (10, 10, 20));
    // What was held before ends when it would have ended.
    next.after(499.0);
    assert_eq!((next.count("web"), next.ports("api")), (10, None));
    // What had ended while nothing ran is not served.
    let mut late = Hold::new(RULES);
    let now = case.now + RULES.keep;
    let names: Vec<String> = late.seed(now, kept).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["web"]);
}

#[test]
fn bounds() {
    let mut hold = Hold::new(RULES);
    let all = |n: usize| (0..n).map(|i| (format!("s{i:05}"), Vec::new())).collect();
    let told = hold.all(Tick::ZERO, all(SERVICES_MAX + 3));
    assert_eq!((told.len(), hold.left_out()), (SERVICES_MAX, 3));
    let one = |name: &str| vec![(name.to_owned(), Some(Vec::new()))];
    assert_eq!(hold.changed(Tick::ZERO, one("zzz")), []);
    assert_eq!(hold.left_out(), 4);
    let told = hold.all(Tick::ZERO, all(10));
    assert_eq!((told.len(), hold.left_out()), (SERVICES_MAX - 10, 0));
    assert_eq!(hold.changed(Tick::ZERO, one(&"z".repeat(NAME_BYTES_MAX + 1))), []);
    assert_eq!(hold.left_out(), 1);
    // More in one service than there may be, and one address twice.
    let many = (0..ENDPOINTS_MAX as u16 + 7).flat_map(|n| [ep(n + 1), ep(n + 1)]).collect();
    let told = hold.changed(Tick::ZERO, vec![("s00001".to_owned(), Some(many))]);
    assert_eq!(told[0].1.as_ref().unwrap().len(), ENDPOINTS_MAX);
    // Held ones give way to named ones.
    let later = Tick::ZERO + Duration::from_secs(10);
    hold.changed(later, vec![("s00001".to_owned(), None)]);
    assert_eq!(hold.held()[0].endpoints.len(), ENDPOINTS_MAX);
    let told = hold.changed(later, vec![("s00001".to_owned(), Some(eps([60_000])))]);
    let list = told[0].1.as_ref().unwrap();
    assert_eq!((list.len(), list.last()), (ENDPOINTS_MAX, Some(&ep(60_000))));
}

/// What is done to a namer.
#[derive(Clone, Debug)]
enum Act {
    All(BTreeMap<u8, BTreeSet<u16>>),
    Changed(Vec<(u8, Option<BTreeSet<u16>>)>),
    Wait(u16),
    Release(Option<u8>),
    Restart,
}

/// Few names and few ports, so that they meet.
fn act() -> impl Strategy<Value = Act> {
    let ports = || prop::collection::btree_set(1u16..40, 0..14);
    let name = || 0u8..4;
    prop_oneof![
        2 => prop::collection::btree_map(name(), ports(), 0..4).prop_map(Act::All),
        4 => prop::collection::vec((name(), prop::option::weighted(0.8, ports())), 1..4)
            .prop_map(Act::Changed),
        4 => (0u16..5000).prop_map(Act::Wait),
        1 => prop::option::of(name()).prop_map(Act::Release),
        1 => Just(Act::Restart),
    ]
}

fn service(name: u8) -> String {
    format!("s{name}")
}

/// The registry as it is, beside what is made of it.
#[derive(Default)]
struct Model {
    named: BTreeMap<String, BTreeSet<u16>>,
    told: BTreeMap<String, BTreeSet<u16>>,
}

impl Model {
    fn take(&mut self, told: Vec<Told>) {
        for (name, set) in told {
            let ports = |set: Vec<Endpoint>| {
                let ports: BTreeSet<u16> = set.iter().map(|e| e.addr.port()).collect();
                assert_eq!(ports.len(), set.len(), "an address twice");
                ports
            };
            let new = set.map(ports);
            assert_ne!(new.as_ref(), self.told.get(&name), "told twice");
            match new {
                Some(ports) => self.told.insert(name, ports),
                None => self.told.remove(&name),
            };
        }
    }

    /// What must be true at any time.
    fn check(&self, hold: &Hold, now: Tick) {
        let mut union = self.named.clone();
        for held in hold.held() {
            assert!(now < held.until && held.until <= now + RULES.keep, "it ends");
            let set = union.entry(held.service.clone()).or_default();
            for endpoint in held.endpoints {
                let port = endpoint.addr.port();
                assert!(set.insert(port), "held, and named");
                let others = self.named.iter().filter(|(name, _)| **name != held.service);
                for (other, ports) in others {
                    assert!(!ports.contains(&port), "{port} is held, and {other} has it");
                }
            }
        }
        assert_eq!(self.told, union, "told is named and held");
        let endpoints = union.values().map(BTreeSet::len).sum();
        assert_eq!(hold.counts(), (union.len(), endpoints));
    }
}

proptest! {
    #[test]
    fn random_reports(acts in prop::collection::vec(act(), 1..60)) {
        let (mut hold, mut model, mut now) = (Hold::new(RULES), Model::default(), Tick::ZERO);
        let eps = |ports: &BTreeSet<u16>| eps(ports.iter().copied());
        for act in acts {
            let before = model.named.clone();
            let held = hold.held();
            let told = match act {
                Act::All(all) => {
                    model.named = all.iter().map(|(n, p)| (service(*n), p.clone())).collect();
                    hold.all(now, all.iter().map(|(n, p)| (service(*n), eps(p))).collect())
                }
                Act::Changed(changes) => {
                    for (name, ports) in &changes {
                        match ports {
                            Some(ports) => model.named.insert(service(*name), ports.clone()),
                            None => model.named.remove(&service(*name)),
                        };
                    }
                    let one = |(name, ports): (u8, Option<BTreeSet<u16>>)| (service(name), ports.as_ref().map(eps));
                    hold.changed(now, changes.into_iter().map(one).collect())
                }
                Act::Wait(ms) => {
                    now = now + Duration::from_millis(u64::from(ms));
                    hold.poll(now)
                }
                Act::Release(name) => {
                    let name = name.map(service);
                    let told = hold.release(now, name.as_deref());
                    let left = hold.held();
                    prop_assert!(left.iter().all(|h| name.as_ref().is_some_and(|n| *n != h.service)));
                    told
                }
                Act::Restart => {
                    let kept = hold.kept();
                    hold = Hold::new(RULES);
                    model.told.clear();
                    hold.seed(now, kept)
                }
            };
            model.take(told);
            model.check(&hold, now);
            // What was not lost just now or a moment ago is not held anew.
            if before == model.named {
                let old: BTreeSet<SocketAddr> =
                    held.iter().flat_map(|h| h.endpoints.iter().map(|e| e.addr)).collect();
                let new = hold.held();
                prop_assert!(new.iter().flat_map(|h| &h.endpoints).all(|e| old.contains(&e.addr)));
            }
        }
        let told = hold.poll(now + RULES.keep);
        model.take(told);
        prop_assert!(hold.held().is_empty());
        prop_assert_eq!(model.told, model.named);
    }

    /// Endpoints that go one at a time, with a window between them, are gone at once.
    #[test]
    fn single_removals_are_never_held(
        sets in prop::collection::vec(prop::collection::btree_set(1u16..40, 0..14), 4),
        goes in prop::collection::vec((0usize..4, any::<prop::sample::Index>(), 2000u64..5000), 1..40),
    ) {
        let mut hold = Hold::new(RULES);
        // Each service has ports of its own.
        let mut sets: Vec<BTreeSet<u16>> = sets.into_iter().zip(0u16..)
            .map(|(set, n)| set.into_iter().map(|p| p + 100 * n).collect()).collect();
        let mut now = Tick::ZERO;
        let all = sets.iter().enumerate().map(|(n, set)| (service(n as u8), eps(set.iter().copied())));
        hold.all(now, all.collect());
        for (n, index, wait) in goes {
            now = now + Duration::from_millis(wait);
            let set = &mut sets[n];
            if set.is_empty() {
                continue;
            }
            let port = *set.iter().nth(index.index(set.len())).unwrap();
            set.remove(&port);
            // The last one takes its service with it.
            let left = (!set.is_empty()).then(|| eps(set.iter().copied()));
            let told = hold.changed(now, vec![(service(n as u8), left.clone())]);
            prop_assert_eq!(told, vec![(service(n as u8), left)]);
            prop_assert!(hold.held().is_empty());
        }
    }

    /// However it is removed within a window, of a set that is large enough more than half is never missing.
    #[test]
    fn mass_removal_is_held_in_any_order(
        size in 4u16..40,
        seed in prop::collection::vec((any::<prop::sample::Index>(), 0u64..45), 4..40),
        whole in any::<bool>(),
    ) {
        let mut hold = Hold::new(RULES);
        let mut set: Vec<u16> = (1..=size).collect();
        hold.all(Tick::ZERO, BTreeMap::from([("web".to_owned(), eps(set.clone()))]));
        let mut now = Tick::ZERO + Duration::from_secs(60);
        let mut told = usize::from(size);
        let mut steps = 0;
        for (index, wait) in seed {
            if set.is_empty() {
                break;
            }
            set.remove(index.index(set.len()));
            now = now + Duration::from_millis(wait);
            let left = (!whole || !set.is_empty()).then(|| eps(set.clone()));
            for (_, endpoints) in hold.changed(now, vec![("web".to_owned(), left)]) {
                told = endpoints.map_or(0, |e| e.len());
            }
            steps += 1;
            let lost = usize::from(size) - told;
            prop_assert!(2 * lost <= usize::from(size));
            prop_assert_eq!(lost, if 2 * steps > usize::from(size) { 0 } else { steps });
        }
    }
}
