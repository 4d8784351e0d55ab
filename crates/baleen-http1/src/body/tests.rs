//! Bodies at once, byte by byte and in pieces of every size, as tables.

use super::*;

struct Found {
    data: String,
    trailers: String,
    rest: String,
    done: bool,
}

fn run(framing: Framing, input: &[u8], piece: usize, limits: &Limits) -> Result<Found, Rule> {
    let mut body = BodyDecoder::new(framing, limits);
    let mut data = Vec::new();
    let mut at = 0;
    while at < input.len() && !body.is_done() {
        let now = &input[at..input.len().min(at + piece)];
        let step = body.decode(now).map_err(|refusal| refusal.rule)?;
        assert!(step.consumed > 0, "no progress at {at}");
        assert!(step.data.end <= step.consumed);
        assert_eq!(step.done, body.is_done());
        data.extend_from_slice(&now[step.data]);
        at += step.consumed;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let trailers = body.trailers().map(|(n, v)| format!("{}={};", text(n), text(v))).collect();
    Ok(Found { data: text(&data), trailers, rest: text(&input[at..]), done: body.is_done() })
}

/// `Ok("data|trailers|rest")`, with `...` for a body that is not complete.
#[track_caller]
fn check_with(limits: &Limits, framing: Framing, input: &[u8], expect: Result<&str, Rule>) {
    for piece in (1..=input.len().min(20)).chain([input.len().max(1)]) {
        let found = run(framing, input, piece, limits).map(|found| {
            let end = if found.done { "" } else { "..." };
            format!("{}{end}|{}|{}", found.data, found.trailers, found.rest)
        });
        let expect = expect.map(str::to_owned);
        assert_eq!(found, expect, "{:?} by {piece}", String::from_utf8_lossy(input));
    }
}

#[track_caller]
fn check(framing: Framing, input: &[u8], expect: Result<&str, Rule>) {
    check_with(&Limits::default(), framing, input, expect);
}

#[test]
fn chunked_bodies() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"0\r\n\r\n", Ok("||")),
        (b"0\r\n\r\nGET /", Ok("||GET /")),
        (b"5\r\nhello\r\n0\r\n\r\n", Ok("hello||")),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext", Ok("hello world||next")),
        (b"A\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789||")),
        (b"a\r\n0123456789\r\n000\r\n\r\n", Ok("0123456789||")),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", Ok("hello||")),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", Ok("\r\n\r\n||")),
        (b"5\r\nhel", Ok("hel...||")),
        (b"5\r\nhello\r\n0\r\n", Ok("hello...||")),
        (b"", Ok("...||")),
        (b"5;a=b\r\nhello\r\n0;x\r\n\r\n", Ok("hello||")),
        (b"5;a=\"b;c \t\\\"\xc3\xa9\";d\r\nhello\r\n0\r\n\r\n", Ok("hello||")),
        (b"\r\n", Err(Rule::ChunkSize)),
        (b";a\r\n", Err(Rule::ChunkSize)),
        (b"g\r\n", Err(Rule::ChunkSize)),
        (b"5 \r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b" 5\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"5\t\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"5 ;a\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"+5\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"-5\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"0x5\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"5h\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"5_0\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"\"5\"\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"5,5\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"\x005\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"\xef\xbc\x95\r\n", Err(Rule::ChunkSize)),
        (b"00000000000000005\r\n", Err(Rule::ChunkOverflow)),
        (b"8000000000000000\r\n", Err(Rule::ChunkOverflow)),
        (b"ffffffffffffffff\r\n", Err(Rule::ChunkOverflow)),
        (b"FFFFFFFFFFFFFFFF5\r\n", Err(Rule::ChunkOverflow)),
        (b"10000000000000005\r\n", Err(Rule::ChunkOverflow)),
        (b"7fffffffffffffff\r\nx", Ok("x...||")),
        (b"5\nhello\r\n0\r\n\r\n", Err(Rule::BareLf)),
        (b"5\rhello\r\n0\r\n\r\n", Err(Rule::BareCr)),
        (b"5\r\r\nhello\r\n0\r\n\r\n", Err(Rule::BareCr)),
        (b"5;a\nhello\r\n0\r\n\r\n", Err(Rule::BareLf)),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", Err(Rule::BareCr)),
        (b"5;\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a;;b\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;=b\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a=\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a =b\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a=b c\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a=\"b\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;\xc3\xa9\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a\0\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5;a\x7f\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkExtension)),
        (b"5\r\nhello0\r\n\r\n", Err(Rule::ChunkEnd)),
        (b"5\r\nhello\n0\r\n\r\n", Err(Rule::ChunkEnd)),
        (b"5\r\nhello\r0\r\n\r\n", Err(Rule::ChunkEnd)),
        (b"5\r\nhello!\r\n0\r\n\r\n", Err(Rule::ChunkEnd)),
        (b"4\r\nhello\r\n0\r\n\r\n", Err(Rule::ChunkEnd)),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", Err(Rule::ChunkSize)),
        (b"0\r\n\n", Err(Rule::BareLf)),
        (b"0\r\n\rx", Err(Rule::BareCr)),
    ];
    for (input, expect) in rows {
        check(Framing::Chunked, input, *expect);
    }
}

