//! The names that are wanted, what is known of each, and when each is asked for next.
//!
//! Not here: asking (`ask.rs`), telling (`dns.rs`). Tested: below, and in `tests/dns.rs`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use baleen_config::Endpoint;
use tokio::time::Instant;

use super::ask::{Answer, Ask, Hosts, Outcome};
use super::name::{Wanted, parse};
use super::{FORGET_AFTER, NAMES_MAX};
use crate::backoff::Backoff;

/// The waits after what was no answer.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MOST: Duration = Duration::from_secs(30);
/// Most that is waited beyond a TTL.
const LATE_MAX: Duration = Duration::from_secs(30);

/// A service: its endpoints, or that there is none.
pub(super) type Set = Option<Vec<Endpoint>>;

/// All names.
#[derive(Debug)]
pub(super) struct Names {
    all: BTreeMap<String, Name>,
    /// An answer is kept at least so long, and at most so long.
    ttl: (Duration, Duration),
}

#[derive(Debug)]
struct Name {
    /// `None`: it is no name, and will never be one.
    what: Option<Wanted>,
    /// When somebody last wanted it.
    wanted: Instant,
    /// When it was last asked for.
    asked: Instant,
    due: Instant,
    asking: bool,
    /// It was asked for in this session, or needs no asking.
    tried: bool,
    /// What the last answer said; nothing before the first.
    known: Option<Set>,
    /// What of it was said.
    said: Option<Set>,
    /// The addresses of the last answer, by host.
    hosts: Hosts,
    /// What was wrong last.
    complaint: Option<String>,
    backoff: Backoff,
}

impl Name {
    fn new(what: Option<Wanted>, now: Instant) -> Name {
        let known = match &what {
            Some(Wanted::Addr(addr)) => {
                Some(Some(vec![Endpoint { addr: *addr, weight: 1, zone: 0 }]))
            }
            Some(_) => None,
            None => Some(None),
        };
        Name {
            what,
            wanted: now,
            asked: now,
            due: now,
            asking: false,
            tried: known.is_some(),
            known,
            said: None,
            hosts: Hosts::new(),
            complaint: None,
            backoff: Backoff::new(WAIT_FIRST, WAIT_MOST),
        }
    }

    fn is_asked(&self) -> bool {
        matches!(self.what, Some(Wanted::Host(..) | Wanted::Service(_)))
    }
}

impl Names {
    pub(super) fn new(ttl: (Duration, Duration)) -> Names {
        Names { all: BTreeMap::new(), ttl }
    }

    /// A session begins: everything is asked for at once, and nothing was said yet.
    pub(super) fn begin(&mut self, now: Instant) {
        for name in self.all.values_mut() {
            name.due = now;
            name.asking = false;
            name.tried = !name.is_asked();
            name.said = None;
            name.complaint = None;
            name.backoff.reset();
        }
    }

    /// Somebody wants a name.
    pub(super) fn want(&mut self, name: &str, now: Instant) -> Result<(), String> {
        if let Some(known) = self.all.get_mut(name) {
            known.wanted = now;
            if known.known == Some(None) {
                // Who asks for it again has not heard, or has forgotten.
                known.said = None;
            }
            return Ok(());
        }
        if is_too_long(name) {
            return Err("it is too long for a name in DNS".to_owned());
        }
        if self.all.len() >= NAMES_MAX {
            return Err(format!("{NAMES_MAX} names are asked for already"));
        }
        let parsed = parse(name);
        let refused = parsed.as_ref().err().cloned();
        self.all.insert(name.to_owned(), Name::new(parsed.ok(), now));
        refused.map_or(Ok(()), Err)
    }

    /// Whether each name was tried in this session.
    pub(super) fn tried(&self) -> bool {
        self.all.values().all(|name| name.tried)
    }

    /// Whether there is no name that DNS knows.
    pub(super) fn nothing_to_ask(&self) -> bool {
        !self.all.values().any(Name::is_asked)
    }

    /// All that is known and there; it counts as said.
    pub(super) fn known(&mut self) -> BTreeMap<String, Vec<Endpoint>> {
        let mut all = BTreeMap::new();
        for (key, name) in &mut self.all {
            let Some(Some(set)) = &name.known else { continue };
            all.insert(key.clone(), set.clone());
            name.said = name.known.clone();
        }
        all
    }

