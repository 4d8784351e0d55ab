//! The calls that a request makes while it keeps its place: in turn, or all steps at once.
//!
//! As the simulator has them: whether a step is needed is drawn for each request; the calls of one step are made at once; in turn, a
//! required one that fails ends the rest; at once, all are waited for. Whoever stops waiting leaves the calls.
//! Bound: as many calls at once as the scenario says. Not here: how a call is made (`crate::caller`). Tested: below and in
//! `tests/server/`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use baleen_base::Prng;
use baleen_scenario::model::Service;

use crate::caller::happens;

/// Make all calls for one request. `call` makes one call of a step and says whether it was answered well.
/// True: the request has what it needs.
pub(super) async fn make<F>(
    service: &Service,
    rng: &RefCell<Prng>,
    call: impl Fn(usize) -> F,
) -> bool
where
    F: Future<Output = bool>,
{
    let steps = service.calls.len();
    let together = if service.parallel { steps.max(1) } else { 1 };
    let mut good = true;
    let mut first = 0;
    while first < steps && good {
        let mut calls = Vec::new();
        for nth in first..(first + together).min(steps) {
            let step = &service.calls[nth];
            if happens(step.share_ppm, &mut rng.borrow_mut()) {
                let required = step.required;
                calls.extend((0..step.count).map(|_| {
                    let called = call(nth);
                    Box::pin(async move { called.await || !required })
                }));
            }
        }
        good = all(calls).await;
        first += together;
    }
    good
}

/// Waits for all of them. True: so were all.
async fn all<F: Future<Output = bool>>(mut calls: Vec<Pin<Box<F>>>) -> bool {
    let mut good = true;
    let mut calls = pin!(poll_fn(move |cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(fine) => {
                good &= fine;
                false
            }
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(good) } else { Poll::Pending }
    }));
    calls.as_mut().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn service(extra: &str, steps: &[&str]) -> Service {
        let mut text = format!(
            "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"1/s\"\n\
             [service.db]\nreplicas = 1\n[service.web]\nreplicas = 1\n{extra}\n"
        );
        for step in steps {
            text.push_str(&format!("[[service.web.calls]]\nto = \"db\"\n{step}\n"));
        }
        let (scenario, _) = baleen_scenario::parse_str("a.toml", &text, &[]).expect("a scenario");
        scenario.services.into_iter().find(|s| s.name == "web").expect("it is there")
    }

    /// Which calls were begun, how many were under way at most, and the result; calls of the steps in `bad` fail.
    fn played(service: &Service, bad: &[usize]) -> (Vec<usize>, u32, bool) {
        let (begun, open, most) = (RefCell::new(Vec::new()), Cell::new(0u32), Cell::new(0u32));
        let rng = RefCell::new(Prng::new(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let good = runtime.block_on(make(service, &rng, |nth| {
            let (begun, open, most) = (&begun, &open, &most);
            async move {
                begun.borrow_mut().push(nth);
                open.set(open.get() + 1);
                most.set(most.get().max(open.get()));
                tokio::task::yield_now().await;
                open.set(open.get() - 1);
                !bad.contains(&nth)
            }
        }));
        assert_eq!(open.get(), 0, "all were waited for");
        (begun.into_inner(), most.get(), good)
    }

    #[test]
    fn in_turn_and_at_once() {
        let steps = ["count = 2", "required = false", "share = \"0%\"", ""];
        let turn = service("", &steps);
        assert_eq!(played(&turn, &[]), (vec![0, 0, 1, 3], 2, true));
        assert_eq!(played(&turn, &[1]), (vec![0, 0, 1, 3], 2, true), "it is not required");
        assert_eq!(played(&turn, &[0]), (vec![0, 0], 2, false), "the rest is not made");
        let once = service("parallel = true", &steps);
        assert_eq!(played(&once, &[0]), (vec![0, 0, 1, 3], 4, false), "all are waited for");
        assert_eq!(played(&service("", &[]), &[]), (vec![], 0, true));
    }

    #[test]
    fn a_share_of_requests_needs_a_step() {
        let some = service("", &["share = \"25%\""]);
        let rng = RefCell::new(Prng::new(7));
        let made = Cell::new(0u32);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..4000 {
                make(&some, &rng, async |_| {
                    made.set(made.get() + 1);
                    true
                })
                .await;
            }
        });
        assert!((900..1100).contains(&made.get()), "{}", made.get());
    }
}
