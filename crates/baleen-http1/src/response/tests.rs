//! Every rule about response heads, as tables; each row is also fed byte by byte.

use super::*;

const GET: Asked = Asked { method: Method::Get, upgrade: false };

fn summary(head: &ResponseHead, buf: &[u8]) -> String {
    let text = |s: Span| String::from_utf8_lossy(s.of(buf)).into_owned();
    let mut out = format!("{} {:?}", head.status(), text(head.reason()));
    if head.version() == Version::Http10 {
        out += " 1.0";
    }
    match head.framing() {
        Framing::None => out += " bodiless",
        Framing::Length(n) => out += &format!(" length={n}"),
        Framing::Chunked => out += " chunked",
        Framing::UntilClose => out += " until-close",
    }
    if head.framing() == Framing::None
        && let Some(n) = head.content_length()
    {
        out += &format!(" said={n}");
    }
    if !head.keep_alive() {
        out += " close";
    }
    if head.is_informational() {
        out += " informational";
    }
    if head.is_tunnel() {
        out += " tunnel";
    }
    if let Some(protocol) = head.upgrade() {
        out += &format!(" upgrade={}", text(protocol));
    }
    out
}

/// Parses `input` at once and byte by byte; both must say the same.
fn run(input: &[u8], limits: &Limits, asked: Asked) -> Result<Option<String>, Rule> {
    let mut head = ResponseHead::new();
    let whole = match head.parse(input, limits, asked) {
        Ok(Parsed::Complete { consumed }) => Ok(Some((summary(&head, input), consumed))),
        Ok(Parsed::Partial) => Ok(None),
        Err(refusal) => {
            assert_eq!(refusal.status, 502);
            Err(refusal.rule)
        }
    };
    let mut head = ResponseHead::new();
    let mut pieces = Ok(None);
    for end in 0..=input.len() {
        match head.parse(&input[..end], limits, asked) {
            Ok(Parsed::Partial) => {}
            Ok(Parsed::Complete { consumed }) => {
                pieces = Ok(Some((summary(&head, &input[..end]), consumed)));
                break;
            }
            Err(refusal) => {
                pieces = Err(refusal.rule);
                break;
            }
        }
    }
    assert_eq!(whole, pieces, "whole and in pieces: {:?}", String::from_utf8_lossy(input));
    whole.map(|found| found.map(|(summary, _)| summary))
}

#[track_caller]
fn check(asked: Asked, input: &[u8], expect: Result<&str, Rule>) {
    let found = run(input, &Limits::default(), asked);
    let expect = expect.map(|s| Some(s.to_owned()));
    assert_eq!(found, expect, "{:?}", String::from_utf8_lossy(input));
}

/// Rows of field lines for `200 OK` to a GET.
#[track_caller]
fn check_fields(rows: &[(&str, Result<&str, Rule>)]) {
    for (lines, expect) in rows {
        let input = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let expect = expect.map(|rest| format!("200 \"OK\"{rest}"));
        check(GET, input.as_bytes(), expect.as_deref().map_err(|rule| *rule));
    }
}

