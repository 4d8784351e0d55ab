//! Exchanges, without sockets.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Drive a filter: what goes up, what goes down, whether it was closed.
struct Run {
    filter: Filter,
    faults: Vec<Option<HttpFault>>,
    up: Vec<u8>,
    down: Vec<u8>,
    ends: Vec<Direction>,
    closed: bool,
}

impl Run {
    fn new(faults: &[Option<HttpFault>]) -> Run {
        let mut faults = faults.to_vec();
        faults.reverse();
        let (up, down, ends) = (Vec::new(), Vec::new(), Vec::new());
        Run { filter: Filter::new(), faults, up, down, ends, closed: false }
    }

    fn act(&mut self) {
        while let Some(act) = self.filter.act() {
            match act {
                Act::Pass(Direction::Up, bytes) => self.up.extend(bytes),
                Act::Pass(Direction::Down, bytes) => self.down.extend(bytes),
                Act::End(way) => self.ends.push(way),
                Act::Close => self.closed = true,
            }
        }
    }

    fn came(&mut self, way: Direction, bytes: &[u8]) {
        self.came_at(way, bytes, Tick::ZERO);
    }

    fn came_at(&mut self, way: Direction, bytes: &[u8], now: Tick) {
        if self.filter.takes(way, true) {
            let faults = &mut self.faults;
            self.filter.take(way, bytes, now, |_| faults.pop().flatten());
            self.act();
        } else {
            self.filter.passed(way);
            if way == Direction::Up { &mut self.up } else { &mut self.down }.extend(bytes);
        }
    }

    fn end(&mut self, way: Direction) {
        self.filter.end(way, Tick::ZERO, |_| None);
        self.act();
    }
}

#[test]
fn without_faults_every_byte_passes_in_any_pieces() {
    let post =
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let asked: Vec<u8> = [GET, post, GET].concat();
    let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answered: Vec<u8> = [OK, chunked, OK].concat();
    for size in [1, 7, 1000] {
        let mut run = Run::new(&[]);
        asked.chunks(size).for_each(|piece| run.came(Direction::Up, piece));
        assert_eq!(run.up, GET, "one after the other");
        answered.chunks(size).for_each(|piece| run.came(Direction::Down, piece));
        assert_eq!((run.up == asked, run.down == answered), (true, true), "{size}");
        run.end(Direction::Up);
        run.end(Direction::Down);
        assert_eq!((run.ends.len(), run.closed), (2, false));
    }
}

#[test]
fn a_status_is_answered_here_in_its_turn() {
    let busy = Some(HttpFault::Status { status: 503, retry_after: Some(2) });
    let mut run = Run::new(&[None, busy, None]);
    let post = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    run.came(Direction::Up, &[GET, post, GET].concat());
    assert!(run.down.is_empty());
    run.came(Direction::Down, OK);
    let down = String::from_utf8(run.down.clone()).expect("text");
    assert!(down.starts_with("HTTP/1.1 200 OK") && down.contains("helloHTTP/1.1 503 "), "{down}");
    assert!(down.contains("Retry-After: 2\r\n"), "{down}");
    assert_eq!(run.up, [GET, GET].concat(), "the upstream sees nothing of it");
}

#[test]
fn a_head_comes_later_and_the_next_waits() {
    let delay = Some(HttpFault::DelayHead { delay: Duration::from_millis(50) });
    let mut run = Run::new(&[delay, None]);
    run.came(Direction::Up, &[GET, GET].concat());
    run.came_at(Direction::Down, OK, Tick::from_millis(10));
    assert!(run.down.is_empty());
    assert_eq!(run.filter.due(), Some(Tick::from_millis(60)));
    run.end(Direction::Down);
    assert!(run.ends.is_empty());
    run.filter.wake(Tick::from_millis(60), |_| None);
    run.act();
    assert_eq!((run.down.as_slice(), run.up.len()), (OK, 2 * GET.len()));
    assert_eq!(run.ends, [Direction::Down]);
}

#[test]
fn a_body_is_cut_and_a_length_is_wrong() {
    for (bytes, closed) in [(0, true), (3, true), (9, false)] {
        let mut run = Run::new(&[Some(HttpFault::CutBody { bytes })]);
        run.came(Direction::Up, GET);
        run.came(Direction::Down, OK);
        let want = OK.len() - 5 + bytes.min(5) as usize;
        assert_eq!((run.down.len(), run.closed), (want, closed), "{bytes}");
    }
    for (by, length) in [(3, "8"), (-2, "3"), (-9, "0")] {
        let mut run = Run::new(&[Some(HttpFault::WrongLength { by })]);
        run.came(Direction::Up, GET);
        run.came(Direction::Down, OK);
        let want = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello");
        assert_eq!(String::from_utf8_lossy(&run.down), want);
    }
}

