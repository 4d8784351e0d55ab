//! Load against a backend, over loopback: every request is accounted for once, by both sides.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use baleen_drill::backend::{Backend, Params, Running, fnv1a64};
use baleen_drill::load::{
    Failure, Follow, Live, Load, Outcome, Pacing, Phase, Record, Stop, Summary, Target, Url,
};

fn start(params: Params) -> Running {
    Backend::bind(params).expect("bind").spawn().expect("a thread")
}

fn time(text: &str) -> baleen_scenario::Distribution {
    text.parse().expect("a distribution")
}

fn load(addr: SocketAddr, rate: f64, millis: u64) -> Load {
    let duration = Duration::from_millis(millis);
    Load { pacing: Pacing::poisson(rate), duration, ..Load::new(Url::to(addr, "/")) }
}

/// Run it and check what holds for every load.
fn run(load: &Load) -> (Summary, Vec<Record>) {
    let mut records = Vec::new();
    let summary = load.run_with(&Stop::new(), |r| records.push(r.clone())).expect("a load");
    assert_eq!(summary.due, summary.done + summary.failed() + summary.skipped);
    assert_eq!(summary.due, summary.sent + summary.skipped);
    assert_eq!(summary.due, summary.windows.iter().map(|w| w.due).sum::<u64>());
    let mut ids: Vec<u64> = records.iter().map(|r| r.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=summary.due).collect::<Vec<_>>(), "each request is told of once");
    (summary, records)
}

/// One request on a connection of its own; the whole answer as text.
fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("connect");
    stream.write_all(request.as_bytes()).expect("send");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    text
}

#[test]
fn both_sides_count_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let params = Params {
        time: time("1ms + exp(2ms)"),
        error: 0.25,
        error_status: 503,
        seed: 7,
        log: Some(log.clone()),
        ..Params::default()
    };
    let backend = start(params);
    let load = Load {
        connections_max: 1024,
        tag: Some("x-backend".to_owned()),
        ..load(backend.addr(), 800.0, 1500)
    };
    let (summary, records) = run(&load);
    let addr = backend.addr().to_string();
    let counts = backend.stop().expect("counts");
    assert!(summary.due > 1000, "{summary:?}");
    assert_eq!((summary.failed(), summary.skipped, summary.unpaced), (0, 0, 0));
    assert_eq!((counts.requests, counts.answered), (summary.due, summary.due));
    assert_eq!(counts.connections, summary.connections);
    assert_eq!(summary.statuses.get(&503), Some(&counts.errors));
    let share = counts.errors as f64 / counts.requests as f64;
    assert!((share - 0.25).abs() < 0.06, "{share}");
    assert!(records.iter().all(|r| r.tag.as_deref() == Some(addr.as_str())));
    assert!(records.iter().all(|r| r.head.is_some_and(|h| Some(h.at) >= r.sent && h.at <= r.end)));
    let logged: BTreeMap<u64, u16> = std::fs::read_to_string(&log)
        .expect("the log")
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let mut next = || words.next().expect("a word");
            (next().parse().expect("an id"), next().parse().expect("a status"))
        })
        .collect();
    let told: BTreeMap<u64, u16> =
        records.iter().filter_map(|r| Some((r.id, r.head?.status))).collect();
    assert_eq!(logged, told);
}

#[test]
fn a_full_queue_answers_503_and_a_slot_is_never_lost() {
    let params = Params { time: time("20ms"), slots: 2, queue: 3, ..Params::default() };
    let backend = start(params);
    let load = Load {
        pacing: Pacing::constant(400.0),
        connections_max: 200,
        ..load(backend.addr(), 400.0, 1000)
    };
    let (summary, _) = run(&load);
    let counts = backend.stop().expect("counts");
    assert_eq!(summary.done, summary.due);
    assert_eq!(summary.statuses.get(&503), Some(&counts.queue_full));
    assert_eq!(summary.ok, counts.answered);
    // Two slots of 20 ms can't serve more than 100 in a second, and the queue's three at the end.
    assert!((1..=110).contains(&counts.answered), "{counts:?}");
    assert!(counts.queue_full > 200, "{counts:?}");
}

