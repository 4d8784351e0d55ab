//! The body of the fuzz target of Consul's answers: what must hold for any bytes.
//!
//! The target `consul_answer` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use baleen_config::is_label;

use super::answer::{Next, REFUSED_MAX, Refused, health, leader, next, services};
use crate::settle::assert_settled;

/// Reads bytes as each of the answers. Nothing may panic, and what is read is fit for use.
pub fn fuzz_consul_answer(data: &[u8]) {
    for tag in [None, Some("primary")] {
        if let Ok((names, refused)) = services(data, tag) {
            assert!(names.is_sorted_by(|a, b| a < b) && names.iter().all(|name| is_label(name)));
            shown(&refused);
        }
        if let Ok((endpoints, refused)) = health(data, tag) {
            assert_settled(&endpoints);
            shown(&refused);
        }
    }
    let _ = leader(data);
    let text = String::from_utf8_lossy(data);
    for last in [0, 1, 1000, u64::MAX] {
        match next(last, Some(&text)) {
            Ok(Next::After { index, moved }) => {
                assert!(index > 0 && index >= last && moved == (index != last));
            }
            Ok(Next::Reset) => assert!(last > 0),
            Err(why) => assert!(!why.chars().any(char::is_control)),
        }
    }
}

fn shown(refused: &[Refused]) {
    assert!(refused.len() <= REFUSED_MAX + 1);
    for (key, why) in refused {
        assert!(!key.chars().chain(why.chars()).any(char::is_control), "{key:?}: {why:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settle::corpus;

    const WHOLE: &str = include_str!("../../../../fuzz/corpus/consul_answer/health.json");

    #[test]
    fn corpus_of_answers() {
        corpus("consul_answer", fuzz_consul_answer);
    }

    #[test]
    fn the_whole_answer_is_right() {
        assert_eq!(health(WHOLE.as_bytes(), None).unwrap().0.len(), 2);
    }

    proptest! {
        #[test]
        fn pieces_changed(
            changes in prop::collection::vec((0..WHOLE.len(), 0..12usize, "[\\[\\]{}\":,0-9a-z\\\\.ä\u{0}-]{0,6}"), 0..4),
        ) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for (at, take, put) in changes {
                let at = at.min(bytes.len());
                let end = (at + take).min(bytes.len());
                bytes.splice(at..end, put.bytes());
            }
            fuzz_consul_answer(&bytes);
        }
    }
}