#[test]
fn trailer_sections() {
    let rows: &[(&[u8], Result<&str, Rule>)] = &[
        (b"X: y\r\n\r\n", Ok("|X=y;|")),
        (
            b"Grpc-Status:0\r\nGrpc-Message:  a b \r\n\r\nrest",
            Ok("|Grpc-Status=0;Grpc-Message=a b;|rest"),
        ),
        (b"Digest: x\r\nVia: v\r\nTraceparent: t\r\n\r\n", Ok("|Digest=x;Via=v;Traceparent=t;|")),
        (b"X: y\r\n", Ok("...||")),
        (b"X: y\n\r\n", Err(Rule::BareLf)),
        (b"X: y\rz\r\n\r\n", Err(Rule::BareCr)),
        (b"X: a\0b\r\n\r\n", Err(Rule::Control)),
        (b"X : y\r\n\r\n", Err(Rule::NameSpace)),
        (b" X: y\r\n\r\n", Err(Rule::Folded)),
        (b"X: y\r\n z\r\n\r\n", Err(Rule::Folded)),
        (b": y\r\n\r\n", Err(Rule::NameEmpty)),
        (b"X\r\n\r\n", Err(Rule::NoColon)),
        (b"X(: y\r\n\r\n", Err(Rule::NameSyntax)),
        (b"GET / HTTP/1.1\r\n\r\n", Err(Rule::NameSpace)),
        (b"Content-Length: 5\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Transfer-Encoding: chunked\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"X: y\r\nHOST: a\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Connection: close\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Trailer: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"TE: trailers\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Upgrade: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Authorization: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Proxy-Authorization: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"set-cookie: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"Content-Type: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"X-Forwarded-For: x\r\n\r\n", Err(Rule::TrailerForbidden)),
        (b"If-Match: x\r\n\r\n", Err(Rule::TrailerForbidden)),
    ];
    for (section, expect) in rows {
        check(Framing::Chunked, &[b"0\r\n", *section].concat(), *expect);
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits =
        Limits { chunk_line_bytes: 8, trailer_bytes: 16, trailer_fields: 2, ..Limits::default() };
    let rows: &[(&str, Result<&str, Rule>)] = &[
        ("1;345678\r\nx\r\n0\r\n\r\n", Ok("x||")),
        ("1;3456789\r\nx\r\n0\r\n\r\n", Err(Rule::ChunkLineTooLong)),
        ("00000001\r\nx\r\n00000000\r\n\r\n", Ok("x||")),
        ("000000001\r\nx\r\n0\r\n\r\n", Err(Rule::ChunkLineTooLong)),
        ("0\r\nX: 4567890ab\r\n\r\n", Ok("|X=4567890ab;|")),
        ("0\r\nX: 4567890abc\r\n\r\n", Err(Rule::TrailersTooLarge)),
        ("0\r\na:b\r\nc:d\r\n\r\n", Ok("|a=b;c=d;|")),
        ("0\r\na:\r\nb:\r\nc:\r\n\r\n", Err(Rule::TooManyTrailers)),
    ];
    for (input, expect) in rows {
        check_with(&limits, Framing::Chunked, input.as_bytes(), *expect);
    }
    let endless = [b"5;".as_slice(), &[b'x'; 300]].concat();
    check(Framing::Chunked, &endless, Err(Rule::ChunkLineTooLong));
}

#[test]
fn bodies_that_are_not_chunked() {
    check(Framing::None, b"next", Ok("||next"));
    check(Framing::Length(0), b"next", Ok("||next"));
    check(Framing::Length(5), b"hellonext", Ok("hello||next"));
    check(Framing::Length(5), b"hel", Ok("hel...||"));
    check(Framing::UntilClose, b"all\r\n\0of it", Ok("all\r\n\0of it...||"));
    check(Framing::UntilClose, b"", Ok("...||"));
}

#[test]
fn an_end_of_file_is_clean_only_where_the_body_may_end() {
    let rows: &[(Framing, &str, bool)] = &[
        (Framing::None, "", true),
        (Framing::Length(0), "", true),
        (Framing::Length(3), "ab", false),
        (Framing::Length(3), "abc", true),
        (Framing::UntilClose, "", true),
        (Framing::UntilClose, "abc", true),
        (Framing::Chunked, "", false),
        (Framing::Chunked, "1\r\nx\r\n", false),
        (Framing::Chunked, "1\r\nx\r\n0\r\n", false),
        (Framing::Chunked, "1\r\nx\r\n0\r\nA: b\r\n", false),
        (Framing::Chunked, "1\r\nx\r\n0\r\n\r\n", true),
    ];
    for (framing, input, expect) in rows {
        let mut body = BodyDecoder::new(*framing, &Limits::default());
        let mut at = 0;
        while at < input.len() {
            at += body.decode(&input.as_bytes()[at..]).expect("valid").consumed;
        }
        assert_eq!(body.finish_on_eof(), *expect, "{framing:?} {input:?}");
    }
}

#[test]
fn a_failed_body_stays_failed() {
    let mut body = BodyDecoder::new(Framing::Chunked, &Limits::default());
    assert_eq!(body.decode(b"x"), Err(Rule::ChunkSize.into()));
    assert_eq!(body.decode(b"0\r\n\r\n"), Err(Rule::ChunkSize.into()));
    assert!(!body.is_done() && !body.finish_on_eof());
}

#[test]
fn content_may_go_another_way() {
    let mut body = BodyDecoder::new(Framing::Length(10), &Limits::default());
    assert_eq!(body.content_left(), 10);
    body.skip(4);
    let step = body.decode(b"abcdefgh").expect("valid");
    assert_eq!(step, Step { consumed: 6, data: 0..6, done: true });
    assert_eq!(body.content_left(), 0);

    let mut body = BodyDecoder::new(Framing::Chunked, &Limits::default());
    assert_eq!(body.content_left(), 0);
    body.skip(5);
    assert_eq!(body.decode(b"5\r\n").expect("valid").consumed, 3);
    assert_eq!(body.content_left(), 5);
    body.skip(5);
    let step = body.decode(b"\r\n1\r\nx\r\n0\r\n\r\n").expect("valid");
    assert_eq!(step, Step { consumed: 13, data: 5..6, done: true });
}
