//! Two attempts of one call at once: which answer goes down, what becomes of the other connection, and what is sent twice.

use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use baleen_base::Pool;
use baleen_policy::params::{Hedge, Share};
use baleen_proxy::access_log::Destination;
use socket2::{Domain, Socket, Type};

use crate::harness::{PATIENCE, Proxy, Setup, Wire, eventually, get, ok, post, proxy};
use crate::stage::{Asked, Stage, stage};

/// Hedge what takes longer than most did, and longer than this.
const MIN: Duration = Duration::from_millis(100);

fn hedge(setup: &mut Setup) {
    setup.route.hedge = Some(Hedge { quantile: Share::percent(95), min: MIN });
    setup.route.tries = 2;
    setup.cluster.eject.consecutive_failures = 0;
}

/// A proxy that hedges, in front of two upstreams that are warm.
fn hedging(change: impl FnOnce(&mut Setup)) -> (Stage, Proxy) {
    let stage = stage(2);
    let p = proxy(&stage.addresses, |s| {
        hedge(s);
        change(s);
    });
    stage.warm(&p);
    (stage, p)
}

/// Both attempts of the request that was sent just now; they are at different upstreams.
fn both(stage: &Stage) -> (Asked, Asked) {
    let (first, second) = (stage.next(), stage.next());
    assert_ne!(first.at, second.at);
    assert_eq!(first.request.first_line(), second.request.first_line());
    assert_eq!(first.request.body, second.request.body);
    (first, second)
}

/// The client has read its one answer: its connection carries another request, and nothing follows.
fn is_in_order(mut client: Wire) {
    client.send(get("/warm"));
    assert_eq!(client.message().text(), "warm");
    client.end();
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_hedge_answers_first() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(get("/slow"));
    let (mut first, mut second) = both(&stage);
    second.wire.send(ok("second"));
    assert_eq!(client.message().text(), "second");
    assert!(first.wire.is_over(), "the loser's connection is closed");
    // The winner's is used again.
    let more = std::thread::spawn(move || {
        for _ in 0..4 {
            client.send(get("/warm"));
            assert_eq!(client.message().text(), "warm");
        }
        client
    });
    assert!(second.wire.message().head.starts_with("GET /warm "));
    second.wire.send(ok("warm"));
    stage.resume(second);
    is_in_order(more.join().unwrap());
    assert!(stage.is_quiet());
}

#[test]
fn the_first_answers_late_but_first() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(get("/slow"));
    let (mut first, mut second) = both(&stage);
    first.wire.send(ok("first"));
    assert_eq!(client.message().text(), "first");
    assert!(second.wire.is_over());
    stage.resume(first);
    is_in_order(client);
    assert!(stage.is_quiet());
}

#[test]
fn when_one_dies_the_other_goes_on() {
    for first_dies in [true, false] {
        let (stage, p) = hedging(|_| {});
        let mut client = p.client();
        client.send(get("/slow"));
        let (first, second) = both(&stage);
        let (dies, mut lives) = if first_dies { (first, second) } else { (second, first) };
        dies.wire.reset();
        lives.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n");
        lives.wire.send("\r\nli");
        lives.wire.send("ve");
        assert_eq!(client.message().text(), "live");
        stage.resume(lives);
        is_in_order(client);
        assert!(stage.is_quiet());
    }
}

#[test]
fn a_refused_hedge_does_no_harm() {
    let stage = stage(1);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let p = proxy(&[stage.addresses[0], gone], hedge);
    stage.warm(&p);
    for i in 0..4 {
        let mut client = p.client();
        client.send(get("/slow"));
        let mut asked = stage.next();
        // It takes so long that the hedge has met its refusal.
        std::thread::sleep(3 * MIN);
        asked.wire.send(ok(&i.to_string()));
        assert_eq!(client.message().text(), i.to_string());
        stage.resume(asked);
        is_in_order(client);
    }
    assert!(stage.is_quiet());
}

