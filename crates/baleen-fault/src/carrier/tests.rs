//! A connection between two streams in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What a stream in memory has for who reads, and what it got.
#[derive(Default)]
struct Memory {
    incoming: RefCell<VecDeque<Vec<u8>>>,
    ended: Cell<bool>,
    broken: Cell<bool>,
    /// What it still takes.
    room: Cell<usize>,
    got: RefCell<Vec<u8>>,
    shut: Cell<bool>,
}

impl Stream for Memory {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.broken.get() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut incoming = self.incoming.borrow_mut();
        let Some(mut chunk) = incoming.pop_front() else {
            return if self.ended.get() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let n = chunk.len().min(buffer.len());
        buffer[..n].copy_from_slice(&chunk[..n]);
        if n < chunk.len() {
            incoming.push_front(chunk.split_off(n));
        }
        Ok(n)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let n = bytes.len().min(self.room.get());
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get() - n);
        self.got.borrow_mut().extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn shutdown_write(&self) {
        self.shut.set(true);
    }
}

#[derive(Default)]
struct Faults(Option<HttpFault>);

impl HttpFaults for Faults {
    fn any(&self) -> bool {
        self.0.is_some()
    }

    fn begin(&mut self, _: Exchange<'_>) -> Option<HttpFault> {
        self.0.take()
    }
}

struct World {
    streams: [Memory; 2],
    carrier: Carrier,
    http: Faults,
    now: Tick,
}

impl World {
    fn new() -> World {
        let stream = || Memory { room: Cell::new(usize::MAX), ..Memory::default() };
        World {
            streams: [stream(), stream()],
            carrier: Carrier::new(Tick::ZERO, [1, 2]),
            http: Faults::default(),
            now: Tick::ZERO,
        }
    }

    fn say(&self, way: Direction, bytes: &[u8]) {
        self.streams[way as usize].incoming.borrow_mut().push_back(bytes.to_vec());
    }

    /// Everything that can happen without waiting.
    fn run(&mut self) -> Next {
        let mut buffer = [0; 64];
        loop {
            for way in WAYS {
                let stream = &self.streams[way as usize];
                let ends = stream.ended.get() || stream.broken.get();
                if ends || !stream.incoming.borrow().is_empty() {
                    self.carrier.readable(way);
                }
            }
            let next = self.carrier.step(&self.streams, &mut buffer, self.now, &mut self.http);
            let more = WAYS.into_iter().any(|way| {
                let stream = &self.streams[way as usize];
                (stream.ended.get() || !stream.incoming.borrow().is_empty())
                    && self.carrier.wants_more(way)
            });
            if !matches!(next, Next::Wait(_)) || !more {
                return next;
            }
        }
    }

    fn got(&self, way: Direction) -> Vec<u8> {
        self.streams[1 - way as usize].got.borrow().clone()
    }
}

fn delay() -> Toxic {
    Toxic::Latency { latency: Duration::from_secs(1), jitter: Duration::ZERO }
}

#[test]
fn ends_are_passed_on_one_at_a_time() {
    let mut world = World::new();
    world.say(Direction::Up, b"question");
    world.streams[0].ended.set(true);
    assert_eq!(world.run(), Next::Wait(None));
    assert!(world.streams[1].shut.get() && !world.streams[0].shut.get());
    world.say(Direction::Down, b"answer");
    assert_eq!(world.run(), Next::Wait(None));
    assert_eq!(world.got(Direction::Down), b"answer");
    world.streams[1].ended.set(true);
    assert_eq!(world.run(), Next::Finished);
    assert_eq!(world.got(Direction::Up), b"question");
}

#[test]
fn a_connection_that_broke_is_reset_and_one_nobody_reads_is_seen_to_its_end() {
    let mut world = World::new();
    world.streams[0].broken.set(true);
    assert_eq!(world.run(), Next::Reset);

    // The upstream takes no more; what the client says is read and goes nowhere, until its end is seen.
    let mut world = World::new();
    world.streams[1].room.set(0);
    world.say(Direction::Up, b"lost");
    assert_eq!(world.run(), Next::Wait(None));
    assert_eq!(world.carrier.interest(Direction::Up), (false, false));
    assert_eq!(world.carrier.interest(Direction::Down), (true, true));
    world.streams[1].room.set(2);
    world.say(Direction::Up, b"more");
    assert_eq!(world.run(), Next::Wait(None));
    assert_eq!(world.got(Direction::Up), b"lo");
    assert_eq!(world.streams[0].incoming.borrow().len(), 1, "not read while something waits");
}

#[test]
fn toxics_hold_bytes_and_say_when_they_are_due() {
    let mut world = World::new();
    world.carrier.set(Direction::Up, world.now, &[delay()]);
    world.say(Direction::Up, b"slow");
    let Next::Wait(Some(due)) = world.run() else { panic!("it waits") };
    assert_eq!(due, Tick::ZERO + Duration::from_secs(1));
    assert_eq!(world.got(Direction::Up), b"");
    world.now = due;
    assert_eq!(world.run(), Next::Wait(None));
    assert_eq!(world.got(Direction::Up), b"slow");
}

#[test]
fn what_is_swallowed_is_known() {
    let mut world = World::new();
    for way in WAYS {
        world.carrier.set(way, world.now, &[Toxic::Silent { after: Duration::ZERO }]);
        world.streams[way as usize].ended.set(true);
    }
    assert!(!world.carrier.is_swallowed());
    assert_eq!(world.run(), Next::Wait(None));
    assert!(world.carrier.is_swallowed());
}

#[test]
fn an_exchange_can_be_answered_here() {
    let mut world = World::new();
    world.http.0 = Some(HttpFault::Status { status: 503, retry_after: None });
    world.say(Direction::Up, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let next = world.run();
    assert_ne!(next, Next::Reset);
    assert!(world.got(Direction::Down).starts_with(b"HTTP/1.1 503"), "{next:?}");
    assert_eq!(world.got(Direction::Up), b"", "the upstream hears nothing of it");
}

proptest! {
    /// Whatever is said in whatever pieces, to a receiver that takes it in whatever pieces, comes out the same.
    #[test]
    fn bytes_come_out_as_they_went_in(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..200)), 1..40),
        room in prop::collection::vec(1..150_usize, 1..8),
        slow in any::<bool>(),
    ) {
        let mut world = World::new();
        if slow {
            world.carrier.set(Direction::Down, world.now, &[delay()]);
        }
        let mut wanted = [Vec::new(), Vec::new()];
        world.streams.iter().for_each(|stream| stream.room.set(0));
        for (nth, (up, bytes)) in said.iter().enumerate() {
            let way = if *up { Direction::Up } else { Direction::Down };
            world.say(way, bytes);
            wanted[way as usize].extend_from_slice(bytes);
            world.streams.iter().for_each(|s| s.room.set(s.room.get() + room[nth % room.len()]));
            world.run();
            world.now = world.now + Duration::from_millis(300);
        }
        world.streams.iter().for_each(|stream| {
            stream.room.set(usize::MAX);
            stream.ended.set(true);
        });
        let mut next = world.run();
        for _ in 0..100 {
            if next == Next::Finished {
                break;
            }
            world.now = world.now + Duration::from_secs(1);
            next = world.run();
        }
        prop_assert_eq!(next, Next::Finished);
        for way in WAYS {
            prop_assert_eq!(&world.got(way), &wanted[way as usize]);
        }
    }
}