#[test]
fn status_lines() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"HTTP/1.1 200 OK", Ok("200 \"OK\" length=0")),
        (b"HTTP/1.1 200 ", Ok("200 \"\" length=0")),
        (b"HTTP/1.1 200", Ok("200 \"\" length=0")),
        (b"HTTP/1.1 404 Not \t Found", Ok("404 \"Not \\t Found\" length=0")),
        (b"HTTP/1.1 200  two", Ok("200 \" two\" length=0")),
        (b"HTTP/1.1 200 caf\xc3\xa9", Ok("200 \"caf\u{e9}\" length=0")),
        (b"HTTP/1.0 200 OK", Ok("200 \"OK\" 1.0 length=0 close")),
        (b"HTTP/1.1 599 x", Ok("599 \"x\" length=0")),
        (b"HTTP/1.1 600 x", Err(Rule::StatusCode)),
        (b"HTTP/1.1 999 x", Err(Rule::StatusCode)),
        (b"HTTP/1.1 099 x", Err(Rule::StatusCode)),
        (b"HTTP/1.1 000 x", Err(Rule::StatusCode)),
        (b"HTTP/1.1 20 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1 2000 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1 2x0 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1 +20 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1 -20 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1  200 OK", Err(Rule::StatusCode)),
        (b"HTTP/1.1 200OK", Err(Rule::StatusLine)),
        (b"HTTP/1.1 200\tOK", Err(Rule::StatusLine)),
        (b"HTTP/1.1\t200 OK", Err(Rule::StatusLine)),
        (b"HTTP/1.1", Err(Rule::StatusLine)),
        (b"HTTP/1.1 ", Err(Rule::StatusCode)),
        (b"HTTP/1.11 200 OK", Err(Rule::StatusLine)),
        (b"HTTP/1.1x 200 OK", Err(Rule::StatusLine)),
        (b"HTTP/1.2 200 OK", Err(Rule::VersionUnsupported)),
        (b"HTTP/2.0 200 OK", Err(Rule::VersionUnsupported)),
        (b"HTTP/0.9 200 OK", Err(Rule::VersionUnsupported)),
        (b"HTTP/2 200 OK", Err(Rule::VersionSyntax)),
        (b"http/1.1 200 OK", Err(Rule::VersionSyntax)),
        (b"ICY 200 OK", Err(Rule::VersionSyntax)),
        (b" HTTP/1.1 200 OK", Err(Rule::VersionSyntax)),
        (b"\r\nHTTP/1.1 200 OK", Err(Rule::VersionSyntax)),
        (b"<html>", Err(Rule::VersionSyntax)),
        (b"\0\0", Err(Rule::VersionSyntax)),
        (b"HTTP/1.1 200 O\0K", Err(Rule::Control)),
        (b"HTTP/1.1 200 O\x1bK", Err(Rule::Control)),
        (b"HTTP/1.1 200 O\x7fK", Err(Rule::Control)),
        (b"HTTP/1.1 200 O\rK", Err(Rule::BareCr)),
        (b"HTTP/1.1 200\rOK", Err(Rule::BareCr)),
        (b"HTTP/1.1 200 OK\nX: y", Err(Rule::BareLf)),
        (b"HTTP/1.1 200\nX: y", Err(Rule::BareLf)),
    ];
    for (line, expect) in rows {
        let input = [line, b"\r\nContent-Length: 0\r\n\r\n".as_slice()].concat();
        check(GET, &input, *expect);
    }
}

#[test]
fn fields_are_as_strict_as_in_requests() {
    check_fields(&[
        ("", Ok(" until-close close")),
        ("Content-Length: 5\r\n", Ok(" length=5")),
        ("Transfer-Encoding: chunked\r\n", Ok(" chunked")),
        ("Content-Length: 5\r\nConnection: close\r\n", Ok(" length=5 close")),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(Rule::LengthRepeated)),
        ("Content-Length: 5, 5\r\n", Err(Rule::LengthSyntax)),
        ("Content-Length: +5\r\n", Err(Rule::LengthSyntax)),
        ("Content-Length: 0x5\r\n", Err(Rule::LengthSyntax)),
        ("Content-Length:\r\n", Err(Rule::LengthSyntax)),
        ("Content-Length: 9223372036854775808\r\n", Err(Rule::LengthOverflow)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(Rule::LengthWithCoding)),
        ("Transfer-Encoding: gzip\r\n", Err(Rule::CodingUnknown)),
        ("Transfer-Encoding: identity\r\n", Err(Rule::CodingUnknown)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(Rule::CodingUnknown)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(Rule::CodingNotLast)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(Rule::CodingRepeated)),
        ("Transfer-Encoding:\r\n", Err(Rule::CodingSyntax)),
        ("X : y\r\n", Err(Rule::NameSpace)),
        (" X: y\r\n", Err(Rule::Folded)),
        ("X: y\r\n z\r\n", Err(Rule::Folded)),
        (": y\r\n", Err(Rule::NameEmpty)),
        ("X\r\n", Err(Rule::NoColon)),
        ("X(: y\r\n", Err(Rule::NameSyntax)),
        ("X: a\0b\r\n", Err(Rule::Control)),
        ("X: a\x01b\r\n", Err(Rule::Control)),
        ("X: a\rb\r\n", Err(Rule::BareCr)),
        ("X: a\nY: b\r\n", Err(Rule::BareLf)),
        ("Connection: a b\r\n", Err(Rule::ConnectionSyntax)),
        ("Connection: set-cookie\r\nSet-Cookie: x\r\n", Ok(" until-close close")),
        ("Upgrade: a b\r\n", Err(Rule::UpgradeSyntax)),
        ("Host: a\r\nHost: b\r\n", Err(Rule::HostRepeated)),
    ]);
    let input = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(GET, input, Err(Rule::CodingInHttp10));
}