#[test]
fn when_both_die_there_is_one_answer() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(get("/slow"));
    let (first, second) = both(&stage);
    second.wire.reset();
    first.wire.reset();
    assert_eq!(client.message().status(), 502);
    is_in_order(client);
    assert!(stage.is_quiet());
}

#[test]
fn when_both_take_too_long_there_is_one_answer() {
    let (stage, p) = hedging(|s| s.route.total_timeout = 4 * MIN);
    let mut client = p.client();
    client.send(get("/slow"));
    let (mut first, mut second) = both(&stage);
    assert_eq!(client.message().status(), 504);
    assert!(first.wire.is_over() && second.wire.is_over());
    is_in_order(client);
    assert!(stage.is_quiet());
}

#[test]
fn a_client_that_leaves_ends_both() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(get("/slow"));
    let (mut first, mut second) = both(&stage);
    drop(client);
    assert!(first.wire.is_over() && second.wire.is_over());
    eventually("nothing is held", || p.buffer_bytes() == 0);
    is_in_order(p.client());
    assert!(stage.is_quiet());
}

#[test]
fn a_status_that_is_tried_again_leaves_the_call_to_the_other() {
    for first_is_busy in [true, false] {
        let (stage, p) = hedging(|_| {});
        let mut client = p.client();
        client.send(get("/slow"));
        let (first, second) = both(&stage);
        let (mut busy, mut other) = if first_is_busy { (first, second) } else { (second, first) };
        busy.wire.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        assert!(busy.wire.is_over());
        other.wire.send(ok("fine"));
        assert_eq!(client.message().text(), "fine");
        stage.resume(other);
        is_in_order(client);
        assert!(stage.is_quiet());
    }
}

#[test]
fn what_is_no_response_leaves_the_call_to_the_other() {
    for first_is_odd in [true, false] {
        let (stage, p) = hedging(|_| {});
        let mut client = p.client();
        client.send(get("/slow"));
        let (first, second) = both(&stage);
        let (mut odd, mut other) = if first_is_odd { (first, second) } else { (second, first) };
        odd.wire.send("SSH-2.0-OpenSSH_9.2\r\n");
        assert!(odd.wire.is_over());
        other.wire.send(ok("fine"));
        assert_eq!(client.message().text(), "fine");
        is_in_order(client);
        assert!(stage.is_quiet());
    }
}

