//! Connections to upstreams, by the id under which policy knows them.
//!
//! One in use belongs to the task that uses it; its slot only keeps the id. An idle one lies here until policy gives it out
//! or closes it. Each idle one has a waker of its own, made once per slot: when the other side closes it, or sends bytes
//! that nobody asked for, the slot is put on a list and the worker's reaper is woken.
//!
//! Bound: policy's `PoolParams::idle_max` for idle ones, the calls in flight for those in use.
//! Not here: which one is used next (policy). Tested: below and in `tests/`.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use baleen_base::{ConnId, Tick};
use tokio::net::TcpStream;

use crate::inject::carry::Carried;
use crate::io::{self, Want};

enum State {
    Free,
    InUse,
    Idle(TcpStream),
}

struct Slot {
    generation: u32,
    state: State,
    waker: Waker,
    born: Tick,
    /// A task carries it, because of a fault.
    carried: Option<Rc<Carried>>,
}

/// All of one worker.
pub(crate) struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
    stirred: Arc<Stirred>,
}

/// Slots whose idle connection stirred, and who looks after them.
#[derive(Default)]
pub(crate) struct Stirred(Mutex<(Vec<u32>, Option<Waker>)>);

struct SlotWaker {
    slot: u32,
    stirred: Arc<Stirred>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut list = self.stirred.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Bound: a slot is listed once for each time its waker was registered, and the reaper empties the list.
        list.0.push(self.slot);
        let reaper = list.1.take();
        drop(list);
        if let Some(reaper) = reaper {
            reaper.wake();
        }
    }
}

impl Stirred {
    /// Wait until some idle connection stirs, and take the list.
    pub async fn next(&self, into: &mut Vec<u32>) {
        poll_fn(|cx| {
            let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if list.0.is_empty() {
                list.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
            into.append(&mut list.0);
            Poll::Ready(())
        })
        .await;
    }
}

/// What an idle connection turned out to be when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quiet {
    /// Still good.
    Yes,
    /// The other side closed it.
    Closed,
    /// It sent bytes that nobody asked for.
    Spoke,
}

fn look(stream: &TcpStream) -> Quiet {
    match io::quiet(stream) {
        Ok(()) => Quiet::Yes,
        Err(0) => Quiet::Closed,
        Err(_) => Quiet::Spoke,
    }
}

impl Conns {
    /// None yet.
    pub fn new() -> Conns {
        Conns { slots: Vec::new(), free: Vec::new(), stirred: Arc::default() }
    }

    /// The reaper's list.
    pub fn stirred(&self) -> Arc<Stirred> {
        Arc::clone(&self.stirred)
    }

    /// An id for a connection that was just made and is in use.
    pub fn open(&mut self, now: Tick) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.slots.len() as u32;
            let waker = Arc::new(SlotWaker { slot, stirred: Arc::clone(&self.stirred) });
            let (state, waker) = (State::Free, Waker::from(waker));
            self.slots.push(Slot { generation: 0, state, waker, born: now, carried: None });
            slot
        });
        let entry = &mut self.slots[slot as usize];
        entry.state = State::InUse;
        entry.born = now;
        ConnId { slot, generation: entry.generation }
    }

    fn slot(&mut self, id: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    /// Lay an idle connection down. Gives back what it is instead when it is not quiet; it is closed then, but its id lives
    /// until `close`.
    #[inline]
    pub fn check_in(&mut self, id: ConnId, stream: TcpStream) -> Quiet {
        let Some(slot) = self.slot(id) else { return Quiet::Closed };
        let mut cx = Context::from_waker(&slot.waker);
        while io::poll(&stream, Want::READ, &mut cx).is_ready() {
            match look(&stream) {
                Quiet::Yes => {}
                other => return other,
            }
        }
        slot.state = State::Idle(stream);
        Quiet::Yes
    }

    /// Take an idle connection to use it. `Err` when it is not quiet any more: it is closed then, but its id lives until
    /// `close`.
    #[inline]
    pub fn check_out(&mut self, id: ConnId) -> Result<TcpStream, Quiet> {
        let Some(slot) = self.slot(id) else { return Err(Quiet::Closed) };
        match std::mem::replace(&mut slot.state, State::InUse) {
            State::Idle(stream) => match look(&stream) {
                Quiet::Yes => Ok(stream),
                other => Err(other),
            },
            _ => Err(Quiet::Closed),
        }
    }

    /// Forget a connection; an idle one is closed. False when it was unknown.
    pub fn close(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        if matches!(slot.state, State::Free) {
            return false;
        }
        slot.state = State::Free;
        if let Some(carried) = slot.carried.take() {
            carried.close();
        }
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        true
    }

    /// When it was made, and who carries it.
    pub fn known(&mut self, id: ConnId) -> Option<(Tick, Option<Rc<Carried>>)> {
        self.slot(id).map(|slot| (slot.born, slot.carried.clone()))
    }

    /// A task carries it from now on.
    pub fn carry(&mut self, id: ConnId, carried: Rc<Carried>) {
        match self.slot(id) {
            Some(slot) => slot.carried = Some(carried),
            None => carried.close(),
        }
    }

    /// Look at an idle connection that stirred. `Some` when it is gone; its id is free then.
    pub fn reap(&mut self, slot: u32) -> Option<(ConnId, Quiet)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let State::Idle(stream) = &entry.state else { return None };
        let mut cx = Context::from_waker(&entry.waker);
        while io::poll(stream, Want::READ, &mut cx).is_ready() {
            let what = look(stream);
            if what != Quiet::Yes {
                let id = ConnId { slot, generation: entry.generation };
                self.close(id);
                return Some((id, what));
            }
        }
        None
    }

    /// How many lie idle.
    #[cfg(test)]
    pub fn idle(&self) -> usize {
        self.slots.iter().filter(|s| matches!(s.state, State::Idle(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_idle_connection_that_is_closed_or_speaks_is_noticed() {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut conns = Conns::new();
            let stirred = conns.stirred();
            for speaks in [false, true] {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (mut peer, _) = listener.accept().unwrap();
                let id = conns.open(Tick::ZERO);
                assert_eq!(conns.check_in(id, stream), Quiet::Yes);
                let stream = conns.check_out(id).unwrap();
                assert_eq!(conns.check_in(id, stream), Quiet::Yes);
                assert_eq!(conns.idle(), 1);
                if speaks {
                    peer.write_all(b"HTTP/1.1 408 \r\n\r\n").unwrap();
                } else {
                    drop(peer);
                }
                let mut slots = Vec::new();
                let gone = loop {
                    stirred.next(&mut slots).await;
                    if let Some(gone) = slots.drain(..).find_map(|s| conns.reap(s)) {
                        break gone;
                    }
                };
                assert_eq!(gone, (id, if speaks { Quiet::Spoke } else { Quiet::Closed }));
                assert_eq!(conns.idle(), 0);
                assert!(!conns.close(id), "the id is used once");
            }
        });
    }
}
