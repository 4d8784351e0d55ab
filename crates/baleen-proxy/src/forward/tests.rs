//! Tests of forwarding: who is believed, what replaces what, ids, traces, loops; hostile entries among them.

use proptest::prelude::*;

use super::*;
use crate::head::tests::request as parsed;

const ID: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const FRESH: &str = "0123456789abcdeffedcba9876543210";

fn conn(peer: &str) -> ConnInfo {
    ConnInfo::new(SocketAddr::new(peer.parse().unwrap(), 4711), Scheme::Http)
}

fn trust(trusted_hops: u8, source: Source) -> TrustParams {
    TrustParams { trusted_hops, source }
}

/// What a request with these fields is after the changes, and where it is believed to come from.
fn forwarded(fields: &str, peer: &str, trust: TrustParams) -> (Vec<String>, String) {
    let mut out = (Vec::new(), String::new());
    let lines = format!("GET /x HTTP/1.1\nHost: example.com:80\n{fields}");
    parsed(lines.trim_end(), |view| {
        let mut edits = Edits::new();
        let conn = conn(peer);
        let id = RequestId::of(&view, trust, || ID);
        let client = request(&view, &conn, trust, &id, false, &mut edits);
        assert_eq!(client, client_address(&view, trust, &conn));
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        out.0 = edits.apply(&view).map(|(n, v)| format!("{}: {}", text(n), text(v))).collect();
        out.1 = client.to_string();
    });
    out
}

fn value(lines: &[String], name: &str) -> String {
    let hits: Vec<&str> =
        lines.iter().filter_map(|l| l.strip_prefix(&format!("{name}: "))).collect();
    assert_eq!(hits.len(), 1, "{name} in {lines:?}");
    hits[0].to_owned()
}

#[test]
fn nobody_is_trusted_by_default() {
    let came = "X-Forwarded-For: 6.6.6.6\nx-forwarded-for: 7.7.7.7\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\n\
                Forwarded: for=6.6.6.6\nX-Request-Id: mine\nVia: 1.0 old\nX-Other: 1\nConnection: close";
    let (lines, client) = forwarded(came, "192.0.2.1", TrustParams::default());
    let want = [
        "Host: example.com:80",
        "Via: 1.0 old",
        "X-Other: 1",
        "Via: 1.1 baleen",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: example.com:80",
        "Forwarded: for=192.0.2.1;proto=http;host=\"example.com:80\"",
        &format!("X-Request-Id: {FRESH}"),
    ];
    assert_eq!(lines, want);
    assert_eq!(client, "192.0.2.1");
}

#[test]
fn the_whole_family_of_forwarded_fields_is_dropped_and_its_aliases_from_everybody() {
    let came = "X-Forwarded-Port: 1\nx-forwarded-ssl: on\nX-FORWARDED-PREFIX: /a\nX-Forwarded-Server: s\n\
                X_Forwarded_For: 6.6.6.6\nX-Forwarded_Proto: https\nX-Forwarded: kept\nXX-Forwarded-For: kept";
    let names = |hops| {
        let (lines, _) = forwarded(came, "192.0.2.1", trust(hops, Source::XForwarded));
        let came = lines.iter().skip(1).take_while(|l| !l.starts_with("Via"));
        came.map(|l| l.split(':').next().unwrap().to_lowercase()).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["x-forwarded", "xx-forwarded-for"]);
    let own = ["x-forwarded-port", "x-forwarded-ssl", "x-forwarded-prefix", "x-forwarded-server"];
    assert_eq!(names(1), [&own[..], &["x-forwarded", "xx-forwarded-for"]].concat());
}

#[test]
fn counted_hops_count_down_for_options_and_trace_only() {
    let sent = |method: &str, came: &str| {
        let mut sent = Vec::new();
        parsed(format!("{method} / HTTP/1.1\nHost: a\n{came}").trim_end(), |view| {
            let mut edits = Edits::new();
            let id = RequestId::of(&view, TrustParams::default(), || ID);
            request(&view, &conn("192.0.2.1"), TrustParams::default(), &id, false, &mut edits);
            let hops = edits.apply(&view).filter(|(n, _)| n.eq_ignore_ascii_case(b"max-forwards"));
            sent = hops.map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect();
        });
        sent.join(" ")
    };
    assert_eq!(sent("OPTIONS", "Max-Forwards: 3"), "2");
    assert_eq!(sent("TRACE", "max-forwards: 1\nMax-Forwards: 9"), "0");
    assert_eq!(sent("OPTIONS", "Max-Forwards: 99999999999999"), "4294967294");
    for odd in ["Max-Forwards: -1", "Max-Forwards: +1", "Max-Forwards: two", "Max-Forwards:"] {
        assert_eq!(sent("OPTIONS", odd), odd.split_once(':').unwrap().1.trim());
    }
    assert_eq!(sent("GET", "Max-Forwards: 3"), "3");
    assert_eq!(sent("OPTIONS", ""), "");
}

