//! Nanoseconds to parse, and to parse and forward, typical heads, ours beside `httparse`, which does less: it
//! gives tokens, without framing, hosts, marks or our line ends; a row adds what would be needed to
//! build a head upon it, still without the meaning of the fields.
//!
//! `cargo bench -p baleen-http1 --bench head` prints a table. One argument after `--` runs only the
//! rows whose name starts with it; a second is the number of rounds, for counting instructions under
//! callgrind.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::Instant;

use baleen_http1::{
    Asked, Known, Limits, RequestEdits, RequestHead, RequestOptions, ResponseEdits, ResponseHead,
    encode_request, encode_response,
};

const SMALL: &[u8] = b"GET /api/items?id=42 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: load/1.0\r\nAccept: */*\r\n\r\n";

const TYPICAL: &[u8] = b"GET /api/v1/items/12345?fields=name,price&limit=10 HTTP/1.1\r\n\
    Host: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\n\
    Accept: application/json, text/plain;q=0.9, */*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Connection: keep-alive\r\nX-Request-Id: 5f2b9c1e-77aa-4b1c-9c0e-1234567890ab\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: backend/1.2\r\n\
    Date: Sat, 21 Nov 2026 05:00:00 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 128\r\nCache-Control: no-store\r\n\r\n";

const ADDED: [(&[u8], &[u8]); 4] = [
    (b"X-Forwarded-For", b"10.1.2.3"),
    (b"X-Forwarded-Proto", b"http"),
    (b"Via", b"1.1 baleen"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

fn main() {
    // Cargo passes `--bench` itself.
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let filter = args.next().unwrap_or_default();
    let rounds: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let limits = Limits::default();
    let options = RequestOptions::default();
    let mut out = Vec::with_capacity(4096);

    for (name, buf) in [("small", SMALL), ("typical", TYPICAL)] {
        let mut head = RequestHead::new();
        row(&filter, rounds, &format!("{name} request: parse"), || {
            black_box(head.parse(black_box(buf), &limits, &options)).expect("valid");
        });
        row(&filter, rounds, &format!("{name} request: forward"), || {
            head.parse(black_box(buf), &limits, &options).expect("valid");
            out.clear();
            encode_request(&mut out, &head, buf, &RequestEdits::forward(&head), ADDED);
            black_box(&out);
        });
        row(&filter, rounds, &format!("{name} request: httparse alone"), || {
            let mut headers = [const { MaybeUninit::uninit() }; 100];
            let mut request = httparse::Request::new(&mut []);
            let parsed = request.parse_with_uninit_headers(black_box(buf), &mut headers);
            black_box(parsed).expect("valid");
        });
        let mut known = Vec::with_capacity(100);
        row(&filter, rounds, &format!("{name} request: httparse and more"), || {
            let buf = black_box(buf);
            assert!(lines_end_right(buf));
            let mut headers = [const { MaybeUninit::uninit() }; 100];
            let mut request = httparse::Request::new(&mut []);
            let parsed = request.parse_with_uninit_headers(buf, &mut headers);
            black_box(parsed).expect("valid");
            known.clear();
            known.extend(request.headers.iter().map(|field| {
                let name = field.name.as_bytes();
                let start = |part: &[u8]| (part.as_ptr() as usize - buf.as_ptr() as usize) as u32;
                (start(name), start(field.value), field.value.len() as u32, Known::of(name))
            }));
            black_box(&known);
        });
    }
    let mut head = ResponseHead::new();
    row(&filter, rounds, "response: parse", || {
        black_box(head.parse(black_box(RESPONSE), &limits, Asked::default())).expect("valid");
    });
    row(&filter, rounds, "response: forward", || {
        head.parse(black_box(RESPONSE), &limits, Asked::default()).expect("valid");
        out.clear();
        let edits = ResponseEdits::forward(&head);
        encode_response(
            &mut out,
            &head,
            RESPONSE,
            &edits,
            [(b"Via".as_slice(), b"1.1 b".as_slice())],
        );
        black_box(&out);
    });
    row(&filter, rounds, "response: httparse alone", || {
        let mut headers = [const { MaybeUninit::uninit() }; 100];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            black_box(RESPONSE),
            &mut headers,
        );
        black_box(parsed).expect("valid");
    });
}

/// What has to be looked at beside `httparse`: that each CR goes before an LF, and each LF after a CR.
fn lines_end_right(buf: &[u8]) -> bool {
    let pairs = buf.iter().zip(buf.iter().skip(1));
    pairs.fold(true, |right, (a, b)| right & ((*a == b'\r') == (*b == b'\n')))
}

/// Runs `body` a fixed number of rounds, or in seven batches of which the fastest is printed.
fn row(filter: &str, rounds: u32, name: &str, mut body: impl FnMut()) {
    if !name.starts_with(filter) {
        return;
    }
    if rounds > 0 {
        (0..rounds).for_each(|_| body());
        return;
    }
    const BATCH: u32 = 200_000;
    let batches = (0..7).map(|_| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| body());
        start.elapsed().as_nanos() as f64 / f64::from(BATCH)
    });
    let fastest = batches.fold(f64::INFINITY, f64::min);
    println!("{name:36} {fastest:8.1} ns");
}
