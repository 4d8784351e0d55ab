//! What is kept and what is not, for whom and how long, and the bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use baleen_base::{RouteId, Tick};
use baleen_config::Stale;
use baleen_http1::{Asked, Framing, Limits, Parsed, Persist, ResponseHead};
use proptest::prelude::*;

use super::{ENTRY_BYTES, Fresh, Saved, Shelves, VARIANTS_MAX};
use crate::head::Http1Response;
use crate::head::tests::request;

const ROUTE: RouteId = RouteId(3);
const BOUNDS: Stale = Stale { age: Duration::from_secs(300), bytes: 100_000, body_bytes: 10_000 };
/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW_MS: u64 = 784_111_777_000;

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(1000 + seconds)
}

/// A response comes at time 0 in these pieces; whether it was kept.
fn store_in(
    shelves: &Shelves,
    bounds: Stale,
    asked: &str,
    response: &str,
    pieces: &[&[u8]],
    now: Tick,
) -> bool {
    let buf = format!("HTTP/1.1 {}\r\n\r\n", response.replace('\n', "\r\n"));
    let mut head = ResponseHead::new();
    let parsed = head.parse(buf.as_bytes(), &Limits::default(), Asked::default());
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: buf.len() }), "{response}");
    let length = match head.framing() {
        Framing::Length(n) => Some(n),
        _ => None,
    };
    let mut kept = false;
    request(asked, |request| {
        let view = Http1Response { head: &head, buf: buf.as_bytes() };
        let fresh = Fresh { status: head.status(), head: &view, length, now, unix_ms: NOW_MS };
        let content = request.head.framing() != Framing::None;
        let Some(mut capture) = shelves.begin(ROUTE, bounds, &request, content, &fresh) else {
            return;
        };
        if pieces.iter().all(|piece| capture.add(piece)) {
            capture.keep();
            kept = true;
        }
    });
    let shelf = shelves.shelf(ROUTE);
    assert_eq!(shelf.in_flight.load(Ordering::Relaxed), 0, "all that was on its way is settled");
    kept
}

fn find_at(shelves: &Shelves, asked: &str, now: Tick) -> Option<Arc<Saved>> {
    let mut found = None;
    request(asked, |request| {
        let content = request.head.framing() != Framing::None;
        found = shelves.find(ROUTE, BOUNDS, &request, content, now);
    });
    found
}

fn find(shelves: &Shelves, asked: &str) -> Option<String> {
    let saved = find_at(shelves, asked, at(0))?;
    Some(String::from_utf8(saved.body.clone()).unwrap())
}

fn store(shelves: &Shelves, asked: &str, response: &str, body: &str) -> bool {
    store_in(shelves, BOUNDS, asked, response, &[body.as_bytes()], at(0))
}

const GET: &str = "GET /a?b HTTP/1.1\nHost: shop";

