//! A table of so many rows at most: when it is full the one that was used least recently goes.
//!
//! Bound: the capacity it is made with. Not here: what is in it (`names`). Tested: `names/tests.rs`.

use std::collections::HashMap;
use std::rc::Rc;

const NONE: u32 = u32::MAX;

struct Row<T> {
    key: Rc<str>,
    value: T,
    newer: u32,
    older: u32,
}

/// Rows by text.
pub(super) struct Table<T> {
    rows: Vec<Row<T>>,
    by_key: HashMap<Rc<str>, u32>,
    newest: u32,
    oldest: u32,
    most: usize,
}

impl<T> Table<T> {
    /// A table of at most so many rows.
    pub fn new(most: usize) -> Table<T> {
        Table { rows: Vec::new(), by_key: HashMap::new(), newest: NONE, oldest: NONE, most }
    }

    /// How many rows there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of this key, which is now the newest.
    #[inline]
    pub fn get(&mut self, key: &str) -> Option<&mut T> {
        let at = *self.by_key.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        self.rows.get_mut(at as usize).map(|row| &mut row.value)
    }

    /// Puts a row in, in the place of one with the same key or, when all places are taken, of the oldest; gives what was
    /// there.
    pub fn put(&mut self, key: &str, value: T) -> Option<T> {
        if let Some(old) = self.get(key) {
            return Some(std::mem::replace(old, value));
        }
        let gone = if self.rows.len() >= self.most { self.take(self.oldest) } else { None };
        let key: Rc<str> = key.into();
        let at = self.rows.len() as u32;
        self.by_key.insert(Rc::clone(&key), at);
        self.rows.push(Row { key, value, newer: NONE, older: NONE });
        self.link(at);
        gone
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &str) -> Option<T> {
        let at = *self.by_key.get(key)?;
        self.take(at)
    }

    /// Takes the row at `at` out; the last one moves into its place.
    fn take(&mut self, at: u32) -> Option<T> {
        if at as usize >= self.rows.len() {
            return None;
        }
        self.unlink(at);
        let last = (self.rows.len() - 1) as u32;
        let row = self.rows.swap_remove(at as usize);
        self.by_key.remove(&row.key);
        if last != at
            && let Some(moved) = self.rows.get(at as usize)
        {
            let (newer, older) = (moved.newer, moved.older);
            if let Some(place) = self.by_key.get_mut(&moved.key) {
                *place = at;
            }
            self.set_older(newer, at);
            self.set_newer(older, at);
        }
        Some(row.value)
    }

    /// The neighbour `of` (or the table's end) has `at` as its older one.
    fn set_older(&mut self, of: u32, at: u32) {
        match self.rows.get_mut(of as usize) {
            Some(row) => row.older = at,
            None => self.newest = at,
        }
    }

    fn set_newer(&mut self, of: u32, at: u32) {
        match self.rows.get_mut(of as usize) {
            Some(row) => row.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(row) = self.rows.get(at as usize) else { return };
        let (newer, older) = (row.newer, row.older);
        self.set_older(newer, older);
        self.set_newer(older, newer);
    }

    fn link(&mut self, at: u32) {
        let newest = self.newest;
        if let Some(row) = self.rows.get_mut(at as usize) {
            (row.newer, row.older) = (NONE, newest);
        }
        self.set_newer(newest, at);
        self.newest = at;
    }
}
