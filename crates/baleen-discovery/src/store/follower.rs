//! A proxy that follows a namespace: which table it uses now, and what it says of a staged change.
//!
//! The last good table is kept, whatever becomes of the store: in memory, and in a file for the next start. A namespace that is
//! gone leaves it as it was, too. A store that is not heard for [`STUCK_AFTER`] is asked anew, as one that said it ended, after a
//! wait that grows.
//!
//! Not here: when a staged change is taken and left ([`super::staged`]), which calls failed (whoever gives `calls`), what is done
//! with a table. Tested: `follower/tests.rs`, and end to end with real stores.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Tick;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::staged::{Calls, Report, Taker, Turn};
use super::standing::Watched;
use super::{Heard, Record, Store};
use crate::backoff::Backoff;
use crate::kv::Kv;
use crate::registry::ALIVE_EVERY;

/// A store that says nothing for so long is asked anew.
pub const STUCK_AFTER: Duration = Duration::from_secs(3 * ALIVE_EVERY.as_secs());
/// How often calls are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a report is written anew.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long a report outlives its proxy.
const REPORT_TTL: Duration = Duration::from_secs(15);
/// Longest wait for a report to be taken away, and for a change to be withdrawn.
const DONE_WITHIN: Duration = Duration::from_secs(2);
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Who follows what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace.
    pub ns: String,
    /// This proxy's name, which no other has and which it keeps over a restart; anything but letters, digits, `.`, `_` and `-` is `-`.
    pub proxy: String,
    /// Where the last good table is kept.
    pub file: Option<PathBuf>,
    /// Where it is written down how the table stands.
    pub watched: Watched,
}

/// What whoever follows is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Now {
    /// This is the table now.
    Table {
        /// Its text.
        text: String,
        /// Its version; with a staged change that of the table it will replace.
        version: u64,
        /// The staged change that it is of.
        staged: Option<String>,
    },
    /// Something a person should know.
    Talk(String),
}

/// The table that was last good, from a file. There being none is no error.
///
/// # Errors
///
/// Why it can't be used.
pub fn last_good(file: &Path) -> Result<Option<Record>, String> {
    let bytes = match fs::read(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|e| e.to_string())?,
    };
    let (sum, rest) = bytes.split_at_checked(9).ok_or("it is cut off")?;
    if sum != format!("{:08x}\n", crc32fast::hash(rest)).as_bytes() {
        return Err("its checksum is wrong".to_owned());
    }
    Record::read(rest).map(Some)
}

/// Written beside and renamed: there is the old one or the new one.
fn keep(file: &Path, record: &Record) -> Result<(), String> {
    let record = Record { staged: None, ..record.clone() };
    let bytes = record.write()?;
    let beside = file.with_extension("new");
    let write = || -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut to = fs::File::create(&beside)?;
        writeln!(to, "{:08x}", crc32fast::hash(&bytes))?;
        to.write_all(&bytes)?;
        to.sync_all()?;
        fs::rename(&beside, file)
    };
    write().map_err(|e| e.to_string())
}

/// Follow a namespace as long as somebody listens. `calls`: all calls of this proxy since it started.
pub async fn follow<K: Kv>(
    store: Arc<Store<K>>,
    options: Options,
    calls: impl Fn() -> Calls,
    to: mpsc::Sender<Now>,
) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let proxy: String =
        options.proxy.chars().take(128).map(|c| if fits(c) { c } else { '-' }).collect();
    let mut follower = Follower {
        taker: Taker::new(proxy.clone()),
        proxy,
        store,
        options,
        calls,
        to,
        origin: Instant::now(),
        record: None,
        told: None,
        said: None,
        holding: None,
    };
    follower.run().await;
    follower.let_go().await;
}

struct Follower<K, C> {
    store: Arc<Store<K>>,
    options: Options,
    proxy: String,
    calls: C,
    to: mpsc::Sender<Now>,
    taker: Taker,
    origin: Instant,
    record: Option<Record>,
    /// The table that was told last, and the change it is of.
    told: Option<(String, Option<String>)>,
    /// What was said last of the store's trouble.
    said: Option<String>,
    holding: Option<Holding>,
}

/// A report that is kept in the store.
struct Holding {
    change: String,
    report: Report,
    since: Instant,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Nobody listens any more.
struct Deaf;

impl<K: Kv, C: Fn() -> Calls> Follower<K, C> {
    async fn run(&mut self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        while let Ok(why) = self.session(&mut backoff).await {
            if self.trouble(why).await.is_err() || self.pause(backoff.wait()).await.is_err() {
                return;
            }
        }
    }

    fn now(&self) -> Tick {
        Tick::ZERO + self.origin.elapsed()
    }

