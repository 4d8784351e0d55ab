//! What all requests of a server share, and what is done for one in its place: as the simulator does it.
//!
//! A time is drawn when work starts, made longer by what `/_drill` says, and with it what the cache costs; then the cache is asked;
//! then calls are made. A request that kills does so when its work starts.
//! Single-threaded, behind an `Rc`. Not here: who comes next (`places.rs`), sockets (`connection.rs`). Tested: in `tests/server/`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_scenario::model::{Cache, Program, Scenario, Service, ServiceId, Work};

use super::calls::Calls;
use super::errors::Errors;
use super::places::Places;
use super::steps;
use super::tell::Teller;
use super::timer::Timers;
use super::{Life, POISONED};
use crate::backend::{BURNERS_MAX, Burners, LATENCY_GAIN};
use crate::caller::happens;
use crate::cast::{Cast, monotonic};

/// The answer when all went well, and when a required call failed.
const FINE: u16 = 200;
const FAILED: u16 = 500;

pub(super) struct State {
    pub(super) service: Service,
    pub(super) replica: u32,
    pub(super) places: Places,
    pub(super) teller: Rc<Teller>,
    pub(super) timers: Timers,
    time: Distribution,
    burners: Option<Burners>,
    rng: RefCell<Prng>,
    calls: Calls,
    /// Answers the cache has got since it was empty; `None`: it is warm.
    fills: Cell<Option<u64>>,
    /// How often it was emptied.
    pub(super) wipes: Cell<u64>,
    slow: Cell<Slow>,
    pub(super) errors: Errors,
    pub(super) connections: Cell<usize>,
    pub(super) arrived: Cell<u64>,
    pub(super) left: Cell<u64>,
    /// Mean time of requests, in microseconds; nothing before the first.
    latency_us: Cell<Option<f64>>,
}

/// How much longer work takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow {
    /// So many times as long, in the end.
    pub(super) factor: f64,
    /// Since when, and over how many nanoseconds it grows from 1, in a straight line. 0: at once.
    pub(super) since: u64,
    pub(super) ramp_ns: u64,
}

impl Slow {
    const NOT: Slow = Slow { factor: 1.0, since: 0, ramp_ns: 0 };

    pub(super) fn at(self, now: u64) -> f64 {
        let passed = now.saturating_sub(self.since) as f64;
        let share = if self.ramp_ns == 0 { 1.0 } else { (passed / self.ramp_ns as f64).min(1.0) };
        1.0 + (self.factor - 1.0) * share
    }
}

/// When work on a request began, and how long it took.
#[derive(Clone, Copy, Default)]
pub(super) struct Worked {
    began: Option<u64>,
    took: Option<u64>,
}

impl Worked {
    /// So far, in microseconds, as far as events tell it.
    pub(super) fn told(self) -> u32 {
        let so_far = self.began.map_or(0, |began| monotonic().saturating_sub(began));
        u32::try_from(self.took.unwrap_or(so_far) / 1000).unwrap_or(u32::MAX)
    }
}

impl State {
    /// Within a runtime.
    pub(super) fn new(
        scenario: &Scenario,
        cast: &Cast,
        (id, replica): (ServiceId, u32),
        life: Life,
        teller: Teller,
    ) -> io::Result<State> {
        let missing = || io::Error::other("the scenario has no such service or replica");
        let service = scenario.services.get(id.index()).ok_or_else(missing)?.clone();
        let burners = match service.program {
            Program::BuiltIn(Work::Cpu) => {
                Some(Burners::start(service.concurrency.unwrap_or(BURNERS_MAX))?)
            }
            _ => None,
        };
        let cold = life.anew || service.cache.is_some_and(|cache| cache.cold);
        let teller = Rc::new(teller);
        let seed = mixed(cast.seed, id, replica);
        Ok(State {
            places: Places::new(&service, Rc::clone(&teller)),
            timers: Timers::new()?,
            time: service.time.clone(),
            burners,
            rng: RefCell::new(Prng::new(seed)),
            calls: Calls::new(scenario, cast, id, replica, seed),
            fills: Cell::new(cold.then_some(0)),
            wipes: Cell::new(0),
            slow: Cell::new(Slow::NOT),
            errors: Errors::new(seed.rotate_left(32)),
            connections: Cell::new(0),
            arrived: Cell::new(0),
            left: Cell::new(0),
            latency_us: Cell::new(None),
            replica,
            service,
            teller,
        })
    }