#[test]
fn ipv6_is_quoted_and_mapped_ipv4_is_ipv4() {
    let (lines, _) = forwarded("", "2001:db8::1", TrustParams::default());
    assert_eq!(value(&lines, "X-Forwarded-For"), "2001:db8::1");
    assert!(value(&lines, "Forwarded").starts_with("for=\"[2001:db8::1]\";proto=http"));
    let (lines, client) = forwarded("", "::ffff:192.0.2.7", TrustParams::default());
    assert_eq!(
        (value(&lines, "X-Forwarded-For").as_str(), client.as_str()),
        ("192.0.2.7", "192.0.2.7")
    );
}

#[test]
fn so_many_entries_are_believed_as_hops_are_trusted() {
    for (hops, came, chain, client) in [
        (1, "", "", "9.9.9.9"),
        (1, "X-Forwarded-For: 1.1.1.1", "1.1.1.1, ", "1.1.1.1"),
        (1, "X-Forwarded-For: 6.6.6.6, 1.1.1.1", "1.1.1.1, ", "1.1.1.1"),
        (2, "X-Forwarded-For: 6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1, 2.2.2.2, ", "1.1.1.1"),
        (
            2,
            "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 2.2.2.2",
            "1.1.1.1, 2.2.2.2, ",
            "1.1.1.1",
        ),
        (3, "X-Forwarded-For: 1.1.1.1, 2.2.2.2", "1.1.1.1, 2.2.2.2, ", "1.1.1.1"),
        (
            2,
            "X-Forwarded-For: , ,1.1.1.1:80,, [2001:db8::2]:443 ,",
            "1.1.1.1, 2001:db8::2, ",
            "1.1.1.1",
        ),
        (3, "X-Forwarded-For: 1.1.1.1, unknown, 2.2.2.2", "2.2.2.2, ", "2.2.2.2"),
        (3, "X-Forwarded-For: 1.1.1.1, <script>, 2.2.2.2", "2.2.2.2, ", "2.2.2.2"),
        (1, "X-Forwarded-For: 1.1.1.1 2.2.2.2", "", "9.9.9.9"),
        (1, "X-Forwarded-For: 999.1.1.1", "", "9.9.9.9"),
        (1, "X-Forwarded-For: 01.1.1.1", "", "9.9.9.9"),
        (1, "Forwarded: for=6.6.6.6", "", "9.9.9.9"),
    ] {
        let (lines, found) = forwarded(came, "9.9.9.9", trust(hops, Source::XForwarded));
        assert_eq!(value(&lines, "X-Forwarded-For"), format!("{chain}9.9.9.9"), "{hops} {came}");
        assert_eq!(found, client, "{hops} {came}");
        assert!(!value(&lines, "Forwarded").contains("6.6.6.6"));
    }
}

#[test]
fn both_families_are_written_from_one() {
    let came = "X-Forwarded-For: 1.1.1.1, 2001:db8::2\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop.example";
    let (lines, _) = forwarded(came, "9.9.9.9", trust(2, Source::XForwarded));
    let both = "for=1.1.1.1;proto=https;host=shop.example, for=\"[2001:db8::2]\", \
                for=9.9.9.9;proto=http;host=\"example.com:80\"";
    assert_eq!(value(&lines, "Forwarded"), both);
    assert_eq!(value(&lines, "X-Forwarded-Proto"), "https");
    assert_eq!(value(&lines, "X-Forwarded-Host"), "shop.example");

    let came = "forwarded: for=1.1.1.1;proto=https;host=shop.example, For=\"[2001:db8::2]:80\"\nX-Forwarded-For: 6.6.6.6";
    let (again, _) = forwarded(came, "9.9.9.9", trust(2, Source::Forwarded));
    assert_eq!(value(&again, "Forwarded"), both);
    assert_eq!(value(&again, "X-Forwarded-For"), "1.1.1.1, 2001:db8::2, 9.9.9.9");
    assert_eq!(value(&again, "X-Forwarded-Host"), "shop.example");
}

