//! Following the keys below a prefix: a list at a revision, a watch from the next, and checks that both still say the same.
//!
//! A watch can be stuck: the connection stands and nothing comes, because a proxy between dropped it, or the member that serves it
//! lost the others. So every [`CHECK_EVERY`] an ordinary read asks how many keys there are and which was written last. A difference
//! may be under way; one that is still there at the next check, while the watch told nothing or what it should have told is
//! older than that, ends this.
//!
//! Not here: what ends it is begun anew by whoever asked. Tested: in `tests/etcd.rs`, and in `etcd/tests.rs` with a watch that is
//! stuck.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::answer::{self, Event, Kind, Range, Watched};
use super::call::unanswered;
use super::{Etcd, range, value};
use crate::http::Stream;
use crate::kv::{KEYS_MAX, KvError, KvEvent};

/// How often the store is asked whether the watch told all: two checks fit into `registry::ALIVE_EVERY`.
pub const CHECK_EVERY: Duration = Duration::from_millis(2_000);
/// A watch says at once that it has begun.
const BEGUN_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn follow(etcd: &Etcd, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
    match Following::begin(etcd, prefix, &to).await {
        Ok(following) => following.go(&to).await,
        Err(error) => error,
    }
}

struct Following<'a> {
    etcd: &'a Etcd,
    span: (Vec<u8>, Vec<u8>),
    watch: Stream,
    /// The keys there are, as far as the watch told.
    keys: HashSet<Vec<u8>>,
    /// The revision of the list.
    begun: u64,
    /// Of what the watch told, the last.
    told: u64,
    /// What the check before found missing.
    suspect: Option<Suspect>,
}

/// What the store had and the watch had not told.
struct Suspect {
    /// Which revision wrote the newest key.
    newest: u64,
    /// How far the watch was.
    told: u64,
}

