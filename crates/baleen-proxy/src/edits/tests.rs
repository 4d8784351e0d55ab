//! Tests of edits: what is dropped, added and replaced, and that no value can start another line.

use proptest::prelude::*;

use super::*;
use crate::head::tests::request;

fn after(edits: &Edits, view: &impl FieldView) -> Vec<String> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    edits.apply(view).map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

#[test]
fn fields_go_and_come() {
    request("GET / HTTP/1.1\nHost: a\nX-A: 1\nx-a: 2\nX-B: 3", |view| {
        let mut edits = Edits::new();
        assert_eq!(after(&edits, &view), ["Host: a", "X-A: 1", "x-a: 2", "X-B: 3"]);
        edits.drop_field(3);
        edits.append("X-B", b"4");
        assert_eq!(after(&edits, &view), ["Host: a", "X-A: 1", "x-a: 2", "X-B: 4"]);
        edits.set(&view, "X-a", b"5");
        assert_eq!(after(&edits, &view), ["Host: a", "X-B: 4", "X-a: 5"]);
        assert_eq!(edits.lines(), b"X-B: 4\r\nX-a: 5\r\n");
        assert_eq!(edits.dropped(), 0b1110);
        edits.clear();
        assert_eq!((edits.dropped(), edits.lines()), (0, &b""[..]));
        assert_eq!(after(&edits, &view).len(), 4);
    });
}

#[test]
#[should_panic(expected = "at most 128 fields")]
fn an_index_beyond_every_head_is_a_bug() {
    Edits::new().drop_field(128);
}

#[test]
fn control_bytes_become_spaces() {
    let mut edits = Edits::new();
    edits.append("A", b"x\r\nEvil: 1\0\x7f\ty");
    edits.append("B", b"");
    assert_eq!(edits.lines(), b"A: x  Evil: 1  \ty\r\nB: \r\n");
    let added: Vec<_> = edits.added().collect();
    assert_eq!(added, [(&b"A"[..], &b"x  Evil: 1  \ty"[..]), (b"B", b"")]);
}

proptest! {
    #[test]
    fn no_value_starts_a_line(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let mut edits = Edits::new();
        for value in &values {
            edits.append("X-Test", value);
        }
        let lines: Vec<&[u8]> = edits.lines().split(|b| *b == b'\n').collect();
        prop_assert_eq!(lines.len(), values.len() + 1);
        for (line, value) in lines.iter().zip(&values) {
            prop_assert_eq!(line.len(), "X-Test: ".len() + value.len() + 1);
            prop_assert!(line.starts_with(b"X-Test: ") && line.ends_with(b"\r"));
            let inner = &line[..line.len() - 1];
            prop_assert!(!inner.iter().any(|b| is_unsafe(*b)));
        }
    }
}
