//! What arrives must mean what was sent, in the eyes of two parsers that are not ours: hyper and Node's llhttp.
//!
//! Valid messages are made from a meaning, written in random pieces, sent through the program, and compared with what the
//! upstream's parser understood. Mutated messages are sent to the upstream directly and through the program: whatever
//! arrives through the program must be what the parser understands of the original. A failure prints its seed and bytes.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use baleen_base::Prng;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use crate::support::{Baleen, LONG, connect, show};

/// One request as a parser understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Fields that a proxy adds, removes or rewrites by duty; everything else must arrive as sent, in order.
const OURS: [&str; 16] = [
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "x-request-id",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
    "traceparent",
];

impl Meaning {
    fn end_to_end(&self) -> Vec<(String, Vec<u8>)> {
        let lower = |(n, v): &(String, Vec<u8>)| (n.to_ascii_lowercase(), v.clone());
        let mut hop: Vec<String> = OURS.iter().map(|s| (*s).to_string()).collect();
        for (n, v) in &self.fields {
            if n.eq_ignore_ascii_case("connection") {
                let list = String::from_utf8_lossy(v).to_ascii_lowercase();
                hop.extend(list.split(',').map(|s| s.trim().to_string()));
            }
        }
        self.fields.iter().map(lower).filter(|(n, _)| !hop.contains(n)).collect()
    }

    fn host(&self) -> Vec<u8> {
        let host = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case("host"));
        host.map(|(_, v)| v.clone()).unwrap_or_default()
    }

    /// Fields of one name keep their order; the order between different names is not part of the meaning, and a parser may
    /// hand them out by name.
    fn same(&self, other: &Meaning) -> bool {
        let sorted = |m: &Meaning| {
            let mut f = m.end_to_end();
            f.sort_by(|a, b| a.0.cmp(&b.0));
            f
        };
        self.method == other.method
            && path(&self.target) == path(&other.target)
            && self.body == other.body
            && self.host() == other.host()
            && sorted(self) == sorted(other)
    }
}

/// Origin form of a target.
fn path(target: &str) -> String {
    let rest = ["http://", "https://"].iter().find_map(|p| target.strip_prefix(p));
    match rest {
        Some(r) => match r.find(['/', '?']) {
            Some(i) if r[i..].starts_with('/') => r[i..].to_string(),
            Some(i) => format!("/{}", &r[i..]),
            None => "/".to_string(),
        },
        None => target.to_string(),
    }
}

/// A hyper server that tells what it understood.
fn hyper_upstream() -> (SocketAddr, Receiver<Meaning>) {
    let (tx, rx) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let addr = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        let rt =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        rt.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            while let Ok((stream, _)) = listener.accept().await {
                let tx = tx.clone();
                let answer = move |r: Request<Incoming>| {
                    let tx = tx.clone();
                    async move {
                        let (head, body) = r.into_parts();
                        let Ok(body) = body.collect().await else {
                            return Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                                "cut",
                            ))));
                        };
                        let field = |(n, v): (&http::HeaderName, &http::HeaderValue)| {
                            (n.as_str().to_string(), v.as_bytes().to_vec())
                        };
                        let meaning = Meaning {
                            method: head.method.to_string(),
                            target: head.uri.to_string(),
                            fields: head.headers.iter().map(field).collect(),
                            body: body.to_bytes().to_vec(),
                        };
                        tx.send(meaning).ok();
                        Ok(Response::new(Full::new(Bytes::from("ok"))))
                    }
                };
                tokio::spawn(async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let service = hyper::service::service_fn(answer);
                    // Errors of a connection are what this test provokes.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await
                        .ok();
                });
            }
        });
    });
    (addr, rx)
}

const NODE: &str = r"
const http = require('http');
const s = http.createServer((q, a) => {
  const parts = [];
  q.on('data', d => parts.push(d));
  q.on('end', () => {
    process.stdout.write(JSON.stringify({ m: q.method, t: q.url, h: q.rawHeaders,
      b: Buffer.concat(parts).toString('hex') }) + '\n');
    a.end('ok');
  });
});
s.keepAliveTimeout = 60000;
s.listen(0, '127.0.0.1', () => console.log(s.address().port));
";

