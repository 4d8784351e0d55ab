//! Tests of what requests say: every form, who is believed, what goes on, hashes.

use std::net::Ipv4Addr;

use super::*;
use crate::head::tests::request;

const MS: fn(u64) -> Duration = Duration::from_millis;
const UNIX: u64 = 1_700_000_000_000_000_000;

fn now() -> Tick {
    Tick::ZERO + Duration::from_secs(5)
}

fn sender(trusted: bool) -> Sender {
    Sender { trusted, skew: MS(100), now: now() }
}

fn said_of(lines: &str, trusted: bool) -> Said {
    let mut found = Said::NOTHING;
    request(format!("GET / HTTP/1.1\nHost: a\n{lines}").trim_end(), |view| {
        found = said(&view, sender(trusted), || UNIX);
    });
    found
}

/// How much time a trusted caller's field leaves.
fn left(line: &str) -> Option<Duration> {
    let said = said_of(line, true);
    assert_eq!(said.forms.is_empty(), said.deadline == Tick::NEVER, "{line}");
    (said.deadline != Tick::NEVER).then(|| said.deadline.since(now()))
}

#[test]
fn deadlines_in_every_form() {
    let l5d = |nanos: i64| format!("l5d-ctx-deadline: 1 {}", UNIX.strict_add_signed(nanos));
    for (line, want) in [
        ("baleen-deadline: 250".to_owned(), Some(MS(250))),
        ("Baleen-Deadline: 0".to_owned(), Some(Duration::ZERO)),
        ("baleen-deadline: 999999999".to_owned(), Some(MS(999_999_999))),
        ("baleen-deadline: 1000000000".to_owned(), None),
        ("baleen-deadline: -1".to_owned(), None),
        ("baleen-deadline: +1".to_owned(), None),
        ("baleen-deadline: 1.5".to_owned(), None),
        ("baleen-deadline: 1, 2".to_owned(), None),
        ("baleen-deadline:".to_owned(), None),
        ("grpc-timeout: 1H".to_owned(), Some(MS(3_600_000))),
        ("grpc-timeout: 2M".to_owned(), Some(MS(120_000))),
        ("grpc-timeout: 3S".to_owned(), Some(MS(3000))),
        ("grpc-timeout: 4m".to_owned(), Some(MS(4))),
        ("grpc-timeout: 5u".to_owned(), Some(Duration::from_micros(5))),
        ("grpc-timeout: 99999999n".to_owned(), Some(Duration::from_nanos(99_999_999))),
        ("grpc-timeout: 100000000n".to_owned(), None),
        ("grpc-timeout: 4h".to_owned(), None),
        ("grpc-timeout: 4".to_owned(), None),
        ("grpc-timeout: m".to_owned(), None),
        ("x-envoy-expected-rq-timeout-ms: 15".to_owned(), Some(MS(15))),
        ("x-envoy-expected-rq-timeout-ms: 0".to_owned(), None),
        (l5d(2_000_000), Some(MS(2))),
        (l5d(3_600_000_000_000), Some(MS(3_600_000))),
        (l5d(3_600_000_000_001), None),
        (l5d(0), Some(Duration::ZERO)),
        (l5d(-100_000_000), Some(Duration::ZERO)),
        (l5d(-100_000_001), None),
        ("l5d-ctx-deadline: 1".to_owned(), None),
        ("l5d-ctx-deadline: 1  1700000000000000000".to_owned(), None),
        ("l5d-ctx-deadline: 1 99999999999999999999".to_owned(), None),
        ("l5d-ctx-deadline: 1 0".to_owned(), None),
    ] {
        assert_eq!(left(&line), want, "{line}");
        assert_eq!(said_of(&line, false), Said::NOTHING, "{line} of anybody");
    }
}

#[test]
fn the_strictest_of_several_counts() {
    let lines = "baleen-deadline: 300\ngrpc-timeout: 200m\nbaleen-deadline: 250";
    let said = said_of(lines, true);
    assert_eq!(said.deadline, now() + MS(200));
    assert!(said.forms.has(Forms::BALEEN) && said.forms.has(Forms::GRPC));
    assert!(!said.forms.has(Forms::ENVOY) && !said.forms.has(Forms::L5D));
}

#[test]
fn urgency_is_one_digit_of_a_trusted_caller() {
    for (value, want) in
        [("0", Some(0)), ("7", Some(7)), ("8", None), ("03", None), ("", None), ("-1", None)]
    {
        let line = format!("baleen-priority: {value}");
        assert_eq!(said_of(&line, true).priority, want, "{value}");
        assert_eq!(said_of(&line, false).priority, None, "{value}");
    }
}

