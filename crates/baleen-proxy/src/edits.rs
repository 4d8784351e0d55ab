//! What changes in a head on its way: fields that go, and fields that come behind those that stay.
//!
//! Fields that go are one bit each; fields that come lie one after the other in one buffer that is reused, written as
//! HTTP/1 lines so that they can be copied at once, with spans so that HTTP/2 can have them one by one. A value that is added
//! can't hold a byte that would start another line, whatever it was made from. Not here: what is changed (`forward`).
//!
//! Bound: a stage adds at most some hundred bytes and what it takes over from the head, whose size is limited.
//! Tested: `edits/tests.rs`.

use crate::head::{FIELDS_MAX, FieldView};

/// Where one added line lies: its name, then `: `, its value, and CRLF.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: u32,
    value: u32,
    end: u32,
}

/// Changes to one head. Reuse it: it keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    drop: u128,
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Edits {
        Edits::default()
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.drop = 0;
        self.bytes.clear();
        self.lines.clear();
    }

    /// Takes a field out.
    ///
    /// # Panics
    ///
    /// If no head may have so many fields: an index comes from a [`FieldView`], which is bounded.
    pub fn drop_field(&mut self, i: usize) {
        assert!(i < FIELDS_MAX, "a head has at most {FIELDS_MAX} fields");
        self.drop |= 1 << i;
    }

    /// Takes fields out, one bit each.
    #[inline]
    pub fn drop_fields(&mut self, mask: u128) {
        self.drop |= mask;
    }

    /// One bit for each field that goes.
    #[inline]
    #[must_use]
    pub fn dropped(&self) -> u128 {
        self.drop
    }

    /// Replaces all fields of this name that came. `name` must be a token.
    pub fn set(&mut self, view: &impl FieldView, name: &'static str, value: &[u8]) {
        self.drop |= view.find(name.as_bytes());
        self.append(name, value);
    }

    /// Adds a field. `name` must be a token. A control byte in the value becomes a space.
    #[inline]
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.append_with(name, |out| out.extend_from_slice(value));
    }

    /// Adds a field whose value `write` appends. `name` must be a token. A control byte in the value becomes a space.
    #[inline]
    pub fn append_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(is_token(name), "a field name is a token");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let value = self.bytes.len();
        write(&mut self.bytes);
        debug_assert!(self.bytes.len() >= value, "a value is appended, nothing is taken away");
        let end = self.bytes.len();
        if let Some(written) = self.bytes.get_mut(value..) {
            // Look at all, without a branch for each; rewriting is rare.
            if written.iter().fold(false, |any, b| any | is_unsafe(*b)) {
                for b in written.iter_mut().filter(|b| is_unsafe(**b)) {
                    *b = b' ';
                }
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.lines.push(Line { name: start as u32, value: value as u32, end: end as u32 });
    }

    /// The added fields as HTTP/1 lines, each with its line end.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.bytes
    }

    /// Names and values of the added fields, in order.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| {
            let part = |a: u32, b: u32| self.bytes.get(a as usize..b as usize).unwrap_or_default();
            (part(line.name, line.value.saturating_sub(2)), part(line.value, line.end))
        })
    }

    /// What `view` is after the changes: names and values.
    pub fn apply<'a>(
        &'a self,
        view: &'a impl FieldView,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let kept = (0..view.field_count().min(FIELDS_MAX)).filter(|i| self.drop & (1 << i) == 0);
        kept.map(|i| view.field(i)).chain(self.added())
    }
}

/// Could this byte in a value end its line, or confuse who reads it?
#[inline]
const fn is_unsafe(b: u8) -> bool {
    (b < 0x20 && b != b'\t') || b == 0x7f
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests;
