//! Bytes into tokens: classes of bytes, sixteen at a time, and field lines.
//!
//! The scanners stop at the first byte outside their class and leave it to the caller to say what
//! that byte means, so that every line ending and every odd byte is looked at by our own rules. On
//! x86-64 a class is tested with SSE2, which every such machine has; elsewhere by a plain loop that
//! the tests hold against it. `benches/head.rs`
//! compares with `httparse`. Tested in `lex/tests.rs`.

use crate::fields::Fields;
use crate::refusal::Rule;
use crate::{Field, Known, Span};

/// What a byte may be part of.
const TOKEN: u8 = 1;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let punctuation = matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if b.is_ascii_alphanumeric() || punctuation {
            table[i] |= TOKEN;
        }
        i += 1;
    }
    table
};

/// May the byte stand in a token (RFC 9110 5.6.2)?
#[inline(always)]
pub(crate) fn is_token_byte(b: u8) -> bool {
    CLASS[b as usize] & TOKEN != 0
}

/// Is this a token, that is: not empty, and token bytes only?
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token_byte(*b))
}

/// Is this a control byte (HTAB is one too)?
#[inline(always)]
pub(crate) fn is_control(b: u8) -> bool {
    b < 0x20 || b == 0x7f
}

#[inline(always)]
fn is_target_stop(b: u8) -> bool {
    b <= 0x20 || b >= 0x7f || b == b'#'
}

#[inline(always)]
fn is_plain_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-'
}

