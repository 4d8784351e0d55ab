//! Writes and deletes under a condition.
//!
//! A znode is looked at first; the change then says which data version it was made for, so of two writers one loses. Parents
//! that are missing are made with the key in one transaction: nobody sees an empty parent and takes it for a key.
//!
//! Not here: keys that are held (`hold.rs`). Tested: in `tests/zookeeper.rs`.

use zookeeper_client as zk;

use super::ZooKeeper;
use super::session::{asked, broke};
use super::tree::{self, Node, parent};
use crate::kv::{Expect, KvError};

/// How often a change is tried that others got in the way of.
const TRIES: usize = 16;

/// What one try came to.
enum Tried<T> {
    Done(T),
    /// The znode is another than the one looked at.
    Again,
}

impl ZooKeeper {
    pub(super) async fn put_once(
        &self,
        path: &str,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<u64, KvError> {
        let client = self.shared().await?;
        for _ in 0..TRIES {
            let node = tree::node(&client, path).await?;
            allowed(node.as_ref(), expect)?;
            let tried = match node {
                Some(node) => set(&client, path, bytes, &node).await?,
                None => self.create(&client, path, bytes, zk::CreateMode::Persistent).await?,
            };
            match tried {
                Tried::Done(mzxid) => return version(mzxid),
                Tried::Again => {}
            }
        }
        Err(busy(path))
    }

    pub(super) async fn delete_once(&self, path: &str, expect: Expect) -> Result<(), KvError> {
        let client = self.shared().await?;
        for _ in 0..TRIES {
            let node = tree::node(&client, path).await?;
            allowed(node.as_ref(), expect)?;
            let Some(node) = node.filter(|node| node.value().is_some()) else { return Ok(()) };
            let tried = match node.stat.num_children {
                0 => remove(&client, path, &node).await?,
                // What is below it stays: it becomes a folder.
                _ => set(&client, path, &[], &node).await?,
            };
            if let Tried::Done(_) = tried {
                return Ok(());
            }
        }
        Err(busy(path))
    }

    /// Makes a znode; its parents with it when they are missing.
    async fn create(
        &self,
        client: &zk::Client,
        path: &str,
        bytes: &[u8],
        mode: zk::CreateMode,
    ) -> Result<Tried<i64>, KvError> {
        match asked(client.create(path, bytes, &mode.with_acls(self.acls()))).await? {
            Ok((stat, _)) => Ok(Tried::Done(stat.mzxid)),
            Err(zk::Error::NodeExists) => Ok(Tried::Again),
            Err(zk::Error::NoNode) => self.create_all(client, path, bytes, mode).await,
            Err(error) => Err(broke(error)),
        }
    }

    async fn create_all(
        &self,
        client: &zk::Client,
        path: &str,
        bytes: &[u8],
        mode: zk::CreateMode,
    ) -> Result<Tried<i64>, KvError> {
        let parents: Vec<&str> = std::iter::successors(parent(path), |path| parent(path))
            .filter(|p| *p != "/")
            .collect();
        let answers: Vec<_> = parents.iter().map(|path| client.check_stat(path)).collect();
        let mut writer = client.new_multi_writer();
        let mut missing = Vec::new();
        for (parent, answer) in parents.iter().zip(answers) {
            if asked(answer).await?.map_err(broke)?.is_none() {
                missing.push(*parent);
            }
        }
        let folder = zk::CreateMode::Persistent.with_acls(self.acls());
        for parent in missing.iter().rev() {
            writer.add_create(parent, &[], &folder).map_err(broke)?;
        }
        writer.add_create(path, bytes, &mode.with_acls(self.acls())).map_err(broke)?;
        // Only what sets data tells its number in a transaction (ZOOKEEPER-4026).
        writer.add_set_data(path, bytes, None).map_err(broke)?;
        match asked(writer.commit()).await?.map_err(zk::Error::from) {
            Ok(results) => match results.last() {
                Some(zk::MultiWriteResult::SetData { stat }) => Ok(Tried::Done(stat.mzxid)),
                _ => Err(KvError::Refused("ZooKeeper's answer makes no sense".to_owned())),
            },
            Err(zk::Error::NoNode | zk::Error::NodeExists) => Ok(Tried::Again),
            Err(error) => Err(broke(error)),
        }
    }

    /// Makes a znode that goes with the session. `false` when there is one.
    pub(super) async fn create_ephemeral(
        &self,
        client: &zk::Client,
        path: &str,
        bytes: &[u8],
    ) -> Result<bool, KvError> {
        let tried = self.create(client, path, bytes, zk::CreateMode::Ephemeral).await?;
        Ok(matches!(tried, Tried::Done(_)))
    }
}

/// Whether the condition holds for what is there.
fn allowed(node: Option<&Node>, expect: Expect) -> Result<(), KvError> {
    let now = node.and_then(Node::value).map(|value| value.version);
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => now.is_none(),
        Expect::Version(version) => now == Some(version),
    };
    if holds { Ok(()) } else { Err(KvError::Conflict) }
}

async fn set(
    client: &zk::Client,
    path: &str,
    bytes: &[u8],
    node: &Node,
) -> Result<Tried<i64>, KvError> {
    match asked(client.set_data(path, bytes, Some(node.stat.version))).await? {
        Ok(stat) => Ok(Tried::Done(stat.mzxid)),
        Err(zk::Error::BadVersion | zk::Error::NoNode) => Ok(Tried::Again),
        Err(error) => Err(broke(error)),
    }
}

async fn remove(client: &zk::Client, path: &str, node: &Node) -> Result<Tried<i64>, KvError> {
    match asked(client.delete(path, Some(node.stat.version))).await? {
        Ok(()) => Ok(Tried::Done(0)),
        Err(zk::Error::BadVersion | zk::Error::NoNode | zk::Error::NotEmpty) => Ok(Tried::Again),
        Err(error) => Err(broke(error)),
    }
}

fn version(mzxid: i64) -> Result<u64, KvError> {
    u64::try_from(mzxid)
        .map_err(|_| KvError::Refused("ZooKeeper's answer makes no sense".to_owned()))
}

fn busy(path: &str) -> KvError {
    KvError::Unreachable(format!(
        "{path} in ZooKeeper was changed {TRIES} times by others while it was to be changed"
    ))
}
