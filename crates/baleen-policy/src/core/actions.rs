//! What was decided and not yet handed out, in order.
//!
//! A vector and the place that is read: a driver drains it after each turn, so it is empty before it is filled again and
//! nothing has to go round. Bounds: what one turn of inputs causes.
//!
//! Not here: what actions mean (`action.rs`). Tested: by everything that drives a core.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::Action;

/// A list that is filled and then read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Actions {
    all: Vec<Action>,
    /// How many were handed out.
    read: u32,
}

impl Actions {
    #[inline]
    pub(super) fn push(&mut self, action: Action) {
        self.all.push(action);
    }

    /// The next one.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Action> {
        let action = *self.all.get(self.read as usize)?;
        self.read += 1;
        if self.read as usize >= self.all.len() {
            self.all.clear();
            self.read = 0;
        }
        Some(action)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.len() <= self.read as usize
    }
}
