//! What is written, byte for byte.

use super::*;
use crate::{Asked, Limits, Method, Parsed, RequestOptions};

type Add = [(&'static [u8], &'static [u8])];

fn request(
    input: &str,
    edits: impl Fn(RequestEdits<'static>) -> RequestEdits<'static>,
    add: &Add,
) -> String {
    let mut head = RequestHead::new();
    let options = RequestOptions { allow_connect: true };
    let parsed = head.parse(input.as_bytes(), &Limits::default(), &options);
    assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
    let mut out = b"kept|".to_vec();
    let edits = edits(RequestEdits::forward(&head));
    encode_request(&mut out, &head, input.as_bytes(), &edits, add.iter().copied());
    String::from_utf8(out).expect("text").strip_prefix("kept|").expect("appended").to_owned()
}

#[track_caller]
fn check_request(input: &str, expect: &str) {
    assert_eq!(request(input, |e| e, &[]), expect);
}

fn response(
    input: &str,
    asked: Asked,
    edits: impl Fn(ResponseEdits) -> ResponseEdits,
    add: &Add,
) -> String {
    let mut head = ResponseHead::new();
    let parsed = head.parse(input.as_bytes(), &Limits::default(), asked);
    assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
    let mut out = b"kept|".to_vec();
    let edits = edits(ResponseEdits::forward(&head));
    encode_response(&mut out, &head, input.as_bytes(), &edits, add.iter().copied());
    String::from_utf8(out).expect("text").strip_prefix("kept|").expect("appended").to_owned()
}

#[test]
fn what_is_kept_goes_through_as_it_came() {
    let odd = "GET /%7e?A HTTP/1.1\r\nhOsT:a\r\nX:  y \t\r\nx: Z\r\nX-Empty:\r\nX:  y \t\r\n\r\n";
    check_request(odd, odd);
    check_request(&format!("\r\n\r\n{odd}body"), odd);
}

#[test]
fn what_concerns_one_hop_goes() {
    check_request(
        "GET / HTTP/1.1\r\nConnection: close, x-a\r\nX-A: 1\r\nA: 1\r\nB: 2\r\nKeep-Alive: x\r\n\
         C: 3\r\nHost: a\r\nx-a: 2\r\nTE: trailers\r\nUpgrade: w\r\nD: 4\r\nProxy-Connection: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nHost: a\r\nD: 4\r\n\r\n",
    );
    check_request(
        "PUT / HTTP/1.0\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
    );
    check_request(
        "GET / HTTP/1.1\r\nTE: x\r\nHost: a\r\nTE: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
}

#[test]
fn targets_and_hosts() {
    check_request(
        "GET http://b:1/x?y HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n",
        "GET /x?y HTTP/1.1\r\nHost: b:1\r\nA: 1\r\nB: 2\r\n\r\n",
    );
    check_request("GET http://b?q HTTP/1.0\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: b\r\n\r\n");
    check_request(
        "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n",
    );
    check_request("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n");
    check_request(
        "CONNECT b:1 HTTP/1.1\r\nA: 1\r\nHost: c\r\n\r\n",
        "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\nA: 1\r\n\r\n",
    );
    check_request("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n");
    check_request(
        "GET / HTTP/1.0\r\nA: 1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\n\r\n",
    );
    let own = |e| RequestEdits { host: Some(b"up:80"), ..e };
    assert_eq!(
        request("GET / HTTP/1.0\r\nA: 1\r\n\r\n", own, &[]),
        "GET / HTTP/1.1\r\nHost: up:80\r\nA: 1\r\n\r\n"
    );
    assert_eq!(
        request("GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\n\r\n", own, &[]),
        "GET / HTTP/1.1\r\nHost: up:80\r\nA: 1\r\n\r\n"
    );
}

#[test]
fn request_framing_is_what_is_said() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  CHUNKED\r\nTrailer: x\r\n\r\n";
    check_request(
        chunked,
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let length = |e| RequestEdits { framing: Framing::Length(12), ..e };
    assert_eq!(
        request(chunked, length, &[]),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"
    );
    let padded = "POST / HTTP/1.1\r\nContent-Length: 0012\r\nHost: a\r\n\r\n";
    check_request(padded, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    let sized = "POST / HTTP/1.1\r\nContent-Length:  12 \r\nHost: a\r\n\r\n";
    check_request(sized, sized);
    assert_eq!(request(sized, length, &[]), sized);
    let to_chunked = |e| RequestEdits { framing: Framing::Chunked, ..e };
    assert_eq!(
        request(sized, to_chunked, &[]),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let to_other = |e| RequestEdits { framing: Framing::Length(u64::MAX), ..e };
    assert_eq!(
        request(sized, to_other, &[]),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n"
    );
    let to_none = |e| RequestEdits { framing: Framing::None, ..e };
    assert_eq!(request(sized, to_none, &[]), "POST / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn drops_and_additions() {
    let input = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    let drop = |bits| move |e| RequestEdits { drop: bits, ..e };
    assert_eq!(
        request(input, drop(0b10), &[]),
        "GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nC: 3\r\n\r\n"
    );
    assert_eq!(request(input, drop(0b1100), &[]), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n");
    assert_eq!(request(input, drop(u128::MAX), &[]), "GET / HTTP/1.1\r\n\r\n");
    let close = |e| RequestEdits { close: true, drop: 0b1110, ..e };
    assert_eq!(
        request(input, close, &[(b"Via", b"1.1 b"), (b"X", b"")]),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nVia: 1.1 b\r\nX: \r\n\r\n"
    );
    assert_eq!(
        request(input, drop(0b1110), &[(b"X", b"a\r\nY: b\0\tc\x7f")]),
        "GET / HTTP/1.1\r\nHost: a\r\nX: a  Y: b  c \r\n\r\n"
    );
}

#[test]
fn upgrades_go_on_only_if_asked() {
    let input = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    check_request(input, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let upgrade = |e| RequestEdits { upgrade: true, ..e };
    assert_eq!(
        request(input, upgrade, &[]),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    );
    let dropped = |e| RequestEdits { upgrade: true, drop: 0b100, ..e };
    assert_eq!(
        request(input, dropped, &[]),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n"
    );
    let asked = Asked { method: Method::Get, upgrade: true };
    let input =
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n";
    let upgrade = |e| ResponseEdits { upgrade: true, ..e };
    assert_eq!(
        response(input, asked, upgrade, &[]),
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nX: y\r\nConnection: upgrade\r\n\r\n"
    );
}

#[test]
fn responses() {
    let get = Asked::default();
    let same = |e| e;
    let odd = "HTTP/1.1 200 Very OK\r\nX:  y\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length:3\r\n\r\n";
    assert_eq!(response(odd, get, same, &[]), odd);
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n";
    let new = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(response(old, get, same, &[]), new);
    let bare = "HTTP/1.1 404\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(response(bare, get, same, &[]), "HTTP/1.1 404 \r\nContent-Length: 3\r\n\r\n");
    let keep = |e| ResponseEdits { persist: Persist::KeepAlive, ..e };
    assert_eq!(
        response(new, get, keep, &[(b"Via", b"b")]),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\nVia: b\r\n\r\n"
    );
}

#[test]
fn response_framing_is_what_is_said() {
    let get = Asked::default();
    let with = |framing| move |e| ResponseEdits { framing, ..e };
    let close = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
    assert_eq!(
        response(close, get, with(Framing::Chunked), &[]),
        "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        response(close, get, |e| e, &[]),
        "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n"
    );
    let chunked = "HTTP/1.1 200 OK\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(response(chunked, get, |e| e, &[]), chunked);
    assert_eq!(
        response(chunked, get, with(Framing::UntilClose), &[]),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    );
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(
        response(sized, get, with(Framing::Length(4)), &[]),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    );
    let head = Asked { method: Method::Head, upgrade: false };
    assert_eq!(response(sized, head, |e| e, &[]), sized);
    let not_modified = "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(response(not_modified, get, |e| e, &[]), not_modified);
    let empty = "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(response(empty, get, |e| e, &[]), "HTTP/1.1 204 x\r\n\r\n");
}

#[test]
fn chunks() {
    for (len, expect) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0x4000, "4000\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(chunk_header(len).as_bytes(), expect.as_bytes());
    }
    let mut out = Vec::new();
    encode_last_chunk(&mut out, []);
    assert_eq!(out, LAST_CHUNK);
    out.clear();
    encode_last_chunk(&mut out, [(b"X".as_slice(), b"y".as_slice())]);
    assert_eq!(out, b"0\r\nX: y\r\n\r\n");
}

#[test]
fn local_answers() {
    let local = |status, to_head, persist| {
        let mut out = Vec::new();
        let local = Local { status, content_type: "text/plain", body: b"why\n", to_head, persist };
        local_response(&mut out, &local, [(b"A".as_slice(), b"b".as_slice())]);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        local(503, false, Persist::Unsaid),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nA: b\r\n\r\nwhy\n"
    );
    assert_eq!(
        local(400, true, Persist::Close),
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\nA: b\r\n\r\n"
    );
    assert_eq!(
        local(204, false, Persist::KeepAlive),
        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nA: b\r\n\r\n"
    );
    for rule in crate::Rule::ALL {
        assert_ne!(reason_phrase(rule.status()), "", "{rule:?}");
    }
}
