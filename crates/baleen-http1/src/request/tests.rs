//! Every rule about request heads, as tables; each row is also fed byte by byte.

use super::*;

const ALLOW: RequestOptions = RequestOptions { allow_connect: true };

fn summary(head: &RequestHead, buf: &[u8]) -> String {
    let text = |s: Span| String::from_utf8_lossy(s.of(buf)).into_owned();
    let mut out = format!(
        "{} {:?} {}{} @{}",
        text(head.method_name()),
        head.form(),
        String::from_utf8_lossy(head.forward_prefix(buf)),
        text(head.path_and_query()),
        head.authority().map_or_else(|| "-".into(), text),
    );
    if head.version() == Version::Http10 {
        out += " 1.0";
    }
    match head.framing() {
        Framing::None => {}
        Framing::Length(n) => out += &format!(" length={n}"),
        Framing::Chunked => out += " chunked",
        Framing::UntilClose => out += " until-close",
    }
    if !head.keep_alive() {
        out += " close";
    }
    if head.expect_continue() {
        out += " expect";
    }
    if let Some(protocol) = head.upgrade() {
        out += &format!(" upgrade={}", text(protocol));
    }
    out
}

/// Parses `input` at once and byte by byte; both must say the same.
fn run(input: &[u8], limits: &Limits, options: &RequestOptions) -> Result<Option<String>, Rule> {
    let mut head = RequestHead::new();
    let whole = match head.parse(input, limits, options) {
        Ok(Parsed::Complete { consumed }) => Ok(Some((summary(&head, input), consumed))),
        Ok(Parsed::Partial) => Ok(None),
        Err(refusal) => Err(refusal.rule),
    };
    let mut head = RequestHead::new();
    let mut pieces = Ok(None);
    for end in 0..=input.len() {
        match head.parse(&input[..end], limits, options) {
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
fn check(input: &[u8], expect: Result<&str, Rule>) {
    let found = run(input, &Limits::default(), &ALLOW);
    let expect = expect.map(|s| Some(s.to_owned()));
    assert_eq!(found, expect, "{:?}", String::from_utf8_lossy(input));
}

/// Rows of field lines for a GET of `/` with Host.
#[track_caller]
fn check_fields(rows: &[(&[u8], Result<&str, Rule>)]) {
    for (lines, expect) in rows {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), lines, b"\r\n"].concat();
        let expect = expect.map(|rest| format!("GET Origin / @a{rest}"));
        check(&input, expect.as_deref().map_err(|rule| *rule));
    }
}

#[test]
fn request_lines() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"GET / HTTP/1.1", Ok("GET Origin / @a")),
        (b"GET /a/b?c=d&e=%20 HTTP/1.1", Ok("GET Origin /a/b?c=d&e=%20 @a")),
        (b"GET // HTTP/1.1", Ok("GET Origin // @a")),
        (b"GET /\"<>\\^{|}`' HTTP/1.1", Ok("GET Origin /\"<>\\^{|}`' @a")),
        (b"PATCH /x HTTP/1.1", Ok("PATCH Origin /x @a")),
        (b"get / HTTP/1.1", Ok("get Origin / @a")),
        (b"M-SEARCH / HTTP/1.1", Ok("M-SEARCH Origin / @a")),
        (b"A!#$%&'*+-.^_`|~9 / HTTP/1.1", Ok("A!#$%&'*+-.^_`|~9 Origin / @a")),
        (b"GET / HTTP/1.0", Ok("GET Origin / @a 1.0 close")),
        (b"OPTIONS * HTTP/1.1", Ok("OPTIONS Asterisk * @a")),
        (b"GET * HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET a HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET a:80 HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET ?a HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET  / HTTP/1.1", Err(Rule::RequestLine)),
        (b"GET /  HTTP/1.1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1.1 ", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1.1\t", Err(Rule::VersionSyntax)),
        (b" GET / HTTP/1.1", Err(Rule::MethodSyntax)),
        (b"\tGET / HTTP/1.1", Err(Rule::RequestLine)),
        (b"GET\t/ HTTP/1.1", Err(Rule::RequestLine)),
        (b"GET /\tHTTP/1.1", Err(Rule::RequestLine)),
        (b"GET /a b HTTP/1.1", Err(Rule::VersionSyntax)),
        (b"GET", Err(Rule::RequestLine)),
        (b"GET ", Err(Rule::RequestLine)),
        (b"GE(T / HTTP/1.1", Err(Rule::MethodSyntax)),
        (b"G\xc3\x89T / HTTP/1.1", Err(Rule::MethodSyntax)),
        (b"G:T / HTTP/1.1", Err(Rule::MethodSyntax)),
        (b"G\0T / HTTP/1.1", Err(Rule::Control)),
        (b"G\x7fT / HTTP/1.1", Err(Rule::Control)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Err(Rule::Control)),
        (b"GET /\0 HTTP/1.1", Err(Rule::Control)),
        (b"GET /\x01 HTTP/1.1", Err(Rule::Control)),
        (b"GET /\x7f HTTP/1.1", Err(Rule::Control)),
        (b"GET /\x80 HTTP/1.1", Err(Rule::TargetSyntax)),
        (b"GET /\xc3\xa9 HTTP/1.1", Err(Rule::TargetSyntax)),
        (b"GET /a#b HTTP/1.1", Err(Rule::TargetSyntax)),
        (b"GET /", Err(Rule::Http09)),
        (b"GET / ", Err(Rule::VersionSyntax)),
        (b"GET / http/1.1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1.1x", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1.11", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/11", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1,1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP /1.1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/ 1.1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/a.b", Err(Rule::VersionSyntax)),
        (b"GET / ICY/1.1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/1", Err(Rule::VersionSyntax)),
        (b"GET / HTTP/0.9", Err(Rule::VersionUnsupported)),
        (b"GET / HTTP/1.2", Err(Rule::VersionUnsupported)),
        (b"GET / HTTP/2.0", Err(Rule::VersionUnsupported)),
        (b"GET / HTTP/9.9", Err(Rule::VersionUnsupported)),
        (b"PRI * HTTP/2.0", Err(Rule::VersionUnsupported)),
        (b"CONNECT a:443 HTTP/1.1", Ok("CONNECT Authority  @a:443")),
        (b"CONNECT [::1]:443 HTTP/1.1", Ok("CONNECT Authority  @[::1]:443")),
        (b"CONNECT a HTTP/1.1", Err(Rule::TargetForm)),
        (b"CONNECT a: HTTP/1.1", Err(Rule::TargetForm)),
        (b"CONNECT / HTTP/1.1", Err(Rule::TargetForm)),
        (b"CONNECT http://a:1/ HTTP/1.1", Err(Rule::TargetForm)),
        (b"CONNECT u@a:443 HTTP/1.1", Err(Rule::TargetForm)),
    ];
    for (line, expect) in rows {
        check(&[line, b"\r\nHost: a\r\n\r\n".as_slice()].concat(), *expect);
    }
}

