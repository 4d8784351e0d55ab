//! One session with an API server: a list, then watches, and a question now and then whether it answers.
//!
//! Not here: what lists and lines mean (`slice.rs`), slices put together (`join.rs`). Tested: in `tests/kubernetes.rs`.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::join::{Join, Outcome};
use super::slice::{self, Event, Refused};
use super::{Kubernetes, PAGE, PAGES_MAX};
use crate::http::{Request, Stream, brief};
use crate::registry::{Ended, Report, Reports};
use crate::settle::encode;

/// Most bytes of a page, and of a line of a watch.
const PAGE_BYTES_MAX: usize = 64 << 20;
const LINE_BYTES_MAX: usize = 4 << 20;
/// How often a list is begun anew because what it began with is forgotten before its last page.
const LISTS_MAX: usize = 3;
/// How often in a row it is listed again because what was listed is forgotten before it can be watched.
const IN_VAIN_MAX: usize = 5;
/// Watches are not begun more often.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Only what every list has.
const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// How a watch ended.
enum Over {
    /// As it should: go on from where it was.
    Time,
    /// What it was to go on from is gone.
    Expired,
}

/// One session.
pub(super) struct Session<'a> {
    api: &'a Kubernetes,
    to: &'a Reports,
    beat: Interval,
    /// At most one question whether the server answers.
    beats: JoinSet<Result<(), Ended>>,
    join: Join,
}

