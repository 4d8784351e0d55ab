//! What every store must do, whatever it is made of: `all(store)` with a store whose root is empty.
//!
//! Not here: what only one of them does. Used by: `kv.rs`, and by the tests of each store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::kv::{Expect, KEY_BYTES_MAX, Kv, KvError, KvEvent, VALUE_BYTES_MAX, Value};
use baleen_discovery::kv_namer::KvNamer;
use baleen_discovery::registry::{ALIVE_EVERY, Client, Report, Reports};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Far more than anything needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Every check, one after the other, each below a prefix of its own.
pub async fn all<K: Kv>(store: Arc<K>) {
    values_have_versions(&store).await;
    lists_are_what_is_below(&store).await;
    what_is_no_key_is_refused(&store).await;
    followers_hear_of_everything(&store).await;
    a_held_key_is_there_until_its_end(&store).await;
    services_are_found(&store).await;
}

/// Waits for something that must come.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not come"),
    }
}

/// Values are written under conditions, and another value has another version.
pub async fn values_have_versions<K: Kv>(store: &Arc<K>) {
    let key = "values/a/b";
    assert_eq!(store.get(key).await, Ok(None));
    let first = store.put(key, b"one", Expect::Absent).await.expect("it was absent");
    let value = |text: &str, version| Some(Value { bytes: text.into(), version });
    assert_eq!(store.get(key).await, Ok(value("one", first)));
    let absent = store.put(key, b"two", Expect::Absent).await;
    assert_eq!(absent, Err(KvError::Conflict));
    let second =
        store.put(key, b"two", Expect::Version(first)).await.expect("the version is right");
    assert_ne!(first, second);
    let old = store.put(key, b"three", Expect::Version(first)).await;
    assert_eq!(old, Err(KvError::Conflict));
    assert_eq!(store.get(key).await, Ok(value("two", second)));
    let third = store.put(key, b"", Expect::Any).await.expect("no condition");
    assert_eq!(store.get(key).await, Ok(value("", third)));
    assert_eq!(store.delete(key, Expect::Version(second)).await, Err(KvError::Conflict));
    assert_eq!(store.delete(key, Expect::Absent).await, Err(KvError::Conflict));
    assert_eq!(store.delete(key, Expect::Version(third)).await, Ok(()));
    assert_eq!(store.get(key).await, Ok(None));
    assert_eq!(store.delete(key, Expect::Any).await, Ok(()), "it is gone already");
    assert_eq!(store.delete(key, Expect::Absent).await, Ok(()));
    assert_eq!(store.delete(key, Expect::Version(third)).await, Err(KvError::Conflict));
    let again = store.put(key, b"one", Expect::Absent).await.expect("absent again");
    assert!(![first, second, third].contains(&again), "a version came back");
    let odd = "values/\u{e4} b+c=d:80";
    let bytes: Vec<u8> = (0..=255).collect();
    let version = store.put(odd, &bytes, Expect::Any).await.expect("an odd key");
    assert_eq!(store.get(odd).await, Ok(Some(Value { bytes, version })));
}

/// A list has what is below the prefix, and not what merely begins like it.
pub async fn lists_are_what_is_below<K: Kv>(store: &Arc<K>) {
    let mut versions = BTreeMap::new();
    for key in ["lists/web/b", "lists/web/a", "lists/web2/a", "lists/we"] {
        let version = store.put(key, key.as_bytes(), Expect::Any).await.expect("put");
        versions.insert(key, version);
    }
    let expected: Vec<(String, Value)> = ["lists/web/a", "lists/web/b"]
        .map(|key| (key.to_owned(), Value { bytes: key.into(), version: versions[key] }))
        .into();
    assert_eq!(store.list("lists/web").await, Ok(expected));
    assert_eq!(store.list("lists/nothing").await, Ok(Vec::new()));
    let all = store.list("").await.expect("a list");
    let keys: Vec<&str> =
        all.iter().map(|(key, _)| key.as_str()).filter(|key| key.starts_with("lists/")).collect();
    assert_eq!(keys, ["lists/we", "lists/web/a", "lists/web/b", "lists/web2/a"]);
}

