//! Keeps a key: a file that says for how long it counts, renewed three times within that.
//!
//! Who comes takes a key over from another, once; who loses it so waits until it is gone, so that two never take it from each
//! other in turns. Not here: files (`store.rs`). Tested: in `tests/folder.rs`.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::store::renew;
use super::{Folder, names};
use crate::kv::{KvError, Told};

/// Bounds of the time between two renewals.
const RENEW_MIN: Duration = Duration::from_millis(20);
const RENEW_MAX: Duration = Duration::from_secs(5);

pub(super) async fn hold(
    folder: &Folder,
    key: &str,
    bytes: &[u8],
    ttl: Duration,
    told: mpsc::Sender<bool>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), KvError> {
    let path = folder.0.root.join(names::file(key)?);
    let mut told = Told::new(told);
    let every = (ttl / 3).clamp(RENEW_MIN, RENEW_MAX);
    let mut ours: Option<u64> = None;
    let mut may_take = true;
    loop {
        let (at, bytes, mine) = (path.clone(), bytes.to_vec(), ours);
        let turn = folder.work(move |store| match mine {
            Some(version) if renew(&at, version)? => Ok(Some(version)),
            _ => store.lock()?.take(&at, &bytes, ttl, may_take),
        });
        match turn.await {
            Ok(held) => {
                ours = held;
                may_take &= held.is_none();
                told.say(held.is_some());
            }
            Err(KvError::Unreachable(_)) => told.say(false),
            Err(error) => {
                told.say(false);
                return Err(error);
            }
        }
        tokio::select! {
            () = sleep(every) => {}
            _ = &mut stop => break,
        }
    }
    if let Some(version) = ours {
        // What can't be taken away is over after its time.
        let _ = folder.work(move |store| store.lock()?.release(&path, version)).await;
    }
    Ok(())
}
