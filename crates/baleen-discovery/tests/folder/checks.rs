//! What every store must do, whichever it is.

use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::kv::{Expect, Kv, KvError, KvEvent, VALUE_BYTES_MAX, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than any of it needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A follow that runs.
pub struct Follower {
    events: mpsc::Receiver<KvEvent>,
    pub task: JoinHandle<KvError>,
}

pub fn follow<K: Kv>(kv: &Arc<K>, prefix: &str) -> Follower {
    let (to, events) = mpsc::channel(1);
    let (kv, prefix) = (Arc::clone(kv), prefix.to_owned());
    Follower { events, task: tokio::spawn(async move { kv.follow(&prefix, to).await }) }
}

/// Values as text, for people.
pub fn shown(list: &[(String, Value)]) -> String {
    let shown =
        list.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(&value.bytes)));
    shown.collect::<Vec<_>>().join(" ")
}

impl Follower {
    /// The next event of any kind.
    pub async fn any(&mut self) -> KvEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("still running")
    }

    /// The first event, which must say all.
    pub async fn all(&mut self) -> String {
        match self.any().await {
            KvEvent::All(list) => shown(&list),
            other => panic!("{other:?} before all"),
        }
    }

    /// The next change.
    pub async fn changed(&mut self) -> String {
        loop {
            match self.any().await {
                KvEvent::Alive => {}
                KvEvent::All(all) => panic!("all again: {all:?}"),
                KvEvent::Changed(list) => {
                    let one = |(key, value): &(String, Option<Value>)| match value {
                        Some(value) => format!("{key}={}", String::from_utf8_lossy(&value.bytes)),
                        None => format!("{key} gone"),
                    };
                    return list.iter().map(one).collect::<Vec<_>>().join(", ");
                }
            }
        }
    }

    /// Until the last of these changes was said, whatever comes before.
    pub async fn until(&mut self, last: &str) {
        while !self.changed().await.split(", ").any(|change| change == last) {}
    }

    /// Until it says that nothing changed.
    pub async fn alive(&mut self) {
        while self.any().await != KvEvent::Alive {}
    }

    /// Why it ended.
    pub async fn ended(self) -> KvError {
        self.ended_after().await.1
    }

    /// How many words came before the end, and why it ended.
    pub async fn ended_after(mut self) -> (usize, KvError) {
        let words = async {
            let mut words = 0;
            while self.events.recv().await.is_some() {
                words += 1;
            }
            words
        };
        let words = timeout(PATIENCE, words).await.expect("it ends");
        (words, self.task.await.unwrap())
    }
}

pub async fn put<K: Kv>(kv: &K, key: &str, text: &str) -> u64 {
    kv.put(key, text.as_bytes(), Expect::Any).await.unwrap()
}

async fn text<K: Kv>(kv: &K, key: &str) -> Option<String> {
    let value = kv.get(key).await.unwrap();
    value.map(|value| String::from_utf8(value.bytes).unwrap())
}

/// Reading, writing, listing, and what is refused.
pub async fn values<K: Kv>(kv: &K) {
    assert_eq!(kv.list("").await.unwrap(), []);
    assert_eq!(kv.get("web/a").await.unwrap(), None);
    let first = put(kv, "web/a:1", "one").await;
    let second = put(kv, "web/a:1", "one").await;
    assert!(second > first);
    assert_eq!(
        kv.get("web/a:1").await.unwrap(),
        Some(Value { bytes: b"one".to_vec(), version: second })
    );
    for (key, value) in [("web/b", "two"), ("web/b/below", "three"), ("web-b", "four"), ("api", "")]
    {
        put(kv, key, value).await;
    }
    assert_eq!(
        shown(&kv.list("").await.unwrap()),
        "api= web-b=four web/a:1=one web/b=two web/b/below=three"
    );
    assert_eq!(shown(&kv.list("web").await.unwrap()), "web/a:1=one web/b=two web/b/below=three");
    assert_eq!(shown(&kv.list("web/b").await.unwrap()), "web/b/below=three");
    assert_eq!(shown(&kv.list("we").await.unwrap()), "");
    assert_eq!(text(kv, "web").await, None);
    kv.delete("web/b", Expect::Any).await.unwrap();
    kv.delete("web/b", Expect::Any).await.unwrap();
    assert_eq!(shown(&kv.list("web").await.unwrap()), "web/a:1=one web/b/below=three");
    kv.delete("web/b/below", Expect::Any).await.unwrap();
    kv.delete("web/a:1", Expect::Any).await.unwrap();
    assert_eq!(shown(&kv.list("").await.unwrap()), "api= web-b=four");
    let odd: Vec<u8> = (0..=255).collect();
    kv.put("odd/ä %2f.d:_~*$", &odd, Expect::Absent).await.unwrap();
    assert_eq!(kv.list("odd").await.unwrap()[0].0, "odd/ä %2f.d:_~*$");
    assert_eq!(kv.get("odd/ä %2f.d:_~*$").await.unwrap().unwrap().bytes, odd);
    refusals(kv).await;
}

async fn refusals<K: Kv>(kv: &K) {
    let refused = |result: Result<(), KvError>| matches!(result, Err(KvError::Refused(_)));
    for bad in ["", "/", "a/", "/a", "a//b", ".", "a/..", "a\nb", "a\0"] {
        assert!(refused(kv.put(bad, b"x", Expect::Any).await.map(drop)), "{bad:?}");
        assert!(refused(kv.get(bad).await.map(drop)), "{bad:?}");
        assert!(refused(kv.delete(bad, Expect::Any).await), "{bad:?}");
        assert!(bad.is_empty() || refused(kv.list(bad).await.map(drop)), "{bad:?}");
    }
    let large = vec![0; VALUE_BYTES_MAX + 1];
    assert!(refused(kv.put("large", &large, Expect::Any).await.map(drop)));
    assert_eq!(kv.get("large").await.unwrap(), None);
}

