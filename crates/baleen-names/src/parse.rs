//! The grammar of paths, trees and dtabs: that of `NameTreeParsers.scala` of Finagle, read from left to right with one byte ahead.
//!
//! ```text
//! dtab    = [ dentry { ';' dentry } [ ';' ] ]          tree   = union { '|' union }
//! dentry  = prefix '=>' tree                           union  = weighted { '&' weighted }
//! prefix  = '/' [ elem { '/' elem } ]                  weighted = [ weight '*' ] simple
//! elem    = '*' | label                                simple = path | '!' | '~' | '$' | '(' tree ')'
//! path    = '/' [ label { '/' label } ]                weight = digits with at most one '.' among them
//! label   = one or more of 0-9 A-Z a-z _ : . # $ % - and \xHH
//! ```
//!
//! Whitespace may stand between any two of these but inside of paths, prefixes and weights. `#` starts a comment, up to the end of the
//! line, wherever whitespace may stand; inside of a path it is a label character, so a comment behind a path needs a space before it.
//! Finagle's parser is a little wider than its documentation, and so is this: `5.` is a weight.
//!
//! Bounds: the length of the text and of what it is printed as, entries, labels, and how deep parentheses nest. Not here: printing
//! (beside the types). Tested: in `parse/tests.rs`, `tests/properties.rs` and by fuzzing.

use std::fmt::{self, Write as _};

use crate::dtab::{DTAB_BYTES_MAX, Dentry, Dtab, ENTRIES_MAX};
use crate::path::{Builder, PATH_BYTES_MAX, is_label_byte};
use crate::prefix::Prefix;
use crate::tree::{NESTING_MAX, NameTree, Weight};
use crate::{ParseError, Path};

/// Most digits of a weight.
const WEIGHT_BYTES_MAX: usize = 400;

const OVER_TEXT: &str = "at most 4 MiB of text";
const OVER_NESTING: &str = "at most 64 parentheses in each other";

type Result<T> = std::result::Result<T, ParseError>;

pub(crate) fn path(source: &str) -> Result<Path> {
    // Whatever fits the bound of a path fits this when every byte is escaped, with room for a comment.
    if source.len() > 8 * PATH_BYTES_MAX {
        return Err(ParseError::too_much(8 * PATH_BYTES_MAX, "at most 32 KiB of text"));
    }
    whole(source, Parser::path)
}

pub(crate) fn prefix(source: &str) -> Result<Prefix> {
    if source.len() > 8 * PATH_BYTES_MAX {
        return Err(ParseError::too_much(8 * PATH_BYTES_MAX, "at most 32 KiB of text"));
    }
    whole(source, Parser::prefix)
}

pub(crate) fn tree(source: &str) -> Result<NameTree<Path>> {
    bounded(source, |parser| parser.tree(0))
}

pub(crate) fn dentry(source: &str) -> Result<Dentry> {
    bounded(source, Parser::dentry)
}

pub(crate) fn dtab(source: &str) -> Result<Dtab> {
    bounded(source, Parser::dtab)
}

/// Where each entry of a table stands in its text, for who points at one. Nothing when the text is no table.
pub fn entry_spans(source: &str) -> Vec<std::ops::Range<usize>> {
    let mut parser = Parser { source, at: 0 };
    let mut spans = Vec::new();
    loop {
        parser.skip();
        let start = parser.at;
        if start < source.len() {
            if parser.dentry().is_err() {
                return Vec::new();
            }
            let written = source.get(start..parser.at).unwrap_or_default();
            spans.push(start..start + written.trim_end().len());
            parser.skip();
        }
        if !parser.maybe(b';') {
            return if parser.at < source.len() { Vec::new() } else { spans };
        }
    }
}

/// Reads all of the source.
fn whole<'a, T>(source: &'a str, read: impl FnOnce(&mut Parser<'a>) -> Result<T>) -> Result<T> {
    let mut parser = Parser { source, at: 0 };
    let value = read(&mut parser)?;
    parser.skip();
    if parser.at < source.len() { Err(parser.wrong(parser.ends(&value))) } else { Ok(value) }
}

