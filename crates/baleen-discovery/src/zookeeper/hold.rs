//! Keeps a key: an ephemeral znode in a session of its own, made again when it or the session is gone.
//!
//! Who comes takes a key over from another (it may be what we left behind when we died), once; who loses it so waits until it
//! is gone, so that two never take it from each other in turns.
//!
//! Not here: keys that stay. Tested: in `tests/zookeeper.rs`.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use zookeeper_client as zk;

use super::session::{asked, broke};
use super::{ANSWER_MAX, ZooKeeper};
use crate::backoff::Backoff;
use crate::kv::{KvError, Told};

/// How often it is looked at without being told.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The waits before a new session is asked for.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MOST: Duration = Duration::from_secs(5);

struct Hold<'a> {
    store: &'a ZooKeeper,
    path: &'a str,
    bytes: &'a [u8],
    told: Told,
    /// It may be taken from another: we have not had it yet.
    may_take: bool,
}

/// What a look at the key came to.
enum Look {
    /// It is ours; who watches it.
    Ours(zk::OneshotWatcher),
    /// It is another's.
    Others(zk::OneshotWatcher),
    /// It changed meanwhile.
    Again,
}

pub(super) async fn hold(
    store: &ZooKeeper,
    path: &str,
    bytes: &[u8],
    ttl: Duration,
    told: mpsc::Sender<bool>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), KvError> {
    let mut hold = Hold { store, path, bytes, told: Told::new(told), may_take: true };
    let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MOST);
    loop {
        let session = tokio::select! {
            session = store.connect(ttl) => session,
            _ = &mut stop => return Ok(()),
        };
        let ended = match session {
            Ok(client) => {
                let ended = tokio::select! {
                    ended = hold.keep(&client, &mut backoff) => ended,
                    _ = &mut stop => {
                        // The end of the session takes it away, too.
                        let _ = timeout(ANSWER_MAX, release(&client, path)).await;
                        return Ok(());
                    }
                };
                ended
            }
            Err(error) => error,
        };
        hold.told.say(false);
        if !matches!(ended, KvError::Unreachable(_)) {
            return Err(ended);
        }
        tokio::select! {
            () = sleep(backoff.wait()) => {}
            _ = &mut stop => return Ok(()),
        }
    }
}

impl Hold<'_> {
    /// Keeps it as long as the session lives.
    async fn keep(&mut self, client: &zk::Client, backoff: &mut Backoff) -> KvError {
        let mut states = client.state_watcher();
        loop {
            let state = client.state();
            if state.is_terminated() {
                let refused = state == zk::SessionState::AuthFailed;
                let why = format!("the session with ZooKeeper ended: {state}");
                return if refused { KvError::Refused(why) } else { KvError::Unreachable(why) };
            }
            if state != zk::SessionState::SyncConnected {
                self.told.say(false);
                states.changed().await;
                continue;
            }
            let watcher = match self.look(client).await {
                Ok(Look::Ours(watcher)) => {
                    self.may_take = false;
                    backoff.reset();
                    self.told.say(true);
                    watcher
                }
                Ok(Look::Others(watcher)) => {
                    self.told.say(false);
                    watcher
                }
                Ok(Look::Again) => continue,
                Err(error @ KvError::Unreachable(_)) if client.state().is_terminated() => {
                    return error;
                }
                // The session may live on over another connection.
                Err(KvError::Unreachable(_)) => {
                    self.told.say(false);
                    sleep(WAIT_FIRST).await;
                    continue;
                }
                Err(error) => return error,
            };
            tokio::select! {
                _ = watcher.changed() => {}
                _ = states.changed() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(&self, client: &zk::Client) -> Result<Look, KvError> {
        let (stat, watcher) =
            asked(client.check_and_watch_stat(self.path)).await?.map_err(broke)?;
        match stat {
            Some(stat) if stat.ephemeral_owner == client.session_id().0 => Ok(Look::Ours(watcher)),
            Some(stat) if self.may_take => {
                let deleted = asked(client.delete(self.path, Some(stat.version))).await?;
                match deleted {
                    Ok(()) | Err(zk::Error::NoNode | zk::Error::BadVersion) => Ok(Look::Again),
                    Err(error) => Err(broke(error)),
                }
            }
            Some(_) => Ok(Look::Others(watcher)),
            None => {
                self.store.create_ephemeral(client, self.path, self.bytes).await?;
                Ok(Look::Again)
            }
        }
    }
}

/// Takes it away if it is ours.
async fn release(client: &zk::Client, path: &str) -> Result<(), zk::Error> {
    match client.check_stat(path).await? {
        Some(stat) if stat.ephemeral_owner == client.session_id().0 => {
            client.delete(path, Some(stat.version)).await
        }
        _ => Ok(()),
    }
}
