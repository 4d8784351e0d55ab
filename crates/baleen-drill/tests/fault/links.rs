//! Links without toxics: bytes, ends, refusals, restarts, bounds.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use socket2::SockRef;

use crate::support::{Echo, Ended, Faults, LONG, connect, echo, ended, turned_away, until};
use baleen_drill::fault::Params;

fn refused(addr: SocketAddr) -> bool {
    let tried = TcpStream::connect_timeout(&addr, LONG);
    matches!(tried, Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn bytes_and_ends_pass_as_they_are() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut s = connect(addr);
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let mut writer = s.try_clone().expect("a clone");
    let copy = sent.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&copy).expect("send");
        // Only this way is over; the other goes on.
        writer.shutdown(Shutdown::Write).expect("shut down");
    });
    let mut got = Vec::new();
    s.read_to_end(&mut got).expect("read");
    sender.join().expect("sent");
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
}

#[test]
fn a_reset_passes_as_a_reset() {
    let faults = Faults::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let addr = faults.proxy("a", listener.local_addr().expect("an address"), json!([]));
    let mut client = connect(addr);
    let (server, _) = listener.accept().expect("accept");
    SockRef::from(&server).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(server);
    assert_eq!(ended(&mut client), Ended::Reset(0));
    let client = connect(addr);
    let (mut server, _) = listener.accept().expect("accept");
    server.set_read_timeout(Some(LONG)).expect("timeout");
    SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(client);
    assert_eq!(ended(&mut server), Ended::Reset(0));
}

#[test]
fn when_the_upstream_refuses_the_link_refuses() {
    let faults = Faults::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let up = listener.local_addr().expect("an address");
    drop(listener);
    let addr = faults.proxy("a", up, json!([]));
    // The first is reset, and from then on the kernel refuses.
    assert_eq!(turned_away(addr), Ended::Reset(0));
    assert!(refused(addr));
    assert_eq!(faults.get("/proxies/a").1["enabled"], true);
    let server = Echo::on(TcpListener::bind(up).expect("listen again"));
    until("the link accepts again", || !refused(addr));
    let mut s = connect(addr);
    echo(&mut s, b"back").expect("an echo");
    assert!(server.connections.load(Ordering::SeqCst) >= 2, "one look, one connection");
}

#[test]
fn disabled_means_refused_and_closed() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut s = connect(addr);
    echo(&mut s, b"one").expect("an echo");
    faults.ask("PATCH", "/proxies/a", &json!({"enabled": false}));
    assert!(refused(addr), "when it was answered, it is so");
    assert_eq!(ended(&mut s), Ended::End(0));
    faults.ask("PATCH", "/proxies/a", &json!({"enabled": true}));
    let mut s = connect(addr);
    echo(&mut s, b"two").expect("an echo");
    faults.ask("DELETE", "/proxies/a", &Value::Null);
    assert_eq!(ended(&mut s), Ended::End(0));
    assert!(refused(addr));
    // The port is free again, for anybody.
    drop(TcpListener::bind(addr).expect("listen"));
}

#[test]
fn a_new_upstream_or_port_restarts_it_and_toxics_stay() {
    let (faults, one, two) = (Faults::start(), Echo::start(), Echo::start());
    let toxic = json!([{"type": "noop"}]);
    let addr = faults.proxy("a", one.addr, toxic);
    let mut s = connect(addr);
    echo(&mut s, b"one").expect("an echo");
    faults.ask("POST", "/proxies/a", &json!({"upstream": two.addr.to_string()}));
    assert_eq!(ended(&mut s), Ended::End(0));
    let mut s = connect(addr);
    echo(&mut s, b"two").expect("an echo");
    assert_eq!(two.connections.load(Ordering::SeqCst), 1);
    let (_, moved) = faults.ask("POST", "/proxies/a", &json!({"listen": "localhost:0"}));
    let new: SocketAddr =
        moved["listen"].as_str().and_then(|a| a.parse().ok()).expect("an address");
    assert_eq!(moved["toxics"][0]["type"], "noop");
    assert!(new != addr && refused(addr));
    assert_eq!(ended(&mut s), Ended::End(0));
    echo(&mut connect(new), b"three").expect("an echo");
    // The same again changes nothing.
    let mut s = connect(new);
    echo(&mut s, b"four").expect("an echo");
    faults.ask("POST", "/proxies/a", &moved);
    echo(&mut s, b"five").expect("it stands");
}

#[test]
fn one_more_than_there_is_room_for_is_reset() {
    let up = Echo::start();
    let faults = Faults::with(Params { connections_max: 3, ..Params::default() });
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(addr)).collect();
    for s in &mut held {
        echo(s, b"here").expect("an echo");
    }
    assert_eq!(turned_away(addr), Ended::Reset(0));
    drop(held);
    let served = |mut s| echo(&mut s, b"x").is_ok();
    until("there is room again", || TcpStream::connect(addr).is_ok_and(served));
}

#[test]
fn a_client_that_does_not_read_stops_the_sender() {
    let faults = Faults::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let addr = faults.proxy("a", listener.local_addr().expect("an address"), json!([]));
    let mut client = connect(addr);
    let (mut server, _) = listener.accept().expect("accept");
    let sender = std::thread::spawn(move || {
        let chunk = vec![7; 1 << 20];
        (0..64).try_for_each(|_| server.write_all(&chunk)).map(|()| 64 << 20)
    });
    // Others are served meanwhile.
    let up = Echo::start();
    let other = faults.proxy("b", up.addr, json!([]));
    echo(&mut connect(other), &vec![1; 100_000]).expect("an echo");
    assert!(!sender.is_finished(), "64 MiB are more than all buffers hold");
    assert_eq!(ended(&mut client), Ended::End(64 << 20));
    assert_eq!(sender.join().expect("sent").expect("all of it"), 64 << 20);
}