/// A Node server that tells what it understood. `None` when Node is not installed and need not be.
fn node_upstream() -> Option<(SocketAddr, Receiver<Meaning>, NodeProcess)> {
    let spawned = Command::new("node").arg("-e").arg(NODE).stdout(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(c) => c,
        Err(e) => {
            let required = std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1");
            assert!(!required, "node is required: {e}; scripts/install-test-tools installs it");
            println!("skipped: node is not installed ({e})");
            return None;
        }
    };
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("node prints its port");
    let addr = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().expect("a port")));
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let v: serde_json::Value = serde_json::from_str(&line).expect("node prints JSON");
            let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_string();
            let raw: Vec<String> = v["h"].as_array().expect("fields").iter().map(text).collect();
            // Node gives one UTF-16 unit for each byte.
            let bytes = |s: &String| s.chars().map(|c| c as u8).collect::<Vec<u8>>();
            let hex = text(&v["b"]);
            let meaning = Meaning {
                method: text(&v["m"]),
                target: text(&v["t"]),
                fields: raw.chunks(2).map(|c| (c[0].clone(), bytes(&c[1]))).collect(),
                body: (0..hex.len() / 2)
                    .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
                    .collect(),
            };
            tx.send(meaning).ok();
        }
    });
    Some((addr, rx, NodeProcess(child)))
}

struct NodeProcess(std::process::Child);

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn pick<'a, T: ?Sized>(p: &mut Prng, of: &[&'a T]) -> &'a T {
    of[p.index(of.len())]
}

fn word(p: &mut Prng, from: &[u8], max: usize) -> String {
    let n = 1 + p.index(max);
    (0..n).map(|_| from[p.index(from.len())] as char).collect()
}

const PATH: &[u8] = b"abcXYZ019-._~!$&'()*+,;=:@/";
const NAME: &[u8] = b"abcdefXYZ019-_";
const VALUE: &[u8] = b"abc XYZ,;=\"'()<>@/?0189\t-_.~%&*+[]{}|\\^`";

/// A request with a known meaning, and its bytes.
fn valid(p: &mut Prng, n: usize) -> (Meaning, Vec<u8>) {
    let body: Vec<u8> = match p.below(3) {
        0 => Vec::new(),
        _ => (0..p.index(4000)).map(|_| p.bits() as u8).collect(),
    };
    let chunked = p.below(2) == 0;
    let method = if body.is_empty() {
        pick(p, &["GET", "DELETE", "OPTIONS"])
    } else {
        pick(p, &["POST", "PUT", "PATCH"])
    };
    let mut target = format!("/{n}/{}", word(p, PATH, 40));
    if p.below(3) == 0 {
        target = format!("{target}?{}", word(p, PATH, 40));
    }
    let mut fields = vec![("Host".to_string(), b"a.example".to_vec())];
    for _ in 0..p.index(12) {
        let name = format!("X-{}", word(p, NAME, 12));
        let value = word(p, VALUE, 60).trim_matches([' ', '\t']).as_bytes().to_vec();
        fields.push((name, value));
    }
    if p.below(4) == 0 {
        fields.push(("X-Hop".into(), b"gone".to_vec()));
        fields.push(("Connection".into(), b"x-hop".to_vec()));
    }
    let at = p.index(fields.len() + 1);
    if !body.is_empty() {
        let framing = if chunked {
            ("Transfer-Encoding".to_string(), b"chunked".to_vec())
        } else {
            ("Content-Length".to_string(), body.len().to_string().into_bytes())
        };
        fields.insert(at, framing);
    }
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (n, v) in &fields {
        let pad = pick(p, &["", " ", "  ", "\t"]);
        bytes.extend_from_slice(format!("{n}:{pad}").as_bytes());
        bytes.extend_from_slice(v);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if chunked && !body.is_empty() {
        let mut rest = &body[..];
        while !rest.is_empty() {
            let n = 1 + p.index(rest.len());
            let ext = pick(p, &["", "", ";a=b", ";q=\"x y\""]);
            bytes.extend_from_slice(format!("{n:x}{ext}\r\n").as_bytes());
            bytes.extend_from_slice(&rest[..n]);
            bytes.extend_from_slice(b"\r\n");
            rest = &rest[n..];
        }
        bytes.extend_from_slice(pick(p, &["0\r\n\r\n", "0\r\nX-Trailer: t\r\n\r\n"]).as_bytes());
    } else {
        bytes.extend_from_slice(&body);
    }
    (Meaning { method: method.to_string(), target, fields, body }, bytes)
}

fn send_in_pieces(p: &mut Prng, s: &mut TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let most = 1 + p.index(1500);
        let n = 1 + p.index(bytes.len().min(most));
        if s.write_all(&bytes[..n]).is_err() {
            return;
        }
        bytes = &bytes[n..];
    }
}