#[test]
fn limits_hold() {
    let limits = Limits { head_bytes: 60, fields: 2, ..Limits::default() };
    let run = |input: &str| run(input.as_bytes(), &limits, GET).map(|found| found.is_some());
    let fields = |n| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(n));
    assert_eq!(run(&fields(2)), Ok(true));
    assert_eq!(run(&fields(3)), Err(Rule::TooManyFields));
    let head = |n: usize| format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(n - 17));
    assert_eq!(run(&head(60)), Ok(true));
    assert_eq!(run(&head(61)), Err(Rule::HeadTooLarge));
}

#[test]
fn responses_without_a_body() {
    let rows: &[(&str, &str, Result<&str, Rule>)] = &[
        ("204", "", Ok(" bodiless")),
        ("204", "Content-Length: 0\r\n", Ok(" bodiless")),
        ("204", "Content-Length: 5\r\n", Err(Rule::BodyNotAllowed)),
        ("204", "Transfer-Encoding: chunked\r\n", Err(Rule::BodyNotAllowed)),
        ("204", "Connection: close\r\n", Ok(" bodiless close")),
        ("304", "", Ok(" bodiless")),
        ("304", "Content-Length: 5\r\n", Ok(" bodiless said=5")),
        ("304", "Transfer-Encoding: chunked\r\n", Ok(" bodiless")),
        ("304", "Content-Length: x\r\n", Err(Rule::LengthSyntax)),
        ("100", "", Ok(" bodiless informational")),
        ("103", "Link: </a>\r\n", Ok(" bodiless informational")),
        ("199", "Content-Length: 0\r\n", Ok(" bodiless informational")),
        ("100", "Content-Length: 1\r\n", Err(Rule::BodyNotAllowed)),
        ("102", "Transfer-Encoding: chunked\r\n", Err(Rule::BodyNotAllowed)),
        ("205", "Content-Length: 0\r\n", Ok(" length=0")),
        ("200", "Content-Length: 0\r\n", Ok(" length=0")),
        ("500", "", Ok(" until-close close")),
    ];
    for (status, lines, expect) in rows {
        let input = format!("HTTP/1.1 {status} \r\n{lines}\r\n");
        let expect = expect.map(|rest| format!("{status} \"\"{rest}"));
        check(GET, input.as_bytes(), expect.as_deref().map_err(|rule| *rule));
    }
    let head = Asked { method: Method::Head, upgrade: false };
    let rows = [
        ("", Ok(" bodiless")),
        ("Content-Length: 5\r\n", Ok(" bodiless said=5")),
        ("Transfer-Encoding: chunked\r\n", Ok(" bodiless")),
        ("Content-Length: 5\r\nConnection: close\r\n", Ok(" bodiless said=5 close")),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(Rule::LengthRepeated)),
        ("Transfer-Encoding: gzip\r\n", Err(Rule::CodingUnknown)),
    ];
    for (lines, expect) in rows {
        let input = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let expect = expect.map(|rest: &str| format!("200 \"OK\"{rest}"));
        check(head, input.as_bytes(), expect.as_deref().map_err(|rule| *rule));
    }
}