/// Keys that not every store can have.
pub async fn what_is_no_key_is_refused<K: Kv>(store: &Arc<K>) {
    let long = "x".repeat(KEY_BYTES_MAX + 1);
    for key in ["", "/", "/a", "a/", "a//b", "a/../b", ".", "a\nb", "a\0b", &long] {
        let put = store.put(key, b"", Expect::Any).await;
        assert!(matches!(put, Err(KvError::Refused(_))), "{key:?}: {put:?}");
        assert!(matches!(store.get(key).await, Err(KvError::Refused(_))), "{key:?}");
        assert!(
            matches!(store.delete(key, Expect::Any).await, Err(KvError::Refused(_))),
            "{key:?}"
        );
    }
    let much = vec![b'x'; VALUE_BYTES_MAX + 1];
    assert!(matches!(store.put("much", &much, Expect::Any).await, Err(KvError::Refused(_))));
    assert_eq!(store.get("much").await, Ok(None));
}

/// A follower, and what it has heard.
pub struct Follower {
    events: mpsc::Receiver<KvEvent>,
    task: JoinHandle<KvError>,
    /// What there is, as far as was heard.
    pub state: BTreeMap<String, String>,
    /// How often everything was told.
    pub alls: usize,
    /// How often it was told that nothing has changed.
    pub alives: usize,
}

impl Follower {
    /// Begins to follow.
    pub fn new<K: Kv>(store: &Arc<K>, prefix: &str) -> Follower {
        let (sender, events) = mpsc::channel(16);
        let (store, prefix) = (Arc::clone(store), prefix.to_owned());
        let task = tokio::spawn(async move { store.follow(&prefix, sender).await });
        Follower { events, task, state: BTreeMap::new(), alls: 0, alives: 0 }
    }

    /// Hears one thing; nothing when it has ended.
    pub async fn hear(&mut self) -> Option<KvEvent> {
        let event = soon("an event", self.events.recv()).await?;
        let text = |value: &Value| String::from_utf8_lossy(&value.bytes).into_owned();
        match &event {
            KvEvent::All(all) => {
                self.alls += 1;
                self.state = all.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            }
            KvEvent::Changed(changed) => {
                for (key, value) in changed {
                    match value {
                        Some(value) => self.state.insert(key.clone(), text(value)),
                        None => self.state.remove(key),
                    };
                }
            }
            KvEvent::Alive => self.alives += 1,
        }
        Some(event)
    }

