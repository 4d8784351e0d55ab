//! Reads znodes: one, or all below a path.
//!
//! What is asked at once is sent at once (a batch per round trip), so a thousand znodes take a few round trips. What comes or
//! goes meanwhile is seen or not: who needs to know follows. Not here: following. Tested: in `tests/zookeeper.rs`.

use std::collections::BTreeMap;

use zookeeper_client as zk;

use super::session::{asked, broke};
use crate::kv::{KEYS_MAX, KvError, LIST_BYTES_MAX, Value};

/// Znodes asked for at once.
pub(super) const BATCH: usize = 128;
/// ZooKeeper's own.
const RESERVED: &str = "/zookeeper";

/// Znodes by path.
pub(super) type Nodes = BTreeMap<String, Node>;

/// A znode as it was read.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) data: Vec<u8>,
    pub(super) stat: zk::Stat,
}

impl Node {
    /// It as a value; `None` when it is a folder.
    pub(super) fn value(&self) -> Option<Value> {
        let folder = self.data.is_empty() && (self.stat.num_children > 0 || self.stat.cversion > 0);
        let version = u64::try_from(self.stat.mzxid).ok()?;
        (!folder).then(|| Value { bytes: self.data.clone(), version })
    }
}

/// One znode.
pub(super) async fn node(client: &zk::Client, path: &str) -> Result<Option<Node>, KvError> {
    read(asked(client.get_data(path)).await?)
}

fn read(answer: Result<(Vec<u8>, zk::Stat), zk::Error>) -> Result<Option<Node>, KvError> {
    match answer {
        Ok((data, stat)) => Ok(Some(Node { data, stat })),
        Err(zk::Error::NoNode | zk::Error::NoAuth) => Ok(None),
        Err(error) => Err(broke(error)),
    }
}

/// Some znodes, in the order in which they are asked for.
pub(super) async fn some(
    client: &zk::Client,
    paths: &[String],
) -> Result<Vec<Option<Node>>, KvError> {
    let mut nodes = Vec::with_capacity(paths.len());
    for batch in paths.chunks(BATCH) {
        let answers: Vec<_> = batch.iter().map(|path| client.get_data(path)).collect();
        for answer in answers {
            nodes.push(read(asked(answer).await?)?);
        }
    }
    Ok(nodes)
}

/// All znodes from a path on, itself among them.
pub(super) async fn all(client: &zk::Client, top: &str) -> Result<Nodes, KvError> {
    let mut found = Nodes::new();
    let mut bytes = 0;
    let mut open = vec![top.to_owned()];
    while !open.is_empty() {
        let batch = open.split_off(open.len().saturating_sub(BATCH));
        let mut folders = Vec::new();
        for (path, node) in batch.iter().zip(some(client, &batch).await?) {
            let Some(node) = node else { continue };
            if node.stat.num_children > 0 {
                folders.push(path.as_str());
            }
            bytes += node.data.len() + path.len();
            found.insert(path.clone(), node);
        }
        children(client, &folders, &mut open).await?;
        if found.len() + open.len() > KEYS_MAX || bytes > LIST_BYTES_MAX {
            let why = format!(
                "more than {KEYS_MAX} znodes or {} MiB below {top} in ZooKeeper",
                LIST_BYTES_MAX >> 20
            );
            return Err(KvError::Refused(why));
        }
    }
    Ok(found)
}

async fn children(
    client: &zk::Client,
    folders: &[&str],
    open: &mut Vec<String>,
) -> Result<(), KvError> {
    let answers: Vec<_> = folders.iter().map(|path| client.list_children(path)).collect();
    for (folder, answer) in folders.iter().zip(answers) {
        match asked(answer).await? {
            Ok(names) => {
                let parent = folder.trim_end_matches('/');
                let paths = names.iter().map(|name| format!("{parent}/{name}"));
                open.extend(paths.filter(|path| path != RESERVED));
            }
            Err(zk::Error::NoNode | zk::Error::NoAuth) => {}
            Err(error) => return Err(broke(error)),
        }
    }
    Ok(())
}

/// The folder a znode is in.
pub(super) fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

/// Whether a path is the top or below it.
pub(super) fn within(top: &str, path: &str) -> bool {
    let reserved = path == RESERVED || path.starts_with("/zookeeper/");
    match path.strip_prefix(top) {
        Some(rest) => !reserved && (rest.is_empty() || top == "/" || rest.starts_with('/')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_folders() {
        assert_eq!((parent("/a/b"), parent("/a"), parent("/")), (Some("/a"), Some("/"), None));
        assert!(
            within("/a", "/a") && within("/a", "/a/b") && within("/", "/a") && within("/", "/")
        );
        assert!(!within("/a", "/ab") && !within("/a", "/") && !within("/", "/zookeeper/quota"));
    }
}