#[test]
fn the_least_of_several_urgencies_counts() {
    let said = said_of("baleen-priority: 0\nBaleen-Priority: 5\nbaleen-priority: 3", true);
    assert_eq!(said.priority, Some(5));
}

#[test]
fn names_with_other_strokes_are_nearly_ours() {
    for (name, want) in [
        ("baleen_priority", true),
        ("Baleen_Deadline", true),
        ("x-envoy-expected_rq-timeout_ms", true),
        ("l5d_ctx_deadline", true),
        ("l5d_dtab", true),
        ("baleen_dtab", true),
        ("baleen-dst_residual", true),
        ("baleen-priority", false),
        ("grpc_previous_rpc_attempts", false),
        ("baleen_priorities", false),
        ("_", false),
        ("a_name_that_is_longer_than_any_of_ours", false),
    ] {
        assert_eq!(is_nearly_ours(name.as_bytes()), want, "{name}");
    }
}

#[test]
fn tries_are_believed_from_anybody_and_the_highest_counts() {
    for (lines, want) in [
        ("baleen-attempt: 2", 2),
        ("baleen-attempt: 0", 1),
        ("baleen-attempt: x", 1),
        ("baleen-attempt: 300", 255),
        ("grpc-previous-rpc-attempts: 1", 2),
        ("grpc-previous-rpc-attempts: 999", 255),
        ("grpc-previous-rpc-attempts: -1", 1),
        ("x-envoy-attempt-count: 1", 1),
        ("x-envoy-attempt-count: 4", 4),
        ("x-envoy-attempt-count: 2\nbaleen-attempt: 3", 3),
    ] {
        assert_eq!(said_of(lines, false).attempt, want, "{lines}");
    }
}

/// What is sent on of these lines: names and values.
fn sent_on(lines: &str, what: &Onward) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    request(format!("GET / HTTP/1.1\nHost: a\n{lines}").trim_end(), |view| {
        let mut edits = Edits::new();
        onward(&view, what, || UNIX, &mut edits);
        let text = |b: &[u8]| String::from_utf8_lossy(b).to_ascii_lowercase();
        sent.extend(edits.apply(&view).skip(1).map(|(n, v)| (text(n), text(v))));
    });
    sent
}

