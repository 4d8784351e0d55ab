//! A session with ZooKeeper: made within a bound, asked within a bound; and what its errors mean for us.
//!
//! Not here: what is asked. Tested: in `tests/zookeeper.rs`.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client as zk;

use super::{ANSWER_MAX, ZooKeeper};
use crate::kv::KvError;

impl ZooKeeper {
    /// A new session; the server gives it up when it heard nothing for `ttl` (within what the server allows).
    pub(super) async fn connect(&self, ttl: Duration) -> Result<zk::Client, KvError> {
        let mut connector = zk::Client::connector().with_session_timeout(ttl).with_fail_eagerly();
        if let Some((scheme, secret)) = &self.options.auth {
            connector = connector.with_auth(scheme, secret.as_bytes());
        }
        let at = &self.cluster;
        match timeout(ANSWER_MAX, connector.connect(&self.cluster)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(e @ (zk::Error::AuthFailed | zk::Error::BadArguments(_)))) => {
                Err(KvError::Refused(format!("ZooKeeper at {at}: {e}")))
            }
            Ok(Err(e)) => {
                Err(KvError::Unreachable(format!("no session with ZooKeeper at {at}: {e}")))
            }
            Err(_) => Err(KvError::Unreachable(format!(
                "no session with ZooKeeper at {at} within {ANSWER_MAX:?}"
            ))),
        }
    }

    /// Who may do what with what we write.
    pub(super) fn acls(&self) -> zk::Acls<'static> {
        match self.options.auth {
            None => zk::Acls::anyone_all(),
            Some(_) => zk::Acls::new(owned()),
        }
    }
}

/// Who wrote it may do all; everybody may read.
fn owned() -> &'static [zk::Acl] {
    static OWNED: std::sync::OnceLock<[zk::Acl; 2]> = std::sync::OnceLock::new();
    OWNED.get_or_init(|| {
        [
            zk::Acl::new(zk::Permission::ALL, zk::AuthId::new("auth", "")),
            zk::Acl::new(zk::Permission::READ, zk::AuthId::new("world", "anyone")),
        ]
    })
}

/// An answer within the bound.
pub(super) async fn asked<T>(answer: impl Future<Output = T>) -> Result<T, KvError> {
    let late = |_| KvError::Unreachable(format!("ZooKeeper did not answer within {ANSWER_MAX:?}"));
    timeout(ANSWER_MAX, answer).await.map_err(late)
}

/// What an error that is no answer means: asking again may help, or not.
pub(super) fn broke(error: zk::Error) -> KvError {
    use zk::Error as E;
    match error {
        E::NoHosts
        | E::Timeout
        | E::SessionExpired
        | E::SessionMoved
        | E::ConnectionLoss
        | E::ClientClosed
        | E::Throttled
        | E::NotReadOnly
        | E::RuntimeInconsistent
        | E::Custom(_) => KvError::Unreachable(format!("ZooKeeper: {error}")),
        error => KvError::Refused(format!("ZooKeeper: {error}")),
    }
}
