//! The body of the fuzz target of what Kubernetes sends: what must hold for any bytes.
//!
//! The target `kubernetes_watch` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use std::collections::BTreeMap;

use baleen_config::{Endpoint, is_label};

use super::join::{Join, Outcome};
use super::slice::{Event, REFUSED_MAX, any_list, event, page};
use crate::registry::Report;
use crate::settle::assert_settled;

/// Reads bytes as a page of a list and as the lines of a watch. Nothing may panic, names are names, and what is told change by
/// change is what is there.
pub fn fuzz_kubernetes_watch(data: &[u8]) {
    let mut join = Join::default();
    if let Ok(page) = page(data) {
        assert!(any_list(data).is_ok());
        assert!(!page.version.is_empty() && page.refused.len() <= REFUSED_MAX);
        for slice in page.slices {
            join.add(slice);
        }
        join.finish();
    }
    let (Report::All(mut told), None) = join.all() else {
        panic!("more than can be in so few bytes")
    };
    for line in data.split(|byte| *byte == b'\n') {
        let outcome = match event(line) {
            Ok(Some(Event::Put { version, slice, refused })) => {
                assert!(!version.is_empty() && refused.len() <= REFUSED_MAX);
                assert!(refused.iter().all(|(key, _)| !key.chars().any(char::is_control)));
                join.put(slice)
            }
            Ok(Some(Event::Gone { version, key })) => {
                assert!(!version.is_empty());
                join.gone(&key)
            }
            Ok(Some(Event::Error(why))) => {
                assert!(!why.chars().any(char::is_control));
                continue;
            }
            _ => continue,
        };
        take(&mut told, outcome);
    }
    assert_eq!(join.all().0, Report::All(told));
}

fn take(told: &mut BTreeMap<String, Vec<Endpoint>>, outcome: Outcome) {
    assert!(!outcome.crowded);
    for (key, set) in outcome.changed {
        assert_eq!(key.split('/').filter(|label| is_label(label)).count(), 3, "{key}");
        match set {
            Some(set) => {
                assert_settled(&set);
                told.insert(key, set);
            }
            None => assert!(told.remove(&key).is_some(), "{key} is gone and never was"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settle::corpus;

    const WHOLE: &str = include_str!("../../../../fuzz/corpus/kubernetes_watch/watch.json");

    #[test]
    fn corpus_of_watches() {
        corpus("kubernetes_watch", fuzz_kubernetes_watch);
    }

    #[test]
    fn the_whole_watch_is_right() {
        assert!(WHOLE.lines().all(|line| matches!(event(line.as_bytes()), Ok(Some(_)))));
    }

    proptest! {
        #[test]
        fn pieces_changed(
            changes in prop::collection::vec((0..WHOLE.len(), 0..12usize, "[\\[\\]{}\":,0-9a-z\\\\.ä\n\u{0}-]{0,6}"), 0..4),
        ) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for (at, take, put) in changes {
                let at = at.min(bytes.len());
                let end = (at + take).min(bytes.len());
                bytes.splice(at..end, put.bytes());
            }
            fuzz_kubernetes_watch(&bytes);
        }
    }
}
