//! Follows the znodes below a path.
//!
//! One persistent recursive watch (ZooKeeper 3.6) says what to read again; it is set before everything is read, so nothing
//! falls between. A server without it is read whole every [`CHECK_EVERY`]. Every [`CHECK_EVERY`] some of what is known is held
//! against the server, in turns: what differs twice in a row without a word from the watch ends it, and so does every loss of the
//! connection, because a watch does not outlive it. While nobody takes what is to be said, changes gather by path: at most
//! `KEYS_MAX`.
//!
//! Not here: beginning again (the keeper). Tested: in `tests/zookeeper.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use zookeeper_client as zk;

use super::session::{asked, broke};
use super::tree::{self, BATCH, Node, Nodes, parent, within};
use super::{SESSION, ZooKeeper};
use crate::kv::{KEYS_MAX, KvError, KvEvent, LIST_BYTES_MAX, Value};

/// How often the server is asked whether what is known is true.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Znodes that are asked for then.
const CHECKS_MAX: usize = 256;

/// Follows until something goes wrong.
pub(super) async fn follow(store: &ZooKeeper, top: &str, to: mpsc::Sender<KvEvent>) -> KvError {
    let ended = async {
        let mut follow = Follow::begin(store, top).await?;
        follow.run(&to).await
    };
    tokio::select! {
        ended = ended => ended.err().unwrap_or_else(nobody),
        () = to.closed() => nobody(),
    }
}

fn nobody() -> KvError {
    KvError::Unreachable("nobody listens any more".to_owned())
}

struct Follow<'a> {
    store: &'a ZooKeeper,
    top: &'a str,
    client: zk::Client,
    states: zk::StateWatcher,
    /// `None`: the server has no such watches.
    watcher: Option<zk::PersistentWatcher>,
    known: Nodes,
    bytes: usize,
    /// To be read again.
    dirty: BTreeSet<String>,
    /// What was last held against the server.
    checked: String,
    /// What differed then.
    suspects: BTreeSet<String>,
}