    /// Until something goes wrong: what.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<String, Deaf> {
        let (sender, mut events) = mpsc::channel(16);
        let store = Arc::clone(&self.store);
        let ns = self.options.ns.clone();
        let mut session = pin!(store.follow(&ns, sender));
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                Some(heard) = events.recv() => {
                    heard_at = Instant::now();
                    backoff.reset();
                    self.heard(heard).await?;
                }
                ended = &mut session => return Ok(ended.to_string()),
                _ = look.tick() => {
                    self.look().await?;
                    if heard_at.elapsed() >= STUCK_AFTER {
                        return Ok(format!("nothing is heard of the store for {STUCK_AFTER:?}"));
                    }
                }
            }
        }
    }

    /// A staged change goes on or ends meanwhile.
    async fn pause(&mut self, wait: Duration) -> Result<(), Deaf> {
        let mut over = pin!(sleep(wait));
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                _ = look.tick() => self.look().await?,
            }
        }
    }

    async fn say(&self, text: String) -> Result<(), Deaf> {
        self.to.send(Now::Talk(text)).await.map_err(|_| Deaf)
    }

    /// The same trouble is said once.
    async fn trouble(&mut self, why: String) -> Result<(), Deaf> {
        if self.said.as_ref() == Some(&why) {
            return Ok(());
        }
        self.options.watched.trouble(&why);
        let text = format!("table {}: {why}; the last good one is used", self.options.ns);
        self.said = Some(why);
        self.say(text).await
    }

    async fn heard(&mut self, heard: Heard) -> Result<(), Deaf> {
        self.options.watched.heard();
        match heard {
            Heard::Alive => return Ok(()),
            Heard::Wrong(why) => return self.trouble(why).await,
            Heard::Record(None) => {
                self.taker.saw(self.now(), None);
                self.trouble("there is none in the store".to_owned()).await?;
            }
            Heard::Record(Some(record)) => {
                self.said = None;
                self.options.watched.table(record.version);
                self.taker.saw(self.now(), record.staged.as_ref());
                let is_new = self.record.as_ref().is_none_or(|old| old.version != record.version);
                self.record = Some(*record);
                if is_new {
                    self.keep().await?;
                }
            }
        }
        self.look().await
    }

    async fn keep(&mut self) -> Result<(), Deaf> {
        let (Some(file), Some(record)) = (self.options.file.clone(), self.record.clone()) else {
            return Ok(());
        };
        let kept = tokio::task::spawn_blocking(move || keep(&file, &record)).await;
        match kept.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(()) => {
                self.options.watched.unkept(None);
                Ok(())
            }
            Err(why) => {
                self.options.watched.unkept(Some(&why));
                self.say(format!("table {}: it can't be kept on disk: {why}", self.options.ns))
                    .await
            }
        }
    }

    /// Look at calls, and at what follows from them. With nothing staged only now and then, to know what was before.
    async fn look(&mut self) -> Result<(), Deaf> {
        if self.to.is_closed() {
            return Err(Deaf);
        }
        let ns = self.options.ns.clone();
        let id = self.staged().map(|staged| staged.id.clone()).unwrap_or_default();
        let now = self.now();
        // To count calls is some work.
        let turn = match self.taker.wants(now) {
            true => self.taker.poll(now, (self.calls)()),
            false => None,
        };
        match turn {
            Some(Turn::Took) => {
                self.say(format!("table {ns}: the staged change {id} is taken")).await?
            }
            Some(Turn::Left(why)) => {
                self.options.watched.left(&why);
                self.say(format!("table {ns}: the staged change {id} is left: {why}")).await?;
            }
            Some(Turn::Withdraw(why)) => {
                self.options.watched.left(&why);
                self.say(format!("table {ns}: the staged change {id} is dropped: {why}")).await?;
                // Whoever else has it does the same, should this not come through.
                let _ = timeout(DONE_WITHIN, self.store.withdraw(&ns, &id)).await;
            }
            None => {}
        }
        self.watch();
        self.tell().await?;
        self.report().await;
        Ok(())
    }

    /// Write down what is staged.
    fn watch(&self) {
        let staged = self.staged();
        let used = staged.is_some_and(|staged| self.taker.uses() == Some(staged.id.as_str()));
        if self.record.is_some() {
            self.options.watched.staged(staged, used);
        }
    }

    fn staged(&self) -> Option<&super::Staged> {
        self.record.as_ref()?.staged.as_ref()
    }

    /// Say which table it is, if it is another.
    async fn tell(&mut self) -> Result<(), Deaf> {
        let Some(record) = &self.record else { return Ok(()) };
        let uses = self.taker.uses();
        let staged = record.staged.as_ref().filter(|staged| uses == Some(staged.id.as_str()));
        let text = staged.map(|s| &s.dtab).or(record.dtab.as_ref());
        let Some(text) = text else { return Ok(()) };
        let change = staged.map(|staged| staged.id.clone());
        if self.told.as_ref().is_some_and(|(old, of)| old == text && *of == change) {
            return Ok(());
        }
        let now =
            Now::Table { text: text.clone(), version: record.version, staged: change.clone() };
        self.told = Some((text.clone(), change));
        self.to.send(now).await.map_err(|_| Deaf)
    }

    /// Keep what there is to say of a staged change in the store.
    async fn report(&mut self) {
        let wanted = self.taker.report().map(|(change, report)| (change.to_owned(), report));
        let Some((change, report)) = wanted else {
            self.let_go().await;
            return;
        };
        let is_same = self.holding.as_ref().is_some_and(|held| {
            let is_soon = held.since.elapsed() < REPORT_EVERY && held.report.left == report.left;
            held.change == change && !held.task.is_finished() && (is_soon || held.report == report)
        });
        if is_same {
            return;
        }
        self.let_go().await;
        let key = Store::<K>::report_key(&self.options.ns, &change, &self.proxy);
        let (stop, stopped) = oneshot::channel();
        let (store, bytes) = (Arc::clone(&self.store), report.write());
        let task = tokio::spawn(async move {
            let (told, _told) = mpsc::channel(1);
            // One that can't be kept is tried anew at the next look.
            let _ = store.kv().hold(&key, &bytes, REPORT_TTL, told, stopped).await;
        });
        self.holding = Some(Holding { change, report, since: Instant::now(), stop, task });
    }

    async fn let_go(&mut self) {
        let Some(held) = self.holding.take() else { return };
        let _ = held.stop.send(());
        let mut task = held.task;
        if timeout(DONE_WITHIN, &mut task).await.is_err() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