#[test]
fn absolute_form() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"GET http://b/ HTTP/1.1", Ok("GET Absolute / @b")),
        (b"GET HTTP://b:8080/x?y HTTP/1.1", Ok("GET Absolute /x?y @b:8080")),
        (b"GET https://b/x HTTP/1.1", Ok("GET Absolute /x @b")),
        (b"GET http://b HTTP/1.1", Ok("GET Absolute / @b")),
        (b"GET http://b?q HTTP/1.1", Ok("GET Absolute /?q @b")),
        (b"GET http://[::1]:80/ HTTP/1.1", Ok("GET Absolute / @[::1]:80")),
        (b"GET http://b/http://c/ HTTP/1.1", Ok("GET Absolute /http://c/ @b")),
        (b"OPTIONS http://b HTTP/1.1", Ok("OPTIONS Absolute * @b")),
        (b"OPTIONS http://b/ HTTP/1.1", Ok("OPTIONS Absolute / @b")),
        (b"OPTIONS http://b?x HTTP/1.1", Ok("OPTIONS Absolute /?x @b")),
        (b"GET http:/// HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://?x HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://u:p@b/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://b:/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://b:x/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://b:99999/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://b%2f/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http://[::1/ HTTP/1.1", Err(Rule::TargetAuthority)),
        (b"GET http:/b HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET http:b HTTP/1.1", Err(Rule::TargetForm)),
        (b"GET ftp://b/ HTTP/1.1", Err(Rule::TargetScheme)),
        (b"GET ws://b/ HTTP/1.1", Err(Rule::TargetScheme)),
        (b"GET ://b/ HTTP/1.1", Err(Rule::TargetScheme)),
    ];
    for (line, expect) in rows {
        check(&[line, b"\r\nHost: a\r\n\r\n".as_slice()].concat(), *expect);
    }
    check(b"GET http://b/ HTTP/1.1\r\n\r\n", Err(Rule::HostMissing));
    check(b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Err(Rule::HostSyntax));
    check(b"GET http://b/ HTTP/1.0\r\n\r\n", Ok("GET Absolute / @b 1.0 close"));
}

