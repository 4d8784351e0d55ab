//! What waits for a slow receiver: the newest set of each service.
//!
//! Sets that only lost endpoints go before those that got some, so that an address that has another service now is taken from
//! the old one first. Among each, who has waited longest is next; a newer set takes the place of the one that waits. That the
//! former go first keeps the others waiting only so long: what is taken away is less each time.
//!
//! Bounds: one set for each service. Not here: who asks. Tested: here, and in `tests/keeper.rs`.

use std::collections::{BTreeMap, HashMap};

use super::hold::Told;

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Whose turn it is: whether it grows, then since when it waits.
    turns: BTreeMap<(bool, u64), Told>,
    waiting: HashMap<String, (bool, u64)>,
    next: u64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// A service has this now. `grows`: more than what was put last.
    pub(super) fn put(&mut self, told: Told, grows: bool) {
        self.next += 1;
        let (mut grows, mut since) = (grows, self.next);
        if let Some(before) = self.waiting.get(&told.0) {
            (grows, since) = (grows || before.0, before.1);
            self.turns.remove(before);
        }
        self.waiting.insert(told.0.clone(), (grows, since));
        self.turns.insert((grows, since), told);
    }

    /// Who is next.
    pub(super) fn pop(&mut self) -> Option<Told> {
        let (_, told) = self.turns.pop_first()?;
        self.waiting.remove(&told.0);
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_goes_first_and_then_who_waits_longest() {
        let mut pending = Pending::default();
        for (name, grows) in [("b", true), ("a", true), ("y", false), ("x", false), ("b", false)] {
            pending.put((name.to_owned(), None), grows);
        }
        // What grew and then shrank may still be more than what the receiver has.
        pending.put(("x".to_owned(), Some(Vec::new())), true);
        let mut names = Vec::new();
        while let Some((name, _)) = pending.pop() {
            names.push(name);
        }
        assert_eq!(names, ["y", "b", "a", "x"]);
        assert!(pending.is_empty() && pending.waiting.is_empty());
    }

    #[test]
    fn a_newer_set_takes_the_place_of_the_one_that_waits() {
        let mut pending = Pending::default();
        pending.put(("web".to_owned(), None), true);
        pending.put(("web".to_owned(), Some(Vec::new())), true);
        assert_eq!(pending.pop(), Some(("web".to_owned(), Some(Vec::new()))));
        assert_eq!(pending.pop(), None);
    }
}