    /// What is known to be gone and was not said to be; it counts as said.
    pub(super) fn gone(&mut self) -> Vec<String> {
        let unsaid = |name: &Name| name.known == Some(None) && name.said != name.known;
        let gone = self.all.iter_mut().filter(|(_, name)| unsaid(name));
        gone.map(|(key, name)| {
            name.said = Some(None);
            key.clone()
        })
        .collect()
    }

    /// What is to be said of a name; it counts as said.
    pub(super) fn news(&mut self, name: &str) -> Option<Set> {
        let name = self.all.get_mut(name)?;
        if name.known == name.said {
            return None;
        }
        name.said = name.known.clone();
        name.known.clone()
    }

    /// When the next is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waits = |name: &&Name| name.is_asked() && !name.asking;
        self.all.values().filter(waits).map(|name| name.due).min()
    }

    /// One that is due, to be asked for.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(String, Ask)> {
        let due = |name: &Name| name.is_asked() && !name.asking && name.due <= now;
        let (key, name) = self.all.iter_mut().find(|(_, name)| due(name))?;
        name.asking = true;
        name.asked = now;
        let what = name.what.clone()?;
        Some((key.clone(), Ask { what, before: name.hosts.clone() }))
    }

    /// Takes an answer, or what is none; gives what is wrong when that is new.
    pub(super) fn learn(&mut self, name: &str, answer: Answer, now: Instant) -> Option<String> {
        let wait = answer.ttl.max(self.ttl.0).min(self.ttl.1);
        let name = self.all.get_mut(name)?;
        name.asking = false;
        name.tried = true;
        let good =
            matches!(answer.outcome, Outcome::Set(_) | Outcome::Gone) && answer.complaint.is_none();
        name.due = if good {
            name.backoff.reset();
            now + wait + late(wait)
        } else {
            now + name.backoff.wait().max(WAIT_FIRST / 2)
        };
        match answer.outcome {
            Outcome::Set(set) => {
                name.known = Some(Some(set));
                name.hosts = answer.hosts;
            }
            Outcome::Gone => {
                name.known = Some(None);
                name.hosts = Hosts::new();
            }
            Outcome::Failed => {}
        }
        if good && name.complaint.is_some() {
            // Said again, though it be the same: it is mended.
            name.said = None;
        }
        let new = answer.complaint != name.complaint;
        name.complaint = answer.complaint;
        name.complaint.clone().filter(|_| new)
    }

    /// Gives up what nobody wanted for long.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<String> {
        let old = |name: &Name| now.duration_since(name.wanted) >= FORGET_AFTER;
        let old: Vec<String> =
            self.all.iter().filter(|(_, name)| old(name)).map(|(key, _)| key.clone()).collect();
        self.all.retain(|key, _| !old.contains(key));
        old
    }

    /// Makes the one due that was asked for longest ago, so that something is heard.
    pub(super) fn hurry(&mut self, now: Instant) {
        let quiet = |name: &&mut Name| name.is_asked() && !name.asking && name.complaint.is_none();
        if let Some(name) = self.all.values_mut().filter(quiet).min_by_key(|name| name.asked) {
            name.due = name.due.min(now);
        }
    }
}

/// Whether it is longer than anything that is asked for, and not worth to be remembered.
pub(super) fn is_too_long(name: &str) -> bool {
    name.len() > 512
}