impl<'a> Follow<'a> {
    async fn begin(store: &'a ZooKeeper, top: &'a str) -> Result<Follow<'a>, KvError> {
        let client = store.connect(SESSION).await?;
        let states = client.state_watcher();
        let watcher = match asked(client.watch(top, zk::AddWatchMode::PersistentRecursive)).await? {
            Ok(watcher) => Some(watcher),
            Err(zk::Error::Unimplemented) => None,
            Err(error) => return Err(broke(error)),
        };
        asked(client.sync(top)).await?.map_err(broke)?;
        let known = tree::all(&client, top).await?;
        Ok(Follow {
            store,
            top,
            client,
            states,
            watcher,
            bytes: known.values().map(|node| node.data.len()).sum(),
            known,
            dirty: BTreeSet::new(),
            checked: String::new(),
            suspects: BTreeSet::new(),
        })
    }

    async fn run(&mut self, to: &mpsc::Sender<KvEvent>) -> Result<(), KvError> {
        let mut unsaid = Some(KvEvent::All(self.store.values(&self.known, self.top)));
        let mut check = Instant::now() + CHECK_EVERY;
        loop {
            tokio::select! {
                biased;
                state = self.states.changed() => connected(state)?,
                event = heard(self.watcher.as_mut()) => self.note(event)?,
                room = to.reserve(), if unsaid.is_some() => {
                    let Ok(room) = room else { return Ok(()) };
                    room.send(unsaid.take().unwrap_or(KvEvent::Alive));
                    continue;
                }
                () = tokio::time::sleep_until(check), if unsaid.is_none() => {
                    unsaid = self.check().await?;
                    check = Instant::now() + CHECK_EVERY;
                }
            }
            self.drain()?;
            if unsaid.is_none() && !self.dirty.is_empty() {
                unsaid = self.read_again().await?;
            }
        }
    }

    /// Takes what else the watch has said.
    fn drain(&mut self) -> Result<(), KvError> {
        while let Some(event) = now(self.watcher.as_mut()) {
            self.note(event)?;
        }
        Ok(())
    }

    fn note(&mut self, event: zk::WatchedEvent) -> Result<(), KvError> {
        if event.event_type == zk::EventType::Session {
            return connected(event.session_state);
        }
        if event.event_type != zk::EventType::NodeDataChanged {
            let folder = parent(&event.path).filter(|folder| within(self.top, folder));
            self.dirty.extend(folder.map(str::to_owned));
        }
        if within(self.top, &event.path) {
            self.dirty.insert(event.path);
        }
        if self.dirty.len() > KEYS_MAX {
            let why = format!(
                "more than {KEYS_MAX} changes below {} in ZooKeeper wait to be taken",
                self.top
            );
            return Err(KvError::Refused(why));
        }
        Ok(())
    }

    /// Reads what is said to have changed. What changes while it is read is read again.
    async fn read_again(&mut self) -> Result<Option<KvEvent>, KvError> {
        let mut changed = BTreeMap::new();
        while !self.dirty.is_empty() && changed.len() < BATCH {
            let paths: Vec<String> = self.dirty.iter().take(BATCH).cloned().collect();
            let nodes = tree::some(&self.client, &paths).await?;
            for (path, node) in paths.into_iter().zip(nodes) {
                self.dirty.remove(&path);
                if let Some((key, value)) = self.learn(&path, node)? {
                    changed.insert(key, value);
                }
            }
        }
        Ok((!changed.is_empty()).then(|| KvEvent::Changed(changed.into_iter().collect())))
    }

    /// Takes a znode as it is now; gives its key when that says something new.
    fn learn(
        &mut self,
        path: &str,
        node: Option<Node>,
    ) -> Result<Option<(String, Option<Value>)>, KvError> {
        let value = node.as_ref().and_then(Node::value);
        self.bytes += node.as_ref().map_or(0, |node| node.data.len());
        let before = match node {
            Some(node) => self.known.insert(path.to_owned(), node),
            None => self.known.remove(path),
        };
        self.bytes = self.bytes.saturating_sub(before.as_ref().map_or(0, |node| node.data.len()));
        if self.known.len() > KEYS_MAX || self.bytes > LIST_BYTES_MAX {
            let why = format!(
                "more than {KEYS_MAX} znodes or {} MiB below {}",
                LIST_BYTES_MAX >> 20,
                self.top
            );
            return Err(KvError::Refused(why));
        }
        let key = self.store.key(path).filter(|_| path != self.top);
        let before = before.as_ref().and_then(Node::value);
        Ok(key.filter(|_| before != value).map(|key| (key.to_owned(), value)))
    }

    /// Asks the server: whether it answers, and whether what is known is true.
    async fn check(&mut self) -> Result<Option<KvEvent>, KvError> {
        if self.watcher.is_none() {
            return self.read_whole().await;
        }
        let paths = self.next_checks();
        let answers: Vec<_> = paths.iter().map(|path| self.client.check_stat(path)).collect();
        let mut stats = Vec::with_capacity(paths.len());
        for answer in answers {
            match asked(answer).await? {
                Ok(stat) => stats.push(stat),
                Err(zk::Error::NoAuth) => stats.push(None),
                Err(error) => return Err(broke(error)),
            }
        }
        self.drain()?;
        let mut suspects = BTreeSet::new();
        for (path, now) in paths.into_iter().zip(stats) {
            let known = self.known.get(&path).map(|node| tag(&node.stat));
            if known == now.as_ref().map(tag) || self.dirty.contains(&path) {
                continue;
            }
            if self.suspects.contains(&path) {
                let why = format!("{path} in ZooKeeper changed, and its watch said nothing");
                return Err(KvError::Refused(why));
            }
            suspects.insert(path);
        }
        self.suspects = suspects;
        Ok(self.dirty.is_empty().then_some(KvEvent::Alive))
    }

    /// The suspects, the top, and the next of all that are known.
    fn next_checks(&mut self) -> Vec<String> {
        let from = (Bound::Excluded(self.checked.as_str()), Bound::Unbounded);
        let next: Vec<String> = self
            .known
            .range::<str, _>(from)
            .take(CHECKS_MAX)
            .map(|(path, _)| path.clone())
            .collect();
        self.checked = match next.last() {
            Some(last) if next.len() == CHECKS_MAX => last.clone(),
            _ => String::new(),
        };
        let mut paths = self.suspects.clone();
        paths.insert(self.top.to_owned());
        paths.extend(next);
        paths.into_iter().collect()
    }

    /// Reads everything, where no watch says what to read.
    async fn read_whole(&mut self) -> Result<Option<KvEvent>, KvError> {
        let mut now = tree::all(&self.client, self.top).await?;
        let paths: BTreeSet<String> = self.known.keys().chain(now.keys()).cloned().collect();
        let mut changed = Vec::new();
        for path in paths {
            let node = now.remove(&path);
            changed.extend(self.learn(&path, node)?);
        }
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(if changed.is_empty() { KvEvent::Alive } else { KvEvent::Changed(changed) }))
    }
}

/// What tells one state of a znode from another.
fn tag(stat: &zk::Stat) -> (i64, i64, i64, i32) {
    (stat.czxid, stat.mzxid, stat.pzxid, stat.cversion)
}

/// A watch does not outlive its connection.
fn connected(state: zk::SessionState) -> Result<(), KvError> {
    match state {
        zk::SessionState::SyncConnected => Ok(()),
        zk::SessionState::AuthFailed => {
            Err(KvError::Refused("ZooKeeper refuses who we say we are".to_owned()))
        }
        zk::SessionState::Expired => {
            Err(KvError::Unreachable("the session with ZooKeeper expired".to_owned()))
        }
        _ => Err(KvError::Unreachable("the connection to ZooKeeper was lost".to_owned())),
    }
}

/// What the watch says next; nothing ever where there is none.
async fn heard(watcher: Option<&mut zk::PersistentWatcher>) -> zk::WatchedEvent {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

/// What the watch has said already.
fn now(watcher: Option<&mut zk::PersistentWatcher>) -> Option<zk::WatchedEvent> {
    let mut heard = std::pin::pin!(heard(watcher));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match heard.as_mut().poll(&mut context) {
        std::task::Poll::Ready(event) => Some(event),
        std::task::Poll::Pending => None,
    }
}
