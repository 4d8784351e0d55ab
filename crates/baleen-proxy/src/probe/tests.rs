//! What is taken for an answer to a probe, which connections are used again, and the bounds.
//!
//! Not here: balancing by it (`tests/it/probes.rs`).

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

#[test]
fn what_an_answer_says() {
    let load = |in_flight, latency_us| Some(ProbedLoad { in_flight, latency_us });
    for (value, expected) in [
        ("in-flight=3, latency-us=1200", load(3, 1200)),
        ("latency-us=0,in-flight=0", load(0, 0)),
        ("in-flight=1 ,\tlatency-us=2, cpu.load_5*=70", load(1, 2)),
        ("in-flight=4294967296, latency-us=999999999999999", load(u32::MAX, u32::MAX)),
        ("in-flight=3", None),
        ("in-flight=3, latency-us=", None),
        ("in-flight=3, latency-us=-1", None),
        ("in-flight=3, latency-us=1.5", None),
        ("in-flight=3, latency-us=1;q=1", None),
        ("in-flight=3, latency-us=1200,", None),
        ("in-flight=3, latency-us=1, in-flight=4", None),
        ("in-flight=3, latency-us=1000000000000000", None),
        ("In-Flight=3, latency-us=1", None),
        ("in-flight = 3, latency-us=1", None),
        ("in-flight=3 latency-us=1", None),
        ("in-flight=3, latency-us=1, x", None),
        ("in-flight=3, latency-us=1, 9=9", None),
        ("", None),
    ] {
        assert_eq!(parse_load(value.as_bytes()), expected, "{value:?}");
    }
}

#[test]
fn a_head_counts_if_it_is_2xx_and_says_it_once() {
    let load = |text: &str| {
        let mut head = ResponseHead::new();
        let parsed = head.parse(text.as_bytes(), &Limits::default(), AskedFor::default());
        assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
        load_of(&head, text.as_bytes())
    };
    let field = "Baleen-Load: in-flight=1, latency-us=2\r\n";
    let expected = Some(ProbedLoad { in_flight: 1, latency_us: 2 });
    assert_eq!(load(&format!("HTTP/1.1 204 OK\r\n{field}\r\n")), expected);
    assert_eq!(load(&format!("HTTP/1.1 404 No\r\n{field}\r\n")), None);
    assert_eq!(load(&format!("HTTP/1.1 200 OK\r\n{field}{field}\r\n")), None);
    assert_eq!(load("HTTP/1.1 200 OK\r\n\r\n"), None);
}

#[test]
fn there_is_a_bound_on_probes() {
    let asked = Asked::default();
    let ask = |n: usize| asked.ask(ClusterId(0), EndpointId(n as u32));
    assert_eq!((0..PROBES_MAX + 10).filter(|n| ask(*n)).count(), PROBES_MAX);
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(rt.block_on(asked.next()), (ClusterId(0), EndpointId(0)));
    assert_eq!(rt.block_on(asked.next()), (ClusterId(0), EndpointId(1)));
    assert!(!ask(PROBES_MAX), "those that run count too");
    assert_eq!(asked.answered(EndpointId(0)), 1);
    assert!(asked.ended(EndpointId(0)));
    assert!(ask(PROBES_MAX) && !ask(0));
}

#[test]
fn who_asks_meanwhile_gets_the_same_answer() {
    let asked = Asked::default();
    let ask = || asked.ask(ClusterId(0), EndpointId(5));
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(ask());
    rt.block_on(asked.next());
    assert!(ask() && ask());
    assert_eq!(asked.answered(EndpointId(5)), 3);
    // Asked while the body is read: probed once more, by the same task.
    assert!(ask());
    assert!(!asked.ended(EndpointId(5)));
    assert_eq!((0..JOINED_MAX + 10).filter(|_| ask()).count(), JOINED_MAX as usize - 1);
    assert_eq!(asked.answered(EndpointId(5)), JOINED_MAX);
    assert!(asked.ended(EndpointId(5)));
    assert_eq!(asked.answered(EndpointId(5)), 0);
}