#[test]
fn too_few_connections_make_requests_late_and_then_skipped() {
    let backend = start(Params { time: time("30ms"), ..Params::default() });
    let load = Load {
        pacing: Pacing::constant(500.0),
        connections_max: 2,
        ..load(backend.addr(), 500.0, 600)
    };
    let (summary, records) = run(&load);
    let counts = backend.stop().expect("counts");
    assert_eq!(summary.due, 300);
    assert!(summary.connections <= 2 && counts.connections <= 2, "{summary:?}");
    assert!(summary.late > 10 && summary.skipped > 200, "{summary:?}");
    assert_eq!(counts.requests, summary.sent);
    // Latency from due shows the wait that latency from sending hides.
    let (felt, measured) = (summary.latency.quantile(0.99), summary.service.quantile(0.5));
    assert!(felt > Some(Duration::from_millis(300)), "{felt:?}");
    assert!(felt > measured, "{measured:?}");
    let skipped = records.iter().filter(|r| r.outcome == Outcome::Skipped);
    assert_eq!(skipped.filter(|r| r.sent.is_none()).count() as u64, summary.skipped);
}

/// Answers every connection with these bytes once a head came, and closes.
fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer);
        }
    });
    addr
}

/// A few requests that must all fail like this, with or without a head.
fn all_fail(load: &Load, failure: Failure, head: bool) {
    let (summary, records) = run(load);
    assert!(summary.due > 0);
    for record in &records {
        assert_eq!(record.outcome, Outcome::Failed(failure));
        assert_eq!(record.head.is_some(), head);
    }
    assert_eq!(summary.failed_after_head, if head { summary.due } else { 0 });
}