#[test]
fn connect_only_where_allowed() {
    let input = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    let refused = run(input, &Limits::default(), &RequestOptions::default());
    assert_eq!(refused, Err(Rule::ConnectNotAllowed));
    for body in ["Content-Length: 1", "Content-Length: 0", "Transfer-Encoding: chunked"] {
        let input = format!("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n");
        check(input.as_bytes(), Err(Rule::ConnectWithBody));
    }
}

#[test]
fn line_ends_and_empty_lines() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET Origin / @a")),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET Origin / @a")),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Rule::LeadingLines)),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Rule::BareLf)),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Rule::BareCr)),
        (b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(Rule::BareLf)),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err(Rule::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\n\n", Err(Rule::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(Rule::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n", Err(Rule::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: w\r\n\r\n", Err(Rule::BareLf)),
        (b"GET /\n", Err(Rule::Http09)),
    ];
    for (input, expect) in rows {
        check(input, *expect);
    }
}

#[test]
fn field_lines() {
    check_fields(&[
        (b"", Ok("")),
        (b"X:y\r\n", Ok("")),
        (b"X:\r\n", Ok("")),
        (b"X:  \t \r\n", Ok("")),
        (b"X: \t a \t b \t \r\n", Ok("")),
        (b"X: caf\xc3\xa9 \xff\x80\r\n", Ok("")),
        (b"!#$%&'*+-.^_`|~: y\r\n", Ok("")),
        (b"a-name-of-more-than-sixteen-bytes: y\r\n", Ok("")),
        (b"X: \"a,b;c\"\r\n", Ok("")),
        (b": y\r\n", Err(Rule::NameEmpty)),
        (b":\r\n", Err(Rule::NameEmpty)),
        (b"X : y\r\n", Err(Rule::NameSpace)),
        (b"X\t: y\r\n", Err(Rule::NameSpace)),
        (b"X Y: z\r\n", Err(Rule::NameSpace)),
        (b"Content-Length : 5\r\n", Err(Rule::NameSpace)),
        (b" X: y\r\n", Err(Rule::Folded)),
        (b"\tX: y\r\n", Err(Rule::Folded)),
        (b"X: y\r\n z\r\n", Err(Rule::Folded)),
        (b"X: y\r\n\tz\r\n", Err(Rule::Folded)),
        (b"X: y\r\n \r\n", Err(Rule::Folded)),
        (b"X\r\n", Err(Rule::NoColon)),
        (b"some words\r\n", Err(Rule::NameSpace)),
        (b"X(y): z\r\n", Err(Rule::NameSyntax)),
        (b"X@y: z\r\n", Err(Rule::NameSyntax)),
        (b"X/y: z\r\n", Err(Rule::NameSyntax)),
        (b"X\"y: z\r\n", Err(Rule::NameSyntax)),
        (b"X\xc3\xa9: z\r\n", Err(Rule::NameSyntax)),
        (b"X\0: z\r\n", Err(Rule::Control)),
        (b"\0: z\r\n", Err(Rule::Control)),
        (b"X\x1b: z\r\n", Err(Rule::Control)),
        (b"X\x7f: z\r\n", Err(Rule::Control)),
        (b"X: a\0b\r\n", Err(Rule::Control)),
        (b"X: a\x01b\r\n", Err(Rule::Control)),
        (b"X: a\x08b\r\n", Err(Rule::Control)),
        (b"X: a\x0bb\r\n", Err(Rule::Control)),
        (b"X: a\x0cb\r\n", Err(Rule::Control)),
        (b"X: a\x1fb\r\n", Err(Rule::Control)),
        (b"X: a\x7fb\r\n", Err(Rule::Control)),
        (b"X: a long value with a control byte past sixteen \x02\r\n", Err(Rule::Control)),
    ]);
    check(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(Rule::Folded));
}