#[test]
fn large_bodies_go_up_twice_and_come_down_once() {
    let (stage, p) = hedging(|s| s.route.replay_bytes = 1 << 20);
    let body = "0123456789".repeat(60_000);
    let back = "abcdefghij".repeat(300_000);
    for chunked in [false, true] {
        for hedge_wins in [true, false] {
            let mut client = p.client();
            if chunked {
                client
                    .send("PUT /slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
                for part in body.as_bytes().chunks(70_000) {
                    client.send(format!("{:x}\r\n", part.len()));
                    client.send(part);
                    client.send("\r\n");
                }
                client.send("0\r\n\r\n");
            } else {
                client.send(post("/slow", &body).replace("POST", "PUT"));
            }
            let (first, second) = both(&stage);
            assert!(first.request.text() == body);
            let (winner, mut loser) = if hedge_wins { (second, first) } else { (first, second) };
            let mut wire = Wire::new(winner.wire.stream.try_clone().unwrap());
            let answer = ok(&back);
            let sender = std::thread::spawn(move || wire.send(answer));
            assert!(client.message().text() == back);
            sender.join().unwrap();
            assert!(loser.wire.is_over());
            stage.resume(winner);
            is_in_order(client);
        }
    }
    assert!(stage.is_quiet());
}

#[test]
fn a_body_that_may_be_sent_once_only_is_not_hedged() {
    let (stage, p) = hedging(|s| s.route.try_timeout = 5 * MIN);
    for request in [post("/once", "pay"), post("/once", &"x".repeat(70_000)).replace("POST", "PUT")]
    {
        let mut client = p.client();
        client.send(request);
        let mut asked = stage.next();
        assert_eq!(client.message().status(), 504, "its time is over without a hedge");
        assert!(asked.wire.is_over());
        assert!(stage.is_quiet());
    }
}

#[test]
fn an_empty_pool_pays_for_no_hedge() {
    let (stage, p) = hedging(|s| {
        s.route.pool = Pool { share_ppm: 0, floor_per_second: 0, window: PATIENCE };
        s.route.try_timeout = 5 * MIN;
    });
    let mut client = p.client();
    client.send(get("/slow"));
    let mut asked = stage.next();
    assert_eq!(client.message().status(), 504, "its time is over without a hedge");
    assert!(asked.wire.is_over());
    is_in_order(client);
    assert!(stage.is_quiet());
}

#[test]
fn hints_of_the_first_go_down_and_those_of_the_hedge_do_not() {
    let (stage, p) = hedging(|_| {});
    for hedge_wins in [true, false] {
        let mut client = p.client();
        client.send(get("/slow"));
        let (mut first, mut second) = both(&stage);
        first.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </first>\r\n\r\n");
        assert_eq!(client.head().field("link"), Some("</first>"));
        second.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </second>\r\n\r\n");
        let mut winner = if hedge_wins { second } else { first };
        winner.wire.send(ok("page"));
        assert_eq!(client.message().text(), "page");
        stage.resume(winner);
        is_in_order(client);
    }
}

/// The client reads nothing of a response of `fill` bytes and of what comes behind it: the first attempt's hints, then the
/// hedge's answer. Gives whether the hints were only partly out when the hedge had answered; `None` when already the first
/// response found no room.
fn hints_behind(fill: usize) -> Option<bool> {
    let (stage, p) = hedging(|s| s.client.body_timeout = PATIENCE);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&p.address.into()).unwrap();
    let mut client = Wire::new(socket.into());
    client.send(get("/fill"));
    let mut asked = stage.next();
    let body = "f".repeat(fill);
    asked.wire.send(ok(&body));
    stage.resume(asked);
    client.send(get("/slow"));
    let (mut first, mut second) = (stage.asked_within(5 * MIN)?, stage.next());
    let link = "x".repeat(60_000);
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\n");
    // As many as the upstream may send.
    first.wire.send(hints.repeat(16));
    second.wire.send(ok("second"));
    let until = Instant::now() + 3 * MIN;
    first.wire.stream.set_nonblocking(true).unwrap();
    let mut open = true;
    while open && Instant::now() < until {
        open =
            matches!(first.wire.stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
    }
    assert!(client.message().text() == body);
    let answer = loop {
        let message = client.head();
        if message.status() != 103 {
            break message;
        }
        assert!(message.field("link") == Some(&link));
    };
    let length = answer.field("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.status(), client.take(length)), (200, b"second".to_vec()));
    stage.resume(second);
    is_in_order(client);
    Some(open)
}

#[test]
fn hints_that_are_half_out_are_written_out_before_the_hedges_answer() {
    // How much room there is depends on the kernel.
    let mut fills = (0..20).map(|i| i * 200_000).map_while(hints_behind);
    assert!(fills.any(|half_out| half_out), "all hints found room");
}

#[test]
fn a_body_that_waited_for_a_continue_is_hedged_without_waiting() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(
        "PUT /slow HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    );
    let (first, mut second) = both(&stage);
    assert_eq!((first.request.text(), second.request.text()), ("body", "body"));
    second.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
    second.wire.send(ok("second"));
    assert_eq!(client.message().text(), "second");
    stage.resume(second);
    is_in_order(client);
}

#[test]
fn requests_that_wait_behind_a_hedged_one_are_answered_after_it() {
    let (stage, p) = hedging(|_| {});
    let mut client = p.client();
    client.send(get("/slow"));
    let (first, mut second) = both(&stage);
    client.send(format!("{}{}", get("/warm"), get("/slower")));
    second.wire.send(ok("second"));
    assert_eq!(client.message().text(), "second");
    assert_eq!(client.message().text(), "warm");
    drop(first);
    stage.resume(second);
    let (mut first, second) = both(&stage);
    first.wire.send(ok("slower"));
    assert_eq!(client.message().text(), "slower");
    drop(second);
    stage.resume(first);
    is_in_order(client);
}

#[test]
fn the_handshake_of_an_upgrade_may_be_hedged() {
    for hedge_wins in [true, false] {
        let (stage, p) = hedging(|_| {});
        let mut client = p.client();
        client.send(
            "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
        );
        let (first, second) = both(&stage);
        let (mut winner, mut loser) = if hedge_wins { (second, first) } else { (first, second) };
        winner.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello",
        );
        assert_eq!(client.head().status(), 101);
        assert_eq!(client.take(5), b"hello");
        assert!(loser.wire.is_over());
        client.send("hi");
        assert_eq!(winner.wire.take(2), b"hi");
        winner.wire.send("bye");
        winner.wire.end();
        assert_eq!(client.rest(), b"bye");
        client.end();
        assert_eq!(winner.wire.rest(), b"");
    }
}

/// An upstream that took one connection and takes no more.
struct Full {
    listener: Socket,
    address: SocketAddr,
    waiting: Vec<TcpStream>,
}

impl Full {
    fn new() -> Full {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        Full { listener, address, waiting: Vec::new() }
    }

    /// Fill its queue: whoever connects now hears nothing.
    fn fill(&mut self) {
        while let Ok(stream) = TcpStream::connect_timeout(&self.address, 2 * MIN) {
            self.waiting.push(stream);
            assert!(self.waiting.len() < 16, "the queue has an end");
        }
    }
}

#[test]
fn an_attempt_that_still_connects_is_hedged_and_a_hedge_may_still_connect() {
    let stage = stage(1);
    let mut full = Full::new();
    let p = proxy(&[full.address, stage.addresses[0]], hedge);
    let listener = full.listener.try_clone().unwrap();
    let (to, accepted) = std::sync::mpsc::channel();
    let warm = std::thread::spawn(move || {
        let mut wire = Wire::new(listener.accept().unwrap().0.into());
        to.send(wire.stream.try_clone().unwrap()).unwrap();
        while !wire.ends() {
            assert!(wire.message().head.starts_with("GET /warm "));
            wire.send(ok("warm"));
        }
    });
    stage.warm(&p);
    accepted.recv().unwrap().shutdown(Shutdown::Both).unwrap();
    warm.join().unwrap();
    full.fill();
    for i in 0..6 {
        let mut client = p.client();
        client.send(get(&format!("/{i}")));
        let mut asked = stage.next();
        if i >= 3 {
            // It takes so long that there is a hedge which connects, where this is not the hedge itself.
            std::thread::sleep(3 * MIN);
        }
        asked.wire.send(ok(&i.to_string()));
        assert_eq!(client.message().text(), i.to_string());
        stage.resume(asked);
        is_in_order(client);
    }
    assert!(stage.is_quiet());
}

#[test]
fn the_access_log_names_the_winner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = Destination::File(path.clone());
    let (stage, p) = hedging(move |s| s.log = log);
    let mut expected = Vec::new();
    for hedge_wins in [true, false] {
        let mut client = p.client();
        client.send(get("/slow"));
        let (first, second) = both(&stage);
        let mut winner = if hedge_wins { second } else { first };
        winner.wire.send(ok("x"));
        assert_eq!(client.message().text(), "x");
        expected.push((stage.addresses[winner.at].to_string(), 2));
        stage.resume(winner);
    }
    let mut lines = Vec::new();
    eventually("two lines about slow ones", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        lines = text.lines().filter(|l| l.contains("/slow")).map(str::to_owned).collect();
        lines.len() == 2
    });
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["endpoint"].as_str().unwrap().to_owned(), line["attempts"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(said, expected);
}

