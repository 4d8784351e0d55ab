//! The store against a store in memory: conditions, history, races, staged changes, following.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::staged::Calls;
use super::*;

/// A store in memory. It can be told to lose its next writes, or to die.
pub(super) struct Memory {
    all: Mutex<(u64, BTreeMap<String, Value>)>,
    changes: watch::Sender<u64>,
    /// Before this many more writes, somebody else writes the same key.
    races: Mutex<u32>,
    /// After so many more writes nothing works.
    dies: Mutex<Option<u32>>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            all: Mutex::default(),
            changes: watch::Sender::new(0),
            races: Mutex::new(0),
            dies: Mutex::new(None),
        }
    }

    fn keys(&self) -> Vec<String> {
        self.all.lock().unwrap().1.keys().cloned().collect()
    }

    fn write(&self, key: &str, bytes: Option<&[u8]>, expect: Expect) -> Result<u64, KvError> {
        if let Some(left) = &mut *self.dies.lock().unwrap() {
            *left = left.checked_sub(1).ok_or(KvError::Unreachable("it is dead".to_owned()))?;
        }
        let mut all = self.all.lock().unwrap();
        let (next, values) = &mut *all;
        let is = values.get(key).map(|v| v.version);
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => is.is_none(),
            Expect::Version(v) => is == Some(v),
        };
        if !holds {
            return Err(KvError::Conflict);
        }
        *next += 1;
        let version = *next;
        match bytes {
            Some(bytes) => {
                values.insert(key.to_owned(), Value { bytes: bytes.to_vec(), version });
            }
            None => drop(values.remove(key)),
        }
        self.changes.send_replace(version);
        Ok(version)
    }

    fn below(&self, prefix: &str) -> Vec<(String, Value)> {
        let all = self.all.lock().unwrap();
        let is_below = |key: &str| {
            prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|r| r.starts_with('/'))
        };
        let below = all.1.iter().filter(|(key, _)| is_below(key));
        below.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Kv for Memory {
    async fn get(&self, key: &str) -> Result<Option<Value>, KvError> {
        Ok(self.all.lock().unwrap().1.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>, KvError> {
        Ok(self.below(prefix))
    }

    async fn put(&self, key: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        let races = {
            let mut races = self.races.lock().unwrap();
            let now = *races > 0 && matches!(expect, Expect::Version(_));
            *races -= u32::from(now);
            now
        };
        if races {
            let same = self.all.lock().unwrap().1.get(key).cloned();
            self.write(key, same.as_ref().map(|v| v.bytes.as_slice()), Expect::Any)?;
        }
        self.write(key, Some(bytes), expect)
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), KvError> {
        self.write(key, None, expect).map(drop)
    }

    async fn follow(&self, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
        let mut changes = self.changes.subscribe();
        let mut known = None;
        loop {
            let now = self.below(prefix);
            if known.as_ref() != Some(&now) {
                known = Some(now.clone());
                if to.send(KvEvent::All(now)).await.is_err() {
                    return KvError::Unreachable("nobody listens".to_owned());
                }
            }
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return KvError::Unreachable("gone".to_owned());
                    }
                }
                () = tokio::time::sleep(crate::registry::ALIVE_EVERY) => {
                    let _ = to.send(KvEvent::Alive).await;
                }
            }
        }
    }

    async fn hold(
        &self,
        key: &str,
        bytes: &[u8],
        _: Duration,
        _: mpsc::Sender<bool>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        self.write(key, Some(bytes), Expect::Any)?;
        let _ = stop.await;
        self.write(key, None, Expect::Any).map(drop)
    }
}

fn store() -> Store<Memory> {
    Store::new(Memory::new())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    runtime.block_on(limited).expect("in time")
}

fn note(why: &str) -> Note {
    Note::new("ann@box", 1_763_719_200_000, why)
}

const A: &str = "/svc => /#/a; # the first\n";
const B: &str = "/svc => /#/b";

async fn put(store: &Store<Memory>, dtab: &str, expect: Expect) -> Result<u64, StoreError> {
    store.put("default", dtab, expect, &note("because"), false).await
}

fn plan(dtab: &str) -> Plan {
    Plan { dtab: dtab.to_owned(), shares: vec![1.0, 10.0, 100.0], bake: Duration::from_secs(60) }
}

