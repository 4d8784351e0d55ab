//! A table that only grows, whose copies share all but the last few rows.
//!
//! Tested: `directory/tests.rs`.

use std::sync::Arc;

const CHUNK: usize = 256;

/// Rows in chunks; a full chunk never changes again.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    full: Arc<Vec<Arc<[T]>>>,
    last: Arc<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { full: Arc::default(), last: Arc::default() }
    }
}

impl<T: Clone> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.last.len()
    }

    #[inline]
    pub(super) fn get(&self, i: usize) -> Option<&T> {
        match self.full.get(i / CHUNK) {
            Some(chunk) => chunk.get(i % CHUNK),
            None if i / CHUNK == self.full.len() => self.last.get(i % CHUNK),
            None => None,
        }
    }

    /// Adds a row and returns its index.
    pub(super) fn push(&mut self, row: T) -> usize {
        let i = self.len();
        let last = Arc::make_mut(&mut self.last);
        last.push(row);
        if last.len() == CHUNK {
            let chunk = std::mem::take(last).into();
            Arc::make_mut(&mut self.full).push(chunk);
        }
        i
    }
}
