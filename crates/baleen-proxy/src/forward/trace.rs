//! Is a `traceparent` valid (W3C Trace Context, section 3.2)?
//!
//! Not here: making spans. Tested: `forward/tests.rs`.

use baleen_http1::Known;

use crate::edits::Edits;
use crate::head::{FieldView, indices};

/// Takes a trace context out that the specification calls invalid.
pub(super) fn check(view: &impl FieldView, edits: &mut Edits) {
    let fields = view.mask(Known::Traceparent.bit());
    if fields == 0 {
        return;
    }
    let valid = indices(fields).all(|i| is_valid(view.field(i).1));
    if fields.count_ones() > 1 || !valid {
        edits.drop_fields(fields | view.find(b"tracestate"));
    }
}

fn is_valid(text: &[u8]) -> bool {
    let Some((known, rest)) = text.split_at_checked(55) else { return false };
    let mut parts = known.split(|b| *b == b'-');
    let mut part = |len: usize| {
        let part = parts.next().unwrap_or_default();
        let hex = part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (part.len() == len && hex).then_some(part)
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (part(2), part(32), part(16), part(2))
    else {
        return false;
    };
    let any = |id: &[u8]| id.iter().any(|b| *b != b'0');
    let fits = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => matches!(rest, [] | [b'-', ..]),
    };
    fits && any(trace) && any(parent)
}