#[test]
fn hosts() {
    let rows: &[(&str, Result<&str, Rule>)] = &[
        ("Host: example.com:8080\r\n", Ok("example.com:8080")),
        ("hOsT:example.com\r\n", Ok("example.com")),
        ("Host: [2001:db8::1]:443\r\n", Ok("[2001:db8::1]:443")),
        ("", Err(Rule::HostMissing)),
        ("Hosts: a\r\n", Err(Rule::HostMissing)),
        ("Host: a\r\nHost: a\r\n", Err(Rule::HostRepeated)),
        ("Host: a\r\nX: y\r\nhost: b\r\n", Err(Rule::HostRepeated)),
        ("Host:\r\n", Err(Rule::HostSyntax)),
        ("Host: a b\r\n", Err(Rule::HostSyntax)),
        ("Host: a,b\r\n", Err(Rule::HostSyntax)),
        ("Host: u@a\r\n", Err(Rule::HostSyntax)),
        ("Host: a/b\r\n", Err(Rule::HostSyntax)),
        ("Host: http://a\r\n", Err(Rule::HostSyntax)),
        ("Host: a:80:80\r\n", Err(Rule::HostSyntax)),
    ];
    for (lines, expect) in rows {
        let input = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let expect = expect.map(|host| format!("GET Origin / @{host}"));
        check(input.as_bytes(), expect.as_deref().map_err(|rule| *rule));
    }
    check(b"GET / HTTP/1.0\r\n\r\n", Ok("GET Origin / @- 1.0 close"));
    check(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Err(Rule::HostSyntax));
}

#[test]
fn lengths() {
    check_fields(&[
        (b"Content-Length: 0\r\n", Ok(" length=0")),
        (b"content-length:5\r\n", Ok(" length=5")),
        (b"Content-Length: 5 \t\r\n", Ok(" length=5")),
        (b"Content-Length: 0042\r\n", Ok(" length=42")),
        (b"Content-Length: 9223372036854775807\r\n", Ok(" length=9223372036854775807")),
        (b"Content-Length: 9223372036854775808\r\n", Err(Rule::LengthOverflow)),
        (b"Content-Length: 18446744073709551616\r\n", Err(Rule::LengthOverflow)),
        (b"Content-Length: 99999999999999999999999999\r\n", Err(Rule::LengthOverflow)),
        (b"Content-Length:\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: +5\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: -5\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: -0\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 0x5\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5a\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: a\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5, 5\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5,\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5;\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 1 2\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 1_000\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5.0\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 1e3\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: \"5\"\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: \xd9\xa5\r\n", Err(Rule::LengthSyntax)),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", Err(Rule::LengthRepeated)),
        (b"Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n", Err(Rule::LengthRepeated)),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(Rule::LengthWithCoding)),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Err(Rule::LengthWithCoding)),
        (b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Err(Rule::LengthWithCoding)),
    ]);
}