#[test]
fn forwarded_is_read_as_strictly() {
    for (hops, came, client) in [
        (1, "for=1.1.1.1", "1.1.1.1"),
        (1, "for=6.6.6.6, for=1.1.1.1", "1.1.1.1"),
        (2, "for=6.6.6.6\nForwarded: for=1.1.1.1,for=2.2.2.2", "1.1.1.1"),
        (1, "for=\"1.1.1.1:80\";by=3.3.3.3", "1.1.1.1"),
        (1, "host=\"a,b;c\"; for=1.1.1.1", "1.1.1.1"),
        (2, "for=6.6.6.6, for=unknown", "9.9.9.9"),
        (2, "for=6.6.6.6, for=_hidden, for=1.1.1.1", "1.1.1.1"),
        (2, "for=6.6.6.6, proto=http, for=1.1.1.1", "1.1.1.1"),
        (1, "for=1.1.1.1;for=2.2.2.2", "9.9.9.9"),
        (1, "for=\"1.1.1.1", "9.9.9.9"),
        (1, "for=\"6.6.6.6, for=1.1.1.1", "9.9.9.9"),
        (1, "for=\"1.1.1.1\\\"\"", "9.9.9.9"),
        (1, "for=1.1.1.1;host=\"a\\b\"", "9.9.9.9"),
        (1, "for", "9.9.9.9"),
        (1, "for=\"\"", "9.9.9.9"),
        (1, "for=[2001:db8::1]", "2001:db8::1"),
    ] {
        let fields = format!("Forwarded: {came}");
        let (lines, found) = forwarded(&fields, "9.9.9.9", trust(hops, Source::Forwarded));
        assert_eq!(found, client, "{hops} {came}");
        assert!(!value(&lines, "Forwarded").contains("6.6.6.6"), "{came}");
    }
    let many = format!("Forwarded: {}", vec!["for=1.1.1.1"; 60].join(","));
    let (lines, _) = forwarded(&many, "9.9.9.9", trust(255, Source::Forwarded));
    assert_eq!(value(&lines, "X-Forwarded-For").matches("1.1.1.1").count(), HOPS_MAX);
}

#[test]
fn what_trusted_hops_say_of_scheme_and_host_is_checked() {
    for (came, proto, host) in [
        ("X-Forwarded-Proto: HTTPS", "https", "example.com:80"),
        ("X-Forwarded-Proto: gopher", "http", "example.com:80"),
        ("X-Forwarded-Proto: http, https", "https", "example.com:80"),
        ("X-Forwarded-Host: a.example:81", "http", "a.example:81"),
        ("X-Forwarded-Host: evil, a.example", "http", "a.example"),
        ("X-Forwarded-Host: a/b", "http", "example.com:80"),
        ("X-Forwarded-Host: a\"b", "http", "example.com:80"),
        ("X-Forwarded-Host: user@a", "http", "example.com:80"),
    ] {
        let (lines, _) = forwarded(came, "9.9.9.9", trust(1, Source::XForwarded));
        assert_eq!(value(&lines, "X-Forwarded-Proto"), proto, "{came}");
        assert_eq!(value(&lines, "X-Forwarded-Host"), host, "{came}");
    }
}

#[test]
fn request_ids() {
    let long = "a".repeat(REQUEST_ID_BYTES_MAX);
    let longer = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
    for (hops, came, want) in [
        (0, "abc", FRESH),
        (1, "abc", "abc"),
        (1, "0aF-_.:+/=@~", "0aF-_.:+/=@~"),
        (1, &long, &long),
        (1, &longer, FRESH),
        (1, "", FRESH),
        (1, "a b", FRESH),
        (1, "a\"b", FRESH),
        (1, "a,b", FRESH),
        (1, "é", FRESH),
        (1, "abc\nX-Request-Id: second", "abc"),
    ] {
        let fields = format!("X-Request-Id: {came}\nX-A: 1");
        let (lines, _) = forwarded(&fields, "9.9.9.9", trust(hops, Source::XForwarded));
        assert_eq!(value(&lines, "X-Request-Id"), want, "{hops} {came}");
    }
}

#[test]
fn invalid_traces_are_dropped_whole() {
    let id = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    for (trace, kept) in [
        (format!("00-{id}-01"), true),
        (format!("cc-{id}-01"), true),
        (format!("cc-{id}-01-more"), true),
        (format!("00-{id}-01-more"), false),
        (format!("cc-{id}-01x"), false),
        (format!("ff-{id}-01"), false),
        (format!("00-{id}-1"), false),
        (format!("00-{id}-0g"), false),
        (format!("00-{}-01", id.to_uppercase()), false),
        (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
        (format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16)), false),
        (format!("00-{id}-01\ntraceparent: 00-{id}-01"), false),
        (String::new(), false),
        ("-".repeat(55), false),
        (format!("00-{}-01", id.replace('-', "0-")), false),
    ] {
        let fields = format!("TraceParent: {trace}\nTracestate: a=b\nX-A: 1");
        let (lines, _) = forwarded(&fields, "9.9.9.9", TrustParams::default());
        let found = lines.iter().filter(|l| l.to_ascii_lowercase().starts_with("trace")).count();
        assert_eq!(found, if kept { 2 } else { 0 }, "{trace}");
    }
    let (lines, _) = forwarded("tracestate: a=b", "9.9.9.9", TrustParams::default());
    assert_eq!(value(&lines, "tracestate"), "a=b");
}

