//! ZooKeeper as a store: a key is a znode below a root, a value is its data.
//!
//! - A znode is a key when it has data, or when it is empty and never had children. Other empty ones are folders: parents are
//!   made as needed, in one step with the key.
//! - A value's version is its `mzxid`, which never comes again. ZooKeeper compares only a data version that begins at 0 with
//!   each new znode: a key that is deleted and made again within the one round trip between our reading and our writing, with
//!   as many changes as before, can't be told from the old one.
//! - A key that we may not read (its ACL) counts as not there.
//! - Each `follow` and each `hold` has a session of its own, which ends with it; all else shares one, made when it is needed.
//!
//! Bounds: `KEYS_MAX` znodes and `LIST_BYTES_MAX` bytes below one prefix, [`ANSWER_MAX`] for an answer. Not here: what values mean.
//! Tested: in `tests/zookeeper.rs`, with a real server.

mod follow;
mod hold;
mod session;
mod tree;
mod write;

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use zookeeper_client as zk;

use crate::kv::{Expect, Kv, KvError, KvEvent, VALUE_BYTES_MAX, Value, check_key};
use session::{asked, broke};

/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the server keeps a session that it does not hear of, for all but held keys.
const SESSION: Duration = Duration::from_secs(10);

/// Which ZooKeeper, and where in it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `host:port` of each server.
    pub servers: Vec<String>,
    /// The path below which keys are: `/baleen/services`. It need not be there.
    pub root: String,
    /// Scheme and secret, as in `digest` and `user:password`. What is written can then be changed only by who has it; all may
    /// read it.
    pub auth: Option<(String, String)>,
}

/// A part of a ZooKeeper as a store.
pub struct ZooKeeper {
    options: Options,
    cluster: String,
    /// No `/` at its end: the root itself is empty.
    root: String,
    shared: Mutex<Option<zk::Client>>,
}

impl std::fmt::Debug for ZooKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZooKeeper({}{})", self.cluster, self.root)
    }
}

impl ZooKeeper {
    /// Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// There is no server, or one is no address, or the root is no path.
    pub fn new(options: Options) -> Result<ZooKeeper, KvError> {
        let odd =
            |s: &&String| s.is_empty() || s.contains([',', '/']) || s.contains(char::is_whitespace);
        if let Some(odd) = options.servers.iter().find(odd) {
            return Err(KvError::Refused(format!("{odd:?} is no server: expected host:port")));
        }
        if options.servers.is_empty() {
            return Err(KvError::Refused("no server is given: expected host:port".to_owned()));
        }
        let root = options.root.trim_matches('/');
        if !root.is_empty() {
            check_key(root).map_err(KvError::Refused)?;
        }
        let root = if root.is_empty() { String::new() } else { format!("/{root}") };
        let cluster = options.servers.join(",");
        Ok(ZooKeeper { options, cluster, root, shared: Mutex::new(None) })
    }

    /// The path of a key.
    fn path(&self, key: &str) -> Result<String, KvError> {
        check_key(key).map_err(KvError::Refused)?;
        Ok(format!("{}/{key}", self.root))
    }

    /// The path below which the keys of a prefix are.
    fn top(&self, prefix: &str) -> Result<String, KvError> {
        match prefix {
            "" if self.root.is_empty() => Ok("/".to_owned()),
            "" => Ok(self.root.clone()),
            prefix => self.path(prefix),
        }
    }