#[test]
fn what_is_kept() {
    for (asked, response, want) in [
        ("", "200 OK", true),
        ("", "203 x", true),
        ("", "301 x\nLocation: /b", true),
        ("", "308 x\nLocation: /b", true),
        ("", "404 x", true),
        ("", "410 x", true),
        ("", "206 x\nContent-Range: bytes 0-1/9", false),
        ("", "302 x\nLocation: /b", false),
        ("", "401 x", false),
        ("", "500 x", false),
        ("", "503 x", false),
        ("", "200 OK\nCache-Control: max-age=60", true),
        ("", "200 OK\nCache-Control: max-age=0", true),
        ("", "200 OK\nCache-Control: NO-STORE", false),
        ("", "200 OK\nCache-Control: max-age=60\nCache-Control: x, no-store", false),
        ("", "200 OK\nCache-Control: private", false),
        ("", "200 OK\nCache-Control: private=\"a, b\"", false),
        ("", "200 OK\nCache-Control: no-cache", false),
        ("", "200 OK\nCache-Control: must-revalidate", false),
        ("", "200 OK\nCache-Control: public, proxy-revalidate", false),
        ("", "200 OK\nCache-Control: x=\"a, no-store, b\"", true),
        ("", "200 OK\nCache-Control: x=\"a\\\", no-store, b\"", true),
        ("", "200 OK\nSet-Cookie: a=b", false),
        ("", "200 OK\nSet-Cookie: a=b\nCache-Control: public", false),
        ("", "200 OK\nVary: *", false),
        ("", "200 OK\nVary: accept, *", false),
        ("", "200 OK\nVary: a, b, c, d", true),
        ("", "200 OK\nVary: a, b\nVary: c, A, d", true),
        ("", "200 OK\nVary: a, b, c, d, e", false),
        ("", "200 OK\nVary: Host", true),
        ("", "200 OK\nVary: X-Forwarded-For", false),
        ("", "200 OK\nVary: x-forwarded-tenant", false),
        ("", "200 OK\nVary: baleen-deadline", false),
        ("Cache-Control: no-store", "200 OK", false),
        ("Cache-Control: no-cache", "200 OK", true),
        ("Authorization: x", "200 OK", false),
        ("Authorization: x", "200 OK\nCache-Control: max-age=60", false),
        ("Authorization: x", "200 OK\nCache-Control: public", true),
        ("Authorization: x", "200 OK\nCache-Control: s-maxage=60", true),
        ("Authorization: x", "200 OK\nCache-Control: x=\"a, public, b\"", false),
        ("Proxy-Authorization: x", "200 OK", false),
        ("Content-Length: 2", "200 OK", false),
    ] {
        let asked = format!("{GET}\n{asked}");
        let response = format!("{response}\nContent-Length: 3");
        let shelves = Shelves::default();
        assert_eq!(store(&shelves, asked.trim(), &response, "abc"), want, "{asked} -> {response}");
        let there = shelves.shelf(ROUTE).kept().order.len();
        assert_eq!(there, usize::from(want), "{asked} -> {response}");
    }
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "get"] {
        let shelves = Shelves::default();
        assert!(!store(&shelves, &GET.replace("GET", method), "200 OK\nContent-Length: 1", "a"));
    }
}

#[test]
fn the_key_is_all_of_it() {
    let shelves = Shelves::default();
    assert!(store(&shelves, GET, "200 OK\nContent-Length: 3", "abc"));
    for (asked, want) in [
        (GET, true),
        ("HEAD /a?b HTTP/1.1\nHost: shop", true),
        ("GET /a?b HTTP/1.1\nHost: SHOP", true),
        ("GET /a?b HTTP/1.1\nHost: shop\nRange: bytes=0-1", true),
        ("GET /a?b HTTP/1.1\nHost: shop\nIf-None-Match: \"x\"", true),
        ("GET /a?b HTTP/1.1\nHost: shop\nCache-Control: max-age=0", true),
        ("GET /a?b HTTP/1.1\nHost: shop\nCache-Control: no-cache", false),
        ("GET /a?b HTTP/1.1\nHost: shop\nAuthorization: x", false),
        ("GET /a?b HTTP/1.1\nHost: shop\nCookie: user=1", false),
        ("GET /a?b HTTP/1.1\nHost: shop\nContent-Length: 1", false),
        ("GET /a HTTP/1.1\nHost: shop", false),
        ("GET /a?B HTTP/1.1\nHost: shop", false),
        ("GET /a?b HTTP/1.1\nHost: shop:81", false),
        ("GET /a?b HTTP/1.0", false),
        ("POST /a?b HTTP/1.1\nHost: shop", false),
        ("OPTIONS /a?b HTTP/1.1\nHost: shop", false),
    ] {
        assert_eq!(find(&shelves, asked).is_some(), want, "{asked}");
    }
    // Another route has a shelf of its own.
    let mut found = None;
    request(GET, |r| found = shelves.find(RouteId(4), BOUNDS, &r, false, at(0)));
    assert!(found.is_none());
}