/// The same, where both the text and what it is printed as are bounded: so that what was printed is always read again.
fn bounded<'a, T: fmt::Display>(
    source: &'a str,
    read: impl FnOnce(&mut Parser<'a>) -> Result<T>,
) -> Result<T> {
    if source.len() > DTAB_BYTES_MAX {
        return Err(ParseError::too_much(DTAB_BYTES_MAX, OVER_TEXT));
    }
    let value = whole(source, read)?;
    // Printing adds at most three bytes to each that was read.
    let sure = source.len() <= DTAB_BYTES_MAX / 4;
    if sure || fits(&value) {
        Ok(value)
    } else {
        Err(ParseError::too_much(source.len(), OVER_TEXT))
    }
}

/// Whether what is printed of it may be read again.
pub(crate) fn fits(value: &impl fmt::Display) -> bool {
    write!(Room(DTAB_BYTES_MAX), "{value}").is_ok()
}

/// Counts down the bytes that may still be written.
struct Room(usize);

impl fmt::Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn wrong(&self, expected: &'static str) -> ParseError {
        ParseError::expected(self.source, self.at, expected)
    }

    fn eat(&mut self, byte: u8, name: &'static str) -> Result<()> {
        if self.maybe(byte) { Ok(()) } else { Err(self.wrong(name)) }
    }

    fn maybe(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Whitespace and comments.
    fn skip(&mut self) {
        while let Some(c) = self.source[self.at..].chars().next() {
            if c == '#' {
                let rest = &self.source[self.at..];
                self.at += rest.find('\n').map_or(rest.len(), |i| i + 1);
            } else if is_space(c) {
                self.at += c.len_utf8();
            } else {
                return;
            }
        }
    }

    fn label(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        loop {
            match self.peek() {
                Some(byte) if is_label_byte(byte) => {
                    self.at += 1;
                    buffer.push(byte);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.eat(b'x', "'x' and two hex digits after the backslash")?;
                    let high = self.hex()?;
                    buffer.push(high << 4 | self.hex()?);
                }
                _ if buffer.is_empty() => {
                    return Err(self.wrong("a label (0-9 A-Z a-z _ : . # $ % - or \\xHH)"));
                }
                _ => return Ok(()),
            }
        }
    }

    fn hex(&mut self) -> Result<u8> {
        let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
        let digit = digit.ok_or_else(|| self.wrong("a hex digit"))?;
        self.at += 1;
        Ok(digit as u8)
    }

    fn path(&mut self) -> Result<Path> {
        Ok(self.elems(false)?.0)
    }

    fn prefix(&mut self) -> Result<Prefix> {
        let (labels, any) = self.elems(true)?;
        Ok(Prefix::new(labels, any))
    }

    /// Labels, and where `wild` at which places a `*` stands.
    fn elems(&mut self, wild: bool) -> Result<(Path, Vec<u32>)> {
        self.skip();
        self.eat(b'/', "'/'")?;
        let (mut builder, mut any, mut buffer) = (Builder::new(), Vec::new(), Vec::new());
        let first = self.peek();
        if !first.is_some_and(|byte| is_label_byte(byte) || byte == b'\\' || (wild && byte == b'*'))
        {
            return Ok((Path::root(), any));
        }
        for place in 0.. {
            let start = self.at;
            if wild && self.maybe(b'*') {
                any.push(place);
                buffer.clear();
                buffer.push(b'*');
            } else {
                self.label(&mut buffer)?;
            }
            builder.push(&buffer).map_err(|bound| ParseError::too_much(start, bound))?;
            if !self.maybe(b'/') {
                break;
            }
        }
        Ok((builder.finish(), any))
    }

    fn tree(&mut self, depth: usize) -> Result<NameTree<Path>> {
        let first = self.union(depth)?;
        self.skip();
        if self.peek() != Some(b'|') {
            return Ok(first);
        }
        let mut trees = vec![first];
        while self.maybe(b'|') {
            trees.push(self.union(depth)?);
            self.skip();
        }
        Ok(NameTree::Alt(trees))
    }

    fn union(&mut self, depth: usize) -> Result<NameTree<Path>> {
        let first = self.weighted(depth)?;
        self.skip();
        if self.peek() != Some(b'&') {
            // The weight of one on its own says nothing.
            return Ok(first.1);
        }
        let mut trees = vec![first];
        while self.maybe(b'&') {
            trees.push(self.weighted(depth)?);
            self.skip();
        }
        Ok(NameTree::Union(trees))
    }

    fn weighted(&mut self, depth: usize) -> Result<(Weight, NameTree<Path>)> {
        self.skip();
        let mut weight = Weight::ONE;
        if self.peek().is_some_and(is_number_byte) {
            weight = self.weight()?;
            self.skip();
            self.eat(b'*', "'*' after the weight")?;
            self.skip();
        }
        Ok((weight, self.simple(depth)?))
    }

    fn weight(&mut self) -> Result<Weight> {
        let start = self.at;
        while self.peek().is_some_and(is_number_byte) {
            if self.peek() == Some(b'.') && self.source[start..self.at].contains('.') {
                return Err(self.wrong("a digit"));
            }
            if self.at - start == WEIGHT_BYTES_MAX {
                return Err(ParseError::too_much(start, "at most 400 digits in a weight"));
            }
            self.at += 1;
        }
        let text = &self.source[start..self.at];
        if text == "." {
            return Err(self.wrong("a digit"));
        }
        let weight = text.parse().ok().and_then(Weight::new);
        weight.ok_or_else(|| ParseError::too_much(start, "a weight below 1.8e308"))
    }

    fn simple(&mut self, depth: usize) -> Result<NameTree<Path>> {
        let tree = match self.peek() {
            Some(b'/') => return self.path().map(NameTree::Leaf),
            Some(b'!') => NameTree::Fail,
            Some(b'~') => NameTree::Neg,
            Some(b'$') => NameTree::Empty,
            Some(b'(') if depth == NESTING_MAX => {
                return Err(ParseError::too_much(self.at, OVER_NESTING));
            }
            Some(b'(') => {
                self.at += 1;
                let tree = self.tree(depth + 1)?;
                self.skip();
                self.eat(b')', "'|', '&' or ')'")?;
                return Ok(tree);
            }
            _ => return Err(self.wrong("a path, '!', '~', '$' or '('")),
        };
        self.at += 1;
        Ok(tree)
    }

    fn dentry(&mut self) -> Result<Dentry> {
        let prefix = self.prefix()?;
        self.skip();
        self.eat(b'=', "'=>'")?;
        self.eat(b'>', "'>' after '='")?;
        Ok(Dentry { prefix, dst: self.tree(0)? })
    }

    fn dtab(&mut self) -> Result<Dtab> {
        let mut entries = Vec::new();
        loop {
            self.skip();
            if self.at < self.source.len() {
                if entries.len() == ENTRIES_MAX {
                    return Err(ParseError::too_much(self.at, "at most 32768 entries"));
                }
                entries.push(self.dentry()?);
                self.skip();
            }
            if !self.maybe(b';') {
                return Ok(Dtab::of(entries));
            }
        }
    }

    /// What may come after something whole.
    fn ends<T>(&self, _: &T) -> &'static str {
        let what = std::any::type_name::<T>();
        if what.ends_with("Dtab") {
            "'|', '&', ';' or the end"
        } else if what.ends_with("Prefix") || what.ends_with("Path") {
            "the end"
        } else {
            "'|', '&' or the end"
        }
    }
}

fn is_number_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// `Character.isWhitespace` of Java: no-break spaces are none.
fn is_space(c: char) -> bool {
    match c {
        '\t'..='\r' | '\u{1c}'..='\u{1f}' | ' ' => true,
        '\u{2007}' => false,
        '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{205f}'
        | '\u{3000}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
