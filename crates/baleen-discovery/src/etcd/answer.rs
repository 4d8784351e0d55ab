//! What etcd's JSON gateway answers, read from bytes.
//!
//! Numbers of 64 bits come as text, bytes as base64, and what is zero or empty is left out. Unknown fields are nothing to us.
//! Source: the gateway of etcd 3.4 and `rpc.proto` of its interface. Not here: asking (`call.rs`). Tested: below, in
//! `tests/etcd.rs` against etcd; fuzzed (`etcd_answer`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, de};

use crate::http::brief;

/// What every answer begins with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The store's revision when it answered.
    #[serde(deserialize_with = "number")]
    pub revision: u64,
}

/// A key and what it has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KeyValue {
    /// The key, whole.
    #[serde(deserialize_with = "bytes")]
    pub key: Vec<u8>,
    /// Its value.
    #[serde(deserialize_with = "bytes")]
    pub value: Vec<u8>,
    /// The revision that wrote it; of a deletion, the one that deleted it.
    #[serde(deserialize_with = "number")]
    pub mod_revision: u64,
    /// The lease it is bound to; 0 when to none.
    #[serde(deserialize_with = "signed")]
    pub lease: i64,
}

/// `/v3/kv/range`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Range {
    /// See there.
    pub header: Header,
    /// In the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// How many there are in all.
    #[serde(deserialize_with = "number")]
    pub count: u64,
}

/// `/v3/kv/put`, `/v3/kv/deleterange`, `/v3/kv/txn`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Written {
    /// See there.
    pub header: Header,
    /// Of a transaction: whether its conditions held.
    pub succeeded: bool,
}

/// `/v3/lease/grant`; and one line of `/v3/lease/keepalive`, inside [`Line`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Its name.
    #[serde(rename = "ID", deserialize_with = "signed")]
    pub id: i64,
    /// How long it lives from now, in seconds; 0 when it is gone.
    #[serde(rename = "TTL", deserialize_with = "signed")]
    pub ttl: i64,
}

/// `/v3/auth/authenticate`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authenticated {
    /// What to send along.
    pub token: String,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// `PUT` (or nothing), or `DELETE`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// To what.
    pub kv: KeyValue,
}

/// Whether a key was written or deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum Kind {
    /// Written.
    #[default]
    #[serde(rename = "PUT")]
    Put,
    /// Deleted; or its lease ended.
    #[serde(rename = "DELETE")]
    Delete,
}

/// One answer of `/v3/watch`, inside [`Line`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Watched {
    /// See there.
    pub header: Header,
    /// The watch has begun.
    pub created: bool,
    /// The watch has ended.
    pub canceled: bool,
    /// Why, if it is not that history was compacted.
    pub cancel_reason: String,
    /// The oldest revision that can still be watched from, when the watch ended because it was asked for an older one.
    #[serde(deserialize_with = "number")]
    pub compact_revision: u64,
    /// What happened, in its order.
    pub events: Vec<Event>,
}

/// One line of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Line<T> {
    /// The answer.
    pub result: Option<T>,
    /// Or what went wrong.
    pub error: Option<Wrong>,
}

/// What went wrong; at the top level when the status is no 200.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wrong {
    /// A gRPC code.
    #[serde(alias = "grpc_code")]
    pub code: u64,
    /// In words.
    pub message: String,
}

/// Reads an answer.
///
/// # Errors
///
/// In one line, for people.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let error = brief(error.to_string().as_bytes());
        format!("what it answered makes no sense ({error}): {}", brief(bytes))
    })
}

/// Reads an answer of `/v3/kv/range`. Without a revision it is none: a store has one from its beginning, and what is no etcd must
/// not be taken for an empty one.
///
/// # Errors
///
/// In one line, for people.
pub fn read_range(bytes: &[u8]) -> Result<Range, String> {
    let range: Range = read(bytes)?;
    if range.header.revision == 0 { Err(no_revision(bytes)) } else { Ok(range) }
}