#[test]
fn transfer_codings() {
    check_fields(&[
        (b"Transfer-Encoding: chunked\r\n", Ok(" chunked")),
        (b"transfer-encoding:\tCHUNKED \r\n", Ok(" chunked")),
        (b"Transfer-Encoding: gzip\r\n", Err(Rule::CodingUnknown)),
        (b"Transfer-Encoding: identity\r\n", Err(Rule::CodingUnknown)),
        (b"Transfer-Encoding: gzip, chunked\r\n", Err(Rule::CodingUnknown)),
        (b"Transfer-Encoding: xchunked\r\n", Err(Rule::CodingUnknown)),
        (b"Transfer-Encoding: chunkedx\r\n", Err(Rule::CodingUnknown)),
        (b"Transfer-Encoding: chunked;q=1\r\n", Err(Rule::CodingUnknown)),
        (
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            Err(Rule::CodingUnknown),
        ),
        (b"Transfer-Encoding: chunked, gzip\r\n", Err(Rule::CodingNotLast)),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            Err(Rule::CodingNotLast),
        ),
        (b"Transfer-Encoding: chunked, chunked\r\n", Err(Rule::CodingRepeated)),
        (b"Transfer-Encoding: chunked,CHUNKED\r\n", Err(Rule::CodingRepeated)),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(Rule::CodingRepeated),
        ),
        (b"Transfer-Encoding: chunked, gzip, chunked\r\n", Err(Rule::CodingRepeated)),
        (b"Transfer-Encoding:\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: ,\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: ,chunked\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: chunked,\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: \"chunked\"\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: chun ked\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: chunked foo\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: ;chunked\r\n", Err(Rule::CodingSyntax)),
        (b"Transfer-Encoding: \x0bchunked\r\n", Err(Rule::Control)),
        (b"Transfer-Encoding : chunked\r\n", Err(Rule::NameSpace)),
        (b"Transfer_Encoding: chunked\r\n", Ok("")),
    ]);
    let input = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(input, Err(Rule::CodingInHttp10));
}

#[test]
fn connections() {
    check_fields(&[
        (b"Connection: close\r\n", Ok(" close")),
        (b"connection: CLOSE\r\n", Ok(" close")),
        (b"Connection: keep-alive\r\n", Ok("")),
        (b"Connection: keep-alive, close\r\n", Ok(" close")),
        (b"Connection: keep-alive\r\nConnection: close\r\n", Ok(" close")),
        (b"Connection:\r\n", Ok("")),
        (b"Connection: ,, ,\r\n", Ok("")),
        (b"Connection: closed\r\n", Ok("")),
        (b"Connection: te, x-thing\r\nX-Thing: 1\r\nTE: trailers\r\n", Ok("")),
        (b"Proxy-Connection: close\r\n", Ok("")),
        (b"Connection: a b\r\n", Err(Rule::ConnectionSyntax)),
        (b"Connection: close;x\r\n", Err(Rule::ConnectionSyntax)),
        (b"Connection: \"close\"\r\n", Err(Rule::ConnectionSyntax)),
        (b"Connection: host\r\n", Ok("")),
        (b"Connection: Content-Length\r\n", Ok("")),
        (b"Connection: X-Forwarded-For\r\n", Ok("")),
        (b"Connection: forwarded\r\n", Ok("")),
        (b"Connection: via\r\n", Ok("")),
        (b"Connection: x-request-id\r\n", Ok("")),
        (b"Connection: traceparent\r\n", Ok("")),
        (b"Connection: Authorization\r\n", Ok("")),
        (b"Connection: cookie\r\n", Ok("")),
        (b"Connection: cache-control\r\n", Ok("")),
    ]);
    let many = |n| format!("Connection: {}\r\n", vec!["x"; n].join(","));
    check_fields(&[(many(32).as_bytes(), Ok(""))]);
    check_fields(&[(many(33).as_bytes(), Err(Rule::ConnectionOptions))]);
    let rows = [
        ("Connection: keep-alive\r\n", "GET Origin / @- 1.0"),
        ("Connection: Keep-Alive, x\r\n", "GET Origin / @- 1.0"),
        ("Connection: keep-alive, close\r\n", "GET Origin / @- 1.0 close"),
        ("Keep-Alive: timeout=5\r\n", "GET Origin / @- 1.0 close"),
        ("Proxy-Connection: keep-alive\r\n", "GET Origin / @- 1.0 close"),
    ];
    for (lines, expect) in rows {
        check(format!("GET / HTTP/1.0\r\n{lines}\r\n").as_bytes(), Ok(expect));
    }
}

