//! Clients, driven by hand: one thing per test.

use super::*;
use crate::Ledger;
use baleen_base::{Prng, Sink};

const L: ListenerId = ListenerId(0);

#[derive(Default)]
struct Closed(Vec<Option<ClientClose>>);

impl Sink for Closed {
    fn emit(&mut self, _: Tick, event: Event) {
        if let Event::ClientClosed { why, .. } = event {
            self.0.push(why);
        }
    }
}

struct Bench {
    clients: Clients,
    ledger: Ledger,
    closed: Closed,
}

impl Bench {
    fn new(p: ClientParams) -> Bench {
        let mut clients = Clients::new();
        clients.reconfigure(&[(L, p)]);
        Bench { clients, ledger: Ledger::new(0, 0, 1), closed: Closed::default() }
    }

    fn tell(&mut self, ms: u64, slot: u32, event: ClientEvent) -> Option<Action> {
        let now = Tick::from_millis(ms);
        let mut rng = Prng::new(0);
        let mut cx = Cx { now, rng: &mut rng, sink: &mut self.closed, shared: &self.ledger };
        self.clients.event(&mut cx, id(slot), event)
    }

    /// When and why the next client is closed.
    fn closes(&mut self, from_ms: u64) -> Option<(u64, ClientClose)> {
        (from_ms..from_ms + 200_000).find_map(|ms| {
            match self.clients.expire(Tick::from_millis(ms)) {
                Some(Action::CloseClient { why, .. }) => Some((ms, why)),
                _ => None,
            }
        })
    }
}

fn id(slot: u32) -> ClientId {
    ClientId { slot, generation: 1 }
}

fn near(got: Option<(u64, ClientClose)>, ms: u64, why: ClientClose) {
    let (at, w) = got.expect("closed");
    assert!(at >= ms && at <= ms + 2 && w == why, "{at} {w:?}");
}

#[test]
fn each_state_has_its_time() {
    let accepted = ClientEvent::Accepted { listener: L };
    let mut b = Bench::new(ClientParams::default());
    b.tell(0, 0, accepted);
    near(b.closes(0), 10_000, ClientClose::HeadTimeout);

    let mut b = Bench::new(ClientParams::default());
    b.tell(0, 0, accepted);
    b.tell(100, 0, ClientEvent::Idle);
    near(b.closes(0), 75_100, ClientClose::KeepAliveIdle);

    let mut b = Bench::new(ClientParams { min_rate: 0, ..ClientParams::default() });
    b.tell(0, 0, accepted);
    b.clients.busy(id(0));
    assert_eq!(b.closes(0), None, "a request in progress has no time here");
    b.tell(300_000, 0, ClientEvent::Stalled);
    near(b.closes(300_000), 330_000, ClientClose::BodyTimeout);
}

#[test]
fn the_least_rate_counts_only_waiting() {
    let p = ClientParams { min_rate: 1000, ..ClientParams::default() };
    let mut b = Bench::new(p);
    b.tell(0, 0, ClientEvent::Accepted { listener: L });
    b.clients.busy(id(0));
    // 500 bytes a second, with a second of somebody else's slowness after each.
    let mut waited = 0;
    for s in 0..10u64 {
        b.tell(2000 * s, 0, ClientEvent::Stalled);
        assert!(b.clients.expire(Tick::from_millis(2000 * s + 990)).is_none());
        b.tell(2000 * s + 1000, 0, ClientEvent::Moved { bytes: 500 });
        waited += 1000;
    }
    assert_eq!(waited, 10_000);
    b.tell(20_000, 0, ClientEvent::Stalled);
    near(b.closes(20_000), 20_000, ClientClose::TooSlow);
}

#[test]
fn credit_lasts_no_longer_than_the_grace() {
    let p = ClientParams { min_rate: 1000, ..ClientParams::default() };
    let mut b = Bench::new(p);
    b.tell(0, 0, ClientEvent::Accepted { listener: L });
    b.clients.busy(id(0));
    b.tell(0, 0, ClientEvent::Moved { bytes: 1 << 30 });
    b.tell(0, 0, ClientEvent::Stalled);
    near(b.closes(0), 10_000, ClientClose::TooSlow);
}

#[test]
fn one_too_many_is_closed_and_counted_once() {
    let p = ClientParams { connections_max: 1, ..ClientParams::default() };
    let mut b = Bench::new(p);
    let accepted = ClientEvent::Accepted { listener: L };
    assert_eq!(b.tell(0, 0, accepted), None);
    let close = Action::CloseClient { client: id(1), why: ClientClose::TooMany };
    assert_eq!(b.tell(0, 1, accepted), Some(close));
    b.tell(1, 1, ClientEvent::Idle);
    b.tell(1, 1, ClientEvent::Gone);
    b.tell(1, 1, ClientEvent::Gone);
    assert_eq!(b.ledger.connections(L), 1);
    b.tell(1, 0, ClientEvent::Gone);
    assert_eq!(b.ledger.connections(L), 0);
    assert_eq!(b.closed.0, [Some(ClientClose::TooMany), None]);
}

/// Who was told to close and does not is told once more, whatever the driver does with it meanwhile.
#[test]
fn closing_has_its_time_too() {
    let p = ClientParams { connections_max: 1, min_rate: 0, ..ClientParams::default() };
    let accepted = ClientEvent::Accepted { listener: L };
    let mut b = Bench::new(p);
    b.tell(0, 0, accepted);
    near(b.closes(0), 10_000, ClientClose::HeadTimeout);
    for (ms, event) in [(10_010, ClientEvent::Stalled), (20_000, ClientEvent::Idle)] {
        b.tell(ms, 0, event);
    }
    near(b.closes(10_001), 40_000, ClientClose::HeadTimeout);
    assert_eq!(b.closes(40_001), None, "twice is enough");
    assert_eq!(b.ledger.connections(L), 1, "its slot is held until it is gone");

    // One that was refused holds no slot, and has a second.
    assert!(b.tell(300_000, 1, accepted).is_some());
    b.tell(300_500, 1, ClientEvent::Stalled);
    near(b.closes(300_000), 301_000, ClientClose::TooMany);
    assert_eq!(b.closes(301_001), None);
    b.tell(500_000, 0, ClientEvent::Gone);
    b.tell(500_000, 1, ClientEvent::Gone);
    assert_eq!(b.closed.0, [Some(ClientClose::HeadTimeout), Some(ClientClose::TooMany)]);

    // A slot used again is nobody's closing any more.
    b.tell(600_000, 0, accepted);
    near(b.closes(600_000), 610_000, ClientClose::HeadTimeout);
    b.tell(610_100, 0, ClientEvent::Gone);
    b.tell(610_200, 0, accepted);
    b.tell(610_300, 0, ClientEvent::Idle);
    near(b.closes(610_200), 685_300, ClientClose::KeepAliveIdle);
}

#[test]
fn a_new_client_does_not_pay_for_the_last_one_of_its_slot() {
    let mut b = Bench::new(ClientParams { min_rate: 1000, ..ClientParams::default() });
    let accepted = ClientEvent::Accepted { listener: L };
    b.tell(0, 0, accepted);
    b.tell(0, 0, ClientEvent::Stalled);
    b.tell(9_000, 0, ClientEvent::Moved { bytes: 1 });
    b.tell(9_000, 0, ClientEvent::Gone);
    b.tell(9_000, 0, accepted);
    // Its request was no request, and it does not take the answer.
    b.tell(9_000, 0, ClientEvent::Stalled);
    near(b.closes(9_000), 19_000, ClientClose::TooSlow);
}
