//! Logical names to what they are bound to, in each worker by itself: evaluated when first asked for, kept while it is used.
//!
//! ```text
//! name, the request's own table --Binder--> Binding { route, target } + a lease on the target + what is sent on
//! ```
//!
//! Kept is what a name without a table of its own leads to, and, in another table of rows, what a name with one does. A row is good for
//! one generation of the directory and is evaluated anew by the first request after that; a tree that is the same keeps its
//! target. Policy hears of new targets as an input like any other, so that recordings replay.
//!
//! A name without settings of its own uses those of the rest, and the control side is asked once to give it some, if it means something
//! by itself: where a prefix or a `*` takes whatever callers say, what they say gets no settings. A name whose
//! place is not decided yet waits for a newer directory; the control side is asked to find it out. Asking never waits: what
//! finds the way full is asked by the next request.
//!
//! **Bounds**, for each worker: [`NAMES_KEPT`] names, [`OVERRIDDEN_KEPT`] names with tables, the least recently used goes;
//! targets are shared by trees that are the same and freed with their last row and call, at most `WORKER_TARGETS_MAX` (what comes
//! then is refused); [`WAITING_MAX`] requests wait, none longer than it may; [`ASKS_MAX`] questions wait.
//! Names that lead nowhere are not kept.
//!
//! Not here: delegation (`baleen-names`), where places come from (`directory`). Tested: `names/tests.rs`.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use baleen_base::{ClusterId, RouteId, TargetId};
use baleen_names::Path;
use baleen_policy::{Input, Target};
use tokio::sync::{Notify, mpsc};

use crate::directory::{MountKind, Places};
use crate::driver::Driver;
use crate::hash::stable;

pub mod carried;
mod resolve;
mod table;
mod targets;

pub use carried::Carried;
pub use resolve::{LEAVES_MAX, Nowhere, OVERRIDDEN_LEAVES_MAX, Resolved, resolve};
use table::Table;
use targets::{Held, Targets};

/// Most names without tables of their own that a worker keeps.
pub const NAMES_KEPT: usize = 4096;
/// Most names with tables of their own that a worker keeps.
pub const OVERRIDDEN_KEPT: usize = 1000;
/// Most requests of a worker that wait for a name to be found out.
pub const WAITING_MAX: usize = 1024;
/// Most questions that wait for the control side.
pub const ASKS_MAX: usize = 1024;
/// Most places that a worker remembers to have asked for in one generation of the directory.
const ASKED_MAX: usize = 1024;
/// A label that nothing is called by.
const NOBODY: &str = "\\x00";
/// How long a request waits for a name to be found out when nothing else is said.
pub const BIND_TIMEOUT: Duration = Duration::from_secs(5);

/// What a logical name is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Its settings.
    pub route: RouteId,
    /// Where it leads.
    pub target: TargetId,
}

/// What a worker asks the control side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// This name leads somewhere and has no settings of its own.
    Route(Box<str>),
    /// What is at this place?
    Wanted(Path),
}

/// Where questions go. Bounded by [`ASKS_MAX`].
pub type Asks = mpsc::Sender<Ask>;

/// A way for questions, and its end.
#[must_use]
pub fn asks() -> (Asks, mpsc::Receiver<Ask>) {
    mpsc::channel(ASKS_MAX)
}

/// What else is known of a bound name; most have nothing of the kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extra {
    /// What of the path is left over, by cluster.
    pub residuals: Vec<(ClusterId, Box<str>)>,
    /// The request's own table as it is sent on.
    pub table: Option<Box<str>>,
    /// Also in the `l5d-` forms.
    pub l5d: bool,
    /// A hash of the table that the request brought; 0 when it brought none.
    pub own: u64,
}

/// A target that is kept as long as this is.
pub(crate) struct Lease<'b> {
    binder: &'b Binder,
    slot: u32,
}