#[test]
fn tables_are_written_under_conditions() {
    run(async {
        let store = store();
        assert_eq!(store.get("default").await, Ok(None));
        assert!(matches!(put(&store, A, Expect::Version(1)).await, Err(StoreError::Missing(_))));
        assert_eq!(put(&store, A, Expect::Absent).await, Ok(1));
        assert_eq!(
            put(&store, B, Expect::Absent).await,
            Err(StoreError::Exists("default".to_owned()))
        );
        assert_eq!(put(&store, B, Expect::Version(1)).await, Ok(2));
        assert_eq!(put(&store, A, Expect::Version(1)).await, Err(StoreError::Changed(2)));
        assert_eq!(put(&store, A, Expect::Any).await, Ok(3));
        let record = store.get("default").await.unwrap().expect("a record");
        let said = (record.dtab.as_deref(), record.by.as_str(), record.note.as_str());
        assert_eq!((record.version, said), (3, (Some(A), "ann@box", "because")));
        store.put("other", B, Expect::Absent, &note(""), false).await.unwrap();
        let names: Vec<String> =
            store.list().await.unwrap().into_iter().map(|(ns, _)| ns).collect();
        assert_eq!(names, ["default", "other"]);
    });
}

#[test]
fn a_race_is_tried_anew_without_a_condition_and_told_with_one_that_failed() {
    run(async {
        let store = store();
        put(&store, A, Expect::Absent).await.unwrap();
        *store.kv.races.lock().unwrap() = 3;
        assert_eq!(put(&store, B, Expect::Any).await, Ok(2));
        // Another store's version of the same table: the condition about the table still holds.
        *store.kv.races.lock().unwrap() = 1;
        assert_eq!(put(&store, A, Expect::Version(2)).await, Ok(3));
        *store.kv.races.lock().unwrap() = 100;
        let lost = put(&store, A, Expect::Any).await;
        assert_eq!(lost, Err(StoreError::Kv(KvError::Conflict)));
    });
}

#[test]
fn a_deleted_namespace_goes_on_counting() {
    run(async {
        let store = store();
        let nobody = Note::default();
        let gone = |expect| store.delete("default", expect, &nobody);
        assert!(matches!(gone(Expect::Any).await, Err(StoreError::Missing(_))));
        put(&store, A, Expect::Any).await.unwrap();
        assert_eq!(gone(Expect::Version(2)).await, Err(StoreError::Changed(1)));
        assert_eq!(gone(Expect::Version(1)).await, Ok(()));
        assert_eq!(store.get("default").await, Ok(None));
        assert_eq!(store.list().await, Ok(Vec::new()));
        assert!(matches!(gone(Expect::Any).await, Err(StoreError::Missing(_))));
        assert_eq!(put(&store, B, Expect::Absent).await, Ok(3));
        let history = store.history("default").await.unwrap();
        let history: Vec<_> = history.iter().map(|r| (r.version, r.dtab.as_deref())).collect();
        assert_eq!(history, [(3, Some(B)), (2, None), (1, Some(A))]);
        assert!(matches!(
            store.rollback("default", 2, &Note::default(), false).await,
            Err(StoreError::Missing(why)) if why.contains("deletion")
        ));
        assert_eq!(store.rollback("default", 1, &Note::default(), false).await, Ok(4));
        assert_eq!(store.get("default").await.unwrap().and_then(|r| r.dtab).as_deref(), Some(A));
    });
}

#[test]
fn history_is_bounded() {
    run(async {
        let store = store();
        for version in 1..=250 {
            let dtab = format!("/svc => /#/v{version}");
            assert_eq!(put(&store, &dtab, Expect::Any).await, Ok(version));
        }
        let history = store.history("default").await.unwrap();
        assert_eq!(history.len() as u64, HISTORY_MAX + 1);
        let versions: Vec<u64> = history.iter().map(|r| r.version).collect();
        assert_eq!(versions, (150..=250).rev().collect::<Vec<u64>>());
        assert!(store.kv.keys().len() as u64 <= HISTORY_MAX + 2);
        assert!(matches!(
            store.rollback("default", 149, &Note::default(), false).await,
            Err(StoreError::Missing(why)) if why.contains("250")
        ));
    });
}