#[test]
fn what_it_varies_by_is_part_of_the_key() {
    let shelves = Shelves::default();
    let response = "200 OK\nContent-Length: 2\nVary: Accept-Language";
    let with = |fields: &str| format!("{GET}{fields}");
    assert!(store(&shelves, &with("\nAccept-Language: de"), response, "de"));
    assert!(store(&shelves, &with("\nAccept-Language: fr"), response, "fr"));
    assert_eq!(find(&shelves, &with("\naccept-language: de")).as_deref(), Some("de"));
    assert_eq!(find(&shelves, &with("\nAccept-Language: fr")).as_deref(), Some("fr"));
    for other in ["", "\nAccept-Language: en", "\nAccept-Language: de\nAccept-Language: fr"] {
        assert_eq!(find(&shelves, &with(other)), None, "{other}");
    }
    // Where a value ends counts, and in which field it is.
    let response = "200 OK\nContent-Length: 2\nVary: X-A, X-B";
    assert!(store(&shelves, &with("\nX-A: 1\nX-B: 2"), response, "12"));
    assert_eq!(find(&shelves, &with("\nX-A: 1\nX-B: 2\nX-C: 3")).as_deref(), Some("12"));
    assert_eq!(find(&shelves, &with("\nX-A: 1\nX-A: 2")), None);
    assert_eq!(find(&shelves, &with("\nX-B: 1\nX-A: 2")), None);
    // What is too long to compare is not kept.
    let long = with(&format!("\nX-A: {}", "x".repeat(super::SELECTING_BYTES_MAX)));
    assert!(!store(&shelves, &long, response, "no"));
}

#[test]
fn a_cookie_is_part_of_the_key_unless_it_is_for_all() {
    let shelves = Shelves::default();
    let with = |cookie: &str| format!("{GET}\nCookie: {cookie}");
    assert!(store(&shelves, &with("user=1"), "200 OK\nContent-Length: 3", "one"));
    assert_eq!(find(&shelves, &with("user=1")).as_deref(), Some("one"));
    assert_eq!(find(&shelves, &with("user=2")), None);
    assert_eq!(find(&shelves, GET), None);
    let public = "200 OK\nContent-Length: 3\nCache-Control: public";
    assert!(store(&shelves, &with("user=3"), public, "all"));
    assert_eq!(find(&shelves, &with("user=2")).as_deref(), Some("all"));
    assert_eq!(find(&shelves, GET).as_deref(), Some("all"));
    assert_eq!(find(&shelves, &format!("{GET}\nAuthorization: x")).as_deref(), Some("all"));
}

#[test]
fn how_old_it_may_be() {
    for (fields, asked, last) in [
        ("", "", 300),
        ("Cache-Control: max-age=10", "", 300),
        ("Cache-Control: s-maxage=10", "", 10),
        ("Cache-Control: s-maxage=10, max-age=200", "", 10),
        ("Cache-Control: s-maxage=\"10\"", "", 10),
        ("Cache-Control: s-maxage=x", "", 0),
        ("Cache-Control: s-maxage=99999999999", "", 300),
        ("Cache-Control: max-age=10, stale-if-error=20", "", 30),
        ("Cache-Control: s-maxage=10, max-age=50, stale-if-error=20", "", 30),
        ("Cache-Control: stale-if-error=20", "", 20),
        ("Cache-Control: stale-if-error=20, stale-if-error=15", "", 15),
        ("Cache-Control: stale-if-error=9999", "", 300),
        ("Cache-Control: max-age=10", "Cache-Control: stale-if-error=5", 15),
        ("Cache-Control: max-age=10, stale-if-error=2", "Cache-Control: stale-if-error=5", 12),
        ("Cache-Control: stale-if-error=20\nAge: 15", "", 5),
        ("Age: 1000", "", 300),
        ("Cache-Control: stale-if-error=20\nDate: Sun, 06 Nov 1994 08:49:27 GMT", "", 10),
        (
            "Cache-Control: stale-if-error=20\nDate: Sun, 06 Nov 1994 08:49:37 GMT\n\
          Expires: Sun, 06 Nov 1994 08:49:47 GMT",
            "",
            30,
        ),
        ("Cache-Control: stale-if-error=20\nExpires: 0", "", 20),
    ] {
        let shelves = Shelves::default();
        let response = format!("200 OK\nContent-Length: 0\n{fields}");
        assert!(store(&shelves, GET, response.trim_end(), ""), "{fields}");
        let asked = format!("{GET}\n{asked}");
        assert!(find_at(&shelves, asked.trim_end(), at(last)).is_some(), "{fields}: {last} s");
        assert!(find_at(&shelves, asked.trim_end(), at(last + 1)).is_none(), "{fields}: more");
    }
}