/// Conditions, and that a version never comes again.
pub async fn conditions<K: Kv>(kv: &Arc<K>) {
    let conflict = Err(KvError::Conflict);
    assert_eq!(kv.put("c", b"x", Expect::Version(1)).await, conflict);
    let first = kv.put("c", b"1", Expect::Absent).await.unwrap();
    assert_eq!(kv.put("c", b"2", Expect::Absent).await, conflict);
    let second = kv.put("c", b"2", Expect::Version(first)).await.unwrap();
    assert_eq!(kv.put("c", b"3", Expect::Version(first)).await, conflict);
    assert_eq!(kv.delete("c", Expect::Version(first)).await, Err(KvError::Conflict));
    kv.delete("c", Expect::Version(second)).await.unwrap();
    assert_eq!(kv.delete("c", Expect::Version(second)).await, Err(KvError::Conflict));
    let third = kv.put("c", b"1", Expect::Absent).await.unwrap();
    let fourth = kv.put("c", b"1", Expect::Version(third)).await.unwrap();
    assert!(first < second && second < third && third < fourth);
    assert_eq!(kv.put("c", b"x", Expect::Version(second)).await, conflict);
    put(kv.as_ref(), "n", "0").await;
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(count(Arc::clone(kv), 10))).collect();
    for task in tasks {
        timeout(PATIENCE, task).await.expect("it ends").unwrap();
    }
    assert_eq!(text(kv.as_ref(), "n").await.as_deref(), Some("40"));
}

/// Adds to a number, again when somebody else was faster.
pub async fn count<K: Kv>(kv: Arc<K>, times: u32) {
    let mut done = 0;
    while done < times {
        let value = kv.get("n").await.unwrap().unwrap();
        let n: u32 = std::str::from_utf8(&value.bytes).unwrap().parse().unwrap();
        match kv.put("n", (n + 1).to_string().as_bytes(), Expect::Version(value.version)).await {
            Ok(_) => done += 1,
            Err(KvError::Conflict) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Following: all first, then what changes, and a word when nothing does.
pub async fn following<K: Kv>(kv: &Arc<K>) {
    put(kv.as_ref(), "f/web/a", "1").await;
    put(kv.as_ref(), "f-other", "1").await;
    let mut f = follow(kv, "f");
    assert_eq!(f.all().await, "f/web/a=1");
    put(kv.as_ref(), "f-other", "2").await;
    put(kv.as_ref(), "f/web/b", "2").await;
    assert_eq!(f.changed().await, "f/web/b=2");
    put(kv.as_ref(), "f/web/b", "3").await;
    assert_eq!(f.changed().await, "f/web/b=3");
    f.alive().await;
    kv.delete("f/web/a", Expect::Any).await.unwrap();
    assert_eq!(f.changed().await, "f/web/a gone");
    put(kv.as_ref(), "f/api/x", "4").await;
    assert_eq!(f.changed().await, "f/api/x=4");
    for n in 0..50 {
        put(kv.as_ref(), &format!("f/many/{n}"), "x").await;
    }
    // Nobody listened meanwhile: nothing is lost, and the newest is what is said.
    f.until("f/many/49=x").await;
    kv.delete("f/api/x", Expect::Any).await.unwrap();
    f.until("f/api/x gone").await;
    let mut none = follow(kv, "nothing/here");
    assert_eq!(none.all().await, "");
    put(kv.as_ref(), "nothing/here/yet", "now").await;
    assert_eq!(none.changed().await, "nothing/here/yet=now");
    drop(f.events);
    let ended = timeout(PATIENCE, f.task).await.expect("it ends when nobody listens").unwrap();
    assert!(matches!(ended, KvError::Unreachable(_)), "{ended:?}");
}

/// A key that is held.
pub struct Held {
    pub told: mpsc::Receiver<bool>,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<(), KvError>>,
}

pub fn hold<K: Kv>(kv: &Arc<K>, key: &str, text: &str, ttl: Duration) -> Held {
    let (to, told) = mpsc::channel(4);
    let (stop, stopped) = oneshot::channel();
    let (kv, key, text) = (Arc::clone(kv), key.to_owned(), text.to_owned());
    let task = tokio::spawn(async move { kv.hold(&key, text.as_bytes(), ttl, to, stopped).await });
    Held { told, stop, task }
}

impl Held {
    pub async fn says(&mut self, held: bool) {
        let said = timeout(PATIENCE, self.told.recv()).await.expect("a word");
        assert_eq!(said, Some(held));
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.expect("it stops").unwrap().unwrap();
    }
}

/// Holding: it is there, is taken over, comes back, and is taken away at the end.
pub async fn holding<K: Kv>(kv: &Arc<K>) {
    let ttl = Duration::from_secs(2);
    let mut f = follow(kv, "held");
    assert_eq!(f.all().await, "");
    let mut first = hold(kv, "held/web/a:1", "first", ttl);
    first.says(true).await;
    assert_eq!(f.changed().await, "held/web/a:1=first");
    // Somebody takes it away: it is written again.
    kv.delete("held/web/a:1", Expect::Any).await.unwrap();
    f.until("held/web/a:1=first").await;
    // Who comes takes it over; who had it waits.
    let mut second = hold(kv, "held/web/a:1", "second", ttl);
    second.says(true).await;
    f.until("held/web/a:1=second").await;
    first.says(false).await;
    second.stop().await;
    f.until("held/web/a:1=first").await;
    first.says(true).await;
    first.stop().await;
    f.until("held/web/a:1 gone").await;
    assert_eq!(kv.get("held/web/a:1").await.unwrap(), None);
}