#[test]
fn what_concerns_one_hop_is_marked() {
    let rows: &[(&str, u128)] = &[
        ("", 0),
        ("X: y\r\n", 0),
        ("Connection: close\r\n", 0b10),
        ("Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\n", 0b1110),
        ("Transfer-Encoding: chunked\r\nUpgrade: x\r\n", 0b110),
        ("Trailer: x\r\nProxy-Authorization: x\r\nContent-Length: 0\r\n", 0),
        ("X-A: 1\r\nConnection: x-a, x-b\r\nX-B: 2\r\nx-a: 3\r\nX-C: 4\r\n", 0b11110),
        ("Connection: proxy-authorization\r\nProxy-Authorization: x\r\n", 0b110),
        ("Connection: host, content-length\r\nContent-Length: 0\r\n", 0b10),
        ("Connection: x-forwarded-for\r\nX-Forwarded-For: 1\r\n", 0b10),
        ("Connection: Authorization, Cookie\r\ncookie: 1\r\nauthorization: 1\r\n", 0b10),
    ];
    for (lines, expect) in rows {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::new();
        let parsed = head.parse(input.as_bytes(), &Limits::default(), &ALLOW);
        assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() }), "{lines}");
        assert_eq!(head.hop_by_hop(), *expect, "{lines}");
    }
}