    /// The key of a path.
    fn key<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.root.as_str())?.strip_prefix('/').filter(|key| !key.is_empty())
    }

    /// The shared session. One that is not connected is left behind: what it would ask again, we ask.
    async fn shared(&self) -> Result<zk::Client, KvError> {
        let mut shared = self.shared.lock().await;
        let connected = |client: &&zk::Client| client.state() == zk::SessionState::SyncConnected;
        if let Some(client) = shared.as_ref().filter(connected) {
            return Ok(client.clone());
        }
        *shared = None;
        let client = self.connect(SESSION).await?;
        Ok(shared.insert(client).clone())
    }

    /// After something went wrong: who can't be asked is not asked again over the same connection.
    async fn done<T>(&self, result: Result<T, KvError>) -> Result<T, KvError> {
        if matches!(result, Err(KvError::Unreachable(_))) {
            *self.shared.lock().await = None;
        }
        result
    }

    async fn get_once(&self, path: &str) -> Result<Option<Value>, KvError> {
        let client = self.shared().await?;
        asked(client.sync(path)).await?.map_err(broke)?;
        Ok(tree::node(&client, path).await?.and_then(|node| node.value()))
    }

    async fn list_once(&self, top: &str) -> Result<Vec<(String, Value)>, KvError> {
        let client = self.shared().await?;
        asked(client.sync(top)).await?.map_err(broke)?;
        let nodes = tree::all(&client, top).await?;
        Ok(self.values(&nodes, top))
    }

    /// The keys among znodes, in order.
    fn values(&self, nodes: &tree::Nodes, top: &str) -> Vec<(String, Value)> {
        let below = nodes.iter().filter(|(path, _)| *path != top);
        let keys =
            below.filter_map(|(path, node)| Some((self.key(path)?.to_owned(), node.value()?)));
        let mut keys: Vec<_> = keys.collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        keys
    }
}

/// A value that is not too large.
fn check_value(bytes: &[u8]) -> Result<(), KvError> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(KvError::Refused(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

impl Kv for ZooKeeper {
    async fn get(&self, key: &str) -> Result<Option<Value>, KvError> {
        let path = self.path(key)?;
        self.done(self.get_once(&path).await).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>, KvError> {
        let top = self.top(prefix)?;
        self.done(self.list_once(&top).await).await
    }

    async fn put(&self, key: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        let path = self.path(key)?;
        check_value(bytes)?;
        self.done(self.put_once(&path, bytes, expect).await).await
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), KvError> {
        let path = self.path(key)?;
        self.done(self.delete_once(&path, expect).await).await
    }

    async fn follow(&self, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
        match self.top(prefix) {
            Ok(top) => follow::follow(self, &top, to).await,
            Err(error) => error,
        }
    }

    async fn hold(
        &self,
        key: &str,
        bytes: &[u8],
        ttl: Duration,
        told: mpsc::Sender<bool>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        let path = self.path(key)?;
        check_value(bytes)?;
        hold::hold(self, &path, bytes, ttl, told, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(root: &str) -> Result<ZooKeeper, KvError> {
        let servers = vec!["127.0.0.1:2181".to_owned()];
        ZooKeeper::new(Options { servers, root: root.to_owned(), auth: None })
    }

    #[test]
    fn keys_are_paths_below_the_root() {
        let kv = store("/baleen/services/").unwrap();
        assert_eq!(kv.path("web/a:1").unwrap(), "/baleen/services/web/a:1");
        assert_eq!(kv.key("/baleen/services/web/a:1"), Some("web/a:1"));
        assert_eq!(kv.key("/baleen/services"), None);
        assert_eq!(kv.key("/baleen/services-other/web"), None);
        assert_eq!(
            (kv.top("").unwrap(), kv.top("web").unwrap()),
            ("/baleen/services".into(), "/baleen/services/web".into())
        );
        let whole = store("/").unwrap();
        assert_eq!(
            (whole.top("").unwrap(), whole.path("web").unwrap()),
            ("/".into(), "/web".into())
        );
        assert_eq!(whole.key("/web"), Some("web"));
    }

    #[test]
    fn what_is_no_key_root_or_server_is_refused() {
        let kv = store("a").unwrap();
        for bad in ["", "/", "a//b", "/a", "a/", "..", "a/./b", "a\nb", "a\0"] {
            assert!(matches!(kv.path(bad), Err(KvError::Refused(_))), "{bad:?}");
        }
        assert!(store("/a//b").is_err() && store("a/../b").is_err());
        for bad in ["", "a,b", "a:1/b", "a b"] {
            let options = Options { servers: vec![bad.to_owned()], ..Options::default() };
            assert!(ZooKeeper::new(options).is_err(), "{bad:?}");
        }
        assert!(ZooKeeper::new(Options::default()).is_err());
    }
}