/// Plays an endpoint: for each of `connections`, the answers it gives, one for each request, before it closes.
fn endpoint(connections: Vec<Vec<String>>) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for answers in connections {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    assert_eq!(stream.read(&mut byte).unwrap(), 1);
                    head.extend_from_slice(&byte);
                }
                assert_eq!(head, b"GET /load HTTP/1.1\r\nHost: here\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (address, thread)
}

/// Probe an endpoint so often; the answers, and whether the connection was kept after each.
fn probe_all(connections: Vec<Vec<String>>, times: usize) -> Vec<(Option<ProbedLoad>, bool)> {
    let (address, thread) = endpoint(connections);
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = rt.block_on(async {
        let (kept, id) = (Kept::default(), EndpointId(0));
        let mut request = Vec::new();
        push_request(&mut request, "/load", "here");
        let mut told = Vec::new();
        for _ in 0..times {
            let Some((mut link, load)) = ask(&kept, id, address, &request).await else {
                told.push((None, false));
                continue;
            };
            let reusable = link.rest().await;
            told.push((load, reusable));
            if reusable {
                kept.give(id, link, Instant::now());
            }
        }
        told
    });
    thread.join().unwrap();
    told
}

fn answer(body: &str) -> String {
    let fields = "baleen-load: in-flight=1, latency-us=2";
    format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const LOAD: Option<ProbedLoad> = Some(ProbedLoad { in_flight: 1, latency_us: 2 });

#[test]
fn a_connection_is_used_again_and_replaced_when_it_was_closed() {
    let both = vec![vec![answer(""), answer("some body")], vec![answer("x")]];
    assert_eq!(probe_all(both, 3), [(LOAD, true); 3]);
}

#[test]
fn a_connection_is_not_used_again_where_that_is_not_safe() {
    for odd in [
        format!("{}more", answer("x")),
        answer(&"x".repeat(BODY_BYTES_MAX + 1)),
        answer("x").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        answer("x").replace("Content-Length: 1\r\n", ""),
        answer("x").replace("Content-Length: 1", "Content-Length: 2"),
        answer("x").replace("Content-Length: 1", "Transfer-Encoding: chunked"),
    ] {
        let told = probe_all(vec![vec![odd.clone()], vec![answer("")]], 2);
        assert_eq!(told, [(LOAD, false), (LOAD, true)], "{odd:.200}");
    }
}

#[test]
fn bodies_in_chunks_and_interim_answers_are_read() {
    let chunked = answer("3\r\nabc\r\n0\r\n\r\n");
    let chunked = chunked.replace("Content-Length: 13", "Transfer-Encoding: chunked");
    let interim = format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Go\r\n\r\n{}", answer(""));
    assert_eq!(probe_all(vec![vec![chunked, interim]], 2), [(LOAD, true); 2]);
}

#[test]
fn what_is_no_answer_says_nothing() {
    for odd in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        String::new(),
        "HTTP/1.1 200 OK\r\nbaleen-load: in-fl".to_owned(),
        "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)),
    ] {
        assert_eq!(probe_all(vec![vec![odd.clone()]], 1), [(None, false)], "{odd:.100}");
    }
    let not_found = "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno".to_owned();
    assert_eq!(probe_all(vec![vec![not_found; 2]], 2), [(None, true); 2]);
}

#[test]
fn there_is_a_bound_on_kept_connections() {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (kept, now) = (Kept::default(), Instant::now());
        let mut peers = Vec::new();
        for i in 0..KEPT_MAX as u32 + 1 {
            let link = Box::new(Link::new(TcpStream::connect(address).await.unwrap()));
            peers.push(listener.accept().unwrap());
            kept.give(EndpointId(i), link, now);
        }
        assert!(kept.take(EndpointId(0)).is_none(), "the oldest is closed");
        assert!(kept.take(EndpointId(1)).is_some());
        kept.forget(now + KEPT_FOR / 2);
        assert!(!kept.is_empty());
        kept.forget(now + KEPT_FOR);
        assert!(kept.is_empty());
    });
}
