//! The peer: tower's `Balance` (power of two choices) over `PeakEwma`, with services that are always ready and answer at once.
//!
//! It is polled by hand, without a runtime. It reads the clock itself (callgrind does not see what the kernel does in it).
//! Tower's balancer picks and learns, and that is all: no pool of connections, timeouts, limits, health, retries or counters.
//!
//! Not here: ours (`baleen.rs`). Tested: in `main.rs`.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};

struct Always;

impl Service<u64> for Always {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// So many calls, one after the other.
pub fn run(endpoints: u32, calls: u64) -> Result<()> {
    const DECAY_NANOS: f64 = 10e9;
    let rtt = Duration::from_micros(50);
    let service = |_| PeakEwma::new(Always, rtt, DECAY_NANOS, CompleteOnResponse::default());
    let all: Vec<_> = (0..endpoints).map(service).collect();
    let mut balance = Balance::new(ServiceList::new::<u64>(all));
    let mut cx = Context::from_waker(Waker::noop());
    for call in 0..calls {
        match balance.poll_ready(&mut cx) {
            Poll::Ready(ready) => ready.map_err(|e| anyhow!(e))?,
            Poll::Pending => bail!("not ready"),
        }
        match pin!(balance.call(call)).poll(&mut cx) {
            Poll::Ready(Ok(answer)) if answer == call => {}
            other => bail!("{other:?} for call {call}"),
        }
    }
    Ok(())
}
