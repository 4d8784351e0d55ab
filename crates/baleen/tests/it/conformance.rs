//! What is let through and what is refused, through the real program, with a raw upstream that keeps every byte.
//!
//! The cases are lines of `cases/requests.txt` and `cases/responses.txt`; their heads explain the notation. All failing
//! cases of a file are listed at once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http_parse::{Cut, Message, cut};
use crate::support::{Baleen, LONG, connect, contains, show, unescape};

fn config(upstream: SocketAddr) -> String {
    format!(
        r#"
workers = 1
[admin]
listen = "off"
[[listener]]
listen = "127.0.0.1:0"
protocol = "http"
name = "/svc/web"
[route]
retry = {{ tries = 1 }}
[cluster.web]
endpoints = ["{upstream}"]
eject = "off"
"#
    )
}

/// What an upstream connection got until its end.
struct Seen {
    bytes: Vec<u8>,
    whole: usize,
    bad: bool,
}

/// Answers every whole request with 200 and reports what came, connection by connection.
fn recording_upstream() -> (SocketAddr, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("address");
    let (tx, rx) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tx = tx.clone();
            thread::spawn(move || serve(stream, &tx));
        }
    });
    (addr, rx)
}

fn serve(mut s: TcpStream, tx: &Sender<Seen>) {
    s.set_read_timeout(Some(LONG)).expect("timeout");
    let (mut seen, mut at) = (Seen { bytes: Vec::new(), whole: 0, bad: false }, 0);
    let mut buf = [0; 65536];
    loop {
        match cut(&seen.bytes[at..], false, false) {
            Cut::Whole(m) => {
                at += m.len;
                seen.whole += 1;
                let body: &[u8] = if m.first.starts_with("HEAD ") { b"" } else { b"ok" };
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
                // One request a connection, so that what belongs to a case is clear.
                s.write_all(&[head.as_slice(), body].concat()).ok();
                s.shutdown(Shutdown::Write).ok();
            }
            Cut::Bad(_) => seen.bad = true,
            Cut::More => {}
        }
        match s.read(&mut buf) {
            Ok(0) | Err(_) => break,
            Ok(n) => seen.bytes.extend_from_slice(&buf[..n]),
        }
    }
    tx.send(seen).ok();
}

/// Responses until `want` came (informational ones count), or the end of the stream. True when the stream ended.
fn responses(s: &mut TcpStream, want: usize, head: bool) -> (Vec<Message>, Vec<u8>, bool) {
    let (mut buf, mut out, mut at, mut eof) = (Vec::new(), Vec::new(), 0, false);
    let mut chunk = [0; 65536];
    loop {
        while let Cut::Whole(m) = cut(&buf[at..], head, eof) {
            if m.first.is_empty() {
                break;
            }
            at += m.len;
            out.push(*m);
        }
        if out.len() >= want || eof {
            return (out, buf[at.min(buf.len())..].to_vec(), eof);
        }
        match s.read(&mut chunk) {
            Ok(0) | Err(_) => eof = true,
            Ok(n) => buf.extend_from_slice(&chunk[..n]),
        }
    }
}

struct Case<'a> {
    name: &'a str,
    send: Vec<u8>,
    expect: Vec<&'a str>,
    method: &'a str,
}

fn cases(text: &str, with_method: bool) -> Vec<Case<'_>> {
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let case = |l| {
        let parts: Vec<&str> = str::split(l, " | ").collect();
        let n = if with_method { 5 } else { 4 };
        assert_eq!(parts.len(), n, "a case has {n} parts: {l}");
        Case {
            name: parts[0],
            method: if with_method { parts[2] } else { "" },
            send: unescape(parts[n - 2].trim_end_matches("{close}")),
            expect: parts[n - 1].split(" ; ").map(str::trim).collect(),
        }
    };
    lines.map(case).collect()
}

fn check_statuses(want: &str, got: &[Message]) -> Result<(), String> {
    let got: Vec<u16> = got.iter().map(Message::status).collect();
    if want == "4xx5xx" {
        let fine = got.len() == 1 && (400..600).contains(&got[0]);
        return if fine { Ok(()) } else { Err(format!("statuses {got:?}, want a refusal")) };
    }
    let want: Vec<u16> = want.split(',').map(|s| s.parse().expect("a status")).collect();
    if got == want { Ok(()) } else { Err(format!("statuses {got:?}, want {want:?}")) }
}