/// Sixteen bytes to a mask of those in a class, lowest bit first.
#[cfg(target_arch = "x86_64")]
mod sixteen {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_min_epu8, _mm_movemask_epi8,
        _mm_or_si128, _mm_set1_epi8, _mm_sub_epi8,
    };

    #[inline]
    #[target_feature(enable = "sse2")]
    #[allow(unsafe_code, reason = "there is no safe load of sixteen bytes")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: reads the sixteen bytes that the reference is to, of any alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn at_most(v: __m128i, limit: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(limit as i8)), v)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn at_least(v: __m128i, limit: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(limit as i8)), v)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn equal(v: __m128i, b: u8) -> __m128i {
        _mm_cmpeq_epi8(v, _mm_set1_epi8(b as i8))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn within(v: __m128i, low: u8, width: u8) -> __m128i {
        at_most(_mm_sub_epi8(v, _mm_set1_epi8(low as i8)), width)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn mask(v: __m128i) -> u32 {
        _mm_movemask_epi8(v) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn controls_sse2(bytes: &[u8; 16]) -> u32 {
        let v = load(bytes);
        mask(_mm_or_si128(at_most(v, 0x1f), equal(v, 0x7f)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn target_stops_sse2(bytes: &[u8; 16]) -> u32 {
        let v = load(bytes);
        mask(_mm_or_si128(_mm_or_si128(at_most(v, 0x20), at_least(v, 0x7f)), equal(v, b'#')))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn name_stops_sse2(bytes: &[u8; 16]) -> u32 {
        let v = load(bytes);
        let lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
        let letters = within(lower, b'a', 25);
        let digits = within(v, b'0', 9);
        !mask(_mm_or_si128(_mm_or_si128(letters, digits), equal(v, b'-'))) & 0xffff
    }

    /// Control bytes.
    #[inline(always)]
    #[allow(unsafe_code, reason = "a call into a feature that every x86-64 has")]
    pub(super) fn controls(bytes: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86-64; the function touches no memory but its argument.
        unsafe { controls_sse2(bytes) }
    }

    /// Bytes that end a request target.
    #[inline(always)]
    #[allow(unsafe_code, reason = "a call into a feature that every x86-64 has")]
    pub(super) fn target_stops(bytes: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86-64; the function touches no memory but its argument.
        unsafe { target_stops_sse2(bytes) }
    }

    /// Bytes other than letters, digits and the hyphen.
    #[inline(always)]
    #[allow(unsafe_code, reason = "a call into a feature that every x86-64 has")]
    pub(super) fn name_stops(bytes: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86-64; the function touches no memory but its argument.
        unsafe { name_stops_sse2(bytes) }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code, reason = "held against the other in tests"))]
mod sixteen_plain {
    #[inline(always)]
    fn mask(bytes: &[u8; 16], class: impl Fn(u8) -> bool) -> u32 {
        bytes.iter().enumerate().fold(0, |mask, (i, b)| mask | u32::from(class(*b)) << i)
    }

    pub(super) fn controls(bytes: &[u8; 16]) -> u32 {
        mask(bytes, super::is_control)
    }

    pub(super) fn target_stops(bytes: &[u8; 16]) -> u32 {
        mask(bytes, super::is_target_stop)
    }

    pub(super) fn name_stops(bytes: &[u8; 16]) -> u32 {
        mask(bytes, |b| !super::is_plain_name_byte(b))
    }
}

#[cfg(not(target_arch = "x86_64"))]
use sixteen_plain as sixteen;

/// Index of the first byte at or after `at` that is in the class, or the length of `buf`.
macro_rules! scanner {
    ($(#[$doc:meta])* $name:ident, $mask:path, $stop:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(buf: &[u8], mut at: usize) -> usize {
            while let Some(bytes) = buf.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
                let mask = $mask(bytes);
                if mask != 0 {
                    return at + mask.trailing_zeros() as usize;
                }
                at += 16;
            }
            // The last sixteen bytes once more, for those of them that were not looked at.
            if let (Some(bytes), Some(left)) = (buf.last_chunk::<16>(), buf.len().checked_sub(at)) {
                let mask = $mask(bytes) >> (16 - left);
                return if mask != 0 { at + mask.trailing_zeros() as usize } else { buf.len() };
            }
            while let Some(b) = buf.get(at) {
                if $stop(*b) {
                    return at;
                }
                at += 1;
            }
            at
        }
    };
}

scanner!(
    /// The first control byte.
    control_at, sixteen::controls, is_control
);
scanner!(
    /// The first byte that cannot be part of a request target.
    target_end, sixteen::target_stops, is_target_stop
);
scanner!(
    /// The first byte that is no letter, digit or hyphen.
    plain_name_end, sixteen::name_stops, |b| !is_plain_name_byte(b)
);

/// Which of the sixteen bytes from `at` are no letter, digit or hyphen; those past the end are.
#[inline(always)]
pub(crate) fn plain_name_stops(buf: &[u8], at: usize) -> u32 {
    let rest = buf.get(at..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk::<16>() {
        return sixteen::name_stops(bytes);
    }
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sixteen::name_stops(&bytes)
}

/// The first byte that cannot be part of a token.
#[inline(always)]
pub(crate) fn token_end(buf: &[u8], at: usize) -> usize {
    let mut at = plain_name_end(buf, at);
    while buf.get(at).is_some_and(|b| *b != b':' && is_token_byte(*b)) {
        at += 1;
    }
    at
}

/// The first control byte that is no HTAB: where the text of a line stops.
#[inline(always)]
pub(crate) fn text_end(buf: &[u8], mut at: usize) -> usize {
    loop {
        at = control_at(buf, at);
        if buf.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// What stands at `at`, where a line has to end: the index after CRLF, or `None` if it has not
/// arrived yet.
#[inline(always)]
pub(crate) fn line_end(buf: &[u8], at: usize) -> Result<Option<usize>, Rule> {
    match (buf.get(at), buf.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(_)) => Err(Rule::BareCr),
        (Some(b'\n'), _) => Err(Rule::BareLf),
        (Some(_), _) => Err(Rule::Control),
    }
}

/// `text` without the spaces and tabs around it.
#[inline(always)]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Reads field lines from `at` to the empty line that ends them, and returns the index after it, or
/// `None` if it has not arrived yet.
#[inline]
pub(crate) fn field_lines(
    buf: &[u8],
    mut at: usize,
    fields: &mut Fields,
    most: usize,
) -> Result<Option<usize>, Rule> {
    loop {
        if let Some([b'\r', b'\n']) = buf.get(at..).and_then(|rest| rest.first_chunk()) {
            fields.end = at as u32;
            return Ok(Some(at + 2));
        }
        let name_end = token_end(buf, at);
        let Some(stop) = buf.get(name_end) else { return Ok(None) };
        if *stop != b':' || name_end == at {
            return no_field(buf, at, name_end).map_or(Ok(None), Err);
        }
        // Nearly always there is one space before the value and none behind it.
        let mut start = name_end + 1 + usize::from(buf.get(name_end + 1) == Some(&b' '));
        while matches!(buf.get(start), Some(b' ' | b'\t')) {
            start += 1;
        }
        let stop = text_end(buf, start);
        let Some(next) = line_end(buf, stop)? else { return Ok(None) };
        let mut end = stop;
        while end > start && matches!(buf.get(end - 1), Some(b' ' | b'\t')) {
            end -= 1;
        }
        if fields.list.len() >= most {
            return Err(Rule::TooManyFields);
        }
        let name = Span::new(at, name_end);
        let known = Known::of(name.of(buf));
        fields.push(Field { name, value: Span::new(start, end), known })?;
        at = next;
    }
}

/// What is wrong with a line that does not start with a name and a colon; nothing if that depends
/// on bytes to come.
#[cold]
#[inline(never)]
fn no_field(buf: &[u8], at: usize, stop: usize) -> Option<Rule> {
    let in_name = stop > at;
    match buf.get(stop)? {
        b'\r' => match line_end(buf, stop) {
            Ok(None) => None,
            Ok(Some(_)) => Some(Rule::NoColon),
            Err(rule) => Some(rule),
        },
        b'\n' => Some(Rule::BareLf),
        b':' => Some(Rule::NameEmpty),
        b' ' | b'\t' if in_name => Some(Rule::NameSpace),
        b' ' | b'\t' => Some(Rule::Folded),
        b if is_control(*b) => Some(Rule::Control),
        _ => Some(Rule::NameSyntax),
    }
}

#[cfg(test)]
mod tests;
