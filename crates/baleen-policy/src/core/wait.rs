//! Slots of a cluster and who waits for them.
//!
//! A call gets a slot at once if nobody waits and one is free; else it waits, if there is room to wait and its caller would
//! still be there. Whose turn it is, and who waited too long to be served at all, is the queue's discipline: first come, first
//! served while the queue is short of standing; while it stands, the newest first, because its caller still waits, and the
//! oldest are refused (`limit/codel.rs`).
//!
//! Not here: the queue as a list (`queue.rs`), what a freed slot means for other workers (`ledger`). Tested: `tests.rs`,
//! `tests/policies.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{ClusterId, Cx, Event, Limit, RefusalKind, Shared, Tick, WorkerId};

use super::Core;
use super::calls::State;
use super::start::Chosen;
use crate::Action;
use crate::limit::codel::Verdict;
use crate::params::QueueOrder;

impl Core {
    /// Get a slot for the call, or wait for one, and go.
    pub(super) fn get_slot(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let Some(cluster) = self.cluster(id) else { return };
        let slots = cluster.slots(cx);
        if !cluster.queue.is_empty() || !cx.shared.acquire(Limit::InFlight(id), slots) {
            return self.enqueue(cx, at, id);
        }
        match self.choose(cx, at, id) {
            Chosen::Full => {
                self.hand_back(cx, id);
                self.enqueue(cx, at, id);
            }
            chosen => self.go(cx, at, id, chosen, Duration::ZERO),
        }
    }

    /// Someone's waiting is over: does the cluster admit more, or fewer?
    #[inline]
    fn note_wait(&mut self, cx: &mut Cx<'_>, id: ClusterId, waited: Duration) {
        if let Some(cluster) = self.cluster(id)
            && cluster.params.admission.is_some()
        {
            let params = cluster.params.clone();
            cluster.guard.waited(cx, &params, id, waited);
        }
    }

    /// Give back a slot for which no endpoint is free. Nobody is woken: whoever frees an endpoint frees a slot too, and wakes
    /// then; a wake now would go round among workers without end.
    fn hand_back(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        cx.shared.release(Limit::InFlight(id));
    }

    /// The call has a slot and an endpoint, or there is none at all.
    pub(super) fn go(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        id: ClusterId,
        chosen: Chosen,
        waited: Duration,
    ) {
        self.note_wait(cx, id, waited);
        match chosen {
            Chosen::Endpoint(pick) => self.start(cx, at, pick),
            Chosen::None | Chosen::Full => {
                self.release(cx.shared, id);
                self.refuse(cx, at, RefusalKind::NoEndpoint);
            }
        }
    }

    /// No slot: wait for one, if there is room to wait.
    #[cold]
    pub(super) fn enqueue(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let worker = self.worker;
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let (queue, queue_timeout) = (cluster.params.queue, cluster.params.queue_timeout);
        // Who came first waits already for so long: whoever comes now is not served sooner, unless the newest are served first.
        let in_turn =
            cluster.params.queue_order == QueueOrder::Fifo || !cluster.guard.codel.stands();
        let deadline = calls.get(at).facts.deadline;
        if deadline != Tick::NEVER
            && in_turn
            && let Some(first) = cluster.queue.first()
            && cx.now + cx.now.since(calls.get(first).at.started) >= deadline
        {
            return self.refuse(cx, at, RefusalKind::DeadlineExceeded);
        }
        if !cx.shared.acquire(Limit::Queue(id), queue) {
            return self.refuse(cx, at, RefusalKind::QueueFull);
        }
        let slots = cluster.slots(cx);
        let first = cluster.queue.is_empty();
        cluster.queue.push(calls, at);
        let call = calls.at(at);
        (call.state, call.phase_at) = (State::Queued, cx.now + queue_timeout);
        call.at.started = cx.now;
        let route = call.facts.route;
        if first {
            // Announce, then try once more: a slot given back in between would be lost otherwise.
            cx.shared.waiting(Limit::InFlight(id), worker, true);
            if cx.shared.acquire(Limit::InFlight(id), slots) {
                match self.choose(cx, at, id) {
                    Chosen::Full => self.hand_back(cx, id),
                    chosen => {
                        self.leave_queue(cx, at, id);
                        return self.go(cx, at, id, chosen, Duration::ZERO);
                    }
                }
            }
        }
        self.calls.arm(at);
        cx.emit(Event::CallQueued { route, cluster: id, call: self.calls.id(at) });
    }

