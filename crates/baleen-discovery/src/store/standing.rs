//! How the table that a proxy follows stands, for people and programs: which version is used and where it comes from, when the store
//! was last heard, and what became of a staged change here.
//!
//! Written by whoever follows ([`super::follower`]), read from any thread. Bounds: one change, texts of `WHY_BYTES_MAX` bytes.
//! Not here: how it is shown. Tested: with the follower, and end to end with real stores.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Staged;

/// Most bytes of a reason; what is beyond is cut off.
const WHY_BYTES_MAX: usize = 512;

/// How a table stands.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Standing {
    /// Its namespace.
    pub namespace: String,
    /// The version that is used; with a staged change on trial that of the table it will replace. None: there is no table.
    pub version: Option<u64>,
    /// It comes from the disk, and the store has not told one since the start.
    pub from_disk: bool,
    /// How long ago the store last answered; none when it has not since the start.
    pub heard: Option<Duration>,
    /// What is wrong with the store, or with what it says. None: it answers, and what it says is used.
    pub trouble: Option<String>,
    /// Why the last good table can't be kept on the disk.
    pub unkept: Option<String>,
    /// The staged change that is here, or was the last.
    pub staged: Option<Trial>,
}

impl Standing {
    /// The store answers, and what it says is used.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.heard.is_some() && self.trouble.is_none()
    }

    /// In words.
    #[must_use]
    pub fn in_words(&self) -> String {
        if self.is_fresh() {
            return "the store answers".to_owned();
        }
        let store = self.heard.map_or_else(
            || "the store has not answered since the start".to_owned(),
            |age| format!("the store last answered {} s ago", age.as_secs()),
        );
        let used = match (self.version, self.from_disk) {
            (None, _) => "only what the configuration says leads anywhere".to_owned(),
            (Some(version), true) => {
                format!("the last good table from the disk is used (version {version})")
            }
            (Some(version), false) => format!("the last good table is used (version {version})"),
        };
        let why = self.trouble.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("{store}, {used}{why}")
    }

    /// What a person should know, one line each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let store = (!self.is_fresh()).then(|| self.in_words());
        let staged = self.staged.as_ref().and_then(Trial::in_words);
        let unkept =
            self.unkept.as_ref().map(|why| format!("the table can't be kept on the disk: {why}"));
        store.into_iter().chain(staged).chain(unkept).collect()
    }
}

/// A staged change, and what became of it here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trial {
    /// Which change.
    pub change: String,
    /// Its step, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// Its table is used here.
    pub on_trial: bool,
    /// It was on trial here and was left: why. Remembered until there is another change or version.
    pub left: Option<String>,
}

impl Trial {
    /// In words; nothing when it has nothing to do with this proxy yet.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let Trial { change, step, steps, .. } = self;
        match &self.left {
            Some(why) => Some(format!("the staged change {change} was reverted here: {why}")),
            None if self.on_trial => Some(format!(
                "the staged change {change} is on trial here, at step {step} of {steps}"
            )),
            None => None,
        }
    }
}

/// A handle for whoever looks, and for whoever writes it down.
#[derive(Clone, Debug, Default)]
pub struct Watched(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    standing: Standing,
    heard: Option<Instant>,
}

impl Watched {
    /// Nothing is known of this namespace yet.
    #[must_use]
    pub fn new(namespace: &str) -> Watched {
        let watched = Watched::default();
        watched.known().standing.namespace = namespace.to_owned();
        watched
    }

    /// How it stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let known = self.known();
        Standing { heard: known.heard.map(|at| at.elapsed()), ..known.standing.clone() }
    }

    /// A table from the disk is used.
    pub fn from_disk(&self, version: u64) {
        let mut known = self.known();
        (known.standing.version, known.standing.from_disk) = (Some(version), true);
    }

    /// The store answered.
    pub fn heard(&self) {
        self.known().heard = Some(Instant::now());
    }

    /// The store answered with a good table.
    pub fn table(&self, version: u64) {
        let mut known = self.known();
        known.heard = Some(Instant::now());
        let standing = &mut known.standing;
        if standing.version != Some(version) {
            standing.staged = None;
        }
        standing.version = Some(version);
        (standing.from_disk, standing.trouble) = (false, None);
    }

    /// Something is wrong with the store, or with what it says.
    pub fn trouble(&self, why: &str) {
        self.known().standing.trouble = Some(cut(why));
    }

    pub(super) fn unkept(&self, why: Option<&str>) {
        self.known().standing.unkept = why.map(cut);
    }

    /// What is staged now, and whether it is used here.
    pub(super) fn staged(&self, staged: Option<&Staged>, used: bool) {
        let mut known = self.known();
        let old = known.standing.staged.take();
        known.standing.staged = match staged {
            Some(staged) => Some(Trial {
                change: staged.id.clone(),
                step: staged.step + 1,
                steps: staged.shares.len(),
                on_trial: used,
                left: old.filter(|old| old.change == staged.id).and_then(|old| old.left),
            }),
            // What was left here is worth knowing when it is over, too.
            None => {
                old.filter(|old| old.left.is_some()).map(|old| Trial { on_trial: false, ..old })
            }
        };
    }

    /// The staged change is left, if it was on trial here.
    pub(super) fn left(&self, why: &str) {
        if let Some(trial) = self.known().standing.staged.as_mut().filter(|trial| trial.on_trial) {
            (trial.on_trial, trial.left) = (false, Some(cut(why)));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(why: &str) -> String {
    let end = why.floor_char_boundary(WHY_BYTES_MAX);
    why.get(..end).unwrap_or_default().to_owned()
}