    /// Do what a request in its place needs, and say what it is answered.
    pub(super) async fn work(&self, poison: bool, worked: &Cell<Worked>) -> u16 {
        if poison {
            self.die();
        }
        let began = monotonic();
        worked.set(Worked { began: Some(began), took: None });
        let nanos = self.service_time(began);
        self.spend(began, nanos).await;
        let took = monotonic().saturating_sub(began);
        worked.set(Worked { began: Some(began), took: Some(took) });
        if self.service.calls.is_empty() {
            return FINE;
        }
        if let Some(cache) = self.service.cache {
            let hit_ppm = hit_ppm(cache, self.fills.get());
            if happens(hit_ppm, &mut self.rng.borrow_mut()) {
                return FINE;
            }
        }
        let call = |step| self.calls.call(step);
        if !steps::make(&self.service, &self.rng, call).await {
            return FAILED;
        }
        self.fills.set(self.fills.get().map(|fills| fills.saturating_add(1)));
        FINE
    }

    /// How long work on a request takes that starts now, in nanoseconds.
    fn service_time(&self, now: u64) -> u64 {
        let nanos = self.time.sample_nanos(&mut self.rng.borrow_mut());
        let slowed = (nanos as f64 * self.slow.get().at(now) + 0.5) as u64;
        let cache = self.service.cache.map_or(Duration::ZERO, |cache| cache.time);
        slowed.saturating_add(u64::try_from(cache.as_nanos()).unwrap_or(u64::MAX))
    }

    async fn spend(&self, began: u64, nanos: u64) {
        if nanos == 0 {
            return;
        }
        match &self.burners {
            Some(burners) => {
                let _ = burners.burn(Duration::from_nanos(nanos)).await;
            }
            None => self.timers.until(began.saturating_add(nanos)).await,
        }
    }

    /// A request kills this server. What it has told is written; nothing else is done.
    fn die(&self) -> ! {
        self.teller.flush();
        // SAFETY: ends the process, at once and without cleaning up: as a kill does.
        unsafe { libc::_exit(POISONED) }
    }

    /// The cache is empty.
    pub(super) fn wipe(&self) {
        self.fills.set(Some(0));
        self.wipes.set(self.wipes.get().saturating_add(1));
    }

    pub(super) fn fills(&self) -> Option<u64> {
        self.fills.get()
    }

    pub(super) fn slow(&self) -> Slow {
        self.slow.get()
    }

    pub(super) fn make_slow(&self, slow: Slow) {
        self.slow.set(slow);
    }

    /// A request took so long, with its wait.
    pub(super) fn took(&self, nanos: u64) {
        let time = nanos as f64 / 1e3;
        let mean = self.latency_us.get().map_or(time, |mean| mean + (time - mean) * LATENCY_GAIN);
        self.latency_us.set(Some(mean));
    }

    /// What a balancer that probes is told: requests there, and their mean time in microseconds.
    pub(super) fn load(&self) -> String {
        let (busy, queued) = self.places.level();
        let in_flight = u64::from(busy) + u64::from(queued);
        let latency_us = self.latency_us.get().unwrap_or(0.0) as u64;
        format!("in-flight={in_flight}, latency-us={latency_us}")
    }
}

/// The share of requests that a cache answers after so many answers since it was empty, in parts per million.
fn hit_ppm(cache: Cache, fills: Option<u64>) -> u32 {
    let Some(got) = fills.filter(|_| cache.fills > 0) else { return cache.hit_ppm };
    let warm = -(-(got as f64) / cache.fills as f64).exp_m1();
    (f64::from(cache.hit_ppm) * warm + 0.5) as u32
}

/// A seed of its own for each replica.
fn mixed(seed: u64, service: ServiceId, replica: u32) -> u64 {
    let who = u64::from(service.0) << 32 | u64::from(replica);
    Prng::new(seed ^ who.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_warms_up() {
        let cache = Cache { hit_ppm: 900_000, fills: 100, cold: true, time: Duration::ZERO };
        assert_eq!(hit_ppm(cache, None), 900_000);
        assert_eq!(hit_ppm(cache, Some(0)), 0);
        assert_eq!(hit_ppm(cache, Some(100)), 568_909);
        assert_eq!(hit_ppm(cache, Some(100_000)), 900_000);
        assert_eq!(hit_ppm(Cache { fills: 0, ..cache }, Some(0)), 900_000);
    }

    #[test]
    fn slow_grows_in_a_straight_line() {
        let slow = Slow { factor: 4.0, since: 100, ramp_ns: 1000 };
        for (now, factor) in [(0, 1.0), (100, 1.0), (600, 2.5), (1100, 4.0), (9000, 4.0)] {
            assert!((slow.at(now) - factor).abs() < 1e-9, "{now}");
        }
        assert!((Slow { ramp_ns: 0, ..slow }.at(0) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn each_replica_has_times_of_its_own() {
        let mut seeds: Vec<u64> = Vec::new();
        for service in 0..20 {
            seeds.extend((0..50).map(|replica| mixed(7, ServiceId(service), replica)));
        }
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 1000);
        assert_eq!(mixed(7, ServiceId(1), 2), mixed(7, ServiceId(1), 2));
    }
}
