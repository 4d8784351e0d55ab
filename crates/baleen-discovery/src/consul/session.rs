//! One session with Consul: who is asked next, and what of the answers is news.
//!
//! Not here: single queries (`poll.rs`). Tested: in `tests/consul.rs`, what is arithmetic below.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use baleen_config::Endpoint;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::answer::{Next, Refused};
use super::poll::{Asker, Heard, Pace, Query};
use super::{QUERIES_MAX, ROUND, Times};
use crate::registry::{Ended, Report, Reports, SERVICES_MAX};

/// Shortest wait of a blocking query.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// What one of the queries brought.
enum Came {
    Services(Heard<Vec<String>>),
    Health(String, u64, Heard<Vec<Endpoint>>),
    Leader,
}

/// What is known of a service.
#[derive(Debug)]
struct Known {
    /// Tells a service from one of the same name that is gone.
    birth: u64,
    index: u64,
    pace: Pace,
    /// Nothing before the first answer.
    endpoints: Option<Vec<Endpoint>>,
    refused: Vec<Refused>,
    /// The query that is under way.
    asking: Option<AbortHandle>,
}

/// One session.
pub(super) struct Session<'a> {
    asker: Arc<Asker>,
    to: &'a Reports,
    times: Times,
    /// Queries under way; dropped, they end.
    asking: JoinSet<Result<Came, Ended>>,
    /// How many of them are for services.
    flying: usize,
    services: BTreeMap<String, Known>,
    /// Services whose turn it is, with their birth.
    turn: VecDeque<(String, u64)>,
    /// How many have not been heard of.
    unheard: usize,
    births: u64,
    /// All was told once.
    told: bool,
    index: u64,
    pace: Pace,
    refused: Vec<Refused>,
    /// Whether it was said that the token does not see everything.
    filtered: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(asker: Arc<Asker>, to: &'a Reports, times: Times) -> Session<'a> {
        Session {
            asker,
            to,
            times,
            asking: JoinSet::new(),
            flying: 0,
            services: BTreeMap::new(),
            turn: VecDeque::new(),
            unheard: 0,
            births: 0,
            told: false,
            index: 0,
            pace: Pace::new(Instant::now()),
            refused: Vec::new(),
            filtered: false,
        }
    }

    pub(super) async fn follow(mut self) -> Result<Infallible, Ended> {
        self.ask_services();
        let alive = self.times.alive;
        let mut beat = interval_at(Instant::now() + alive, alive);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beating = false;
        loop {
            tokio::select! {
                came = self.asking.join_next() => match came {
                    Some(Ok(came)) => {
                        let came = came?;
                        beating &= !matches!(came, Came::Leader);
                        self.came(came).await?;
                    }
                    // Only queries for services that are gone are given up.
                    Some(Err(error)) => self.given_up(&error)?,
                    None => return Err(Ended("nothing is being asked".to_owned())),
                },
                _ = beat.tick(), if !beating => {
                    beating = true;
                    let asker = Arc::clone(&self.asker);
                    self.asking.spawn(async move { asker.leader().await.map(|()| Came::Leader) });
                }
            }
        }
    }

    fn given_up(&mut self, error: &JoinError) -> Result<(), Ended> {
        if !error.is_cancelled() {
            return Err(Ended(format!("a query broke: {error}")));
        }
        self.flying = self.flying.saturating_sub(1);
        self.ask_in_turn();
        Ok(())
    }

    async fn came(&mut self, came: Came) -> Result<(), Ended> {
        match came {
            Came::Services(heard) => {
                self.services_came(heard).await?;
                self.ask_services();
                self.ask_in_turn();
                self.tell_all().await
            }
            Came::Health(name, birth, heard) => {
                self.flying = self.flying.saturating_sub(1);
                let changed = self.health_came(&name, birth, heard).await?;
                self.ask_in_turn();
                match changed {
                    Some(set) if self.told => {
                        self.to.say(Report::Changed(vec![(name, Some(set))])).await
                    }
                    _ => self.tell_all().await,
                }
            }
            // Before everything is known, too: however long that takes, it is not stuck.
            Came::Leader => self.to.say(Report::Alive).await,
        }
    }

    /// The list of services: who is new, who is gone.
    async fn services_came(&mut self, heard: Heard<Vec<String>>) -> Result<(), Ended> {
        if heard.idle {
            self.pace.idle_answer();
        }
        match heard.next {
            Next::Reset => {
                self.index = 0;
                return Ok(());
            }
            Next::After { index, .. } => self.index = index,
        }
        let mut refused = heard.refused;
        let mut names = heard.value;
        if let Some(first) = names.get(SERVICES_MAX) {
            let over = names.len() - SERVICES_MAX;
            let why = format!("{over} services from here on are left out: at most {SERVICES_MAX}");
            refused.push((first.clone(), why));
            names.truncate(SERVICES_MAX);
        }
        if heard.filtered && !self.filtered {
            self.filtered = true;
            let why = "the token may not read all of it; what it does not see is not there";
            let key = "/v1/catalog/services".to_owned();
            self.to.say(Report::Refused { key, why: why.to_owned() }).await?;
        }
        let last = std::mem::replace(&mut self.refused, refused);
        for (key, why) in self.refused.iter().filter(|r| !last.contains(r)).cloned() {
            self.to.say(Report::Refused { key, why }).await?;
        }
        let gone = self.take_out(&names);
        for name in names {
            if !self.services.contains_key(&name) {
                self.put_in(name);
            }
        }
        if self.told && !gone.is_empty() {
            self.to.say(Report::Changed(gone)).await?;
        }
        Ok(())
    }

    fn take_out(&mut self, names: &[String]) -> Vec<(String, Option<Vec<Endpoint>>)> {
        let mut gone = Vec::new();
        let unheard = &mut self.unheard;
        self.services.retain(|name, known| {
            let stays = names.binary_search(name).is_ok();
            if !stays {
                if let Some(asking) = &known.asking {
                    asking.abort();
                }
                match known.endpoints {
                    Some(_) => gone.push((name.clone(), None)),
                    None => *unheard -= 1,
                }
            }
            stays
        });
        let services = &self.services;
        self.turn.retain(|(name, birth)| services.get(name).is_some_and(|k| k.birth == *birth));
        gone
    }

    fn put_in(&mut self, name: String) {
        self.births += 1;
        let birth = self.births;
        let known = Known {
            birth,
            index: 0,
            pace: Pace::new(Instant::now()),
            endpoints: None,
            refused: Vec::new(),
            asking: None,
        };
        self.turn.push_front((name.clone(), birth));
        self.services.insert(name, known);
        self.unheard += 1;
    }

    /// What a service has now, if that is new.
    async fn health_came(
        &mut self,
        name: &str,
        birth: u64,
        heard: Heard<Vec<Endpoint>>,
    ) -> Result<Option<Vec<Endpoint>>, Ended> {
        let Some(known) = self.services.get_mut(name).filter(|k| k.birth == birth) else {
            return Ok(None);
        };
        known.asking = None;
        self.turn.push_back((name.to_owned(), birth));
        if heard.idle {
            known.pace.idle_answer();
        }
        match heard.next {
            Next::Reset => {
                known.index = 0;
                return Ok(None);
            }
            Next::After { index, .. } => known.index = index,
        }
        let last = std::mem::replace(&mut known.refused, heard.refused);
        for (key, why) in known.refused.iter().filter(|r| !last.contains(r)) {
            let (key, why) = (format!("{name}: {key}"), why.clone());
            self.to.say(Report::Refused { key, why }).await?;
        }
        if known.endpoints.is_none() {
            self.unheard -= 1;
        }
        if known.endpoints.as_ref() == Some(&heard.value) {
            return Ok(None);
        }
        known.endpoints = Some(heard.value.clone());
        Ok(Some(heard.value))
    }

    /// Everything, as soon as all of it is known.
    async fn tell_all(&mut self) -> Result<(), Ended> {
        if self.told || self.unheard > 0 || self.index == 0 {
            return Ok(());
        }
        self.told = true;
        let set = |(name, known): (&String, &Known)| Some((name.clone(), known.endpoints.clone()?));
        self.to.say(Report::All(self.services.iter().filter_map(set).collect())).await
    }

    fn ask_services(&mut self) {
        let delay = self.pace.next(Instant::now());
        let query = Query { index: self.index, wait: self.times.wait, delay };
        let asker = Arc::clone(&self.asker);
        self.asking.spawn(async move { asker.services(query).await.map(Came::Services) });
    }

    fn ask_in_turn(&mut self) {
        let wait = wait(self.times.wait, self.services.len());
        while self.flying < QUERIES_MAX
            && let Some((name, birth)) = self.turn.pop_front()
        {
            let Some(known) = self.services.get_mut(&name).filter(|k| k.birth == birth) else {
                continue;
            };
            let query = Query { index: known.index, wait, delay: known.pace.next(Instant::now()) };
            let asker = Arc::clone(&self.asker);
            let asking = self.asking.spawn(async move {
                let heard = asker.health(&name, query).await?;
                Ok(Came::Health(name, birth, heard))
            });
            known.asking = Some(asking);
            self.flying += 1;
        }
    }
}

/// How long a query for one of so many services may wait, so that all have their turn.
fn wait(longest: Duration, services: usize) -> Duration {
    if services <= QUERIES_MAX {
        return longest;
    }
    let share = QUERIES_MAX as f64 / services as f64;
    ROUND.mul_f64(share).max(WAIT_MIN).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_services_get_shorter_waits() {
        let minute = Duration::from_secs(60);
        assert_eq!(wait(minute, QUERIES_MAX), minute);
        assert_eq!(wait(minute, QUERIES_MAX * 2), ROUND / 2);
        assert_eq!(wait(minute, QUERIES_MAX * 1000), WAIT_MIN);
        assert_eq!(wait(WAIT_MIN / 2, QUERIES_MAX * 2), WAIT_MIN / 2);
    }
}