    /// Take a call out of the queue.
    fn leave_queue(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let worker = self.worker;
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        debug_assert!(calls.get(at).state == State::Queued);
        cluster.queue.remove(calls, at);
        calls.at(at).state = State::Deciding;
        cx.shared.release(Limit::Queue(id));
        if cluster.queue.is_empty() {
            cx.shared.waiting(Limit::InFlight(id), worker, false);
        }
    }

    /// A call's waiting is over.
    pub(super) fn dequeue(&mut self, cx: &mut Cx<'_>, at: u32, got_slot: bool) {
        let call = self.calls.get(at);
        let Some(cluster) = call.cluster else { return };
        let waited = cx.now.since(call.at.started);
        let id = self.calls.id(at);
        self.leave_queue(cx, at, cluster);
        if !got_slot {
            // Who waits in vain waits, too: while the newest are served first, only these tell of overload.
            self.note_wait(cx, cluster, waited);
        }
        cx.emit(Event::CallDequeued { cluster, call: id, waited, got_slot });
    }

    /// Slots came free: give them to those who wait here, then pass on what is left.
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        while let Some(cluster) = self.cluster(id) {
            let (slots, empty) = (cluster.slots(cx), cluster.queue.is_empty());
            if !cx.shared.acquire(Limit::InFlight(id), slots) {
                return;
            }
            if empty {
                // The wake may have been meant for more slots than were needed here.
                return self.release(cx.shared, id);
            }
            let Some(at) = self.next_waiter(cx, id) else { return self.release(cx.shared, id) };
            let chosen = self.choose(cx, at, id);
            if matches!(chosen, Chosen::Full) {
                return self.hand_back(cx, id);
            }
            let waited = cx.now.since(self.calls.get(at).at.started);
            self.dequeue(cx, at, true);
            self.go(cx, at, id, chosen, waited);
        }
    }

    /// Whose turn it is, of those who still have time. `None`: nobody is left.
    fn next_waiter(&mut self, cx: &mut Cx<'_>, id: ClusterId) -> Option<u32> {
        loop {
            let at = self.whose_turn(cx, id)?;
            if self.calls.get(at).total_at > cx.now {
                return Some(at);
            }
            // Its timer is due, but a slot came first.
            self.dequeue(cx, at, false);
            let kind = self.late(cx, at);
            self.refuse(cx, at, kind);
        }
    }

    /// Whose turn it is. Refuses those who waited too long. `None`: nobody is left.
    fn whose_turn(&mut self, cx: &mut Cx<'_>, id: ClusterId) -> Option<u32> {
        loop {
            let Core { calls, clusters, .. } = self;
            let cluster = clusters.get_mut(id.index()).and_then(Option::as_mut)?;
            let (order, sheds) = (cluster.params.queue_order, cluster.params.codel.is_some());
            let first = cluster.queue.first()?;
            if order == QueueOrder::Fifo && !sheds {
                return Some(first);
            }
            let p = cluster.params.codel.unwrap_or_default();
            let codel = &mut cluster.guard.codel;
            let oldest = cx.now.since(calls.get(first).at.started);
            let alone = cluster.queue.len() == 1;
            let newest = order == QueueOrder::AdaptiveLifo && codel.stands();
            let refuse = if newest {
                codel.left_newest(&p, cx.now, (!alone).then_some(oldest));
                !alone && codel.refuses(&p, oldest)
            } else {
                codel.left(&p, cx.now, oldest, alone) == Verdict::Refuse
            };
            if !(refuse && sheds) {
                return if newest { cluster.queue.last() } else { Some(first) };
            }
            self.dequeue(cx, first, false);
            self.refuse(cx, first, RefusalKind::Overloaded);
        }
    }

    /// Give a slot of a cluster back.
    #[inline]
    pub(super) fn release<H: Shared + ?Sized>(&mut self, shared: &H, id: ClusterId) {
        match shared.release(Limit::InFlight(id)) {
            None => {}
            Some(worker) => self.wake(worker, id),
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&mut self, worker: WorkerId, id: ClusterId) {
        if worker == self.worker {
            self.freed.push(id);
        } else {
            self.actions.push(Action::Wake { worker, cluster: id });
        }
    }
}