#[test]
fn failures_are_told_apart() {
    let few = |addr| load(addr, 100.0, 100);
    all_fail(&few(raw(b"")), Failure::Closed, false);
    all_fail(&few(raw(b"HTTP/1.1 200 O")), Failure::Closed, false);
    all_fail(
        &few(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")),
        Failure::Closed,
        true,
    );
    all_fail(&few(raw(b"SSH-2.0-what\r\n\r\n")), Failure::Invalid, false);
    all_fail(
        &few(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
        Failure::Invalid,
        true,
    );
    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    all_fail(&few(nobody), Failure::Connect, false);
    let slow = start(Params { time: time("1h"), ..Params::default() });
    let impatient = Load { timeout: Duration::from_millis(50), ..few(slow.addr()) };
    all_fail(&impatient, Failure::Timeout, false);
    let counts = slow.stop().expect("counts");
    assert_eq!(counts.answered, 0);
    assert_eq!(counts.gone, counts.requests, "a request whose downstream left is given up");
}

#[test]
fn interim_responses_and_closed_bodies_are_read() {
    let addr = raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 201 Created\r\n\r\nuntil the end");
    let (summary, records) = run(&load(addr, 100.0, 100));
    assert_eq!(summary.statuses.get(&201), Some(&summary.due));
    assert!(records.iter().all(|r| r.body_bytes == 13));
}

#[test]
fn a_connection_closed_while_idle_is_not_used_again() {
    // Each answer says keep-alive and closes nevertheless, before the next request is due.
    let addr = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let load = Load { pacing: Pacing::constant(10.0), ..load(addr, 10.0, 500) };
    let (summary, _) = run(&load);
    assert_eq!((summary.ok, summary.connections), (5, 5), "{summary:?}");
}

#[test]
fn echo_tells_what_was_received() {
    let backend = start(Params::default());
    let text = ask(
        backend.addr(),
        "POST /echo?a=1 HTTP/1.1\r\nhOST: me\r\nX-B: 2\r\nX-a: \"q\"\r\nX-B: 3\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n",
    );
    let digest = format!(r#""body":{{"bytes":6,"fnv1a64":"{:016x}"}}"#, fnv1a64(b"foobar"));
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(
        text.contains(r#"{"method":"POST","target":"/echo?a=1","version":"HTTP/1.1""#),
        "{text}"
    );
    assert!(
        text.contains(r#"["hOST","me"],["X-B","2"],["X-a","\"q\""],["X-B","3"]"#),
        "in order and case: {text}"
    );
    assert!(text.contains(&digest), "{text}");
    backend.stop().expect("ends");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = start(Params { time: time("2ms"), ..Params::default() });
    let one = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{end}\r\n");
    let all =
        [one("/echo?1", ""), one("/echo?2", ""), one("/echo?3", "Connection: close\r\n")].concat();
    let text = ask(backend.addr(), &all);
    let at: Vec<_> = ["/echo?1", "/echo?2", "/echo?3"].iter().map(|p| text.find(p)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{text}");
    assert!(text.contains(r#""connection":1,"request":3"#), "{text}");
    backend.stop().expect("ends");
}

#[test]
fn bodies_have_their_size_and_head_has_none() {
    let params = Params { body_bytes: 300_000, ..Params::default() };
    let backend = start(params);
    let get = ask(backend.addr(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (head, body) = get.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body.len(), 300_000);
    assert!(head.contains("Content-Length: 300000"), "{head}");
    let head = ask(backend.addr(), "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 300000"), "{head}");
    let bad = ask(backend.addr(), "GET / HTTP/1.1\r\n\r\n");
    assert!(bad.starts_with("HTTP/1.1 400 ") && bad.contains("no Host"), "{bad}");
    assert_eq!(backend.stop().expect("ends").invalid, 1);
}

#[test]
fn control_changes_a_backend_while_it_runs() {
    let backend = start(Params { control: true, ..Params::default() });
    let post = |query: &str| {
        let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        ask(backend.addr(), &format!("POST /_control?{query} {close}"))
    };
    assert!(post("error=100%25&status=418").contains(r#""error":1,"status":418"#));
    let (summary, _) = run(&load(backend.addr(), 100.0, 100));
    assert_eq!(summary.statuses.get(&418), Some(&summary.due));
    let refused = post("error=lots");
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    assert!(post("").contains(r#""error":1,"status":418"#), "a mistake changes nothing");
    backend.stop().expect("ends");
    // Not asked for, there is no such thing.
    let plain = start(Params::default());
    let text = ask(plain.addr(), "GET /_control HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(text.contains("Content-Length: 128"), "{text}");
    plain.stop().expect("ends");
}

#[test]
fn a_backend_says_how_loaded_it_is() {
    let backend = start(Params { slots: 1, control: true, ..Params::default() });
    let load = || {
        let answer = ask(
            backend.addr(),
            "GET /.well-known/baleen-load HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let line = answer.lines().find_map(|l| l.strip_prefix("baleen-load: ")).expect("the field");
        let (in_flight, latency) = line.split_once(", ").expect("two members");
        let number = |text: &str, key: &str| -> u64 {
            text.strip_prefix(key).expect("a key").parse().expect("a number")
        };
        (number(in_flight, "in-flight="), number(latency, "latency-us="))
    };
    assert_eq!(load(), (0, 0), "probes don't count");
    let get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    ask(
        backend.addr(),
        "POST /_control?time=20ms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    ask(backend.addr(), get);
    let (in_flight, latency_us) = load();
    assert!(in_flight == 0 && latency_us >= 20_000, "{in_flight} {latency_us}");
    // One is served, one waits; both are given up when their downstreams leave.
    ask(backend.addr(), "POST /_control?time=1h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let stay = || {
        let mut stream = TcpStream::connect(backend.addr()).expect("connect");
        stream.write_all(get.as_bytes()).expect("send");
        stream
    };
    let stays = [stay(), stay()];
    while load().0 != 2 {}
    drop(stays);
    while load().0 != 0 {}
    assert_eq!(load().1, latency_us, "who left says nothing about times");
    backend.stop().expect("stop");
}

#[test]
fn burning_answers_too() {
    let params = Params { time: time("3ms"), burn: true, slots: 2, ..Params::default() };
    let backend = start(params);
    let (summary, _) = run(&load(backend.addr(), 50.0, 300));
    assert_eq!(summary.ok, summary.due);
    let counts = backend.stop().expect("counts");
    assert_eq!(counts.answered, summary.due);
}

#[test]
fn asked_to_end_a_backend_lets_requests_end() {
    let backend = start(Params { time: time("200ms"), ..Params::default() });
    let mut idle = TcpStream::connect(backend.addr()).expect("connect");
    let mut busy = TcpStream::connect(backend.addr()).expect("connect");
    // The second request goes out when the first was answered, so it is being served when the end is asked for.
    busy.write_all(
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    )
    .expect("send");
    let mut interim = [0; 25];
    busy.read_exact(&mut interim).expect("read");
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    busy.write_all(b"x").expect("send");
    let stopping = std::thread::spawn(move || backend.stop().expect("counts"));
    let mut text = String::new();
    busy.read_to_string(&mut text).expect("read");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert_eq!(idle.read(&mut [0; 1]).expect("read"), 0, "idle connections are closed");
    assert_eq!(stopping.join().expect("join").answered, 1);
}

#[test]
fn stopped_early_a_load_ends() {
    let backend = start(Params::default());
    let stop = Stop::new();
    let mut seen = 0;
    let load = load(backend.addr(), 200.0, 3_600_000);
    let summary = load
        .run_with(&stop, |_| {
            seen += 1;
            if seen == 20 {
                stop.stop();
            }
        })
        .expect("a load");
    assert!(summary.due >= 20 && summary.due == seen, "{summary:?}");
    backend.stop().expect("ends");
}

/// Several threads count what one would, and their histograms hold every request once.
#[test]
fn threads_share_a_load() {
    let backend = start(Params { time: time("2ms"), ..Params::default() });
    let phase = |name: &str, from, to| Phase {
        name: name.to_owned(),
        from: Duration::from_millis(from),
        to: Duration::from_millis(to),
    };
    let load = Load {
        pacing: Pacing::constant(1000.0),
        threads: 3,
        phases: vec![phase("a", 0, 300), phase("b", 300, 9000)],
        intervals: true,
        ..load(backend.addr(), 1.0, 1000)
    };
    let (summary, _) = run(&load);
    let counts = backend.stop().expect("counts");
    assert_eq!((summary.due, summary.ok, counts.answered), (1000, 1000, 1000));
    assert_eq!((summary.latency.count(), summary.service.count()), (1000, 1000));
    assert_eq!((summary.phases[0].due, summary.phases[1].due), (300, 700));
    let logged: u64 = summary.intervals.iter().flat_map(|i| &i.latency).map(|(_, n)| n).sum();
    assert_eq!(logged, 1000);
    assert!(summary.intervals.is_sorted_by_key(|i| i.second));
    assert!(summary.service.min() >= Some(Duration::from_millis(2)), "{summary:?}");
    // Each from due is at least as long as the same from sending.
    assert!(summary.latency.quantile(0.5) >= summary.service.quantile(0.5));
}

#[test]
fn a_closed_loop_thinks_between_two_requests() {
    let backend = start(Params { time: time("5ms"), ..Params::default() });
    let load = Load {
        pacing: Pacing::Closed { think: Some(time("20ms")) },
        connections_max: 4,
        threads: 2,
        ..load(backend.addr(), 1.0, 500)
    };
    let (summary, records) = {
        let mut records = Vec::new();
        let summary = load.run_with(&Stop::new(), |r| records.push(r.clone())).expect("a load");
        (summary, records)
    };
    backend.stop().expect("ends");
    assert_eq!((summary.ok, summary.connections), (summary.due, 4), "{summary:?}");
    // Four clients, at least 25 ms for each request: at most 20 each.
    assert!((4..=80).contains(&summary.due), "{summary:?}");
    let mut ids: Vec<u64> = records.iter().map(|r| r.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, summary.due, "numbers of threads do not meet");
}

#[test]
fn tries_are_made_again_and_counted() {
    let backend = start(Params { error: 1.0, error_status: 503, ..Params::default() });
    let load = Load { tries: 3, wait: Some(time("1ms")), ..load(backend.addr(), 200.0, 300) };
    let (summary, records) = run(&load);
    let counts = backend.stop().expect("counts");
    assert_eq!((summary.ok, summary.tries), (0, 3 * summary.due));
    assert_eq!(counts.requests, summary.tries);
    assert!(records.iter().all(|r| r.tries == 3 && r.latency() >= Duration::from_millis(2)));
}

#[test]
fn without_reuse_each_request_has_its_connection() {
    let backend = start(Params::default());
    let load = Load { reuse: false, ..load(backend.addr(), 300.0, 300) };
    let (summary, records) = run(&load);
    let counts = backend.stop().expect("counts");
    assert_eq!((summary.ok, summary.connections), (summary.due, summary.due));
    assert_eq!(counts.connections, summary.due);
    assert!(records.iter().all(|r| !r.reused));
}

/// More than sockets take at once, both ways.
#[test]
fn long_bodies_go_and_come_whole() {
    let backend = start(Params { echo: true, ..Params::default() });
    let body: Vec<u8> = (0..6_000_000u32).map(|n| (n % 251) as u8).collect();
    let digest = format!(r#""body":{{"bytes":6000000,"fnv1a64":"{:016x}"}}"#, fnv1a64(&body));
    let mut load = load(backend.addr(), 20.0, 300);
    load.pacing = Pacing::constant(20.0);
    load.targets[0].method = "POST".to_owned();
    load.targets[0].body = body.into();
    load.targets[0].check.contains = Some(digest.into_bytes());
    for ids in [true, false] {
        load.ids = ids;
        let summary = load.run(&Stop::new()).expect("a load");
        assert_eq!((summary.ok, summary.due), (6, 6), "{summary:?}");
    }
    backend.stop().expect("ends");
    let large = start(Params { body_bytes: 5_000_000, ..Params::default() });
    let summary = Load { pacing: Pacing::constant(20.0), ..self::load(large.addr(), 20.0, 300) }
        .run(&Stop::new());
    assert_eq!(summary.expect("a load").body_bytes, 6 * 5_000_000);
    large.stop().expect("ends");
}

#[test]
fn whoever_looks_sees_how_far_it_is() {
    let backend = start(Params::default());
    let live = Live::new();
    let load =
        Load { pacing: Pacing::constant(500.0), threads: 2, ..load(backend.addr(), 1.0, 400) };
    let follow = Follow { live: Some(&live), ..Follow::default() };
    let summary = load.follow(&Stop::new(), follow).expect("a load");
    backend.stop().expect("ends");
    let seen = live.look();
    assert_eq!((seen.over, seen.ok, seen.done), (200, 200, 200), "{seen:?}");
    assert_eq!((seen.in_flight, seen.waiting, seen.recent.count()), (0, 0, 200));
    assert_eq!(summary.due, 200);
    assert_eq!(live.look().recent.count(), 0, "each look starts anew");
}

/// Two targets at two addresses, and connections for one: the kept one makes room for the other.
#[test]
fn targets_at_several_addresses_share_the_connections() {
    let (one, two) = (start(Params::default()), start(Params::default()));
    let mut load = load(one.addr(), 100.0, 400);
    load.targets.push(Target::get(Url::to(two.addr(), "/two")));
    load.connections_max = 1;
    let (summary, records) = run(&load);
    let (a, b) = (one.stop().expect("counts"), two.stop().expect("counts"));
    assert_eq!(a.answered + b.answered, summary.sent);
    assert!(a.answered > 0 && b.answered > 0, "{summary:?}");
    let second = records.iter().filter(|r| r.target == 1 && r.sent.is_some()).count() as u64;
    assert_eq!(b.answered, second);
    assert_eq!(summary.targets.iter().map(|t| t.due).sum::<u64>(), summary.due);
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        let e = load(addr, rate, 10).run(&Stop::new()).expect_err("a rate");
        assert_eq!(e.kind(), std::io::ErrorKind::InvalidInput, "{e}");
    }
}