/// Whenever the store or the writer dies, what there is is true, and the next change finds all of it.
#[test]
fn a_writer_may_die_at_any_write() {
    for writes in 0..5 {
        run(async {
            let store = store();
            put(&store, A, Expect::Any).await.unwrap();
            *store.kv.dies.lock().unwrap() = Some(writes);
            let first = put(&store, B, Expect::Any).await;
            *store.kv.dies.lock().unwrap() = None;
            let is = store.get("default").await.unwrap().expect("a record");
            assert_eq!(is.dtab.as_deref(), Some(if first.is_ok() { B } else { A }), "{writes}");
            let history = store.history("default").await.unwrap();
            assert_eq!(history.len() as u64, is.version, "{writes}");
            assert_eq!(put(&store, "/x => /y", Expect::Any).await, Ok(is.version + 1));
            let history = store.history("default").await.unwrap();
            let versions: Vec<u64> = history.iter().map(|r| r.version).collect();
            assert_eq!(versions, (1..=is.version + 1).rev().collect::<Vec<u64>>(), "{writes}");
        });
    }
}

#[test]
fn a_staged_change_goes_on_step_by_step() {
    run(async {
        let store = store();
        let stage = |over| {
            let plan = plan(B);
            let store = &store;
            async move { store.stage("default", &plan, Expect::Any, &note("try"), over).await }
        };
        assert!(matches!(stage(false).await, Err(StoreError::Missing(_))));
        put(&store, A, Expect::Any).await.unwrap();
        let staged = stage(false).await.unwrap();
        assert_eq!((staged.id.as_str(), staged.step, staged.share()), ("2-1763719200000", 0, 0.01));
        assert_eq!(staged.deadline_ms, 1_763_719_290_000);
        assert!(
            matches!(stage(false).await, Err(StoreError::Busy { percent, .. }) if percent == "1")
        );
        assert!(matches!(put(&store, B, Expect::Any).await, Err(StoreError::Busy { .. })));
        let id = &stage(true).await.unwrap().id;
        let step = store.step("default", id, 1, 1_763_719_300_000).await.unwrap();
        assert_eq!((step.share(), step.deadline_ms), (0.1, 1_763_719_390_000));
        // Its steps are no versions.
        let record = store.get("default").await.unwrap().expect("a record");
        assert_eq!((record.version, record.staged), (1, Some(step)));
        assert!(matches!(store.step("default", "1-2", 1, 0).await, Err(StoreError::Missing(_))));
        assert!(matches!(store.step("default", id, 3, 0).await, Err(StoreError::Wrong(_))));
        assert_eq!(store.finish("default", id, 1_763_719_400_000).await, Ok(2));
        let record = store.get("default").await.unwrap().expect("a record");
        assert_eq!((record.dtab.as_deref(), record.staged.as_ref()), (Some(B), None));
        assert_eq!((record.note.as_str(), record.at_ms), ("try", 1_763_719_400_000));
        assert!(matches!(store.finish("default", id, 0).await, Err(StoreError::Missing(_))));
    });
}

#[test]
fn a_staged_change_can_be_withdrawn_and_overridden() {
    run(async {
        let store = store();
        put(&store, A, Expect::Any).await.unwrap();
        let id = store.stage("default", &plan(B), Expect::Any, &note(""), false).await.unwrap().id;
        *store.kv.races.lock().unwrap() = 2;
        assert_eq!(store.withdraw("default", &id).await, Ok(()));
        assert_eq!(store.withdraw("default", &id).await, Ok(()));
        assert_eq!(store.get("default").await.unwrap().and_then(|r| r.staged), None);
        store.stage("default", &plan(B), Expect::Version(1), &note(""), false).await.unwrap();
        let over = store.put("default", "/x => /y", Expect::Any, &note(""), true).await;
        assert_eq!(over, Ok(2));
        let history = store.history("default").await.unwrap();
        assert!(history.iter().all(|record| record.staged.is_none()));
        let wrong = Plan { shares: vec![10.0, 1.0], ..plan(B) };
        let wrong = store.stage("default", &wrong, Expect::Any, &note(""), false).await;
        assert!(matches!(wrong, Err(StoreError::Wrong(_))), "{wrong:?}");
    });
}

#[test]
fn reports_are_read_by_proxy() {
    run(async {
        let store = store();
        let calls = Calls { calls: 60, failures: 1 };
        let report = Report { before: calls, after: calls, left: Some("worse".to_owned()) };
        let key = |proxy| Store::<Memory>::report_key("default", "2-1", proxy);
        store.kv.put(&key("a"), &report.write(), Expect::Any).await.unwrap();
        store.kv.put(&key("b"), b"{}", Expect::Any).await.unwrap();
        store.kv.put("reports/default/2-10/c", &report.write(), Expect::Any).await.unwrap();
        let all = store.reports("default", "2-1").await.unwrap();
        assert_eq!(all, BTreeMap::from([("a".to_owned(), report)]));
    });
}