/// Hedge sooner where there are many.
const SOON: Duration = Duration::from_millis(20);

/// Answers `/N` after a time that depends on N and on how often it was asked, sometimes not at all. Gives how many were asked
/// for again while the first answer was only slow.
fn fickle(stage: &Stage, requests: u64, is_over: impl Fn() -> bool) -> usize {
    let mut seen = vec![0_u8; requests as usize];
    while !is_over() {
        let Some(mut asked) = stage.asked_within(SOON) else { continue };
        let n = number(asked.request.first_line());
        let nth = seen[n as usize];
        seen[n as usize] += 1;
        assert!(nth < 3, "{n} was sent {nth} times before");
        let body = body_of(n, &asked.request.body);
        let back = stage.back();
        std::thread::spawn(move || {
            match (n % 10, nth) {
                (3, 0) => std::thread::sleep(2 * SOON),
                (5, 0) => std::thread::sleep(4 * SOON),
                (7, 0) => return asked.wire.reset(),
                (9, 0) => {
                    std::thread::sleep(SOON + SOON / 2);
                    return asked.wire.reset();
                }
                (8, 1) => return asked.wire.reset(),
                (8, 0) => std::thread::sleep(2 * SOON),
                _ => {}
            }
            let answer = ok(&body);
            // A loser's connection is closed.
            if asked.wire.stream.write_all(answer.as_bytes()).is_ok() {
                back.resume(asked);
            }
        });
    }
    (0..seen.len()).filter(|n| matches!(n % 10, 3 | 5) && seen[*n] > 1).count()
}