#[test]
fn http_1_0_lives_on_only_if_asked_and_framed() {
    let rows = [
        ("Content-Length: 5\r\n", " 1.0 length=5 close"),
        ("Content-Length: 5\r\nConnection: keep-alive\r\n", " 1.0 length=5"),
        ("Connection: keep-alive\r\n", " 1.0 until-close close"),
        ("Content-Length: 5\r\nConnection: keep-alive, close\r\n", " 1.0 length=5 close"),
        ("", " 1.0 until-close close"),
    ];
    for (lines, expect) in rows {
        let input = format!("HTTP/1.0 200 OK\r\n{lines}\r\n");
        check(GET, input.as_bytes(), Ok(&format!("200 \"OK\"{expect}")));
    }
}

#[test]
fn tunnels() {
    let connect = Asked { method: Method::Connect, upgrade: false };
    let upgrade = Asked { method: Method::Get, upgrade: true };
    let switch = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let rows: &[(Asked, &str, &str, Result<&str, Rule>)] = &[
        (connect, "200", "", Ok(" bodiless close tunnel")),
        (connect, "204", "Content-Length: 5\r\n", Ok(" bodiless close tunnel")),
        (connect, "299", "Transfer-Encoding: chunked\r\n", Ok(" bodiless close tunnel")),
        (connect, "407", "Content-Length: 5\r\n", Ok(" length=5")),
        (connect, "302", "", Ok(" until-close close")),
        (connect, "101", switch, Err(Rule::SwitchUnasked)),
        (GET, "101", switch, Err(Rule::SwitchUnasked)),
        (upgrade, "101", switch, Ok(" bodiless close tunnel upgrade=websocket")),
        (upgrade, "101", "Upgrade: websocket\r\n", Err(Rule::SwitchUnasked)),
        (upgrade, "101", "Connection: upgrade\r\n", Err(Rule::SwitchUnasked)),
        (upgrade, "101", "Connection: upgrade\r\nUpgrade: h2c\r\n", Err(Rule::SwitchUnasked)),
        (upgrade, "200", "Content-Length: 1\r\n", Ok(" length=1")),
        (GET, "426", &format!("{switch}Content-Length: 0\r\n"), Ok(" length=0 upgrade=websocket")),
    ];
    for (asked, status, lines, expect) in rows {
        let input = format!("HTTP/1.1 {status} \r\n{lines}\r\n");
        let expect = expect.map(|rest| format!("{status} \"\"{rest}"));
        check(*asked, input.as_bytes(), expect.as_deref().map_err(|rule| *rule));
    }
    let body = format!("HTTP/1.1 101 \r\n{switch}Content-Length: 5\r\n\r\n");
    check(upgrade, body.as_bytes(), Err(Rule::BodyNotAllowed));
    let old = format!("HTTP/1.0 101 \r\n{switch}\r\n");
    check(upgrade, old.as_bytes(), Err(Rule::SwitchUnasked));
}

#[test]
fn a_length_that_must_not_be_there_is_marked() {
    let mut head = ResponseHead::new();
    let mut mark = |input: &str, asked| {
        head.parse(input.as_bytes(), &Limits::default(), asked).expect("valid");
        head.hop_by_hop()
    };
    let connect = Asked { method: Method::Connect, upgrade: false };
    assert_eq!(mark("HTTP/1.1 204 \r\nX: y\r\nContent-Length: 0\r\n\r\n", GET), 0b10);
    assert_eq!(mark("HTTP/1.1 200 \r\nX: y\r\nContent-Length: 9\r\n\r\n", connect), 0b10);
    assert_eq!(mark("HTTP/1.1 304 \r\nX: y\r\nContent-Length: 9\r\n\r\n", GET), 0);
    assert_eq!(mark("HTTP/1.1 200 \r\nKeep-Alive: 5\r\nContent-Length: 9\r\n\r\n", GET), 0b1);
}

#[test]
fn what_follows_the_head_is_not_looked_at() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\n\r";
    let mut head = ResponseHead::new();
    let parsed = head.parse(input, &Limits::default(), GET);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() - 3 }));
}
