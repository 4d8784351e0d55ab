//! What events of a store become, without a store.

use super::*;
use crate::kv::{Expect, KvError};
use std::time::Duration;

/// Nothing: `take` asks no store.
struct None_;

impl Kv for None_ {
    async fn get(&self, _: &str) -> Result<Option<Value>, KvError> {
        Ok(None)
    }
    async fn list(&self, _: &str) -> Result<Vec<(String, Value)>, KvError> {
        Ok(Vec::new())
    }
    async fn put(&self, _: &str, _: &[u8], _: Expect) -> Result<u64, KvError> {
        Err(KvError::Conflict)
    }
    async fn delete(&self, _: &str, _: Expect) -> Result<(), KvError> {
        Err(KvError::Conflict)
    }
    async fn follow(&self, _: &str, _: mpsc::Sender<KvEvent>) -> KvError {
        KvError::Conflict
    }
    async fn hold(
        &self,
        _: &str,
        _: &[u8],
        _: Duration,
        _: mpsc::Sender<bool>,
        _: tokio::sync::oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        Err(KvError::Conflict)
    }
}

struct Told {
    namer: KvNamer<None_>,
}

impl Told {
    fn new() -> Told {
        Told { namer: KvNamer::new(Arc::new(None_), "") }
    }

    /// What is said of an event, as text.
    async fn of(&mut self, event: KvEvent) -> Vec<String> {
        let (to, mut reports) = Reports::channel();
        self.namer.take(event, &to).await.unwrap();
        drop(to);
        let mut lines = Vec::new();
        while let Some(report) = reports.recv().await {
            lines.push(match report {
                Report::All(sets) => {
                    let sets: Vec<_> = sets.iter().map(|(n, s)| set(n, Some(s))).collect();
                    format!("all: {}", sets.join(", "))
                }
                Report::Changed(sets) => {
                    let sets: Vec<_> = sets.iter().map(|(n, s)| set(n, s.as_ref())).collect();
                    format!("changed: {}", sets.join(", "))
                }
                Report::Alive => "alive".to_owned(),
                Report::Refused { key, why } => format!("{key}: {why}"),
            });
        }
        lines
    }

    async fn changed(&mut self, changes: &[(&str, Option<&str>)]) -> Vec<String> {
        let changes = changes.iter().map(|(key, v)| ((*key).to_owned(), v.map(value)));
        self.of(KvEvent::Changed(changes.collect())).await
    }

    async fn all(&mut self, all: &[(&str, &str)]) -> Vec<String> {
        let all = all.iter().map(|(key, v)| ((*key).to_owned(), value(v)));
        self.of(KvEvent::All(all.collect())).await
    }
}

fn value(text: &str) -> Value {
    Value { bytes: text.into(), version: 1 }
}

fn set(name: &str, set: Option<&Vec<Endpoint>>) -> String {
    let Some(set) = set else { return format!("{name} gone") };
    let set: Vec<String> = set.iter().map(|e| format!("{}*{}", e.addr, e.weight)).collect();
    format!("{name}={}", set.join("+"))
}

#[tokio::test]
async fn services_come_change_and_go() {
    let mut told = Told::new();
    let lines = told.all(&[("a/10.0.0.2:1", ""), ("a/x", "10.0.0.1:1 3"), ("empty", "")]).await;
    assert_eq!(lines, ["all: a=10.0.0.1:1*3+10.0.0.2:1*1, empty="]);
    let changes =
        [("a/x", None), ("a/10.0.0.2:1", Some("10.0.0.2:1 2")), ("b/10.0.0.3:1", Some(""))];
    assert_eq!(told.changed(&changes).await, ["changed: a=10.0.0.2:1*2, b=10.0.0.3:1*1"]);
    let changes = [("a/10.0.0.2:1", None), ("empty", None), ("unknown/x", None)];
    assert_eq!(told.changed(&changes).await, ["changed: a gone, empty gone"]);
    assert_eq!(told.of(KvEvent::Alive).await, ["alive"]);
    assert_eq!(told.all(&[]).await, ["all: "]);
}

#[tokio::test]
async fn a_member_that_cannot_be_read_keeps_what_it_said() {
    let mut told = Told::new();
    told.all(&[("a/x", "10.0.0.1:1")]).await;
    let lines = told.changed(&[("a/x", Some("db:1")), ("a/y", Some("!"))]).await;
    assert_eq!(lines[0], "changed: a=10.0.0.1:1*1");
    assert!(lines[1].starts_with("a/x: `db` is no IP address"), "{lines:?}");
    assert!(lines[1].ends_with("what it said before stays"), "{lines:?}");
    assert!(lines[2].starts_with("a/y: ") && !lines[2].contains("stays"), "{lines:?}");
    // In the next session, too.
    let lines = told.all(&[("a/x", "db:1")]).await;
    assert_eq!(lines[0], "all: a=10.0.0.1:1*1");
    assert_eq!(told.changed(&[("a/x", None)]).await, ["changed: a gone"]);
    // A service whose only member can't be read is there, and has nobody.
    assert_eq!(told.all(&[("a/x", "db:1")]).await[0], "all: a=");
    assert_eq!(told.changed(&[("a/x", None)]).await, ["changed: a gone"]);
}

#[tokio::test]
async fn strange_keys_and_values_are_refused_and_the_rest_goes_on() {
    let mut told = Told::new();
    let serverset = r#"{"serviceEndpoint":{"host":"10.0.0.9","port":1},"status":"DEAD"}"#;
    let lines = told
        .all(&[
            ("a", "x"),
            ("a/b/c", ""),
            ("a//x", ""),
            ("b/x", "10.0.0.1:1"),
            ("b/y", "10.0.0.1:1"),
            ("c/z", serverset),
        ])
        .await;
    assert_eq!(lines[0], "all: b=10.0.0.1:1*1, c=");
    let expected = ["a: a service's own", "a/b/c: a member's key", "a//x: ", "b/y: another member"];
    for (line, begins) in lines[1..].iter().zip(expected) {
        assert!(line.starts_with(begins), "{line}");
    }
    assert_eq!(lines.len(), 1 + expected.len());
    assert_eq!(told.changed(&[("a//x", Some(""))]).await[0], "alive");
}

#[tokio::test]
async fn too_many_are_left_out_and_said() {
    let mut told = Told::new();
    let all: Vec<_> =
        (0..=SERVICES_MAX).map(|i| (format!("s{i:05}/10.0.0.1:1"), value(""))).collect();
    let lines = told.of(KvEvent::All(all)).await;
    assert_eq!(lines[0].matches('=').count(), SERVICES_MAX);
    assert_eq!(
        lines[1],
        format!("s{SERVICES_MAX:05}: there are more than {SERVICES_MAX} services")
    );
    let many = (0..=ENDPOINTS_MAX).map(|i| {
        let member = format!("10.{}.{}.{}:1", i >> 16, (i >> 8) & 255, i & 255);
        (format!("a/{member}"), value(""))
    });
    let lines = told.of(KvEvent::All(many.collect())).await;
    assert_eq!(lines[0].matches('*').count(), ENDPOINTS_MAX);
    assert!(lines[1].contains("more than"), "{}", lines[1]);
    let bad: Vec<_> = (0..100).map(|i| (format!("a/x{i}"), value("!"))).collect();
    let lines = told.of(KvEvent::All(bad)).await;
    assert_eq!(lines.len(), 1 + REFUSED_MAX + 1);
    assert_eq!(lines[1 + REFUSED_MAX], "others: 80 more can't be used");
}