impl<'a> Session<'a> {
    pub(super) fn new(api: &'a Kubernetes, to: &'a Reports) -> Session<'a> {
        let alive = api.times.alive;
        let mut beat = interval_at(Instant::now() + alive, alive);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Session { api, to, beat, beats: JoinSet::new(), join: Join::default() }
    }

    pub(super) async fn follow(mut self) -> Result<Infallible, Ended> {
        let mut in_vain = 0;
        while in_vain < IN_VAIN_MAX {
            let begun = Instant::now();
            let listed = self.list().await?;
            let mut version = listed.clone();
            while let Over::Time = self.watch(&mut version).await? {}
            in_vain = if version == listed { in_vain + 1 } else { 0 };
            self.rest_until(begun + WATCH_EVERY).await?;
        }
        Err(self.api.ended("it forgets what it lists before it can be watched (410)"))
    }

    /// All slices, told; and the version from which to watch.
    async fn list(&mut self) -> Result<String, Ended> {
        for _ in 0..LISTS_MAX {
            if let Some(version) = self.list_once().await? {
                let (all, refused) = self.join.all();
                self.to.say(all).await?;
                self.refuse(refused).await?;
                return Ok(version);
            }
        }
        Err(self.api.ended("listing takes longer than it keeps what it began with (410)"))
    }

    /// Nothing when what the list began with is gone.
    async fn list_once(&mut self) -> Result<Option<String>, Ended> {
        self.join = Join::default();
        let mut left_out = Vec::new();
        let mut version: Option<String> = None;
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut path = format!("{}?limit={PAGE}", self.api.path);
            if let Some(next) = &next {
                path.push_str("&continue=");
                encode(next, &mut path);
            }
            let answer = self.api.get(Request::get(path).most(PAGE_BYTES_MAX)).await?;
            match answer.status {
                200 => {}
                410 => return Ok(None),
                _ => return Err(self.api.refusal(&answer)),
            }
            let page = slice::page(&answer.body).map_err(|why| self.api.ended(&why))?;
            self.refuse(page.refused).await?;
            for slice in page.slices {
                let refused = self.join.add(slice);
                left_out.extend(refused.filter(|_| left_out.len() < slice::REFUSED_MAX));
            }
            // A watch from the first page's version brings whatever the later ones may have missed.
            let version = version.get_or_insert(page.version);
            next = page.next;
            if next.is_none() {
                let version = std::mem::take(version);
                left_out.extend(self.join.finish().refused);
                self.refuse(left_out).await?;
                return Ok(Some(version));
            }
            // However many pages there are, it is not stuck.
            self.to.say(Report::Alive).await?;
        }
        Err(self.api.ended(&format!("its list has more than {PAGES_MAX} pages")))
    }

    /// One watch, from `version`, which moves with what is heard.
    async fn watch(&mut self, version: &mut String) -> Result<Over, Ended> {
        let begun = Instant::now();
        let seconds = self.api.times.watch.as_secs().max(1);
        let mut path = format!("{}?watch=1&allowWatchBookmarks=true", self.api.path);
        path.push_str(&format!("&timeoutSeconds={seconds}&resourceVersion="));
        encode(version, &mut path);
        let request = Request::get(path).most(LINE_BYTES_MAX);
        let stream = self.api.http.open(request).await.map_err(|e| Ended(e.to_string()))?;
        let mut stream = match stream.status {
            200 => stream,
            410 => return Ok(Over::Expired),
            _ => {
                let answer = stream.whole(self.api.times.slack).await;
                return Err(self.api.refusal(&answer.map_err(|e| Ended(e.to_string()))?));
            }
        };
        let end = begun + Duration::from_secs(seconds) + self.api.times.slack;
        let over = self.heed(&mut stream, version, end).await?;
        drop(stream);
        if let Over::Time = over {
            self.rest_until(begun + WATCH_EVERY).await?;
        }
        Ok(over)
    }

    /// What a watch says, until it is over.
    async fn heed(
        &mut self,
        stream: &mut Stream,
        version: &mut String,
        end: Instant,
    ) -> Result<Over, Ended> {
        loop {
            tokio::select! {
                line = stream.line() => {
                    let line = line.map_err(|e| Ended(e.to_string()))?;
                    let Some(line) = line else { return Ok(Over::Time) };
                    let event = slice::event(&line);
                    let event = event.map_err(|why| {
                        self.api.ended(&format!("{why}: {}", brief(&line)))
                    })?;
                    if let Some(over) = self.event(event, version).await? {
                        return Ok(over);
                    }
                }
                () = sleep_until(end) => return Err(self.api.ended("a watch did not end in time")),
                done = self.beats.join_next(), if !self.beats.is_empty() => self.beaten(done).await?,
                _ = self.beat.tick(), if self.beats.is_empty() => self.ask_alive(),
            }
        }
    }

    /// Between watches.
    async fn rest_until(&mut self, until: Instant) -> Result<(), Ended> {
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                done = self.beats.join_next(), if !self.beats.is_empty() => self.beaten(done).await?,
            }
        }
    }

    async fn event(
        &mut self,
        event: Option<Event>,
        version: &mut String,
    ) -> Result<Option<Over>, Ended> {
        let Some(event) = event else { return Ok(None) };
        match event {
            Event::Put { version: at, slice, refused } => {
                *version = at;
                self.refuse(refused).await?;
                let outcome = self.join.put(slice);
                self.tell(outcome).await?;
            }
            Event::Gone { version: at, key } => {
                *version = at;
                let outcome = self.join.gone(&key);
                self.tell(outcome).await?;
            }
            Event::Bookmark { version: at } => {
                *version = at;
                self.to.say(Report::Alive).await?;
            }
            Event::Expired => return Ok(Some(Over::Expired)),
            Event::Error(why) => return Err(self.api.ended(&why)),
        }
        Ok(None)
    }

    async fn tell(&mut self, outcome: Outcome) -> Result<(), Ended> {
        self.refuse(outcome.refused).await?;
        if outcome.crowded {
            let (all, refused) = self.join.all();
            self.to.say(all).await?;
            return self.refuse(refused).await;
        }
        if outcome.changed.is_empty() {
            return Ok(());
        }
        self.to.say(Report::Changed(outcome.changed)).await
    }

    async fn refuse(&self, refused: impl IntoIterator<Item = Refused>) -> Result<(), Ended> {
        for (key, why) in refused {
            self.to.say(Report::Refused { key, why }).await?;
        }
        Ok(())
    }

    /// Ask for as little as can be asked for.
    fn ask_alive(&mut self) {
        let api = self.api.clone();
        self.beats.spawn(async move {
            let request = Request::get(format!("{}?limit=1", api.path));
            let request = request.field("accept", METADATA_ONLY).within(api.times.slack);
            let answer = api.get(request).await?;
            match answer.status {
                200 => slice::any_list(&answer.body).map_err(|why| api.ended(&why)),
                _ => Err(api.refusal(&answer)),
            }
        });
    }

    async fn beaten(
        &mut self,
        done: Option<Result<Result<(), Ended>, tokio::task::JoinError>>,
    ) -> Result<(), Ended> {
        match done {
            Some(Ok(answered)) => answered?,
            Some(Err(error)) => return Err(Ended(format!("a question broke: {error}"))),
            None => return Ok(()),
        }
        self.to.say(Report::Alive).await
    }
}
