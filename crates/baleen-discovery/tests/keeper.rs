//! The keeper with a client that says what a test wants it to say: sessions, updates, health, and what is kept over a restart.
//!
//! The clock stands still unless nothing else is left to do, so waits cost nothing and nothing is late.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baleen_config::Endpoint;
use baleen_discovery::keeper::snapshot::{Snapshot, Store};
use baleen_discovery::keeper::{Health, Keeper, REFUSED_MAX, Settings, State, Update};
use baleen_discovery::registry::{Client, Ended, Report, Reports, SERVICES_MAX};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Far more than anything needs, in time that passes by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a session is to do next.
enum Act {
    Say(Report),
    End(&'static str),
    Panic,
}

/// A client that does what it is told.
struct Fake {
    acts: mpsc::Receiver<Act>,
    begun: mpsc::Sender<Instant>,
    asked: mpsc::Sender<String>,
}

impl Client for Fake {
    async fn session(&mut self, to: &Reports, wanted: &mut mpsc::Receiver<String>) -> Ended {
        let _ = self.begun.try_send(Instant::now());
        loop {
            let act = tokio::select! {
                act = self.acts.recv() => act,
                Some(name) = wanted.recv() => {
                    let _ = self.asked.send(name).await;
                    continue;
                }
            };
            match act {
                Some(Act::Say(report)) => {
                    if let Err(ended) = to.say(report).await {
                        return ended;
                    }
                }
                Some(Act::End(why)) => return Ended(why.to_owned()),
                Some(Act::Panic) => panic!("as it was told to"),
                None => std::future::pending().await,
            }
        }
    }
}

/// A keeper and the other side of its client.
struct Case {
    keeper: Keeper,
    acts: mpsc::Sender<Act>,
    begun: mpsc::Receiver<Instant>,
    asked: mpsc::Receiver<String>,
}

fn case(settings: Settings, state: Option<&Path>) -> Case {
    let (acts, acts_end) = mpsc::channel(64);
    let (begun_end, begun) = mpsc::channel(1024);
    let (asked_end, asked) = mpsc::channel(16_384);
    let fake = Fake { acts: acts_end, begun: begun_end, asked: asked_end };
    Case { keeper: Keeper::start("etcd", fake, settings, state), acts, begun, asked }
}

fn plain() -> Case {
    case(Settings::default(), None)
}

fn eps(ports: impl IntoIterator<Item = u16>) -> Vec<Endpoint> {
    let ep = |port| Endpoint { addr: ([10, 0, 0, 1], port).into(), weight: 1, zone: 0 };
    ports.into_iter().map(ep).collect()
}

fn all(services: &[(&str, std::ops::Range<u16>)]) -> Report {
    let set =
        |(name, ports): &(&str, std::ops::Range<u16>)| ((*name).to_owned(), eps(ports.clone()));
    Report::All(services.iter().map(set).collect())
}

fn changed(name: &str, ports: impl IntoIterator<Item = u16>) -> Report {
    Report::Changed(vec![(name.to_owned(), Some(eps(ports)))])
}

impl Case {
    async fn say(&self, report: Report) {
        self.acts.send(Act::Say(report)).await.unwrap();
    }

    async fn end(&self, why: &'static str) {
        self.acts.send(Act::End(why)).await.unwrap();
    }

    /// The next update, as `web 10`, or `web gone`.
    async fn next(&mut self) -> String {
        show(&timeout(PATIENCE, self.keeper.recv()).await.expect("an update").expect("it runs"))
    }

    async fn begun(&mut self) -> Instant {
        timeout(PATIENCE, self.begun.recv()).await.expect("a session").unwrap()
    }