/// Up to a tenth more, never the same for two.
fn late(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    (wait / 10).min(LATE_MAX).mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{TTL_MAX, TTL_MIN};

    fn names() -> Names {
        Names::new((TTL_MIN, TTL_MAX))
    }

    fn answer(outcome: Outcome, ttl: u64, complaint: Option<&str>) -> Answer {
        let complaint = complaint.map(str::to_owned);
        Answer { outcome, ttl: Duration::from_secs(ttl), hosts: Hosts::new(), complaint }
    }

    fn asked(names: &mut Names, now: Instant) -> Option<String> {
        names.take_due(now).map(|(name, _)| name)
    }

    #[test]
    fn a_name_is_asked_for_again_when_its_ttl_ends() {
        let start = Instant::now();
        let mut names = names();
        names.want("web/80", start).unwrap();
        for (ttl, least, most) in [(0, 1, 2), (20, 20, 22), (600, 600, 630), (1 << 20, 3600, 3630)]
        {
            let now = names.next_due().unwrap();
            assert_eq!(asked(&mut names, now).as_deref(), Some("web/80"));
            assert_eq!(asked(&mut names, now), None, "it is asked for already");
            assert_eq!(
                names.learn("web/80", answer(Outcome::Set(Vec::new()), ttl, None), now),
                None
            );
            let wait = names.next_due().unwrap() - now;
            assert!(
                wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most),
                "{ttl}: {wait:?}"
            );
            assert_eq!(asked(&mut names, now + wait - Duration::from_millis(1)), None);
        }
    }

    #[test]
    fn how_long_an_answer_is_kept_can_be_told() {
        let now = Instant::now();
        let mut names = Names::new((Duration::from_secs(5), Duration::from_secs(60)));
        names.want("web/80", now).unwrap();
        for (ttl, least, most) in [(0, 5, 6), (20, 20, 22), (600, 60, 66)] {
            names.learn("web/80", answer(Outcome::Set(Vec::new()), ttl, None), now);
            let wait = names.next_due().unwrap() - now;
            assert!(
                wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most),
                "{ttl}: {wait:?}"
            );
        }
    }

    #[test]
    fn failures_keep_what_is_known_and_are_told_once() {
        let now = Instant::now();
        let mut names = names();
        names.want("web/80", now).unwrap();
        let fails = || answer(Outcome::Failed, 0, Some("SERVFAIL"));
        assert_eq!(names.learn("web/80", fails(), now).as_deref(), Some("SERVFAIL"));
        assert_eq!((names.news("web/80"), names.tried()), (None, true));
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(names.learn("web/80", fails(), now), None);
            waits.push(names.next_due().unwrap() - now);
        }
        assert!(
            waits[7] >= Duration::from_secs(15) && waits[7] <= Duration::from_secs(30),
            "{waits:?}"
        );
        names.learn("web/80", answer(Outcome::Set(Vec::new()), 5, None), now);
        assert_eq!(names.news("web/80"), Some(Some(Vec::new())));
        names.learn("web/80", fails(), now);
        assert_eq!(names.news("web/80"), None);
        names.learn("web/80", answer(Outcome::Set(Vec::new()), 5, None), now);
        assert_eq!(names.news("web/80"), Some(Some(Vec::new())), "that it is mended is said");
        names.learn("web/80", answer(Outcome::Gone, 5, None), now);
        assert_eq!(names.news("web/80"), Some(None));
    }

    #[test]
    fn what_nobody_wants_is_given_up_and_there_is_a_bound() {
        let now = Instant::now();
        let mut names = names();
        for n in 0..NAMES_MAX {
            names.want(&format!("h{n}/80"), now).unwrap();
        }
        assert!(names.want("one/80", now).unwrap_err().contains("1024 names"));
        names.want("h7/80", now + FORGET_AFTER / 2).unwrap();
        assert_eq!(names.forget(now + FORGET_AFTER - TTL_MIN), Vec::<String>::new());
        assert_eq!(names.forget(now + FORGET_AFTER).len(), NAMES_MAX - 1);
        names.want("one/80", now + FORGET_AFTER).unwrap();
        assert_eq!(names.all.keys().collect::<Vec<_>>(), ["h7/80", "one/80"]);
    }

    #[test]
    fn what_needs_no_asking_is_known_at_once() {
        let now = Instant::now();
        let mut names = names();
        names.want("127.0.0.1/80", now).unwrap();
        assert!(names.want("nonsense", now).is_err());
        assert!(names.tried() && names.nothing_to_ask() && names.next_due().is_none());
        assert_eq!(names.known().keys().collect::<Vec<_>>(), ["127.0.0.1/80"]);
        names.begin(now);
        assert_eq!(names.news("nonsense"), Some(None));
    }
}
