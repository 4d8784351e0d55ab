//! What requests and responses have in common: the fields of a head, and what those that concern
//! the connection and the framing say.
//!
//! Not here: reading lines (`lex`), rules for one direction only (`request`, `response`). Tested
//! through both directions in `request/tests.rs` and `response/tests.rs`.

use crate::known::{is, may_be_stripped};
use crate::lex::{is_token, trim};
use crate::{Known, Rule, Span, Version};

/// No head has more fields than a mask has bits.
pub const FIELDS_MAX: usize = 128;

/// No `Connection` lists more options: each is compared with every field name.
const OPTIONS_MAX: usize = 32;

/// The largest length that every parser behind us can hold.
pub(crate) const LENGTH_MAX: u64 = i64::MAX as u64;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as it came.
    pub name: Span,
    /// The value, without the white space around it.
    pub value: Span,
    /// Which name it is.
    pub known: Known,
}

/// The fields of a head and what was noticed about them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) list: Vec<Field>,
    /// Index of the empty line after the fields.
    pub(crate) end: u32,
    /// Which names are there, as [`Known::bit`]s.
    pub(crate) seen: u32,
    /// One bit for each field that is not forwarded.
    pub(crate) hop_by_hop: u128,
    /// Index of the first field of each name that was seen.
    first: [u8; Known::COUNT],
}