#[test]
fn upgrades_and_expectations() {
    check_fields(&[
        (b"Connection: upgrade\r\nUpgrade: websocket\r\n", Ok(" upgrade=websocket")),
        (b"Connection: keep-alive, Upgrade\r\nUpgrade: a/1.0, b\r\n", Ok(" upgrade=a/1.0, b")),
        (b"Upgrade: websocket\r\n", Ok("")),
        (b"Connection: upgrade\r\n", Ok("")),
        (b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", Ok("")),
        (b"Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", Ok("")),
        (b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: HTTP/2.0\r\n", Ok("")),
        (b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", Ok("")),
        (b"Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", Ok("")),
        (b"Connection: upgrade\r\nUpgrade:\r\n", Err(Rule::UpgradeSyntax)),
        (b"Upgrade: a b\r\n", Err(Rule::UpgradeSyntax)),
        (b"Upgrade: a,\r\n", Err(Rule::UpgradeSyntax)),
        (b"Upgrade: a/b/c\r\n", Err(Rule::UpgradeSyntax)),
        (b"Upgrade: a/\r\n", Err(Rule::UpgradeSyntax)),
        (b"Expect: 100-continue\r\nContent-Length: 5\r\n", Ok(" length=5 expect")),
        (b"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", Ok(" chunked expect")),
        (b"Expect: 100-continue\r\n", Ok("")),
        (b"Expect: 100-continue\r\nContent-Length: 0\r\n", Ok(" length=0")),
        (b"Expect: something\r\n", Err(Rule::Expectation)),
        (b"Expect:\r\n", Err(Rule::Expectation)),
        (b"Expect: 100-continue, x\r\n", Err(Rule::Expectation)),
        (b"Expect: 100-continue\r\nExpect: x\r\n", Err(Rule::Expectation)),
    ]);
    let old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    check(old, Ok("POST Origin / @- 1.0 length=5 close"));
    let old = b"GET / HTTP/1.0\r\nExpect: x\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n";
    check(old, Ok("GET Origin / @- 1.0 close"));
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes: 60, fields: 2, request_line_bytes: 20, ..Limits::default() };
    let run = |input: &str| run(input.as_bytes(), &limits, &ALLOW).map(|found| found.is_some());
    let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 14));
    assert_eq!(run(&line(20)), Ok(true));
    assert_eq!(run(&line(21)), Err(Rule::RequestLineTooLong));
    assert_eq!(run(&format!("\r\n\r\n{}", line(20))), Ok(true));
    assert_eq!(run(&format!("\r\n\r\n{}", line(21))), Err(Rule::RequestLineTooLong));
    assert_eq!(run(&"x".repeat(21)), Ok(false));
    assert_eq!(run(&"x".repeat(22)), Err(Rule::RequestLineTooLong));

    let fields =
        |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n - 1));
    assert_eq!(run(&fields(2)), Ok(true));
    assert_eq!(run(&fields(3)), Err(Rule::TooManyFields));

    let head = |n: usize| format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(n - 26));
    assert_eq!(run(&head(60)), Ok(true));
    assert_eq!(run(&head(61)), Err(Rule::HeadTooLarge));
    assert_eq!(run(&head(90)), Err(Rule::HeadTooLarge));
    assert_eq!(run(&head(90)[..59]), Ok(false));
    assert_eq!(run(&head(90)[..60]), Err(Rule::HeadTooLarge));
}

#[test]
fn default_limits_and_their_status() {
    let status = |input: String| {
        let mut head = RequestHead::new();
        let parsed = head.parse(input.as_bytes(), &Limits::default(), &ALLOW);
        parsed.map_err(|refusal| refusal.status).map(|_| ())
    };
    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 14));
    assert_eq!(status(target(8 << 10)), Ok(()));
    assert_eq!(status(target((8 << 10) + 1)), Err(414));
    let fields =
        |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n - 1));
    assert_eq!(status(fields(100)), Ok(()));
    assert_eq!(status(fields(101)), Err(431));
    let head = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n - 32));
    assert_eq!(head(64 << 10).len(), 64 << 10);
    assert_eq!(status(head(64 << 10)), Ok(()));
    assert_eq!(status(head((64 << 10) + 1)), Err(431));
    assert_eq!(status("GET / HTTP/3.0\r\n".into()), Err(505));
    assert_eq!(status("GET / HTTP/1.1\r\nA: b\n".into()), Err(400));
}

#[test]
fn more_fields_than_a_mask_has_bits_are_refused_whatever_the_limit() {
    let limits = Limits { fields: 1000, ..Limits::default() };
    let input =
        |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "TE: y\r\n".repeat(n - 1));
    assert!(run(input(128).as_bytes(), &limits, &ALLOW).is_ok());
    assert_eq!(run(input(129).as_bytes(), &limits, &ALLOW), Err(Rule::TooManyFields));
}