fn request_case(case: &Case<'_>, addr: SocketAddr, seen: &Receiver<Seen>) -> Result<(), String> {
    let mut s = connect(addr);
    // A refusal may come, and the connection be reset, while the rest is still being sent.
    s.write_all(&case.send).ok();
    let want = case.expect[0];
    let abort = want == "abort";
    let forwarded = want.split(',').filter(|&s| s == "200").count();
    let head = case.send.starts_with(b"HEAD");
    let count = if abort { usize::MAX } else { want.split(',').count() };
    let (got, _, _) = responses(&mut s, count, head);
    drop(s);
    let connections = if abort { 1 } else { forwarded };
    let mut all = Vec::new();
    let mut whole = 0;
    for _ in 0..connections {
        // A chunked body that is wrong from its first byte may be refused before anything is sent on.
        let one = match seen.recv_timeout(if abort { LONG / 40 } else { LONG }) {
            Ok(one) => one,
            Err(_) if abort => break,
            Err(_) => return Err("the upstream was not reached".into()),
        };
        if one.bad {
            return Err(format!("the upstream can't read {}", show(&one.bytes)));
        }
        whole += one.whole;
        all.extend_from_slice(&one.bytes);
    }
    if let Ok(more) = seen.try_recv() {
        return Err(format!("the upstream got more: {}", show(&more.bytes)));
    }
    if abort {
        let refused = got.iter().all(|m| m.status() >= 400);
        let good = whole == 0 && refused;
        return if good {
            Ok(())
        } else {
            Err(format!("not broken off: upstream got {}", show(&all)))
        };
    }
    check_statuses(want, &got)?;
    if whole != forwarded {
        return Err(format!("upstream saw {whole} requests, want {forwarded}: {}", show(&all)));
    }
    for e in &case.expect[1..] {
        let has = contains(&all, &unescape(&e[1..]));
        if has != e.starts_with('+') {
            return Err(format!("{e} does not hold for {}", show(&all)));
        }
    }
    let local = got.iter().find(|m| m.status() >= 400);
    if let Some(m) = local
        && !contains(m.get("proxy-status").unwrap_or_default(), b"baleen")
    {
        return Err(format!("no Proxy-Status on {}", m.first));
    }
    Ok(())
}

fn report(file: &str, total: usize, failures: &[String]) {
    println!("{file}: {total} cases, {} failed", failures.len());
    assert!(
        failures.is_empty(),
        "{} of {total} in {file}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn requests() {
    let (upstream, seen) = recording_upstream();
    let baleen = Baleen::start(&config(upstream));
    let list = cases(include_str!("cases/requests.txt"), false);
    let mut failures = Vec::new();
    for case in &list {
        if let Err(why) = request_case(case, baleen.addr, &seen) {
            failures.push(format!("  {}: {why}", case.name));
            while seen.try_recv().is_ok() {}
        }
    }
    report("requests.txt", list.len(), &failures);
}

/// Answers each request, on whatever connection it comes, with the bytes it is given next.
fn scripted_upstream() -> (SocketAddr, Sender<(Vec<u8>, bool)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("address");
    let (tx, rx) = channel::<(Vec<u8>, bool)>();
    let script = Arc::new(Mutex::new(rx));
    thread::spawn(move || {
        for s in listener.incoming().flatten() {
            let script = script.clone();
            thread::spawn(move || follow(s, &script));
        }
    });
    (addr, tx)
}

fn follow(mut s: TcpStream, script: &Mutex<Receiver<(Vec<u8>, bool)>>) {
    s.set_read_timeout(Some(LONG)).expect("timeout");
    let (mut got, mut buf) = (Vec::new(), [0; 65536]);
    loop {
        while !contains(&got, b"\r\n\r\n") {
            match s.read(&mut buf) {
                Ok(0) | Err(_) => return,
                Ok(n) => got.extend_from_slice(&buf[..n]),
            }
        }
        got.clear();
        let Ok((bytes, close)) = script.lock().expect("lock").recv() else { return };
        s.write_all(&bytes).ok();
        if close {
            s.shutdown(Shutdown::Write).ok();
        }
    }
}

fn response_case(case: &Case<'_>, addr: SocketAddr) -> Result<(), String> {
    let mut s = connect(addr);
    let request = format!("{} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", case.method);
    s.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let (got, rest, _) = responses(&mut s, usize::MAX, case.method == "HEAD");
    let cut_short = case.expect.contains(&"cut");
    if cut_short {
        // When the fault is in the same segment as the head, nothing has gone downstream yet and the answer is a 502.
        let begun = rest.starts_with(b"HTTP/1.1 200") && got.is_empty();
        let refused = rest.is_empty() && got.len() == 1 && got[0].status() == 502;
        let good = begun || refused;
        return if good {
            Ok(())
        } else {
            Err(format!("{} whole, then {}", got.len(), show(&rest)))
        };
    }
    check_statuses(case.expect[0], &got)?;
    if !rest.is_empty() {
        return Err(format!("bytes after the response: {}", show(&rest)));
    }
    let last = got.last().ok_or("nothing")?;
    let mut head = last.first.clone().into_bytes();
    for (n, v) in &last.fields {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(n.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(v);
    }
    for e in &case.expect[1..] {
        let holds = match e.strip_prefix("body=") {
            Some(body) => last.body == unescape(body),
            // Our own Connection: close answers the client's.
            None if *e == "-close" => last.all("connection").len() <= 1,
            None => contains(&head, &unescape(&e[1..])) == e.starts_with('+'),
        };
        if !holds {
            return Err(format!("{e} does not hold for {} / {}", show(&head), show(&last.body)));
        }
    }
    if last.status() == 502 && !contains(last.get("proxy-status").unwrap_or_default(), b"error=") {
        return Err("no Proxy-Status with an error".into());
    }
    Ok(())
}

#[test]
fn responses_from_upstreams() {
    let (upstream, script) = scripted_upstream();
    let baleen = Baleen::start(&config(upstream));
    let text = include_str!("cases/responses.txt");
    let list = cases(text, true);
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let mut failures = Vec::new();
    for (case, line) in list.iter().zip(lines) {
        let close = line.contains("{close}");
        script.send((case.send.clone(), close)).expect("the upstream lives");
        if let Err(why) = response_case(case, baleen.addr) {
            failures.push(format!("  {}: {why}", case.name));
        }
    }
    report("responses.txt", list.len(), &failures);
}
