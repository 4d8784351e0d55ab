//! The targets of one worker: equal trees share one, and none is used again while anything still leads by it.
//!
//! A target is held by each row of the worker's tables that leads to it and by each call that does. The last to let go does
//! not tell policy, since that may be inside a `Drop`: the target is dead, and taken away ([`Targets::dead`]) before the next
//! one is made. By then policy has heard that those calls are over.
//!
//! Bound: [`WORKER_TARGETS_MAX`]. Not here: telling policy (`names`). Tested: `names/tests.rs`.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use baleen_base::TargetId;
use baleen_policy::{TARGETS_MAX, Target};

use crate::directory::CONTROL_TARGETS_MAX;

/// Most targets of one worker.
pub(super) const WORKER_TARGETS_MAX: usize = TARGETS_MAX - CONTROL_TARGETS_MAX;

struct Slot {
    tree: Option<Arc<Target>>,
    hash: u64,
    holders: u32,
}

/// All of them.
#[derive(Default)]
pub(super) struct Targets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    dead: Vec<u32>,
    by_hash: HashMap<u64, u32>,
}

/// What holding a target meant.
pub(super) enum Held {
    /// Policy knows it.
    Known(u32),
    /// Policy has to be told.
    New(u32, Arc<Target>),
}

impl Targets {
    /// The id of a slot.
    #[inline]
    pub fn id(slot: u32) -> TargetId {
        TargetId(CONTROL_TARGETS_MAX as u32 + slot)
    }

    /// Holds the target of this tree. Nothing when there are too many.
    pub fn hold_tree(&mut self, tree: Target) -> Option<Held> {
        let hash = hash_of(&tree);
        if let Some(slot) = self.by_hash.get(&hash).copied()
            && self.slots.get(slot as usize).is_some_and(|s| s.tree.as_deref() == Some(&tree))
        {
            self.hold(slot);
            return Some(Held::Known(slot));
        }
        let tree = Arc::new(tree);
        let slot = Slot { tree: Some(Arc::clone(&tree)), hash, holders: 1 };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = slot;
                }
                at
            }
            None if self.slots.len() >= WORKER_TARGETS_MAX => return None,
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        // Two trees with one hash: the one that came later is not shared.
        self.by_hash.entry(hash).or_insert(at);
        Some(Held::New(at, tree))
    }

    /// One more holds it.
    #[inline]
    pub fn hold(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.holders += 1;
        }
    }

    /// One less holds it.
    #[inline]
    pub fn release(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        debug_assert!(slot.holders > 0, "held as often as released");
        slot.holders = slot.holders.saturating_sub(1);
        if slot.holders == 0 {
            self.dead.push(at);
        }
    }

    /// A target that nothing holds any more: it is free from now on.
    pub fn dead(&mut self) -> Option<TargetId> {
        while let Some(at) = self.dead.pop() {
            let Some(slot) = self.slots.get_mut(at as usize) else { continue };
            if slot.holders == 0 && slot.tree.take().is_some() {
                if self.by_hash.get(&slot.hash) == Some(&at) {
                    self.by_hash.remove(&slot.hash);
                }
                self.free.push(at);
                return Some(Targets::id(at));
            }
        }
        None
    }

    /// How many there are, and how many places for them were ever needed.
    #[cfg(test)]
    pub fn count(&self) -> (usize, usize) {
        (self.slots.iter().filter(|s| s.tree.is_some()).count(), self.slots.len())
    }
}

fn hash_of(tree: &Target) -> u64 {
    fn add(to: &mut DefaultHasher, tree: &Target) {
        match tree {
            Target::Cluster(cluster) => (0u8, cluster.0).hash(to),
            Target::Union(items) => {
                (1u8, items.len()).hash(to);
                for (weight, item) in items {
                    weight.hash(to);
                    add(to, item);
                }
            }
            Target::Alt(items) => {
                (2u8, items.len()).hash(to);
                items.iter().for_each(|item| add(to, item));
            }
        }
    }
    let mut to = DefaultHasher::new();
    add(&mut to, tree);
    to.finish()
}
