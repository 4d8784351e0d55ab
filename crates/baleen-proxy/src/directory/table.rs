//! A table that only grows, whose copies share all rows but the few in the chunks that change.
//!
//! Tested: `directory/tests.rs`.

use std::sync::Arc;

const CHUNK: usize = 256;

/// Rows in chunks; a full chunk is copied when one of its rows changes.
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

    /// Puts a row at an index; rows before it that there are not yet get the default.
    pub(super) fn put(&mut self, i: usize, row: T)
    where
        T: Default + PartialEq,
    {
        if self.get(i) == Some(&row) || (row == T::default() && i >= self.len()) {
            return;
        }
        while self.len() < i {
            self.push(T::default());
        }
        if i == self.len() {
            self.push(row);
        } else if let Some(chunk) = Arc::make_mut(&mut self.full).get_mut(i / CHUNK) {
            let mut rows: Vec<T> = chunk.to_vec();
            rows[i % CHUNK] = row;
            *chunk = rows.into();
        } else if let Some(place) = Arc::make_mut(&mut self.last).get_mut(i % CHUNK) {
            *place = row;
        }
    }
}