impl<'a> Following<'a> {
    async fn begin(
        etcd: &'a Etcd,
        prefix: &str,
        to: &mpsc::Sender<KvEvent>,
    ) -> Result<Following<'a>, KvError> {
        let (found, revision) = etcd.list_at(prefix).await?;
        let span = etcd.span(prefix)?;
        let keys: HashSet<Vec<u8>> = found.iter().map(|kv| kv.key.clone()).collect();
        let told = found.iter().map(|kv| kv.mod_revision).max().unwrap_or(0);
        let mut all = Vec::with_capacity(found.len());
        for kv in found {
            all.push((etcd.relative(&kv.key)?, value(kv)));
        }
        say(to, KvEvent::All(all)).await?;
        let mut create = range(&span.0, Some(&span.1));
        create["start_revision"] = json!((revision + 1).to_string());
        create["progress_notify"] = json!(true);
        let body = json!({ "create_request": create });
        let watch = etcd.caller.open("/v3/watch", &body).await?;
        let mut following =
            Following { etcd, span, watch, keys, begun: revision, told, suspect: None };
        let first = match timeout(BEGUN_WITHIN, following.line()).await {
            Ok(first) => first?,
            Err(_) => return Err(KvError::Unreachable("the watch does not begin".to_owned())),
        };
        if !first.created && !first.canceled {
            return Err(KvError::Refused("the watch began with something else".to_owned()));
        }
        following.take(first, to).await?;
        Ok(following)
    }

    async fn go(mut self, to: &mpsc::Sender<KvEvent>) -> KvError {
        let (etcd, span) = (self.etcd, self.span.clone());
        loop {
            // Beside the watch, so that a check that takes long holds nothing up.
            let mut check = std::pin::pin!(check(etcd, &span));
            let went = loop {
                let line = tokio::select! {
                    biased;
                    () = to.closed() => return nobody(),
                    line = self.line() => line,
                    found = &mut check => break found,
                };
                let taken = match line {
                    Ok(line) => self.take(line, to).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = taken {
                    return error;
                }
            };
            let judged = match went {
                Ok(found) => self.judge(found, to).await,
                Err(error) => Err(error),
            };
            if let Err(error) = judged {
                return error;
            }
        }
    }

    async fn line(&mut self) -> Result<Watched, KvError> {
        let line = self.watch.line().await.map_err(unanswered)?;
        let line = line.ok_or_else(|| KvError::Unreachable("the watch ended".to_owned()))?;
        answer::read_line(&line).map_err(KvError::Refused)
    }

    /// What the watch told.
    async fn take(&mut self, watched: Watched, to: &mpsc::Sender<KvEvent>) -> Result<(), KvError> {
        if watched.compact_revision > 0 {
            let revision = watched.compact_revision;
            let why =
                format!("the history before revision {revision} was compacted: all is read anew");
            return Err(KvError::Refused(why));
        }
        if watched.canceled {
            let why = crate::http::brief(watched.cancel_reason.as_bytes());
            if why.contains("auth token") || why.contains("auth store is old") {
                self.etcd.caller.forget_token();
            }
            return Err(KvError::Refused(format!("the watch was ended: {why}")));
        }
        if watched.events.is_empty() {
            return Ok(());
        }
        // One key may be in it twice when the watch catches up: the last holds.
        let mut changed = BTreeMap::new();
        for Event { kind, kv } in watched.events {
            if kv.key < self.span.0 || kv.key >= self.span.1 {
                let key = super::shown(&kv.key);
                return Err(KvError::Refused(format!("the watch told of {key}, not asked for")));
            }
            self.told = self.told.max(kv.mod_revision);
            let name = self.etcd.relative(&kv.key)?;
            match kind {
                Kind::Delete => {
                    self.keys.remove(&kv.key);
                    changed.insert(name, None);
                }
                Kind::Put => {
                    self.keys.insert(kv.key.clone());
                    changed.insert(name, Some(value(kv)));
                }
            }
        }
        if self.keys.len() > KEYS_MAX {
            let below = super::shown(&self.span.0);
            let why = format!("there are more than {KEYS_MAX} keys below {below}");
            return Err(KvError::Refused(why));
        }
        say(to, KvEvent::Changed(changed.into_iter().collect())).await
    }

    /// Whether the store has what the watch told.
    async fn judge(&mut self, found: Found, to: &mpsc::Sender<KvEvent>) -> Result<(), KvError> {
        let Found { revision, newest, count } = found;
        if revision < self.begun {
            let begun = self.begun;
            let why = format!(
                "the store went back from revision {begun} to {revision}: all is read anew"
            );
            return Err(KvError::Refused(why));
        }
        if newest <= self.told && count == self.keys.len() as u64 {
            self.suspect = None;
            return say(to, KvEvent::Alive).await;
        }
        let told = self.told;
        if let Some(before) = self.suspect.replace(Suspect { newest, told })
            && (before.told == told || before.newest > told)
        {
            self.etcd.caller.avoid();
            let have = self.keys.len();
            let why = format!(
                "the watch is stuck: it told of {have} keys up to revision {told}, and the store has \
                 {count} up to revision {newest}"
            );
            return Err(KvError::Unreachable(why));
        }
        Ok(())
    }
}

/// What an ordinary read found.
struct Found {
    /// The store's revision.
    revision: u64,
    /// Which revision wrote the newest key.
    newest: u64,
    /// How many keys there are.
    count: u64,
}

/// After a while, ask.
async fn check(etcd: &Etcd, span: &(Vec<u8>, Vec<u8>)) -> Result<Found, KvError> {
    sleep(CHECK_EVERY).await;
    let mut body = range(&span.0, Some(&span.1));
    body["keys_only"] = json!(true);
    body["limit"] = json!("1");
    body["sort_target"] = json!("MOD");
    body["sort_order"] = json!("DESCEND");
    let bytes = match etcd.caller.ask("/v3/kv/range", &body, true).await {
        // This member may have lost the others: another one knows.
        Err(KvError::Unreachable(_)) => etcd.caller.ask("/v3/kv/range", &body, true).await?,
        other => other?,
    };
    let Range { header, kvs, count, .. } = answer::read_range(&bytes).map_err(KvError::Refused)?;
    let newest = kvs.first().map_or(0, |kv| kv.mod_revision);
    Ok(Found { revision: header.revision, newest, count })
}

async fn say(to: &mpsc::Sender<KvEvent>, event: KvEvent) -> Result<(), KvError> {
    to.send(event).await.map_err(|_| nobody())
}

fn nobody() -> KvError {
    KvError::Refused("nobody listens any more".to_owned())
}
