//! Holding a key under a lease.
//!
//! The lease is renewed every third of its life, and it is looked whether the key is still bound to it: what somebody deleted, or
//! a store that forgot, is written again. A key that another holder took over with a lease of its own is left to that one as long
//! as it is there. At the end the lease is revoked, which takes the key away only while it is bound to it.
//!
//! Not here: what is held. Tested: in `tests/etcd.rs`.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::answer::{self, Lease, Range};
use super::{Etcd, encode, range};
use crate::backoff::Backoff;
use crate::kv::{KvError, VALUE_BYTES_MAX};

/// The shortest lease; etcd's own bound is near it.
const TTL_MIN: Duration = Duration::from_secs(1);
/// How long it is tried to take the key away.
const END_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn hold(
    etcd: &Etcd,
    key: &str,
    bytes: &[u8],
    ttl: Duration,
    told: mpsc::Sender<bool>,
    stop: oneshot::Receiver<()>,
) -> Result<(), KvError> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(KvError::Refused(format!("{} bytes are too many", bytes.len())));
    }
    let ttl = ttl.max(TTL_MIN);
    let mut holding = Holding {
        etcd,
        key: etcd.full(key)?,
        bytes,
        ttl,
        lease: None,
        alive: Instant::now(),
        told,
        said: None,
    };
    tokio::select! {
        biased;
        // That nobody can say it any more means the same.
        _ = stop => {}
        error = holding.keep() => return Err(error),
    }
    holding.end().await
}

struct Holding<'a> {
    etcd: &'a Etcd,
    key: Vec<u8>,
    bytes: &'a [u8],
    ttl: Duration,
    lease: Option<i64>,
    /// When the store last said that the lease lives.
    alive: Instant,
    told: mpsc::Sender<bool>,
    said: Option<bool>,
}

impl Holding<'_> {
    /// Until asking again can't mend it.
    async fn keep(&mut self) -> KvError {
        let most = (self.ttl / 3).max(Duration::from_millis(500));
        let mut backoff = Backoff::new(Duration::from_millis(100).min(most), most);
        loop {
            match self.once().await {
                Ok(()) => {
                    self.say(true);
                    backoff.reset();
                    sleep(self.ttl / 3).await;
                }
                Err(KvError::Unreachable(_) | KvError::Conflict) => {
                    if self.alive.elapsed() >= self.ttl || self.lease.is_none() {
                        self.say(false);
                    }
                    sleep(backoff.wait()).await;
                }
                Err(error @ KvError::Refused(_)) => return error,
            }
        }
    }

    /// Have a lease that lives, and the key bound to it.
    async fn once(&mut self) -> Result<(), KvError> {
        let began = Instant::now();
        if let Some(id) = self.lease {
            if self.renew(id).await? {
                self.alive = began;
            } else {
                self.lease = None;
                self.say(false);
            }
        }
        let id = match self.lease {
            Some(id) => {
                if self.is_there(id).await? {
                    return Ok(());
                }
                self.say(false);
                id
            }
            None => {
                let id = self.grant().await?;
                self.lease = Some(id);
                self.alive = began;
                id
            }
        };
        self.write(id).await
    }

    async fn grant(&self) -> Result<i64, KvError> {
        let seconds = self.ttl.as_millis().div_ceil(1000);
        let body = json!({ "TTL": seconds.to_string() });
        let bytes = self.etcd.caller.ask("/v3/lease/grant", &body, false).await?;
        let lease: Lease = answer::read(&bytes).map_err(KvError::Refused)?;
        if lease.id == 0 || lease.ttl <= 0 {
            return Err(KvError::Unreachable("it gave no lease".to_owned()));
        }
        Ok(lease.id)
    }

    /// Whether the lease lived and lives on.
    async fn renew(&self, id: i64) -> Result<bool, KvError> {
        let body = json!({ "ID": id.to_string() });
        let bytes = self.etcd.caller.ask("/v3/lease/keepalive", &body, true).await?;
        let lease: Lease = answer::read_line(&bytes).map_err(KvError::Unreachable)?;
        Ok(lease.ttl > 0)
    }

    /// Whether the key is bound to this lease, or to that of another holder.
    async fn is_there(&self, id: i64) -> Result<bool, KvError> {
        let mut body = range(&self.key, None);
        body["keys_only"] = json!(true);
        let bytes = self.etcd.caller.ask("/v3/kv/range", &body, true).await?;
        let found: Range = answer::read_range(&bytes).map_err(KvError::Refused)?;
        Ok(found.kvs.iter().any(|kv| kv.lease == id || kv.lease != 0))
    }

    async fn write(&mut self, id: i64) -> Result<(), KvError> {
        let body = json!({
            "key": encode(&self.key), "value": encode(self.bytes), "lease": id.to_string()
        });
        match self.etcd.written("/v3/kv/put", &body, true).await {
            Ok(_) => Ok(()),
            Err(KvError::Refused(why)) if why.contains("lease not found") => {
                self.lease = None;
                Err(KvError::Unreachable(why))
            }
            Err(error) => Err(error),
        }
    }

    /// Give it up, and the key with it.
    async fn end(&mut self) -> Result<(), KvError> {
        let Some(id) = self.lease else { return Ok(()) };
        let body = json!({ "ID": id.to_string() });
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut last = "no answer".to_owned();
        let trying = async {
            loop {
                match self.etcd.caller.ask("/v3/lease/revoke", &body, true).await {
                    Err(KvError::Unreachable(why)) => last = why,
                    // It has ended by itself.
                    Err(KvError::Refused(why)) if why.contains("lease not found") => return Ok(()),
                    other => return other.map(|_| ()),
                }
                sleep(backoff.wait()).await;
            }
        };
        timeout(END_WITHIN, trying).await.unwrap_or_else(|_| {
            let ttl = self.ttl;
            let why = format!("it could not be taken away, and ends by itself in {ttl:?}: {last}");
            Err(KvError::Unreachable(why))
        })
    }

    fn say(&mut self, there: bool) {
        // Somebody who does not listen for a while is told later.
        if self.said != Some(there) && self.told.try_send(there).is_ok() {
            self.said = Some(there);
        }
    }
}
