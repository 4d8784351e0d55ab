//! A virtual server: service times, a number of requests at once, a queue without bound, and faults.

use std::collections::VecDeque;
use std::time::Duration;

use baleen_base::Prng;
use baleen_policy::ProbedLoad;

/// What goes wrong with a server.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// It is gone: what runs is reset, connections are refused.
    Kill,
    /// It stands still: connections are accepted, nothing is answered.
    Hang,
    /// It takes so many times as long.
    Slow(f64),
    /// It answers this share of requests with this status, at once.
    Status(u16, f64),
    /// It resets this share of requests in the middle of the head.
    Reset(f64),
    /// It closes all idle connections, and the news takes a millisecond to arrive.
    CloseIdle,
    /// It is well again.
    Heal,
}

/// A request on its way: worker, attempt, and when it arrived at the server.
pub type Request = (u16, baleen_base::AttemptId);

#[derive(Clone, Debug)]
pub struct Server {
    mean: Duration,
    at_once: u32,
    pub fault: Fault,
    pub running: u32,
    pub waiting: VecDeque<Request>,
    /// Grows when it is killed, so that answers of an earlier life are dropped.
    pub life: u32,
    /// Grows when its connections are lost.
    pub conns: u32,
}

impl Server {
    /// Exponential service times; so many requests at once.
    pub fn exponential(mean: Duration, at_once: u32) -> Server {
        let waiting = VecDeque::new();
        Server { mean, at_once, fault: Fault::Heal, running: 0, waiting, life: 0, conns: 0 }
    }

    pub fn is_free(&self) -> bool {
        self.running < self.at_once
    }

    /// What it says of itself.
    pub fn load(&self) -> ProbedLoad {
        let slow = if let Fault::Slow(factor) = self.fault { factor } else { 1.0 };
        let latency_us = (self.mean.as_secs_f64() * 1e6 * slow) as u32;
        ProbedLoad { in_flight: self.running + self.waiting.len() as u32, latency_us }
    }

    /// How long the next request takes, and its status; `None` for a reset.
    pub fn serve(&self, rng: &mut Prng) -> (Duration, Option<u16>) {
        let time = self.mean.as_secs_f64() * -libm::log(1.0 - rng.unit());
        let dice = rng.unit();
        match self.fault {
            Fault::Slow(factor) => (Duration::from_secs_f64(time * factor), Some(200)),
            Fault::Status(status, share) if dice < share => {
                (Duration::from_micros(200), Some(status))
            }
            Fault::Reset(share) if dice < share => (Duration::from_secs_f64(time), None),
            _ => (Duration::from_secs_f64(time), Some(200)),
        }
    }
}
