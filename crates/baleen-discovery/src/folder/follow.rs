//! Follows the files: the kernel says when a writer let go of the lock, and a slow look finds what it does not say (a file that
//! was deleted by hand, a held key whose time is over, a file system that does not tell).
//!
//! A look compares how files look and reads those that differ. While nobody takes what is said nothing piles up: the next look
//! finds the newest state. Not here: reading (`store.rs`). Tested: in `tests/folder.rs`.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Folder;
use super::store::{Keys, LOCK};
use crate::files::inotify::Inotify;
use crate::kv::{KvError, KvEvent, Value};

/// How often to look without being told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to say that nothing changed.
const ALIVE_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn follow(folder: &Folder, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
    match run(folder, prefix, &to).await {
        Err(error) => error,
        Ok(()) => KvError::Unreachable("nobody listens any more".to_owned()),
    }
}

async fn run(folder: &Folder, prefix: &str, to: &mpsc::Sender<KvEvent>) -> Result<(), KvError> {
    // Before the first look, so that nothing falls between.
    let mut inotify = Inotify::new(&folder.0.root).ok();
    let mut seen = look(folder, prefix, Keys::new()).await?.1;
    let all = seen.iter().map(|(key, seen)| (key.clone(), seen.value.clone())).collect();
    let mut event = Some(KvEvent::All(all));
    let mut said = Instant::now();
    loop {
        if let Some(event) = event.take() {
            if to.send(event).await.is_err() {
                return Ok(());
            }
            said = Instant::now();
        }
        tokio::select! {
            () = to.closed() => return Ok(()),
            () = told(&mut inotify) => {}
            () = sleep(LOOK_EVERY) => {}
        }
        if inotify.is_none() {
            inotify = Inotify::new(&folder.0.root).ok();
        }
        let (before, now) = look(folder, prefix, seen).await?;
        let changes = changes(&before, &now);
        seen = now;
        event = match changes.is_empty() {
            false => Some(KvEvent::Changed(changes)),
            true => (said.elapsed() >= ALIVE_AFTER).then_some(KvEvent::Alive),
        };
    }
}

/// Looks at all; gives back what was before.
async fn look(folder: &Folder, prefix: &str, before: Keys) -> Result<(Keys, Keys), KvError> {
    let prefix = prefix.to_owned();
    let look = move |store: &super::Store| {
        let now = store.scan(&prefix, &before)?;
        Ok((before, now))
    };
    folder.work(look).await
}

/// What is new, other, or gone, in the order of the keys.
fn changes(before: &Keys, now: &Keys) -> Vec<(String, Option<Value>)> {
    let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
    let other =
        now.iter().filter(|(key, seen)| before.get(*key).map(|b| &b.value) != Some(&seen.value));
    let other = other.map(|(key, seen)| (key.clone(), Some(seen.value.clone())));
    let mut changes: Vec<_> = gone.chain(other).collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes
}

/// Until the kernel says that a writer is done; never, when it does not tell.
async fn told(inotify: &mut Option<Inotify>) {
    loop {
        let Some(watch) = inotify.as_ref() else { return std::future::pending().await };
        match watch.events().await {
            Ok(events) if events.folder => *inotify = None,
            Ok(events) if events.all || events.names.contains(LOCK) => return,
            Ok(_) => {}
            Err(_) => *inotify = None,
        }
    }
}