#[test]
fn what_is_not_http_passes() {
    let mut run = Run::new(&[]);
    run.came(Direction::Up, b"\x16\x03\x01 nothing of the kind\r\n\r\n");
    run.came(Direction::Up, b"more");
    assert!(run.up.ends_with(b"\r\n\r\nmore"));
    let mut run = Run::new(&[Some(HttpFault::CutBody { bytes: 0 })]);
    let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    run.came(Direction::Up, upgrade);
    run.came(Direction::Down, b"HTTP/1.1 101 Switching Protocols\r\n\r\nanything");
    assert!(run.up == upgrade && run.down.ends_with(b"anything"));
    let mut run = Run::new(&[]);
    run.came(Direction::Up, GET);
    run.came(Direction::Down, b"no answer at all\r\n\r\n");
    assert!(run.down.starts_with(b"no answer"));
}

#[test]
fn nonsense_while_an_answer_waits_leaves_nothing_to_wait_for() {
    let delay = Some(HttpFault::DelayHead { delay: Duration::from_millis(50) });
    let mut run = Run::new(&[delay]);
    run.came(Direction::Up, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    run.came(Direction::Down, OK);
    assert!(run.filter.due().is_some());
    run.came(Direction::Up, b"no chunk\r\n");
    assert_eq!((run.filter.due(), run.down.as_slice()), (None, OK));
    assert!(run.up.ends_with(b"no chunk\r\n"));
}

#[test]
fn it_joins_at_the_next_request_and_leaves_when_it_is_quiet() {
    let mut filter = Filter::new();
    filter.passed(Direction::Up);
    assert!(!filter.takes(Direction::Up, true), "in the middle of something");
    assert!(!filter.takes(Direction::Down, true));
    filter.passed(Direction::Down);
    assert!(filter.takes(Direction::Up, true));
    filter.take(Direction::Up, GET, Tick::ZERO, |_| None);
    assert!(filter.takes(Direction::Down, false), "an answer is awaited");
    filter.take(Direction::Down, OK, Tick::ZERO, |_| None);
    assert!(!filter.takes(Direction::Up, false));
}

#[test]
fn ends_in_the_middle_pass() {
    let mut run = Run::new(&[]);
    run.came(Direction::Up, b"GET / HT");
    run.end(Direction::Up);
    assert_eq!((run.up.as_slice(), run.ends.as_slice()), (&b"GET / HT"[..], &[Direction::Up][..]));
    let mut run = Run::new(&[]);
    run.came(Direction::Up, GET);
    run.end(Direction::Up);
    assert_eq!(run.ends, [Direction::Up]);
    run.came(Direction::Down, b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
    run.end(Direction::Down);
    assert_eq!((run.down.ends_with(b"until the end"), run.ends.len()), (true, 2));
}

#[test]
fn what_waits_is_bounded() {
    let mut run = Run::new(&[]);
    run.came(Direction::Up, GET);
    while !run.filter.is_full(Direction::Up) {
        run.came(Direction::Up, &GET.repeat(1000));
    }
    assert!(run.filter.requests.len() < HELD_BYTES_MAX + 1000 * GET.len());
}

#[test]
fn who_is_never_answered_waits_for_nothing() {
    let mut run = Run::new(&[]);
    run.came(Direction::Up, &[GET, GET].concat());
    run.end(Direction::Up);
    assert!(run.ends.is_empty(), "the second waits for its turn");
    run.end(Direction::Down);
    assert_eq!((run.up.len(), run.ends.len()), (2 * GET.len(), 2));
}

/// Pieces of exchanges, and of what is none.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let chunked =
        b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let known: Vec<&[u8]> = vec![
        GET,
        OK,
        chunked,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n",
        b"\r\n",
        b"GET ",
    ];
    let known = prop::sample::select(known).prop_map(<[u8]>::to_vec);
    prop_oneof![4 => known, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn what_is_only_delayed_loses_nothing(
        pieces in prop::collection::vec((any::<bool>(), piece(), 1usize..50), 0..20),
        delays in prop::collection::vec(any::<bool>(), 0..8),
        up_first in any::<bool>(),
    ) {
        let delay = HttpFault::DelayHead { delay: Duration::from_millis(50) };
        let faults: Vec<_> = delays.iter().map(|d| d.then_some(delay)).collect();
        let mut run = Run::new(&faults);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut now = Tick::ZERO;
        for (to_upstream, bytes, size) in pieces {
            let (way, all) =
                if to_upstream { (Direction::Up, &mut up) } else { (Direction::Down, &mut down) };
            for part in bytes.chunks(size) {
                now = now + Duration::from_millis(20);
                run.filter.wake(now, |_| None);
                run.act();
                run.came_at(way, part, now);
                all.extend_from_slice(part);
            }
        }
        let ways = [Direction::Up, Direction::Down];
        let ways = if up_first { ways } else { [ways[1], ways[0]] };
        for way in ways {
            if run.filter.is_on() {
                run.end(way);
            } else {
                run.ends.push(way);
            }
        }
        let mut left = 100;
        while let Some(at) = run.filter.due() {
            run.filter.wake(at, |_| None);
            run.act();
            left -= 1;
            prop_assert!(left > 0);
        }
        prop_assert_eq!(run.up, up);
        prop_assert_eq!(run.down, down);
        prop_assert_eq!((run.ends.len(), run.closed), (2, false));
    }
}