#[test]
fn hop_by_hop_fields_stay_here() {
    let fields = "Connection: x-mine, upgrade\nX-Mine: 1\nUpgrade: websocket\nTE: trailers\nKeep-Alive: 5\nX-A: 1";
    for upgrade in [false, true] {
        parsed(&format!("GET / HTTP/1.1\nHost: a\n{fields}"), |view| {
            let mut edits = Edits::new();
            let id = RequestId::of(&view, TrustParams::default(), || ID);
            request(&view, &conn("9.9.9.9"), TrustParams::default(), &id, upgrade, &mut edits);
            let kept: Vec<_> = edits.apply(&view).map(|(n, _)| n.to_vec()).collect();
            let want: &[&[u8]] =
                if upgrade { &[b"Host", b"Upgrade", b"X-A"] } else { &[b"Host", b"X-A"] };
            assert_eq!(kept[..want.len()], *want);
        });
    }
}

#[test]
fn loops_are_noticed() {
    for (via, here_before) in [
        (vec!["1.1 baleen"; LOOP_MAX].join(", "), true),
        (vec!["1.1 baleen"; LOOP_MAX - 1].join(", "), false),
        (vec!["1.1 other"; 60].join(", "), false),
        (vec!["1.1 baleen (comment)"; LOOP_MAX].join(",").replacen(',', "\nVia: ", 3), true),
        (vec!["1.1 not-baleen"; 60].join(", "), false),
    ] {
        parsed(&format!("GET / HTTP/1.1\nHost: a\nVia: {via}"), |view| {
            assert_eq!(is_loop(&view), here_before, "{via}");
        });
    }
}

/// A head with any bytes: what a codec with a mistake could let through.
struct Hostile {
    host: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FieldView for Hostile {
    fn protocol(&self) -> crate::head::Protocol {
        crate::head::Protocol::Http2
    }
    fn field_count(&self) -> usize {
        self.fields.len()
    }
    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        self.fields.get(i).map_or((&[], &[]), |(n, v)| (n, v))
    }
    fn known(&self, i: usize) -> Known {
        Known::of(self.field(i).0)
    }
}

impl HeadView for Hostile {
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn scheme(&self) -> Scheme {
        Scheme::Http
    }
    fn authority(&self) -> Option<&[u8]> {
        Some(&self.host)
    }
    fn path_and_query(&self) -> &[u8] {
        b"/"
    }
}

fn hostile_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[0-9.,:;= \"\r\n\t\\\\fora\\[\\]-]{0,60}".prop_map(String::into_bytes),
        "(for=\"?[0-9.:]{1,12}\"?[;,] ?){0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    /// Whatever came, what is added is lines of known names without control bytes, and as many as there should be.
    #[test]
    fn nothing_that_came_becomes_a_line(
        host in hostile_value(),
        came in prop::collection::vec((0..7usize, hostile_value()), 0..12),
        hops in any::<u8>(),
        forwarded in any::<bool>(),
    ) {
        const NAMES: [&str; 7] = [
            "x-forwarded-for", "forwarded", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "via", "traceparent",
        ];
        let fields = came.into_iter().map(|(n, v)| (NAMES[n].as_bytes().to_vec(), v)).collect();
        let view = Hostile { host, fields };
        let trust = trust(hops, if forwarded { Source::Forwarded } else { Source::XForwarded });
        let mut edits = Edits::new();
        let id = RequestId::of(&view, trust, || ID);
        request(&view, &conn("2001:db8::1"), trust, &id, false, &mut edits);
        let _ = is_loop(&view);
        let text = edits.lines();
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        prop_assert!(matches!(lines.len(), 6 | 7), "{}", String::from_utf8_lossy(text));
        for line in &lines[..lines.len() - 1] {
            let line = line.strip_suffix(b"\r").expect("CRLF");
            prop_assert!(line.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)));
            let ours: [&[u8]; 6] = [
                b"Via: ", b"X-Forwarded-For: ", b"X-Forwarded-Proto: ", b"X-Forwarded-Host: ", b"Forwarded: ", b"X-Request-Id: ",
            ];
            prop_assert!(ours.iter().any(|o| line.starts_with(o)));
        }
        let (_, value) = edits.added().find(|(n, _)| *n == b"X-Forwarded-For").expect("always there");
        let value = std::str::from_utf8(value).expect("addresses");
        prop_assert!(value.split(", ").all(|a| a.parse::<IpAddr>().is_ok()));
    }
}