    /// Hears until this is what there is.
    pub async fn until(&mut self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let hearing = async {
            // Before anything was heard, nothing is known to be there.
            while self.alls == 0 || self.state != expected {
                assert!(self.hear().await.is_some(), "it ended before {expected:?}");
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hearing).await.is_ok();
        assert!(heard, "expected {expected:?}, and there is {:?}", self.state);
    }

    /// Hears to the end, and why it ended.
    pub async fn end(mut self) -> KvError {
        while self.hear().await.is_some() {}
        soon("the end", self.task).await.expect("it does not panic")
    }

    /// Stops to listen: following must end by itself.
    pub async fn leave(self) {
        drop(self.events);
        soon("the end", self.task).await.expect("it does not panic");
    }
}

/// What is there is told first, then what changes; nothing else; and that all is well.
pub async fn followers_hear_of_everything<K: Kv>(store: &Arc<K>) {
    let put = async |key: &str, value: &str| {
        store.put(key, value.as_bytes(), Expect::Any).await.expect("put");
    };
    let mut empty = Follower::new(store, "follow/web");
    empty.until(&[]).await;
    put("follow/web/a", "1").await;
    put("follow/web2/a", "not below").await;
    empty.until(&[("follow/web/a", "1")]).await;
    let mut late = Follower::new(store, "follow/web");
    late.until(&[("follow/web/a", "1")]).await;
    put("follow/web/b", "2").await;
    put("follow/web/a", "3").await;
    put("follow/web/c", "").await;
    let all = [("follow/web/a", "3"), ("follow/web/b", "2"), ("follow/web/c", "")];
    empty.until(&all).await;
    late.until(&all).await;
    store.delete("follow/web/b", Expect::Any).await.expect("delete");
    late.until(&[("follow/web/a", "3"), ("follow/web/c", "")]).await;
    store.delete("follow/web/a", Expect::Any).await.expect("delete");
    store.delete("follow/web/c", Expect::Any).await.expect("delete");
    late.until(&[]).await;
    put("follow/web/a", "4").await;
    late.until(&[("follow/web/a", "4")]).await;
    empty.until(&[("follow/web/a", "4")]).await;
    let before = late.alives;
    soon("a sign of life", async {
        while late.alives < before + 2 {
            late.hear().await.expect("it goes on");
        }
    })
    .await;
    assert!(PATIENCE > ALIVE_EVERY * 3, "two signs of life fit into the patience");
    assert_eq!((late.alls, empty.alls), (1, 1), "everything is told once");
    late.leave().await;
    empty.leave().await;
}

/// A key that is held.
pub struct Held {
    /// Whether it is there.
    pub told: mpsc::Receiver<bool>,
    /// Ends it.
    pub stop: oneshot::Sender<()>,
    /// The holder.
    pub task: JoinHandle<Result<(), KvError>>,
}

impl Held {
    /// Begins to hold.
    pub fn new<K: Kv>(store: &Arc<K>, key: &str, value: &str, ttl: Duration) -> Held {
        let (sender, told) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel();
        let (store, key, value) = (Arc::clone(store), key.to_owned(), value.to_owned());
        let task =
            tokio::spawn(
                async move { store.hold(&key, value.as_bytes(), ttl, sender, stopped).await },
            );
        Held { told, stop, task }
    }

    /// Waits until it is told that the key is there, or not.
    pub async fn until(&mut self, there: bool) {
        let hearing = async { while self.told.recv().await.expect("it goes on") != there {} };
        soon("that it is there, or not,", hearing).await;
    }

    /// Takes the key away.
    pub async fn end(self) {
        self.stop.send(()).expect("it goes on");
        assert_eq!(soon("the end", self.task).await.expect("it does not panic"), Ok(()));
    }
}

/// A held key is there, is written again when somebody takes it away, and is gone at the end.
pub async fn a_held_key_is_there_until_its_end<K: Kv>(store: &Arc<K>) {
    let ttl = Duration::from_secs(3);
    let mut follower = Follower::new(store, "hold");
    follower.until(&[]).await;
    let mut held = Held::new(store, "hold/a", "1", ttl);
    held.until(true).await;
    follower.until(&[("hold/a", "1")]).await;
    store.delete("hold/a", Expect::Any).await.expect("delete");
    follower.until(&[]).await;
    follower.until(&[("hold/a", "1")]).await;
    held.end().await;
    assert_eq!(store.get("hold/a").await, Ok(None));
    follower.until(&[]).await;
    follower.leave().await;
}

/// Reports of a session, as text.
pub struct Session {
    reports: mpsc::Receiver<Report>,
    /// Sets by service.
    pub sets: BTreeMap<String, Vec<String>>,
    /// What was refused.
    pub refused: Vec<String>,
    _wanted: mpsc::Sender<String>,
    task: JoinHandle<String>,
}

impl Session {
    /// Begins one.
    pub fn new(mut client: impl Client) -> Session {
        let (to, reports) = Reports::channel();
        let (wanted, mut asked) = mpsc::channel(1);
        let task = tokio::spawn(async move { client.session(&to, &mut asked).await.to_string() });
        Session { reports, sets: BTreeMap::new(), refused: Vec::new(), _wanted: wanted, task }
    }

    /// Hears one report; nothing when the session has ended.
    pub async fn hear(&mut self) -> Option<()> {
        let text = |set: Vec<baleen_config::Endpoint>| {
            set.iter().map(|e| format!("{}*{}", e.addr, e.weight)).collect::<Vec<_>>()
        };
        match soon("a report", self.reports.recv()).await? {
            Report::All(all) => {
                self.sets = all.into_iter().map(|(name, set)| (name, text(set))).collect();
            }
            Report::Changed(changed) => {
                for (name, set) in changed {
                    match set {
                        Some(set) => self.sets.insert(name, text(set)),
                        None => self.sets.remove(&name),
                    };
                }
            }
            Report::Refused { key, why } => self.refused.push(format!("{key}: {why}")),
            Report::Alive => {}
        }
        Some(())
    }