#[test]
fn what_is_followed_is_heard() {
    run(async {
        let store = store();
        let (sender, mut heard) = mpsc::channel(4);
        let follow = store.follow("default", sender);
        let check = async {
            assert_eq!(heard.recv().await, Some(Heard::Record(None)));
            put(&store, A, Expect::Any).await.unwrap();
            let Some(Heard::Record(Some(record))) = heard.recv().await else { panic!("a record") };
            assert_eq!(record.dtab.as_deref(), Some(A));
            let staged = store.stage("default", &plan(B), Expect::Any, &note(""), false).await;
            let Some(Heard::Record(Some(record))) = heard.recv().await else { panic!("a record") };
            assert_eq!(record.staged, staged.ok());
            let key = "tables/default/current";
            store.kv.put(key, b"{\"format\":2}", Expect::Any).await.unwrap();
            assert!(matches!(heard.recv().await, Some(Heard::Wrong(why)) if why.contains(key)));
        };
        tokio::select! {
            ended = follow => panic!("{ended}"),
            () = check => {}
        }
    });
}

#[test]
fn what_can_not_be_is_refused() {
    run(async {
        let store = store();
        for ns in ["", ".", "a/b", "a b", "\u{e9}", &"x".repeat(65)] {
            let wrong = store.put(ns, A, Expect::Any, &note(""), false).await;
            assert!(matches!(wrong, Err(StoreError::Wrong(_))), "{ns:?}: {wrong:?}");
        }
        let long = "x".repeat(TABLE_BYTES_MAX + 1);
        let wrong = put(&store, &long, Expect::Any).await;
        assert!(matches!(wrong, Err(StoreError::Wrong(_))), "{wrong:?}");
        assert_eq!(store.kv.keys(), Vec::<String>::new());
    });
}

fn check(json: &str, says: &str) {
    match Record::read(json.as_bytes()) {
        Ok(record) => panic!("{json}: {record:?}"),
        Err(why) => assert!(why.contains(says), "{json}: {why}"),
    }
}

#[test]
fn records_are_read_with_their_bounds() {
    let head = r#""format":1,"version":7,"dtab":"","by":"a","at_ms":1"#;
    let with = |key: &str, value: &str| {
        let staged = [
            ("id", "\"8-1\""),
            ("dtab", "\"\""),
            ("shares", "[1,100]"),
            ("step", "0"),
            ("bake_ms", "60000"),
            ("started_ms", "1"),
            ("deadline_ms", "2"),
            ("by", "\"b\""),
        ];
        let fields = staged.map(|(k, v)| format!("\"{k}\":{}", if k == key { value } else { v }));
        format!("{{{head},\"staged\":{{{}}}}}", fields.join(","))
    };
    let fine = Record::read(with("", "").as_bytes()).expect("fine");
    assert_eq!(Record::read(&fine.write().unwrap()), Ok(fine));
    for (json, says) in [
        ("", "EOF"),
        ("[]", "invalid"),
        ("{}", "missing field"),
        (&format!("{{{}}}", head.replace("\"format\":1", "\"format\":2")), "its format is 2"),
        (&format!("{{{}}}", head.replace("\"version\":7", "\"version\":0")), "not 0"),
        (&format!("{{{}}}", head.replace("\"version\":7", "\"version\":-1")), "invalid"),
        (&with("id", "\"\""), "id is"),
        (&with("id", "\"a/b\""), "id is"),
        (&with("shares", "[]"), "1 to 16 steps"),
        (&with("shares", "[0,100]"), "more than 0"),
        (&with("shares", "[1,101]"), "at most 100"),
        (&with("shares", "[10,10,100]"), "more than the one before"),
        (&with("shares", "[1,99]"), "the last step"),
        (&with("step", "2"), "step 2 of 2"),
        (&with("bake_ms", "1"), "bakes"),
        (&with("bake_ms", "18446744073709551615"), "bakes"),
        (&with("", "").replacen("\"dtab\":\"\"", "\"dtab\":null", 1), "deleted"),
    ] {
        check(json, says);
    }
    let cut = Note::new(&"\u{e9}".repeat(200), 0, "a\nb\u{1b}[31m");
    assert!(cut.by.len() <= BY_BYTES_MAX && cut.by.starts_with('\u{e9}'));
    assert_eq!(cut.why, "a b [31m");
}