impl Drop for Lease<'_> {
    #[inline]
    fn drop(&mut self) {
        self.binder.targets.borrow_mut().release(self.slot);
    }
}

/// A name that leads somewhere.
pub(crate) struct Bound<'b> {
    pub binding: Binding,
    pub extra: Option<Rc<Extra>>,
    pub lease: Lease<'b>,
}

/// Whether a name means something by itself. What is left over where it leads first, or leads where any other in its place leads,
/// does not: callers can make up more of those, and settings of their own are kept for good.
fn means_something(places: &Places, name: &str, found: &Resolved) -> bool {
    let first = first_of(&found.target);
    if found.residuals.iter().any(|(cluster, _)| Some(*cluster) == first) {
        return false;
    }
    let Some((front, _)) = name.rsplit_once('/') else { return false };
    let other = resolve(places, None, &format!("{front}/{NOBODY}"));
    !other.is_ok_and(|other| other.target == found.target)
}

fn first_of(target: &Target) -> Option<ClusterId> {
    match target {
        Target::Cluster(cluster) => Some(*cluster),
        Target::Alt(all) => all.first().and_then(first_of),
        Target::Union(all) => all.first().and_then(|(_, target)| first_of(target)),
    }
}

/// What is kept of a name.
struct Row {
    generation: u64,
    binding: Binding,
    slot: u32,
    extra: Option<Rc<Extra>>,
}

/// One worker's names.
pub(crate) struct Binder {
    plain: RefCell<Table<Row>>,
    overridden: RefCell<Table<Row>>,
    targets: RefCell<Targets>,
    /// Where a key with a table is put together.
    key: RefCell<String>,
    asks: Option<Asks>,
    asked: RefCell<(u64, HashSet<Path>)>,
    /// There is a newer directory.
    pub news: Notify,
    pub waiting: Cell<usize>,
    pub bind_timeout: Duration,
}

impl Binder {
    /// One that knows nothing.
    pub fn new(asks: Option<Asks>, bind_timeout: Duration) -> Binder {
        Binder {
            plain: RefCell::new(Table::new(NAMES_KEPT)),
            overridden: RefCell::new(Table::new(OVERRIDDEN_KEPT)),
            targets: RefCell::default(),
            key: RefCell::default(),
            asks,
            asked: RefCell::default(),
            news: Notify::new(),
            waiting: Cell::new(0),
            bind_timeout,
        }
    }