    /// Hears until this holds of it.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Session) -> bool) {
        let hearing = async {
            while !holds(self) {
                assert!(self.hear().await.is_some(), "it ended before {what}");
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hearing).await.is_ok();
        assert!(heard, "expected {what}; there is {:?}, refused {:?}", self.sets, self.refused);
    }

    /// Hears until a service has these members.
    pub async fn until_set(&mut self, name: &str, members: &[&str]) {
        let what = format!("{name} with {members:?}");
        self.until(&what, |s| s.sets.get(name).is_some_and(|set| set == members)).await;
    }

    /// Hears to the end, and why it ended.
    pub async fn end(mut self) -> String {
        while self.hear().await.is_some() {}
        soon("the end", self.task).await.expect("it does not panic")
    }
}

/// A namer over the store: members come, change, are refused and go.
pub async fn services_are_found<K: Kv>(store: &Arc<K>) {
    let put = async |key: &str, value: &str| {
        store.put(key, value.as_bytes(), Expect::Any).await.expect("put");
    };
    put("svc/web/10.0.0.1:80", "").await;
    put("svc/web/two", r#"{"host":"10.0.0.2","port":80,"weight":2}"#).await;
    let mut session = Session::new(below(store, "svc-none"));
    session.hear().await.expect("the session goes on");
    assert_eq!(session.sets, BTreeMap::new(), "what is beside the prefix is not seen");
    let mut session = Session::new(below(store, "svc"));
    session.until_set("web", &["10.0.0.1:80*1", "10.0.0.2:80*2"]).await;
    assert_eq!(session.sets.len(), 1, "{:?}", session.sets);
    put("svc/web/three", "10.0.0.3:80 3").await;
    session.until_set("web", &["10.0.0.1:80*1", "10.0.0.2:80*2", "10.0.0.3:80*3"]).await;
    store.delete("svc/web/two", Expect::Any).await.expect("delete");
    session.until_set("web", &["10.0.0.1:80*1", "10.0.0.3:80*3"]).await;
    put("svc/db/four", "db1.local:5432").await;
    session.until("a name is refused", |s| !s.refused.is_empty()).await;
    assert!(session.refused[0].contains("`db1.local` is no IP address"), "{:?}", session.refused);
    put("svc/db/four", "10.0.0.4:5432").await;
    session.until_set("db", &["10.0.0.4:5432*1"]).await;
    store.delete("svc/db/four", Expect::Any).await.expect("delete");
    let nobody = |s: &Session| s.sets.get("db").is_none_or(Vec::is_empty);
    session.until("db has nobody", nobody).await;
}

/// A thousand members, over several pages and reads. By itself, because not every store writes fast.
pub async fn a_thousand_members_are_found<K: Kv>(store: &Arc<K>) {
    let member = |i: usize| format!("10.1.{}.{}:80", i / 250, i % 250);
    let mut session = Session::new(below(store, "many"));
    for i in 0..1_000 {
        let key = format!("many/s{}/{}", i / 500, member(i));
        store.put(&key, b"", Expect::Any).await.expect("put");
    }
    let whole = |s: &Session| s.sets.values().map(Vec::len).sum::<usize>() == 1_000;
    session.until("a thousand, as they come", whole).await;
    let mut late = Session::new(below(store, "many"));
    late.hear().await.expect("the session goes on");
    assert!(whole(&late), "a thousand at once: {}", late.sets.len());
    assert_eq!(late.sets, session.sets);
    assert!(late.refused.is_empty() && session.refused.is_empty());
}

/// A namer of what is below a prefix.
fn below<K: Kv>(store: &Arc<K>, prefix: &str) -> KvNamer<K> {
    KvNamer::new(Arc::clone(store), prefix)
}
