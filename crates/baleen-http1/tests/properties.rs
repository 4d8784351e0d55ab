//! Properties of the public interface over generated messages: valid ones survive being cut and
//! forwarded, and one wrong byte in the framing of a valid one is noticed.

use baleen_http1::{
    Asked, BodyDecoder, CHUNK_END, Framing, Known, LAST_CHUNK, Limits, Parsed, RequestEdits,
    RequestHead, RequestOptions, ResponseEdits, ResponseHead, chunk_header, encode_request,
    encode_response,
};
use proptest::prelude::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A field that says nothing about connection or framing.
fn field() -> impl Strategy<Value = (String, String)> {
    let name = "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,24}"
        .prop_filter("has a meaning", |name| Known::of(name.as_bytes()) == Known::Other);
    (name, "([!-~]([ -~\t]{0,40}[!-~])?)?")
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(field(), 0..12)
}

fn lines(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

fn framing() -> impl Strategy<Value = (String, Framing)> {
    prop_oneof![
        Just((String::new(), Framing::None)),
        (0..=i64::MAX as u64)
            .prop_map(|n| (format!("Content-Length: {n}\r\n"), Framing::Length(n))),
        Just(("Transfer-Encoding: chunked\r\n".to_owned(), Framing::Chunked)),
    ]
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn requests_survive_cuts_and_forwarding(
        method in "[A-Z]{3,12}".prop_filter("has its own target", |m| m != "CONNECT"),
        target in "/[!\"$-~]{0,60}",
        host in "[a-z0-9-]{1,9}([.][a-z]{1,5}){0,3}(:[1-9][0-9]{0,3})?",
        fields in fields(),
        (framing_line, framing) in framing(),
        step in 1usize..40,
    ) {
        let rest = lines(&fields);
        let input = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{framing_line}{rest}\r\n");
        let input = input.as_bytes();
        let limits = Limits::default();
        let mut head = RequestHead::new();
        let mut end = 0;
        let parsed = loop {
            match head.parse(&input[..end], &limits, &RequestOptions::default()) {
                Ok(Parsed::Partial) if end < input.len() => end = input.len().min(end + step),
                parsed => break parsed,
            }
        };
        prop_assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() }));
        prop_assert_eq!(head.framing(), framing);
        prop_assert_eq!(head.authority().map(|a| a.of(input)), Some(host.as_bytes()));
        for (field, (name, value)) in head.fields().iter().rev().zip(fields.iter().rev()) {
            prop_assert_eq!(field.name.of(input), name.as_bytes());
            prop_assert_eq!(field.value.of(input), value.as_bytes());
        }

        let mut out = Vec::new();
        encode_request(&mut out, &head, input, &RequestEdits::forward(&head), []);
        let out = String::from_utf8(out).expect("text");
        let moved = if framing == Framing::Chunked { framing_line.as_str() } else { "" };
        let kept = if framing == Framing::Chunked { "" } else { framing_line.as_str() };
        let expect = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{kept}{rest}{moved}\r\n");
        prop_assert_eq!(out, expect);
    }

    #[test]
    fn responses_survive_forwarding(
        status in 200u16..600,
        reason in "([!-~][ -~]{0,20})?",
        fields in fields(),
        (framing_line, _) in framing(),
    ) {
        prop_assume!(status != 204);
        let rest = lines(&fields);
        let input = format!("HTTP/1.1 {status} {reason}\r\n{rest}{framing_line}\r\n");
        let input = input.as_bytes();
        let mut head = ResponseHead::new();
        let parsed = head.parse(input, &Limits::default(), Asked::default());
        prop_assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() }));
        prop_assert_eq!(head.status(), status);
        let mut out = Vec::new();
        encode_response(&mut out, &head, input, &ResponseEdits::forward(&head), []);
        let mut next = ResponseHead::new();
        let parsed = next.parse(&out, &Limits::default(), Asked::default());
        prop_assert_eq!(parsed, Ok(Parsed::Complete { consumed: out.len() }));
        prop_assert_eq!(next.framing(), head.framing());
        prop_assert_eq!(next.reason().of(&out), reason.as_bytes());
    }

    #[test]
    fn no_head_is_taken_with_a_wrong_byte_between_its_lines(
        fields in fields(),
        at in any::<prop::sample::Index>(),
        wrong in prop::sample::select(&b"\0\x01\x0b\x0c\x1f\x7f\r\n"[..]),
    ) {
        let rest = lines(&fields);
        let mut input = format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n").into_bytes();
        let at = at.index(input.len());
        prop_assume!(input[at] != wrong);
        input[at] = wrong;
        let parsed = RequestHead::new().parse(&input, &Limits::default(), &RequestOptions::default());
        prop_assert!(!matches!(parsed, Ok(Parsed::Complete { .. })), "{:?}", parsed);
    }

    #[test]
    fn chunked_bodies_come_out_as_they_went_in(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..6),
        extension in "(;[a-z0-9!#]{1,5}(=([a-z.]{1,5}|\"[ !#-~&&[^\\\\]]{0,5}\"))?){0,2}",
        step in 1usize..64,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            let header = chunk_header(chunk.len() as u64);
            wire.extend_from_slice(header.as_bytes().strip_suffix(b"\r\n").expect("a line"));
            wire.extend_from_slice(extension.as_bytes());
            wire.extend_from_slice(CHUNK_END);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(LAST_CHUNK);
        let whole = wire.len();
        wire.extend_from_slice(b"next");
        let mut body = BodyDecoder::new(Framing::Chunked, &Limits::default());
        let mut data = Vec::new();
        let mut at = 0;
        while !body.is_done() {
            let input = &wire[at..wire.len().min(at + step)];
            let found = body.decode(input).expect("valid");
            data.extend_from_slice(&input[found.data]);
            at += found.consumed;
        }
        prop_assert_eq!(at, whole);
        prop_assert_eq!(data, chunks.concat());
    }

    #[test]
    fn bytes_of_any_kind_break_nothing(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let limits = Limits::default();
        let mut request = RequestHead::new();
        let mut response = ResponseHead::new();
        for end in 0..data.len() {
            // What it says does not matter here, only that it says something.
            let _ = request.parse(&data[..end], &limits, &RequestOptions { allow_connect: true });
            let _ = response.parse(&data[..end], &limits, Asked::default());
        }
        for framing in [Framing::None, Framing::Length(9), Framing::Chunked, Framing::UntilClose] {
            let mut body = BodyDecoder::new(framing, &limits);
            let found = body.decode(&data);
            prop_assert!(found.is_err() || found.is_ok_and(|f| f.consumed <= data.len()));
        }
    }
}