#[test]
fn what_is_served() {
    let shelves = Shelves::default();
    let response = "200 Fine\nContent-Type: text/x\nContent-Length: 3\nAge: 5\nKeep-Alive: max=3\n\
                    Connection: keep-alive, X-Hop\nX-Hop: 1\nEtag: \"e\"\nbaleen-admit: 3\n\
                    Cache-Control: max-age=9";
    assert!(store(&shelves, GET, response, "abc"));
    let saved = find_at(&shelves, GET, at(7)).unwrap();
    let mut out = Vec::new();
    let fields = [(&b"Proxy-Status"[..], &b"baleen; error=x"[..])];
    saved.push_head(&mut out, at(7), Persist::Close, fields);
    let want = "HTTP/1.1 200 OK\nContent-Type: text/x\nEtag: \"e\"\nCache-Control: max-age=9\n\
                Date: Sun, 06 Nov 1994 08:49:37 GMT\nVia: 1.1 baleen\nAge: 12\n\
                Cache-Status: baleen; hit; detail=stale-if-error\nProxy-Status: baleen; error=x\n\
                Content-Length: 3\nConnection: close\n\n";
    assert_eq!(String::from_utf8(out).unwrap(), want.replace('\n', "\r\n"));
    assert_eq!(saved.body, b"abc");
}

#[test]
fn bodies_have_a_bound() {
    let shelves = Shelves::default();
    let piece = [b'x'; 4000];
    let kept = |response: &str, pieces: usize| {
        store_in(&shelves, BOUNDS, GET, response, &vec![&piece[..]; pieces], at(0))
    };
    let chunked = "200 OK\nTransfer-Encoding: chunked";
    assert!(kept("200 OK\nContent-Length: 8000", 2));
    assert!(kept(chunked, 2));
    assert!(!kept(chunked, 3));
    assert!(!kept("200 OK\nContent-Length: 12000", 3));
    // The one before is still there.
    assert_eq!(find(&shelves, GET).unwrap().len(), 8000);
}

#[test]
fn what_is_on_its_way_has_a_bound_and_is_settled() {
    let shelves = Shelves::default();
    let bounds = Stale { bytes: 20_000, ..BOUNDS };
    let buf = "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n";
    let mut head = ResponseHead::new();
    head.parse(buf.as_bytes(), &Limits::default(), Asked::default()).unwrap();
    let view = Http1Response { head: &head, buf: buf.as_bytes() };
    let fresh = Fresh { status: 200, head: &view, length: Some(9000), now: at(0), unix_ms: NOW_MS };
    request(GET, |request| {
        let begin = || shelves.begin(ROUTE, bounds, &request, false, &fresh);
        let (first, second) = (begin().unwrap(), begin().unwrap());
        assert!(begin().is_none(), "no room for a third");
        drop(first);
        let third = begin().unwrap();
        assert!(begin().is_none());
        drop((second, third));
        assert_eq!(shelves.shelf(ROUTE).in_flight.load(Ordering::Relaxed), 0);
    });
    assert_eq!(find(&shelves, GET), None, "what did not become whole is not kept");
}

