//! A caller: one client of a workload, or one replica that calls another service, with the habits that its file says.
//!
//! It means what the simulator means (`docs/internals/simulator-model.md`, callers). A call is tried up to `tries` times, each for at
//! most `timeout`, with `wait` between, whenever a try ended badly: a status from 500 on or 429, a broken or refused connection, a
//! time limit. The clock of a try starts with the try: waiting for a connection and opening one count. A caller that gives up
//! closes its connection. A straight call chooses a replica and a connection by itself (`straight.rs`); a call by a logical name
//! goes to the caller's process of the group, on kept connections, the one used last first (`named.rs`).
//!
//! Single thread, no locks: everything is counted by guards, so a call whose future is dropped is settled as one that was left.
//!
//! Bounds: connections as many as calls in flight, and those kept idle (`idle_max`; by name `named::IDLE_MAX`); waiting for a
//! connection: as many as calls in flight, which whoever calls bounds.
//!
//! Not here: when calls come (`workload`). Tolerances: time limits and waits are the runtime's, up to a millisecond or two late.
//! Tested: `tests/calls`.

mod named;
mod request;
mod straight;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use baleen_base::Prng;
use baleen_scenario::model::{CallSpec, Scenario, Side, To};
use baleen_scenario::outcome::CallEnd;

use crate::cast::Cast;
use crate::conn::Conn;
use named::Named;
use request::Form;
use straight::Straight;

const WHOLE_PPM: u32 = 1_000_000;

/// What is said of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Goes along as `x-request-id: drill-ID`.
    pub id: u64,
    /// It kills whoever works on it.
    pub poison: bool,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How.
    pub how: CallEnd,
    /// Attempts at servers; of a call by name its own tries, since only Baleen knows the rest.
    pub attempts: u32,
}

/// A way of calling: what all callers of one [`CallSpec`] of one side share.
pub struct Way {
    spec: CallSpec,
    form: Form,
    /// Straight: by replica. By name: by process.
    to: Vec<SocketAddr>,
    /// Connections that this machine had no room for.
    starved: Cell<u64>,
}

/// One caller.
pub struct Caller {
    way: Rc<Way>,
    rng: RefCell<Prng>,
    how: How,
}

enum How {
    Straight(Straight),
    Named(Named),
}

/// Why calls like this can't be made with real requests; `None`: they can.
#[must_use]
pub fn unsupported(spec: &CallSpec) -> Option<String> {
    let To::Name { name, .. } = &spec.to else { return None };
    match request::host(name) {
        Some(_) => None,
        None => Some(format!(
            "a drill calls `{name}` over HTTP, where a name comes from the field Host: \
             only `/svc/HOST` with a host in small letters and without a port can be called"
        )),
    }
}

/// Whether something with this share happens; certainties draw nothing.
pub(crate) fn happens(share_ppm: u32, rng: &mut Prng) -> bool {
    match share_ppm {
        0 => false,
        WHOLE_PPM.. => true,
        _ => rng.below(u64::from(WHOLE_PPM)) < u64::from(share_ppm),
    }
}

impl Way {
    /// Of a side.
    #[must_use]
    pub fn new(scenario: &Scenario, spec: &CallSpec, from: Side, cast: &Cast) -> Rc<Way> {
        let to = match spec.to {
            To::Service(service) => cast.reach(scenario, from, service).to_vec(),
            To::Name { via, .. } => cast.entries(scenario, from, via).to_vec(),
        };
        Rc::new(Way {
            spec: spec.clone(),
            form: Form::new(scenario, spec),
            to,
            starved: Cell::new(0),
        })
    }

    /// Tries that failed because this machine had no descriptor, port or memory for a connection: they say nothing of the other
    /// side, and a run that has any is worth nothing.
    #[must_use]
    pub fn starved(&self) -> u64 {
        self.starved.get()
    }

    async fn open(&self, to: SocketAddr) -> Option<Conn> {
        let opened = Conn::open(to).await;
        if let Err(e) = &opened
            && let Some(
                libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS | libc::ENOMEM,
            ) = e.raw_os_error()
        {
            self.starved.set(self.starved.get() + 1);
        }
        opened.ok()
    }

    /// One client, or one replica, of that side. Draws come from `seed`.
    #[must_use]
    pub fn caller(self: &Rc<Way>, instance: u32, seed: u64) -> Caller {
        let how = match self.spec.to {
            To::Service(_) => How::Straight(Straight::new(&self.spec, self.to.len() as u32)),
            To::Name { .. } => {
                let process = self.to.get(instance as usize % self.to.len().max(1));
                How::Named(Named::new(process.copied()))
            }
        };
        Caller { way: Rc::clone(self), rng: RefCell::new(Prng::new(seed)), how }
    }
}

impl Caller {
    /// One client (or one replica) of one way of calling.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        spec: &CallSpec,
        from: Side,
        instance: u32,
        cast: &Cast,
        seed: u64,
    ) -> Caller {
        Way::new(scenario, spec, from, cast).caller(instance, seed)
    }

    /// As [`Way::starved`].
    #[must_use]
    pub fn starved(&self) -> u64 {
        self.way.starved()
    }

    /// Make a call, to its end. Dropped: the caller leaves.
    pub async fn call(&self, said: Said) -> Ended {
        let attempts = Cell::new(0);
        let how = self.call_counted(said, &attempts).await;
        Ended { how, attempts: attempts.get() }
    }

    /// The same; attempts are counted where they can be read before it ends.
    pub async fn call_counted(&self, said: Said, attempts: &Cell<u32>) -> CallEnd {
        let spec = &self.way.spec;
        let idempotent = happens(spec.idempotent_ppm, &mut self.rng.borrow_mut());
        let tried = Cell::new(None);
        let mut nth = 1;
        loop {
            let how = self.try_once(said, idempotent, &tried, attempts).await;
            if how.is_good() || nth >= spec.tries {
                return how;
            }
            nth += 1;
            let wait = spec.wait.sample(&mut self.rng.borrow_mut());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn try_once(
        &self,
        said: Said,
        idempotent: bool,
        tried: &Cell<Option<u32>>,
        attempts: &Cell<u32>,
    ) -> CallEnd {
        let until = self.way.spec.timeout.map(|t| tokio::time::Instant::now() + t);
        let all = async {
            match &self.how {
                How::Straight(straight) => {
                    let rng = &self.rng;
                    straight.attempt(&self.way, rng, said, idempotent, tried, attempts).await
                }
                How::Named(named) => {
                    attempts.set(attempts.get() + 1);
                    named.attempt(&self.way, said, idempotent, until).await
                }
            }
        };
        match until {
            None => all.await,
            Some(until) => tokio::time::timeout_at(until, all).await.unwrap_or(CallEnd::Timeout),
        }
    }
}