/// Read until `n` responses (heads with the body "ok") came, the end, or silence. True at the end.
fn read_answers(s: &mut TcpStream, n: usize, silence: Duration) -> bool {
    s.set_read_timeout(Some(silence)).expect("timeout");
    let (mut all, mut buf) = (Vec::new(), [0; 65536]);
    loop {
        match s.read(&mut buf) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Ok(0) | Err(_) => return true,
            Ok(k) => all.extend_from_slice(&buf[..k]),
        }
        let ends = all.windows(6).filter(|w| w == b"\r\n\r\nok").count()
            + all.windows(7).filter(|w| w == b"\r\nok\r\n0").count();
        if ends >= n {
            return false;
        }
    }
}

fn config(upstream: SocketAddr) -> String {
    format!(
        "workers = 1\n[admin]\nlisten = \"off\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n\
         [route]\nretry = {{ tries = 1 }}\n[cluster.web]\nendpoints = [\"{upstream}\"]\neject = \"off\"\n"
    )
}

fn cases() -> usize {
    std::env::var("BALEEN_DIFFERENTIAL_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(400)
}

fn valid_messages(seed: u64, upstream: SocketAddr, seen: &Receiver<Meaning>, count: usize) {
    let baleen = Baleen::start(&config(upstream));
    let mut p = Prng::new(seed);
    for n in 0..count {
        let pipelined = 1 + p.index(3);
        let (mut want, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..pipelined {
            let (m, b) = valid(&mut p, n);
            want.push(m);
            bytes.extend_from_slice(&b);
        }
        let mut s = connect(baleen.addr);
        send_in_pieces(&mut p, &mut s, &bytes);
        read_answers(&mut s, pipelined, LONG);
        for m in &want {
            let got = seen.recv_timeout(LONG).unwrap_or_else(|_| {
                panic!("seed {seed} case {n}: nothing arrived of {}", show(&bytes))
            });
            assert!(
                m.same(&got),
                "seed {seed} case {n}: sent {m:?}\narrived {got:?}\nbytes {}",
                show(&bytes)
            );
        }
    }
    println!("{count} valid exchanges arrived as sent");
}

fn mutate(p: &mut Prng, bytes: &mut Vec<u8>) {
    const ODD: &[u8] = b"\r\n\0\t :;,+-0159xX\x7f\x80\xff\x0b\"";
    // Most of what is interesting is in heads and chunk lines.
    let reach = bytes.len().min(300);
    for _ in 0..=p.index(2) {
        let at = p.index(reach.min(bytes.len()));
        match p.below(5) {
            0 => bytes[at] = ODD[p.index(ODD.len())],
            1 => bytes.insert(at, ODD[p.index(ODD.len())]),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << p.index(8),
            _ => {
                let extra: &[u8] = pick(
                    p,
                    &[
                        b"Content-Length: 5\r\n".as_slice(),
                        b"Transfer-Encoding: chunked\r\n",
                        b"Transfer-Encoding: identity\r\n",
                        b"Host: b\r\n",
                        b" folded\r\n",
                        b"Connection: close\r\n",
                    ],
                );
                let line = bytes.windows(2).position(|w| w == b"\r\n").map_or(0, |i| i + 2);
                bytes.splice(line..line, extra.iter().copied());
            }
        }
    }
}

/// What the upstream understood, and whether it (or we) ended the connection rather than wait for more.
fn exchange(
    p: &mut Prng,
    to: SocketAddr,
    bytes: &[u8],
    upstream: SocketAddr,
    seen: &Receiver<Meaning>,
) -> (Vec<Meaning>, bool) {
    let mut s = connect(to);
    send_in_pieces(p, &mut s, bytes);
    let ended = read_answers(&mut s, 2, Duration::from_millis(400));
    drop(s);
    // Whatever the upstream has told before it tells of this one is in the channel.
    let mut s = connect(upstream);
    s.write_all(b"GET /sync HTTP/1.1\r\nHost: sync\r\n\r\n").expect("send");
    read_answers(&mut s, 1, LONG);
    let told = std::iter::from_fn(|| seen.recv_timeout(LONG).ok());
    (told.take_while(|m| m.target != "/sync").collect(), ended)
}

fn brief(list: &[Meaning]) -> String {
    let one = |m: &Meaning| {
        let fields: Vec<String> =
            m.end_to_end().iter().map(|(n, v)| format!("{n}: {}", v.escape_ascii())).collect();
        format!("{} {} {fields:?} body of {}", m.method, m.target, m.body.len())
    };
    list.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn mutated_messages(seed: u64, upstream: SocketAddr, seen: &Receiver<Meaning>, count: usize) {
    let baleen = Baleen::start(&config(upstream));
    let mut p = Prng::new(seed);
    let (mut through, mut differ) = (0, Vec::new());
    for n in 0..count {
        let (_, mut bytes) = valid(&mut p, n);
        mutate(&mut p, &mut bytes);
        bytes.extend_from_slice(b"GET /end HTTP/1.1\r\nHost: end\r\n\r\n");
        let (mut via, _) = exchange(&mut p, baleen.addr, &bytes, upstream, seen);
        let (direct, ended) = exchange(&mut p, upstream, &bytes, upstream, seen);
        through += via.len();
        // The upstream refused something and hung up. Its refusal was passed on to the client, whose next request is then
        // a request of its own; directly, it was lost with the connection.
        if ended && via.len() > direct.len() && via.last().is_some_and(|m| m.target == "/end") {
            via.pop();
        }
        let prefix = via.len() <= direct.len() && via.iter().zip(&direct).all(|(a, b)| b.same(a));
        if !prefix {
            differ.push(format!(
                "seed {seed} case {n}: {}\n direct {}\n via {}",
                show(&bytes),
                brief(&direct),
                brief(&via)
            ));
        }
    }
    println!("{count} mutated exchanges, {through} requests let through, {} differ", differ.len());
    assert!(through > 0, "nothing was let through: the test proves nothing");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn valid_to_hyper() {
    let (addr, seen) = hyper_upstream();
    valid_messages(0xba1e, addr, &seen, cases());
}

#[test]
fn valid_to_node() {
    if let Some((addr, seen, _node)) = node_upstream() {
        valid_messages(0xba1f, addr, &seen, cases());
    }
}

#[test]
fn mutated_to_hyper() {
    let threads: Vec<_> = (0..4)
        .map(|i| {
            std::thread::spawn(move || {
                let (addr, seen) = hyper_upstream();
                mutated_messages(0x5eed + i, addr, &seen, cases() / 4);
            })
        })
        .collect();
    for t in threads {
        t.join().expect("no difference");
    }
}

#[test]
fn mutated_to_node() {
    let threads: Vec<_> = (0..4)
        .map(|i| {
            std::thread::spawn(move || {
                if let Some((addr, seen, _node)) = node_upstream() {
                    mutated_messages(0xfeed + i, addr, &seen, cases() / 4);
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("no difference");
    }
}