fn number(line: &str) -> u64 {
    line.split(['/', ' ']).nth(2).unwrap().parse().unwrap()
}

fn body_of(n: u64, sent: &[u8]) -> String {
    let sum: u64 = sent.iter().map(|b| u64::from(*b)).sum();
    format!("{n}:{}:{sum};", sent.len()).repeat(1 + (n as usize * 37) % 4000)
}

#[test]
fn a_mix_of_two_thousand_stays_in_order() {
    const CLIENTS: u64 = 16;
    const EACH: u64 = 125;
    let (stage, p) = hedging(|s| {
        s.route.hedge = Some(Hedge { quantile: Share::percent(95), min: SOON });
        s.route.tries = 3;
    });
    std::thread::scope(|scope| {
        let address = p.address;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|c| {
                scope.spawn(move || {
                    let mut client = Wire::new(TcpStream::connect(address).unwrap());
                    for i in 0..EACH {
                        let n = c * EACH + i;
                        let body = if n.is_multiple_of(3) {
                            "y".repeat((n as usize * 31) % 20_000)
                        } else {
                            String::new()
                        };
                        let request = post(&format!("/{n}"), &body).replace("POST", "PUT");
                        client.send(request);
                        let answer = client.message();
                        assert_eq!(answer.status(), 200, "{n}");
                        assert!(answer.text() == body_of(n, body.as_bytes()), "{n}");
                    }
                    client.end();
                    assert_eq!(client.rest(), b"");
                })
            })
            .collect();
        let hedged = fickle(&stage, CLIENTS * EACH, || clients.iter().all(|c| c.is_finished()));
        for client in clients {
            client.join().unwrap();
        }
        assert!(hedged > 200, "{hedged} of 400");
    });
    let views = p.server.views(PATIENCE);
    assert_eq!(views.workers[0].1.calls, 0);
    for recording in p.server.recordings(PATIENCE) {
        let replayed = baleen_policy::replay(&recording);
        assert!(replayed.is_ok(), "{replayed:?}");
    }
    eventually("nothing is held", || p.buffer_bytes() == 0);
}