    /// Waits until the health is as it should be.
    async fn until(&self, what: &str, holds: impl Fn(&Health) -> bool) -> Health {
        let asker = self.keeper.asker();
        let looked = async {
            loop {
                let health = asker.health();
                if holds(&health) {
                    return health;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        match timeout(PATIENCE, looked).await {
            Ok(health) => health,
            Err(_) => panic!("never: {what}; {:?}", asker.health()),
        }
    }
}

fn show(update: &Update) -> String {
    match &update.endpoints {
        Some(list) => format!("{} {}", update.service, list.len()),
        None => format!("{} gone", update.service),
    }
}

#[tokio::test(start_paused = true)]
async fn reports_become_updates_and_health() {
    let mut case = plain();
    let health = case.keeper.health();
    assert_eq!((health.state, health.age, health.failing), (State::NeverHeard, None, None));
    case.say(all(&[("api", 50..53), ("web", 1..11)])).await;
    assert_eq!((case.next().await, case.next().await), ("api 3".into(), "web 10".into()));
    case.say(Report::Refused { key: "web/x".into(), why: "no address".into() }).await;
    case.say(changed("web", 1..10)).await;
    assert_eq!(case.next().await, "web 9");
    let health = case.keeper.health();
    assert_eq!(health.state, State::Fresh);
    assert_eq!((health.sessions, health.services, health.endpoints), (1, 2, 12));
    assert_eq!(health.refused, BTreeMap::from([("web/x".into(), "no address".into())]));
    assert!(!health.snapshot.on);
    // Time passes without a word, then with one.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(case.keeper.health().age.unwrap().as_secs(), 4);
    case.say(Report::Alive).await;
    case.until("heard again", |h| h.age < Some(Duration::from_secs(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_changes_nothing_but_the_health() {
    let mut case = plain();
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    case.end("connection refused").await;
    let health = case.until("failing", |h| h.failing.is_some()).await;
    assert_eq!(health.state, State::Failing);
    let failing = health.failing.unwrap();
    assert_eq!(failing.why, "connection refused");
    case.end("no route").await;
    let health =
        case.until("the next reason", |h| h.failing.as_ref().unwrap().why == "no route").await;
    assert_eq!(health.failing.unwrap().since, failing.since);
    assert_eq!(health.endpoints, 10);
    // Another session that says the same tells nothing new; one endpoint more is told.
    case.say(all(&[("web", 1..11)])).await;
    case.until("fresh", |h| h.state == State::Fresh && h.failing.is_none()).await;
    case.say(changed("web", 1..12)).await;
    assert_eq!(case.next().await, "web 11");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_is_followed_by_the_next() {
    let mut case = plain();
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    case.begun().await;
    case.acts.send(Act::Panic).await.unwrap();
    case.begun().await;
    let health = case.keeper.health();
    assert_eq!((health.state, health.endpoints, health.sessions), (State::Failing, 10, 2));
    assert!(health.failing.unwrap().why.contains("panicked"));
    case.say(all(&[("web", 1..12)])).await;
    assert_eq!(case.next().await, "web 11");
    case.keeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_and_is_not_there_is_told() {
    let settings = Settings { on_demand: true, ..Settings::default() };
    let mut case = case(settings, None);
    let asker = case.keeper.asker();
    let gone = |name: &str| Report::Changed(vec![(name.to_owned(), None)]);
    assert!(asker.want("a/80") && asker.want("b/80"));
    case.asked.recv().await.unwrap();
    case.say(gone("a/80")).await;
    assert_eq!(case.next().await, "a/80 gone", "though it never was there");
    case.say(gone("nobody/80")).await;
    case.say(changed("b/80", 1..11)).await;
    assert_eq!(case.next().await, "b/80 10");
    // Somebody asks again.
    case.say(gone("a/80")).await;
    assert_eq!(case.next().await, "a/80 gone");
    // What came a moment ago and goes was never there; this was.
    sleep(Duration::from_secs(5)).await;
    case.say(gone("b/80")).await;
    case.say(changed("a/80", 50..51)).await;
    let health = case.until("all are there", |h| h.endpoints == 11).await;
    assert_eq!(health.held[0].service, "b/80", "what is held is not gone");
    assert_eq!(case.next().await, "a/80 1");
}

#[tokio::test(start_paused = true)]
async fn what_a_session_said_before_it_ended_counts() {
    let mut case = plain();
    case.say(all(&[("web", 1..3)])).await;
    case.end("that is all").await;
    assert_eq!(case.next().await, "web 2");
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_begin_anew_after_a_good_session() {
    let mut case = plain();
    let mut waits = Vec::new();
    for _ in 0..40 {
        let begun = case.begun().await;
        case.end("refused").await;
        waits.push(begun);
    }
    let gaps: Vec<Duration> = waits.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps[0] <= Duration::from_millis(110), "{gaps:?}");
    assert!(gaps.iter().all(|g| *g <= Duration::from_millis(10_010)), "{gaps:?}");
    // Evenly drawn below 10 s: that all of 30 are short would be odd beyond belief.
    assert!(gaps[8..].iter().max() > Some(&Duration::from_secs(5)), "{gaps:?}");
    // A session that heard nothing was no good one, however long it lasted.
    case.begun().await;
    case.say(all(&[])).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(4)).await;
        case.say(Report::Alive).await;
    }
    case.until("heard", |h| h.age < Some(Duration::from_secs(1))).await;
    case.end("restarted").await;
    case.until("failing", |h| h.failing.is_some()).await;
    let ended = Instant::now();
    assert!(case.begun().await - ended <= Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_says_nothing_is_ended() {
    let mut case = plain();
    let first = case.begun().await;
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    sleep(Duration::from_secs(10)).await;
    case.say(Report::Alive).await;
    let second = case.begun().await;
    // 15 s after what was said last, and a first wait.
    let after = (second - first).as_millis();
    assert!((25_000..=25_210).contains(&after), "{after} ms");
    let health = case.until("stuck", |h| h.stuck == 1).await;
    assert_eq!((health.endpoints, health.sessions), (10, 2));
    assert_eq!(health.failing.unwrap().why, "nothing was heard for 15s");
}

#[tokio::test(start_paused = true)]
async fn mass_removal_is_held_and_reported_and_released() {
    let mut case = plain();
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    sleep(Duration::from_secs(5)).await;
    case.say(all(&[])).await;
    let health = case.until("held", |h| h.held_endpoints() == 10).await;
    let held = &health.held[0];
    assert_eq!((held.service.as_str(), held.endpoints.len()), ("web", 10));
    assert_eq!(&*held.why, "10 of 10 endpoints went within 2s");
    assert!(held.left > Duration::from_secs(599) && held.left <= Duration::from_secs(600));
    // A new one beside them at once.
    case.say(changed("web", [77])).await;
    assert_eq!(case.next().await, "web 11");
    assert!(case.keeper.asker().release(Some("web")));
    assert_eq!(case.next().await, "web 1");
    assert_eq!(case.until("released", |h| h.held.is_empty()).await.endpoints, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_expires_by_itself() {
    let mut case = plain();
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    sleep(Duration::from_secs(5)).await;
    case.say(Report::Changed(vec![("web".into(), None)])).await;
    case.until("held", |h| h.held_endpoints() == 10).await;
    let from = Instant::now();
    // It expires while the registry is silent, too; nobody says anything.
    let update = timeout(Duration::from_secs(700), case.keeper.recv()).await.unwrap().unwrap();
    assert_eq!(show(&update), "web gone");
    assert!((599..=601).contains(&from.elapsed().as_secs()), "{:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_gets_the_newest_of_each_service() {
    let mut case = plain();
    let services = |n: u16| {
        let set = |i: u32| (format!("s{i:04}"), eps(1..n + 1));
        Report::All((0..1000).map(set).collect())
    };
    for n in 1..21 {
        case.say(services(n)).await;
    }
    case.until("all of it", |h| h.endpoints == 20_000).await;
    let mut last = BTreeMap::new();
    let mut count = 0;
    while last.len() < 1000 || last.values().any(|n| *n != 20) {
        let update = timeout(PATIENCE, case.keeper.recv()).await.unwrap().unwrap();
        last.insert(update.service, update.endpoints.unwrap().len());
        count += 1;
    }
    // Not every one that there was: a few that were on their way, then one for each.
    assert!(count < 2500, "{count} updates");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_taken_from_one_before_another_has_it() {
    let mut case = plain();
    case.say(all(&[("api", 1..4), ("web", 10..14)])).await;
    assert_eq!((case.next().await, case.next().await), ("api 3".into(), "web 4".into()));
    sleep(Duration::from_secs(5)).await;
    case.say(all(&[("api", 1..5), ("web", 10..13)])).await;
    assert_eq!((case.next().await, case.next().await), ("web 3".into(), "api 4".into()));
}

#[tokio::test(start_paused = true)]
async fn one_that_changes_all_the_time_keeps_no_other_waiting() {
    let mut case = plain();
    let set = |i: u16| (format!("s{i:04}"), eps(1..2));
    case.say(Report::All((0..200).map(set).collect())).await;
    case.until("all of it", |h| h.services == 200).await;
    let mut told = BTreeMap::new();
    for n in 0..300u16 {
        case.say(changed("s0000", 1..n + 3)).await;
        let endpoints = usize::from(n) + 2 + 199;
        case.until("it is heard", |h| h.endpoints == endpoints).await;
        *told.entry(case.next().await.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(told.len(), 200, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_before_the_list_say_nothing_of_what_is_known() {
    let mut case = plain();
    case.say(all(&[("web", 1..11)])).await;
    assert_eq!(case.next().await, "web 10");
    case.end("restarted").await;
    case.until("failing", |h| h.failing.is_some()).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(5)).await;
        case.say(Report::Alive).await;
    }
    let health = case.until("long ago", |h| h.age > Some(Duration::from_secs(40))).await;
    // A list that takes long is not stuck.
    assert_eq!((health.state, health.stuck, health.sessions), (State::Failing, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_asked_for_in_each_session() {
    let settings = Settings { on_demand: true, ..Settings::default() };
    let mut case = case(settings, None);
    let asker = case.keeper.asker();
    assert!(asker.want("b/80") && asker.want("a/80"));
    let mut asked = vec![case.asked.recv().await.unwrap(), case.asked.recv().await.unwrap()];
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["a/80", "b/80"]);
    case.say(Report::Changed(vec![
        ("a/80".into(), Some(eps(1..3))),
        ("b/80".into(), Some(eps(3..4))),
        ("c/80".into(), Some(eps(5..6))),
    ]))
    .await;
    // What nobody wants is not told.
    assert_eq!((case.next().await, case.next().await), ("a/80 2".into(), "b/80 1".into()));
    assert_eq!(case.keeper.health().services, 2);
    case.end("broken").await;
    case.begun().await;
    case.begun().await;
    let again: Vec<String> =
        vec![case.asked.recv().await.unwrap(), case.asked.recv().await.unwrap()];
    assert_eq!(again, ["a/80", "b/80"]);
    // That a first report lacks one means nothing; what nobody wants any more is gone.
    case.say(all(&[("b/80", 3..4)])).await;
    asker.forget("a/80");
    assert_eq!(case.next().await, "a/80 gone");
    case.say(changed("a/80", 1..3)).await;
    case.say(changed("b/80", 3..9)).await;
    assert_eq!(case.next().await, "b/80 6");
}

#[tokio::test(start_paused = true)]
async fn wants_are_bounded() {
    let settings = Settings { on_demand: true, ..Settings::default() };
    let mut case = case(settings, None);
    let asker = case.keeper.asker();
    let name = |n: usize| format!("s{n}");
    assert!((0..SERVICES_MAX).all(|n| asker.want(&name(n))));
    assert!(!asker.want("one more"));
    assert!(asker.want("s7"), "it is wanted already");
    asker.forget("s7");
    assert!(asker.want("one more"));
    // Names that come and go do not pile up in the client: it begins anew.
    for n in 0..SERVICES_MAX * 3 {
        asker.forget(&name(n + SERVICES_MAX - 1));
        while !asker.want(&name(n + SERVICES_MAX)) {
            asker.forget(&name(n));
        }
        let _ = timeout(PATIENCE, case.asked.recv()).await.unwrap();
        while case.asked.try_recv().is_ok() {}
    }
    case.until("another session", |h| h.sessions > 1).await;
    assert_eq!(case.keeper.health().failing, None);
}

#[tokio::test(start_paused = true)]
async fn refused_keys_are_bounded_and_forgotten_with_the_session() {
    let case = plain();
    for n in 0..REFUSED_MAX + 5 {
        case.say(Report::Refused { key: format!("k{n:04}"), why: "odd".into() }).await;
    }
    let health = case.until("all of them", |h| h.refused_more == 5).await;
    assert_eq!(health.refused.len(), REFUSED_MAX);
    case.end("again").await;
    case.until("none", |h| h.refused.is_empty() && h.refused_more == 0).await;
}

fn with_source(source: &str) -> Settings {
    Settings { source: source.into(), ..Settings::default() }
}

fn on_disk(dir: &Path) -> Option<Snapshot> {
    Store::open(dir, "etcd").unwrap().load().unwrap()
}

fn ports(update: &Update) -> (String, usize) {
    (update.service.clone(), update.endpoints.as_ref().map_or(0, Vec::len))
}

#[tokio::test(start_paused = true)]
async fn a_start_with_a_dead_registry_serves_what_was_last_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = case(with_source("here"), Some(dir.path()));
    assert_eq!(first.keeper.take_cold(), []);
    first.say(all(&[("api", 50..53), ("web", 1..11)])).await;
    first.next().await;
    first.next().await;
    first.say(changed("web", 1..12)).await;
    assert_eq!(first.next().await, "web 11");
    first.keeper.stop().await;
    assert_eq!(on_disk(dir.path()).unwrap().services.len(), 2);

    let mut second = case(with_source("here"), Some(dir.path()));
    let cold = second.keeper.take_cold();
    assert_eq!(cold.iter().map(ports).collect::<Vec<_>>(), [("api".into(), 3), ("web".into(), 11)]);
    assert!(cold.iter().all(|u| &*u.namer == "etcd"));
    second.end("connection refused").await;
    let health = second.until("failing", |h| h.failing.is_some()).await;
    assert_eq!((health.state, health.services, health.endpoints), (State::Cold, 2, 14));
    assert!(health.age.is_some_and(|age| age < Duration::from_secs(600)), "{:?}", health.age);
    assert!(health.snapshot.on && health.snapshot.age.is_some());
    assert_eq!(health.snapshot.error, None);
    // It comes back empty: what was kept is held; what it names is told.
    second.say(all(&[("new", 90..91)])).await;
    assert_eq!(second.next().await, "new 1");
    let health = second.until("fresh", |h| h.state == State::Fresh).await;
    assert_eq!((health.held_endpoints(), health.services), (14, 3));
    second.keeper.stop().await;

    // Over another restart it is known what is held, and for how long.
    let third = case(with_source("here"), Some(dir.path()));
    let health = third.keeper.health();
    assert_eq!((health.state.clone(), health.held_endpoints()), (State::Cold, 14));
    assert!(health.held.iter().all(|h| h.left <= Duration::from_secs(600)));
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_for_it_the_cold_set_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = case(with_source("here"), Some(dir.path()));
    first.say(all(&[("web", 1..11)])).await;
    first.next().await;
    first.keeper.stop().await;
    let mut second = case(with_source("here"), Some(dir.path()));
    second.say(all(&[("api", 50..53), ("web", 1..11)])).await;
    assert_eq!((second.next().await, second.next().await), ("web 10".into(), "api 3".into()));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_of_another_registry_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = case(with_source("etcd /a"), Some(dir.path()));
    first.say(all(&[("web", 1..11)])).await;
    first.next().await;
    first.keeper.stop().await;
    let mut second = case(with_source("etcd /b"), Some(dir.path()));
    assert_eq!(second.keeper.take_cold(), []);
    let health = second.keeper.health();
    assert_eq!(health.state, State::NeverHeard);
    assert_eq!(health.snapshot.error.unwrap(), "the snapshot is of another registry: etcd /a");
    second.say(all(&[("web", 1..3)])).await;
    assert_eq!(second.next().await, "web 2");
    let health = second.until("written", |h| h.snapshot.written > 0).await;
    assert_eq!((health.held_endpoints(), health.snapshot.error), (0, None));
    assert_eq!(on_disk(dir.path()).unwrap().source, "etcd /b");
}

#[tokio::test(start_paused = true)]
async fn a_broken_snapshot_is_said_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("etcd.snapshot"), "not a snapshot").unwrap();
    let mut case = case(with_source("here"), Some(dir.path()));
    assert_eq!(case.keeper.take_cold(), []);
    let why = case.keeper.health().snapshot.error.unwrap();
    assert!(why.contains("it is no snapshot; it was moved to"), "{why}");
    case.say(all(&[("web", 1..3)])).await;
    assert_eq!(case.next().await, "web 2");
    let health = case.until("written", |h| h.snapshot.written > 0).await;
    assert_eq!(health.snapshot.error, None);
    assert!(dir.path().join("etcd.bad").exists());
}

#[tokio::test(start_paused = true)]
async fn it_is_written_once_a_second_at_most_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut case = case(with_source("here"), Some(dir.path()));
    case.say(all(&[("web", 1..2)])).await;
    case.next().await;
    for n in 0..500 {
        case.say(changed("web", 1..3 + n % 7)).await;
        case.next().await;
        sleep(Duration::from_millis(20)).await;
    }
    let written = case.keeper.health().snapshot.written;
    assert!((8..=11).contains(&written), "{written} in 10 s");
    case.say(changed("web", 1..42)).await;
    assert_eq!(case.next().await, "web 41");
    case.keeper.stop().await;
    assert_eq!(on_disk(dir.path()).unwrap().services[0].named.len(), 41);
}

#[tokio::test(start_paused = true)]
async fn in_a_rolling_restart_the_old_one_writes_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = case(with_source("here"), Some(dir.path()));
    old.say(all(&[("web", 1..11)])).await;
    old.next().await;
    old.until("written", |h| h.snapshot.written > 0).await;
    let mut new = case(with_source("here"), Some(dir.path()));
    assert_eq!(new.keeper.take_cold().len(), 1);
    new.say(all(&[("web", 1..11), ("api", 50..53)])).await;
    assert_eq!(new.next().await, "api 3");
    let health = new.until("the other one writes", |h| h.snapshot.others).await;
    assert_eq!((health.snapshot.written, health.snapshot.error), (0, None));
    old.keeper.stop().await;
    new.until("this one writes", |h| h.snapshot.written > 0 && !h.snapshot.others).await;
    assert_eq!(on_disk(dir.path()).unwrap().services.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_registry_answers_the_snapshot_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut case = case(with_source("here"), Some(dir.path()));
    case.say(all(&[("web", 1..11)])).await;
    case.next().await;
    case.until("written", |h| h.snapshot.written == 1).await;
    for _ in 0..30 {
        case.say(Report::Alive).await;
        sleep(Duration::from_secs(5)).await;
    }
    let written = case.keeper.health().snapshot.written;
    assert!((3..=4).contains(&written), "{written} in 150 s");
}

/// From the report to the update, on the clock of the machine. Nothing is asserted of it: it is printed.
#[tokio::test]
async fn from_report_to_update() {
    let mut case = plain();
    case.say(all(&[("web", 1..51)])).await;
    assert_eq!(case.next().await, "web 50");
    let mut took = Vec::new();
    for n in 0..2000u16 {
        // One of 50 is replaced by another.
        let ports = (1..50).chain([1000 + n]);
        let from = std::time::Instant::now();
        case.say(changed("web", ports)).await;
        let update = case.keeper.recv().await.unwrap();
        took.push(from.elapsed());
        assert_eq!(update.endpoints.unwrap().len(), 50);
    }
    took.sort_unstable();
    let (median, max) = (took[took.len() / 2], took[took.len() - 1]);
    println!("from report to update, 50 endpoints: median {median:?}, max {max:?}");
}

/// `SystemTime` is only for people: a clock that jumps changes nothing.
#[tokio::test(start_paused = true)]
async fn a_snapshot_from_the_future_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let later = SystemTime::now() + Duration::from_secs(86_400 * 365);
    let ms = later.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut store = Store::open(dir.path(), "etcd").unwrap();
    let web = baleen_discovery::keeper::snapshot::Service {
        name: "web".into(),
        present: true,
        named: eps(1..3),
        held: eps(5..6).into_iter().map(|e| (e, u64::MAX)).collect(),
    };
    let snapshot = Snapshot { source: "here".into(), heard_ms: ms, services: vec![web] };
    store.save(&snapshot).unwrap();
    drop(store);
    let mut case = case(with_source("here"), Some(dir.path()));
    assert_eq!(case.keeper.take_cold().len(), 1);
    let health = case.keeper.health();
    assert_eq!(health.age, Some(Duration::ZERO));
    // What is held ends however late the file says.
    assert!(health.held[0].left <= Duration::from_secs(600));
    let namer: Arc<str> = Arc::from("etcd");
    let update = timeout(Duration::from_secs(700), case.keeper.recv()).await.unwrap().unwrap();
    assert_eq!((update.namer, update.endpoints.unwrap().len()), (namer, 2));
}