/// What the `Connection` fields say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Connection {
    /// Does the sender let the connection live after this message?
    pub(crate) fn persists(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.end = 0;
        self.seen = 0;
        self.hop_by_hop = 0;
    }

    /// Takes a field, and refuses a second one of those that may stand once only.
    #[inline(always)]
    pub(crate) fn push(&mut self, field: Field) -> Result<(), Rule> {
        let bit = field.known.bit();
        if bit != Known::Other.bit() {
            const ONCE: u32 = Known::Host.bit() | Known::ContentLength.bit();
            if self.seen & bit & ONCE != 0 {
                return Err(match field.known {
                    Known::Host => Rule::HostRepeated,
                    _ => Rule::LengthRepeated,
                });
            }
            if self.seen & bit == 0 {
                self.seen |= bit;
                if let Some(first) = self.first.get_mut(field.known as usize) {
                    *first = self.list.len() as u8;
                }
            }
            if bit & Known::HOP_BY_HOP != 0 {
                self.hop_by_hop |= 1 << (self.list.len() % FIELDS_MAX);
            }
        }
        self.list.push(field);
        Ok(())
    }

    #[inline]
    pub(crate) fn has(&self, known: Known) -> bool {
        self.seen & known.bit() != 0
    }

    pub(crate) fn all(&self, known: Known) -> impl Iterator<Item = &Field> {
        let first = self.first.get(known as usize).copied().map_or(0, usize::from);
        let list = self.list.get(first..).filter(|_| self.has(known)).unwrap_or_default();
        list.iter().filter(move |f| f.known == known)
    }

    /// One bit for each field whose name is in `names`.
    pub(crate) fn mask(&self, names: u32) -> u128 {
        if self.seen & names == 0 {
            return 0;
        }
        let hits = self.list.iter().enumerate().filter(|(_, f)| f.known.bit() & names != 0);
        hits.fold(0, |mask, (i, _)| mask | 1 << (i % FIELDS_MAX))
    }

    /// Reads all `Connection` fields and marks the fields they name as not to be forwarded, but for
    /// those that are meant for the other end or that we rely on: naming these has no effect.
    #[inline]
    pub(crate) fn connection(&mut self, buf: &[u8]) -> Result<Connection, Rule> {
        if self.has(Known::Connection) {
            self.read_connection(buf)
        } else {
            Ok(Connection::default())
        }
    }

    fn read_connection(&mut self, buf: &[u8]) -> Result<Connection, Rule> {
        let mut found = Connection::default();
        let mut options = 0;
        let mut marked = 0;
        for field in self.all(Known::Connection) {
            let value = field.value.of(buf);
            if is(value, b"keep-alive") {
                found.keep_alive = true;
                continue;
            }
            if is(value, b"close") {
                found.close = true;
                continue;
            }
            for option in value.split(|b| *b == b',').map(trim) {
                options += 1;
                if options > OPTIONS_MAX {
                    return Err(Rule::ConnectionOptions);
                }
                match option.len() {
                    0 => {}
                    5 if option.eq_ignore_ascii_case(b"close") => found.close = true,
                    10 if option.eq_ignore_ascii_case(b"keep-alive") => found.keep_alive = true,
                    7 if option.eq_ignore_ascii_case(b"upgrade") => found.upgrade = true,
                    _ if !is_token(option) => return Err(Rule::ConnectionSyntax),
                    _ if !may_be_stripped(option) => {}
                    _ => marked |= self.mask_named(buf, option),
                }
            }
        }
        self.hop_by_hop |= marked;
        Ok(found)
    }

    fn mask_named(&self, buf: &[u8], name: &[u8]) -> u128 {
        let hits = self.list.iter().enumerate();
        let hits = hits.filter(|(_, f)| f.name.of(buf).eq_ignore_ascii_case(name));
        hits.fold(0, |mask, (i, _)| mask | 1 << (i % FIELDS_MAX))
    }

    /// The value of `Content-Length`.
    #[inline]
    pub(crate) fn content_length(&self, buf: &[u8]) -> Result<Option<u64>, Rule> {
        self.all(Known::ContentLength).next().map(|f| decimal(f.value.of(buf))).transpose()
    }

    /// Is the message chunked? Refuses every other transfer coding.
    #[inline]
    pub(crate) fn chunked(&self, buf: &[u8], version: Version) -> Result<bool, Rule> {
        if !self.has(Known::TransferEncoding) {
            return Ok(false);
        }
        if version == Version::Http10 {
            return Err(Rule::CodingInHttp10);
        }
        if self.has(Known::ContentLength) {
            return Err(Rule::LengthWithCoding);
        }
        let mut chunked = 0;
        let mut unknown = false;
        let mut last_is_chunked = false;
        let values = self.all(Known::TransferEncoding).map(|f| f.value.of(buf));
        for coding in values.flat_map(|v| v.split(|b| *b == b',')).map(trim) {
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked += u32::from(last_is_chunked);
            if !last_is_chunked {
                let name = coding.split(|b| *b == b';').next().map(trim).unwrap_or_default();
                if !is_token(name) {
                    return Err(Rule::CodingSyntax);
                }
                unknown = true;
            }
        }
        match chunked {
            2.. => Err(Rule::CodingRepeated),
            1 if !last_is_chunked => Err(Rule::CodingNotLast),
            _ if unknown => Err(Rule::CodingUnknown),
            _ => Ok(true),
        }
    }

    /// The first `Upgrade` field, if all of them are lists of protocols that may be switched to
    /// through a proxy.
    pub(crate) fn upgrade(&self, buf: &[u8]) -> Result<Option<Span>, Rule> {
        let mut offered = None;
        let mut ours = false;
        for field in self.all(Known::Upgrade) {
            for protocol in field.value.of(buf).split(|b| *b == b',').map(trim) {
                let mut parts = protocol.splitn(2, |b| *b == b'/');
                let name = parts.next().unwrap_or_default();
                if !is_token(name) || !parts.next().is_none_or(is_token) {
                    return Err(Rule::UpgradeSyntax);
                }
                const NEVER: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];
                ours |= NEVER.iter().any(|n| n.eq_ignore_ascii_case(name));
            }
            offered = offered.or(Some(field.value));
        }
        Ok(if ours { None } else { offered })
    }

    /// The first field of this name.
    pub(crate) fn find<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        let hit = self.list.iter().find(|f| f.name.of(buf).eq_ignore_ascii_case(name))?;
        Some(hit.value.of(buf))
    }
}

/// A plain decimal number: digits only.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, Rule> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Rule::LengthSyntax);
    }
    let value = text.iter().try_fold(0u64, |n, b| {
        n.checked_mul(10)?.checked_add(u64::from(b - b'0')).filter(|n| *n <= LENGTH_MAX)
    });
    value.ok_or(Rule::LengthOverflow)
}