    /// What a name is bound to, with the table that its request brought.
    #[inline]
    pub fn bind(
        &self,
        places: &Places,
        driver: &Driver,
        name: &str,
        own: Option<&Carried>,
    ) -> Result<Bound<'_>, Nowhere> {
        if own.is_none()
            && let Some(row) = self.plain.borrow_mut().get(name)
            && row.generation == places.generation()
        {
            return Ok(self.lease(row));
        }
        self.bind_anew(places, driver, name, own)
    }

    #[inline]
    fn lease(&self, row: &Row) -> Bound<'_> {
        self.targets.borrow_mut().hold(row.slot);
        let lease = Lease { binder: self, slot: row.slot };
        Bound { binding: row.binding, extra: row.extra.clone(), lease }
    }

    #[cold]
    #[inline(never)]
    fn bind_anew(
        &self,
        places: &Places,
        driver: &Driver,
        name: &str,
        own: Option<&Carried>,
    ) -> Result<Bound<'_>, Nowhere> {
        let mut key = self.key.borrow_mut();
        key.clear();
        let table = match own {
            None => &self.plain,
            Some(own) => {
                key.push_str(if own.l5d { "l" } else { "b" });
                key.push_str(&own.text);
                // No name and no table holds a line end.
                key.push('\n');
                &self.overridden
            }
        };
        key.push_str(name);
        if own.is_some()
            && let Some(row) = table.borrow_mut().get(&key)
            && row.generation == places.generation()
        {
            return Ok(self.lease(row));
        }
        let made = self.evaluate(places, driver, name, own);
        let mut table = table.borrow_mut();
        let (row, nowhere) = match made {
            Ok(row) => (Some(row), None),
            Err(nowhere) => (None, Some(nowhere)),
        };
        let Some(row) = row else {
            if let Some(old) = table.remove(&key) {
                self.targets.borrow_mut().release(old.slot);
            }
            return Err(nowhere.unwrap_or(Nowhere::Unknown));
        };
        let bound = self.lease(&row);
        if let Some(old) = table.put(&key, row) {
            self.targets.borrow_mut().release(old.slot);
        }
        Ok(bound)
    }

    /// The row of a name, which holds its target once.
    fn evaluate(
        &self,
        places: &Places,
        driver: &Driver,
        name: &str,
        own: Option<&Carried>,
    ) -> Result<Row, Nowhere> {
        let found = resolve(places, own.map(|own| &own.dtab), name);
        match &found {
            Ok(Resolved { undecided, .. }) | Err(Nowhere::Undecided(undecided)) => {
                self.ask_for(places, undecided);
            }
            Err(_) => {}
        }
        let found = found?;
        let route = match (places.own_route(name), places.rest_route()) {
            (Some(route), _) => route,
            (None, Some(rest)) => {
                if own.is_none() && means_something(places, name, &found) {
                    self.ask(|| Ask::Route(name.into()));
                }
                rest
            }
            (None, None) => return Err(Nowhere::Unknown),
        };
        let slot = self.hold(driver, found.target).ok_or(Nowhere::Full("targets"))?;
        let table = own.and_then(|own| Some(carried::without(own, &found.spent)?.as_ref().into()));
        let l5d = own.is_some_and(|own| own.l5d);
        let extra = Extra {
            residuals: found.residuals,
            table,
            l5d,
            own: own.map_or(0, |own| stable(own.text.as_bytes())),
        };
        let plain = own.is_none() && extra.residuals.is_empty();
        Ok(Row {
            generation: places.generation(),
            binding: Binding { route, target: Targets::id(slot) },
            slot,
            extra: (!plain).then(|| Rc::new(extra)),
        })
    }

    /// Holds the target of a tree. What nothing holds any more is taken away first.
    fn hold(&self, driver: &Driver, tree: Target) -> Option<u32> {
        loop {
            let dead = self.targets.borrow_mut().dead();
            let Some(id) = dead else { break };
            driver.input(Input::Bind(id, None));
        }
        let held = self.targets.borrow_mut().hold_tree(tree)?;
        Some(match held {
            Held::Known(slot) => slot,
            Held::New(slot, tree) => {
                driver.input(Input::Bind(Targets::id(slot), Some(tree)));
                slot
            }
        })
    }

    /// Asks for places below mounts that have to be asked.
    fn ask_for(&self, places: &Places, paths: &[Path]) {
        let mut asked = self.asked.borrow_mut();
        if asked.0 != places.generation() {
            *asked = (places.generation(), HashSet::new());
        }
        for path in paths.iter().filter(|path| places.mount_of(path) == Some(MountKind::Asked)) {
            if asked.1.len() < ASKED_MAX
                && !asked.1.contains(path)
                && self.ask(|| Ask::Wanted(path.clone()))
            {
                asked.1.insert(path.clone());
            }
        }
    }

    /// Whether the question is on its way.
    fn ask(&self, what: impl FnOnce() -> Ask) -> bool {
        self.asks.as_ref().is_some_and(|asks| asks.try_send(what()).is_ok())
    }

    /// Names with and without tables, targets, and places for them.
    #[cfg(test)]
    pub fn count(&self) -> (usize, usize, (usize, usize)) {
        let targets = self.targets.borrow().count();
        (self.plain.borrow().len(), self.overridden.borrow().len(), targets)
    }
}

#[cfg(test)]
mod tests;