#[test]
fn a_head_that_trickles_in_is_refused_as_early_as_it_can_be() {
    let mut head = RequestHead::new();
    let mut parse = |input: &[u8]| head.parse(input, &Limits::default(), &ALLOW);
    assert_eq!(parse(b"GET /a"), Ok(Parsed::Partial));
    assert_eq!(parse(b"GET /a\r"), Ok(Parsed::Partial));
    assert_eq!(parse(b"GET /a\r\n"), Err(Rule::Http09.into()));
    assert_eq!(parse(b"GET / HTTP/1.1\r\nA"), Ok(Parsed::Partial));
    assert_eq!(parse(b"GET / HTTP/1.1\r\nA: b\0"), Err(Rule::Control.into()));
    for bad in ["\r\r", "\r\t", "\rx"] {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nA: b"), Ok(Parsed::Partial));
        let input = format!("GET / HTTP/1.1\r\nA: b{bad}");
        assert_eq!(parse(input.as_bytes()), Err(Rule::BareCr.into()), "{bad:?}");
    }
}

#[test]
fn a_reused_head_remembers_nothing() {
    let mut head = RequestHead::new();
    let first = b"POST http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\n\
        Upgrade: w\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    let second = b"GET / HTTP/1.0\r\n\r\n";
    let limits = Limits::default();
    let consumed = first.len() - 5;
    assert_eq!(head.parse(first, &limits, &ALLOW), Ok(Parsed::Complete { consumed }));
    assert_eq!(summary(&head, first), "POST Absolute / @b length=5 close expect upgrade=w");
    let consumed = second.len();
    assert_eq!(head.parse(second, &limits, &ALLOW), Ok(Parsed::Complete { consumed }));
    assert_eq!(summary(&head, second), "GET Origin / @- 1.0 close");
    assert_eq!((head.hop_by_hop(), head.fields().len()), (0, 0));

    assert_eq!(head.parse(&first[..20], &limits, &ALLOW), Ok(Parsed::Partial));
    assert!(head.begun());
    head.reset();
    assert!(!head.begun());
    let consumed = second.len();
    assert_eq!(head.parse(second, &limits, &ALLOW), Ok(Parsed::Complete { consumed }));
}

#[test]
fn empty_lines_alone_begin_nothing() {
    let mut head = RequestHead::new();
    for (input, begun) in [("", false), ("\r", false), ("\r\n", false), ("\r\nG", true)] {
        head.reset();
        let parsed = head.parse(input.as_bytes(), &Limits::default(), &ALLOW);
        assert_eq!((parsed, head.begun()), (Ok(Parsed::Partial), begun), "{input:?}");
    }
    head.reset();
    let mut trickle = |input: &str| {
        let parsed = head.parse(input.as_bytes(), &Limits::default(), &ALLOW);
        assert_eq!(parsed, Ok(Parsed::Partial));
        head.begun()
    };
    assert!(!trickle("\r\n"));
    assert!(trickle("\r\nGE"));
}

#[test]
fn methods_know_what_may_be_repeated() {
    let safe = ["GET", "HEAD", "OPTIONS", "TRACE"];
    let idempotent = ["PUT", "DELETE"];
    for name in safe.iter().chain(&idempotent).chain(&["POST", "PATCH", "CONNECT", "get", ""]) {
        let method = Method::of(name.as_bytes());
        assert_eq!(method.is_safe(), safe.contains(name), "{name}");
        assert_eq!(method.is_idempotent(), safe.contains(name) || idempotent.contains(name));
    }
}

#[test]
fn fields_are_found_by_name_and_kind() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nx-y:  z \r\nvia: v\r\nX-FORWARDED-FOR: 2\r\n\r\n";
    let mut head = RequestHead::new();
    head.parse(input, &Limits::default(), &ALLOW).expect("valid");
    assert_eq!(head.find(input, b"X-Y"), Some(b"z".as_slice()));
    assert_eq!(head.find(input, b"x-z"), None);
    let both: Vec<_> = head.all(Known::XForwardedFor).map(|f| f.value.of(input)).collect();
    assert_eq!(both, [b"1", b"2"]);
    assert!(head.has(Known::Via) && !head.has(Known::Expect));
    assert_eq!(head.mask(Known::Via.bit() | Known::XForwardedFor.bit()), 0b11010);
    assert_eq!(head.mask(Known::Expect.bit()), 0);
}