/// Reads an answer of what writes; that has a revision, too.
///
/// # Errors
///
/// In one line, for people.
pub fn read_written(bytes: &[u8]) -> Result<Written, String> {
    let written: Written = read(bytes)?;
    if written.header.revision == 0 { Err(no_revision(bytes)) } else { Ok(written) }
}

fn no_revision(bytes: &[u8]) -> String {
    format!("what it answered makes no sense (no revision; is this etcd?): {}", brief(bytes))
}

/// Reads one line of a stream.
///
/// # Errors
///
/// The line makes no sense, or says what went wrong.
pub fn read_line<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let line: Line<T> = read(bytes)?;
    match line {
        Line { error: Some(wrong), .. } => Err(brief(wrong.message.as_bytes())),
        Line { result: Some(result), .. } => Ok(result),
        Line { .. } => Err(format!("what it answered makes no sense: {}", brief(bytes))),
    }
}

/// A number as text, as the gateway writes it, or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
    Unsigned(u64),
    Signed(i64),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match Number::deserialize(from)? {
        Number::Text(text) => text.parse().map_err(|_| de::Error::custom("not a whole number")),
        Number::Unsigned(number) => Ok(number),
        Number::Signed(_) => Err(de::Error::custom("not a whole number")),
    }
}

fn signed<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let outside = |_| de::Error::custom("not a whole number");
    match Number::deserialize(from)? {
        Number::Text(text) => text.parse().map_err(|_| de::Error::custom("not a whole number")),
        Number::Unsigned(number) => i64::try_from(number).map_err(outside),
        Number::Signed(number) => Ok(number),
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let range: Range = read(
            br#"{"header":{"cluster_id":"3249","revision":"2","raft_term":"2"},"kvs":[{"key":"L3MvYQ==","create_revision":"2","mod_revision":"2","version":"1","value":"MQ=="}],"count":"1"}"#,
        )
        .unwrap();
        let kv = KeyValue { key: b"/s/a".into(), value: b"1".into(), mod_revision: 2, lease: 0 };
        let expected =
            Range { header: Header { revision: 2 }, kvs: vec![kv], more: false, count: 1 };
        assert_eq!(range, expected);
        let watched: Watched =
            read_line(br#"{"result":{"header":{"revision":"4"},"events":[{"type":"DELETE","kv":{"key":"L3MveA==","mod_revision":4}}]}}"#)
                .unwrap();
        assert_eq!(watched.events[0].kind, Kind::Delete);
        assert_eq!(watched.events[0].kv.mod_revision, 4);
        let lease: Lease = read_line(br#"{"result":{"ID":"-5","TTL":"3"}}"#).unwrap();
        assert_eq!(lease, Lease { id: -5, ttl: 3 });
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for bytes in [
            &b""[..],
            b"{",
            b"[]",
            b"null",
            b"{}",
            br#"{"kvs":[{"key":"L3MvYQ="}]}"#,
            br#"{"kvs":[{"key":"\n\u0000"}]}"#,
            br#"{"kvs":[{"mod_revision":"-1"}]}"#,
            br#"{"count":"18446744073709551616"}"#,
            br#"{"count":1.5}"#,
            b"<html>\n</html>",
        ] {
            let why = read_range(bytes).unwrap_err();
            assert!(why.contains("makes no sense") && !why.contains('\n'), "{why:?}");
        }
        for (line, says) in [
            (&br#"{"result":null}"#[..], "makes no sense"),
            (br#"{"error":{"grpc_code":14,"message":"the server is\nstopping"}}"#, "is stopping"),
            (br#"{"result":{"events":[{"type":"BOTH"}]}}"#, "makes no sense"),
        ] {
            let why = read_line::<Watched>(line).unwrap_err();
            assert!(why.contains(says) && !why.contains('\n'), "{why:?}");
        }
    }
}