fn pairs(want: &[(&str, &str)]) -> Vec<(String, String)> {
    want.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

const NOTHING: Onward = Onward { left: None, forms: Forms(0), priority: None, attempt: 1 };

#[test]
fn what_is_not_believed_is_not_sent_on() {
    let lines = "baleen-deadline: 1\nx-a: 1\ngrpc-timeout: 1S\nl5d-ctx-deadline: 1 2\nbaleen-priority: 0\n\
        x-envoy-expected-rq-timeout-ms: 1\nbaleen-attempt: 2\ngrpc-previous-rpc-attempts: 1\nx-envoy-attempt-count: 2";
    let want = [("x-a", "1"), ("grpc-previous-rpc-attempts", "1"), ("x-envoy-attempt-count", "2")];
    assert_eq!(sent_on(lines, &NOTHING), pairs(&want));
}

#[test]
fn what_is_true_now_is_sent_on() {
    let what = Onward {
        left: Some(Duration::from_micros(1500)),
        forms: Forms(15),
        priority: Some(0),
        attempt: 3,
    };
    let want = [
        ("baleen-deadline", "1"),
        ("grpc-timeout", "1500u"),
        ("x-envoy-expected-rq-timeout-ms", "1"),
        ("l5d-ctx-deadline", "1700000000000000000 1700000000001500000"),
        ("baleen-priority", "0"),
        ("baleen-attempt", "3"),
    ];
    assert_eq!(sent_on("Baleen-Deadline: 5\ngrpc-timeout: 1S", &what), pairs(&want));
    let short = Onward { left: Some(Duration::ZERO), forms: Forms::ENVOY, ..NOTHING };
    let want = [("baleen-deadline", "0"), ("x-envoy-expected-rq-timeout-ms", "1")];
    assert_eq!(sent_on("", &short), pairs(&want));
}

#[test]
fn long_grpc_timeouts_have_eight_digits() {
    for (left, want) in [
        (Duration::from_micros(99_999_999), "99999999u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::from_millis(99_999_999), "99999999m"),
        (Duration::from_secs(100_000), "100000s"),
        (Duration::MAX, "999999s"),
    ] {
        let what = Onward { left: Some(left), forms: Forms::GRPC, ..NOTHING };
        assert_eq!(sent_on("", &what)[1].1, want, "{left:?}");
    }
}

#[test]
fn a_fingerprint_is_of_method_host_path_and_query() {
    let secret = Secret::new(1);
    let of = |text: &str, secret: &Secret| {
        let mut found = 0;
        request(text, |view| found = fingerprint(secret, &view));
        found
    };
    let first = of("GET /a?b HTTP/1.1\nHost: x\nX-A: 1", &secret);
    assert_ne!(first, 0);
    assert_eq!(first, of("GET /a?b HTTP/1.1\nX-B: 2\nHost: x", &secret));
    for other in [
        "PUT /a?b HTTP/1.1\nHost: x\nContent-Length: 0",
        "GET /a?c HTTP/1.1\nHost: x",
        "GET /a HTTP/1.1\nHost: x",
        "GET /a?b HTTP/1.1\nHost: y",
    ] {
        assert_ne!(first, of(other, &secret), "{other}");
    }
    assert_ne!(first, of("GET /a?b HTTP/1.1\nHost: x", &Secret::new(2)), "it is keyed");
    let by_table = |table| fingerprint_by_table(&secret, first, table);
    assert!(by_table(7) != 0 && by_table(7) == by_table(7));
    assert!(by_table(7) != first && by_table(7) != by_table(8));
}

fn keys(lines: &str, by: &KeySource, address: &str) -> (u64, u64) {
    let address: IpAddr = address.parse().unwrap();
    let mut found = (0, 0);
    request(format!("GET / HTTP/1.1\nHost: a\n{lines}").trim_end(), |view| {
        found = (key(&Secret::new(1), by, &view, address), sticky(by, &view, address));
    });
    found
}

#[test]
fn requests_are_told_apart_by_what_is_asked_for() {
    let user = KeySource::Header("x-user".to_owned());
    let sid = KeySource::Cookie("sid".to_owned());
    let of = |lines: &str, by: &KeySource| keys(lines, by, "192.0.2.1");
    assert_eq!(of("x-user: 1", &KeySource::Route), (0, 0));
    let (key, stick) = of("X-User: ann", &user);
    assert_eq!(stick, stable(b"ann"), "the same in every process");
    assert_ne!((key, key), (0, stick), "keyed");
    assert_eq!(of("X-User: ann\nX-User: bob", &user), (key, stick), "the first");
    assert_ne!(of("x-user: bob", &user).0, key);
    assert_eq!(of("x-user:", &user), (0, 0));
    assert_eq!(of("x-other: ann", &user), (0, 0));
    for (lines, want) in [
        ("Cookie: sid=ann", stick),
        ("Cookie: a=1; sid=ann; b=2", stick),
        ("Cookie: a=1\ncookie: sid=ann", stick),
        ("Cookie: xsid=bob; sid=ann", stick),
        ("Cookie: SID=ann", 0),
        ("Cookie: sid", 0),
        ("Cookie: sid=", 0),
        ("Cookie: sidx=ann", 0),
    ] {
        assert_eq!(of(lines, &sid).1, want, "{lines}");
    }
}

#[test]
fn addresses_count_by_what_one_caller_has() {
    let by = |address| keys("", &KeySource::Address, address);
    assert_ne!(by("192.0.2.1"), by("192.0.2.2"));
    let (one, other) = (by("2001:db8::1"), by("2001:db8::2"));
    assert_eq!(one.0, other.0, "one network");
    assert_ne!(one.1, other.1, "two machines");
    assert_ne!(one.0, by("2001:db8:0:1::1").0);
    assert_eq!(by("192.0.2.1").1, stable(&Ipv4Addr::new(192, 0, 2, 1).octets()));
}

#[test]
fn groups_change_every_hour() {
    let secret = Secret::new(3);
    let at = |hours: u64| Tick::ZERO + Duration::from_secs(hours * 3600 + 1);
    let of = |hours| (0..100).map(|caller| group(&secret, caller, at(hours))).collect::<Vec<_>>();
    assert!(of(0).iter().all(|group| *group < 128));
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn a_cookie_of_ours_is_found_again() {
    let (cookie, hash) = new_cookie("sid", Duration::from_secs(3600), 0xabc);
    assert_eq!(cookie, "sid=0000000000000abc; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax");
    let by = KeySource::Cookie("sid".to_owned());
    assert_eq!(keys("Cookie: sid=0000000000000abc", &by, "192.0.2.1").1, hash);
}

#[test]
fn a_cookie_that_the_upstream_sets_is_seen() {
    for (lines, want) in [
        ("Set-Cookie: sid=theirs", true),
        ("Set-Cookie: a=b\nset-cookie: sid =; Path=/", true),
        ("Set-Cookie: SID=1", false),
        ("Set-Cookie: sid2=1", false),
        ("Set-Cookie: a=sid=1", false),
        ("Cookie: sid=1", false),
        ("Set-Cookie:", false),
    ] {
        request(&format!("GET / HTTP/1.1\nHost: a\n{lines}"), |view| {
            assert_eq!(sets_same(&view, "sid=0000000000000abc; Path=/"), want, "{lines}");
        });
    }
}
