//! Balancing by what endpoints say of themselves, with the built-in backend and with upstreams that say nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};

use baleen_drill::backend::{Backend, Params, Running};
use baleen_policy::params::{Balance, Prequal};

use crate::harness::{Proxy, Wire, get, ok, proxy};

const CLIENTS: u64 = 8;
const EACH: u64 = 75;

fn probing(upstreams: &[SocketAddr]) -> Proxy {
    proxy(upstreams, |s| s.cluster.balance = Balance::Prequal(Prequal::default()))
}

/// Requests by some clients, each of whom waits for its answers.
fn load(p: &Proxy) {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = p.client();
                for _ in 0..EACH {
                    client.send(get("/"));
                    assert_eq!(client.message().status(), 200);
                }
            });
        }
    });
}

fn backend(time: &str) -> Running {
    let params = Params { time: time.parse().unwrap(), ..Params::default() };
    Backend::bind(params).unwrap().spawn().unwrap()
}

#[test]
fn a_slow_backend_gets_few_requests() {
    let backends = [backend("2ms"), backend("60ms"), backend("2ms")];
    let p = probing(&backends.each_ref().map(Running::addr));
    load(&p);
    drop(p);
    let counts = backends.map(|b| b.stop().unwrap());
    let answered = counts.map(|c| c.answered);
    assert_eq!(answered.iter().sum::<u64>(), CLIENTS * EACH);
    assert!(answered[1] < CLIENTS * EACH / 9, "{answered:?}");
    let probes: u64 = counts.iter().map(|c| c.requests - c.answered).sum();
    assert!(probes > EACH, "{probes} probes");
}

/// An upstream that does `answer` to probes and answers everything else.
fn upstream(answer: fn(&mut Wire) -> bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |stream: TcpStream| {
        let mut wire = Wire::new(stream);
        while !wire.ends() {
            let request = wire.message();
            if !request.head.starts_with("GET /.well-known/baleen-load HTTP/1.1\r\n") {
                wire.send(ok("served"));
            } else if !answer(&mut wire) {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn upstreams_that_say_nothing_are_served_from_all_the_same() {
    let not_found: fn(&mut Wire) -> bool = |wire| {
        wire.send("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
        true
    };
    let garbage: fn(&mut Wire) -> bool = |wire| {
        wire.send("HTTP/1.1 200 OK\r\nbaleen-load: none\r\nContent-Length: 0\r\n\r\n");
        true
    };
    let silence: fn(&mut Wire) -> bool = |_| true;
    let closes: fn(&mut Wire) -> bool = |_| false;
    for kind in [not_found, garbage, silence, closes] {
        load(&probing(&[upstream(kind), upstream(kind), upstream(kind)]));
    }
}
