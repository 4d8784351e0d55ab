//! Word from one worker to another that a slot of a cluster may be free.
//!
//! A set, not a queue: saying it twice before it is heard is saying it once, so it is bounded by the number of clusters and
//! nothing is ever lost. Not here: commands of the control thread (`worker.rs`). Tested: below.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use baleen_base::ClusterId;
use tokio::sync::Notify;

/// Where one worker hears it.
#[derive(Default)]
pub(crate) struct Inbox {
    free: Mutex<BTreeSet<ClusterId>>,
    bell: Notify,
}

impl Inbox {
    /// Say it.
    pub fn slot_free(&self, cluster: ClusterId) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster);
        self.bell.notify_one();
    }

    /// Wait until it is said, and take what was said.
    pub async fn next(&self) -> BTreeSet<ClusterId> {
        loop {
            let heard =
                std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
            if !heard.is_empty() {
                return heard;
            }
            self.bell.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_twice_heard_once() {
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inbox = Inbox::default();
        for c in [1, 2, 1] {
            inbox.slot_free(ClusterId(c));
        }
        let heard = rt.block_on(inbox.next());
        assert_eq!(heard, BTreeSet::from([ClusterId(1), ClusterId(2)]));
    }
}