#[test]
fn what_was_stored_longest_ago_goes_first() {
    let shelves = Shelves::default();
    let bounds = Stale { bytes: 10_000, ..BOUNDS };
    let asked = |n: usize| format!("GET /{n} HTTP/1.1\nHost: shop");
    let put = |n: usize| {
        let response = "200 OK\nContent-Length: 2000";
        assert!(store_in(&shelves, bounds, &asked(n), response, &[&[b'x'; 2000]], at(0)));
    };
    (0..3).for_each(put);
    // Stored anew, so 1 is the oldest.
    put(0);
    put(3);
    let there: Vec<_> = (0..4).filter(|n| find(&shelves, &asked(*n)).is_some()).collect();
    assert_eq!(there, [0, 2, 3]);
    // A lower bound holds from the next one on.
    let bounds = Stale { bytes: 4000, ..BOUNDS };
    assert!(store_in(&shelves, bounds, &asked(9), "200 OK\nContent-Length: 0", &[], at(0)));
    let there: Vec<_> = (0..10).filter(|n| find(&shelves, &asked(*n)).is_some()).collect();
    assert_eq!(there, [3, 9]);
    // What is too old goes when something is stored.
    assert!(store_in(&shelves, bounds, &asked(5), "200 OK\nContent-Length: 0", &[], at(301)));
    assert_eq!(shelves.shelf(ROUTE).kept().order.len(), 1);
}

#[test]
fn one_key_has_few_variants() {
    let shelves = Shelves::default();
    let asked = |n: usize| format!("{GET}\nAccept: {n}");
    for n in 0..20 {
        assert!(store(&shelves, &asked(n), "200 OK\nContent-Length: 1\nVary: Accept", "x"));
    }
    let there: Vec<_> = (0..20).filter(|n| find(&shelves, &asked(*n)).is_some()).collect();
    assert_eq!(there, (20 - VARIANTS_MAX..20).collect::<Vec<_>>());
}

#[test]
fn a_shelf_goes_with_its_routes_setting() {
    let shelves = Shelves::default();
    assert!(store(&shelves, GET, "200 OK\nContent-Length: 1", "x"));
    shelves.retain(|route| route == ROUTE);
    assert!(find(&shelves, GET).is_some());
    shelves.retain(|route| route != ROUTE);
    assert_eq!(find(&shelves, GET), None);
}

proptest! {
    /// Whatever is stored in whatever order: the bounds hold, the books balance, and what is found is the last that was
    /// stored for it.
    #[test]
    fn bounds_hold(
        steps in prop::collection::vec((0usize..12, 0usize..3, 0usize..3000, 0u64..40), 1..120),
        bytes in 1000u64..12_000,
    ) {
        let shelves = Shelves::default();
        let bounds = Stale { bytes, body_bytes: 2500, age: Duration::from_secs(100) };
        let mut last = BTreeMap::new();
        let mut now = 0;
        for (path, accept, length, wait) in steps {
            now += wait;
            let asked = format!("GET /{path} HTTP/1.1\nHost: shop\nAccept: {accept}");
            let response = format!("200 OK\nContent-Length: {length}\nVary: accept");
            let body = vec![b'x'; length];
            if store_in(&shelves, bounds, &asked, &response, &[&body], at(now)) {
                prop_assert!(length <= 2500 && ENTRY_BYTES + length as u64 <= bytes);
                last.insert((path, accept), (length, now));
                // The one just stored is always there.
                let mut found = None;
                request(&asked, |r| found = shelves.find(ROUTE, bounds, &r, false, at(now)));
                prop_assert_eq!(found.map(|saved| saved.body.len()), Some(length));
            }
            let shelf = shelves.shelf(ROUTE);
            let kept = shelf.kept();
            let all: Vec<_> = kept.by_key.values().flatten().collect();
            prop_assert_eq!(all.iter().map(|v| v.saved.bytes).sum::<u64>(), kept.bytes);
            prop_assert!(kept.bytes <= bytes);
            prop_assert_eq!(all.len(), kept.order.len());
            prop_assert!(kept.by_key.values().all(|v| !v.is_empty() && v.len() <= VARIANTS_MAX));
            drop(kept);
            for ((path, accept), (length, came)) in &last {
                let asked = format!("GET /{path} HTTP/1.1\nHost: shop\nAccept: {accept}");
                let mut found = None;
                request(&asked, |r| found = shelves.find(ROUTE, bounds, &r, false, at(now)));
                if let Some(saved) = found {
                    prop_assert_eq!(saved.body.len(), *length);
                    prop_assert!(now - came <= 100);
                }
            }
        }
    }
}
