//! Delegation tables that come with a request, and what is sent on of them.
//!
//! | field | from whom | meaning |
//! |---|---|---|
//! | `baleen-dtab`, `l5d-dtab` | trusted callers | a table for this request |
//! | `baleen-ctx-dtab`, `l5d-ctx-dtab` | trusted callers | one that is carried along: services copy it into the requests they send |
//! | `baleen-dst-residual`, `l5d-dst-residual` | trusted callers | what was left over of the path at the hop before |
//!
//! In force is the base table, behind it what was carried along, behind that what came for this request; later entries win. Sent
//! on is the sum of the latter two as `baleen-ctx-dtab`, and as `l5d-ctx-dtab` if any `l5d-` form came. Of entries that are the same
//! only the last counts, which means the same, so that a table does not grow with each hop that sends it on in two forms. From
//! callers that are not trusted none of these fields is read, and none is sent on; names with `_` for `-` go from everybody.
//!
//! Bounds: [`CARRIED_BYTES_MAX`] of text and [`CARRIED_ENTRIES_MAX`] entries, all fields together; more is refused.
//! Not here: what a table means (`baleen-names`). Tested: `names/tests.rs`, `tests/it/names.rs`.

use std::borrow::Cow;

use baleen_base::ClusterId;
use baleen_http1::Known;
use baleen_names::{Dentry, Dtab, ParseError};

use super::Extra;
use crate::edits::Edits;
use crate::head::{FieldView, indices};

/// Most bytes of the tables of one request.
pub const CARRIED_BYTES_MAX: usize = 8192;
/// Most entries of the tables of one request.
pub const CARRIED_ENTRIES_MAX: usize = 64;

/// A request's own table.
#[derive(Clone, Debug)]
pub struct Carried {
    /// What was carried along and behind it what came for this request.
    pub dtab: Dtab,
    /// The same as text.
    pub text: Box<str>,
    /// Some of it came in an `l5d-` form.
    pub l5d: bool,
}

/// One of the fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Context { l5d: bool },
    Own { l5d: bool },
    Residual,
}

impl Field {
    fn of(name: &[u8]) -> Option<Field> {
        const FIELDS: [(&[u8], Field); 6] = [
            (b"baleen-ctx-dtab", Field::Context { l5d: false }),
            (b"l5d-ctx-dtab", Field::Context { l5d: true }),
            (b"baleen-dtab", Field::Own { l5d: false }),
            (b"l5d-dtab", Field::Own { l5d: true }),
            (b"baleen-dst-residual", Field::Residual),
            (b"l5d-dst-residual", Field::Residual),
        ];
        FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// Whether it is the name of one of these fields.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    Field::of(name).is_some()
}

/// The table that a request of a trusted caller brings.
///
/// # Errors
///
/// What is wrong with it, for who sent it.
#[inline]
pub fn carried(view: &impl FieldView) -> Result<Option<Carried>, Box<str>> {
    let fields = view.mask(Known::ForNames.bit());
    if fields == 0 { Ok(None) } else { read(view, fields) }
}

#[cold]
fn read(view: &impl FieldView, fields: u128) -> Result<Option<Carried>, Box<str>> {
    let (mut entries, mut bytes, mut l5d) = (Vec::new(), 0, false);
    let orders: [fn(Field) -> bool; 2] =
        [|f| matches!(f, Field::Context { .. }), |f| matches!(f, Field::Own { .. })];
    for wanted in orders {
        for i in indices(fields) {
            let (name, value) = view.field(i);
            let Some(field) = Field::of(name).filter(|field| wanted(*field)) else { continue };
            l5d |= matches!(field, Field::Context { l5d: true } | Field::Own { l5d: true });
            bytes += value.len();
            if bytes > CARRIED_BYTES_MAX {
                return Err(too_much("bytes", CARRIED_BYTES_MAX));
            }
            // What is no UTF-8 is no table either: the parser says where.
            let text = String::from_utf8_lossy(value);
            let dtab = Dtab::parse(&text).map_err(|e| wrong(name, &text, &e))?;
            entries.extend_from_slice(dtab.entries());
        }
    }
    only_last(&mut entries);
    if entries.len() > CARRIED_ENTRIES_MAX {
        return Err(too_much("entries", CARRIED_ENTRIES_MAX));
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let dtab = Dtab::from_entries(entries);
    let dtab = dtab.ok_or_else(|| too_much("bytes", CARRIED_BYTES_MAX))?;
    let text = dtab.to_string().into();
    Ok(Some(Carried { dtab, text, l5d }))
}

/// Of entries that are the same the last stays: of alternatives that are the same the first is tried, and that is the last
/// entry.
fn only_last(entries: &mut Vec<Dentry>) {
    // A bound on the work, too: there are at most some thousand.
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Dentry> =
        entries.drain(..).rev().filter(|entry| seen.insert(entry.clone())).collect();
    kept.reverse();
    *entries = kept;
}

fn too_much(what: &str, most: usize) -> Box<str> {
    format!("the delegation tables of a request have at most {most} {what} together").into()
}

fn wrong(name: &[u8], text: &str, error: &ParseError) -> Box<str> {
    let name = String::from_utf8_lossy(name);
    format!("{name}: {error}\n{}", error.caret(text)).into()
}

/// What is sent on.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The table, unless nothing of it is left.
    pub table: Option<&'a str>,
    /// What is left over of the path at the endpoint that is chosen.
    pub residual: Option<&'a str>,
    /// The table also in its `l5d-` form.
    pub l5d: bool,
    /// The sender's own word about a residual goes on.
    pub trusted: bool,
}

impl<'a> Onward<'a> {
    /// What goes to an endpoint of this cluster.
    #[inline]
    #[must_use]
    pub fn of(extra: Option<&'a Extra>, cluster: Option<ClusterId>, trusted: bool) -> Onward<'a> {
        let Some(extra) = extra else {
            return Onward { table: None, residual: None, l5d: false, trusted };
        };
        let left = extra.residuals.iter().find(|(known, _)| Some(*known) == cluster);
        Onward {
            table: extra.table.as_deref(),
            residual: left.map(|(_, text)| &**text),
            l5d: extra.l5d,
            trusted,
        }
    }
}

/// Changes a request to be sent on.
#[inline]
pub fn onward(view: &impl FieldView, onward: &Onward<'_>, edits: &mut Edits) {
    let fields = view.mask(Known::ForNames.bit());
    if fields != 0 || onward.table.is_some() || onward.residual.is_some() {
        write(view, fields, onward, edits);
    }
}

#[cold]
fn write(view: &impl FieldView, fields: u128, onward: &Onward<'_>, edits: &mut Edits) {
    let residual_stays = onward.trusted && onward.residual.is_none();
    for i in indices(fields) {
        if !residual_stays || Field::of(view.field(i).0) != Some(Field::Residual) {
            edits.drop_field(i);
        }
    }
    if let Some(table) = onward.table {
        edits.append("baleen-ctx-dtab", table.as_bytes());
        if onward.l5d {
            edits.append("l5d-ctx-dtab", table.as_bytes());
        }
    }
    if let Some(residual) = onward.residual {
        edits.append("baleen-dst-residual", residual.as_bytes());
        edits.append("l5d-dst-residual", residual.as_bytes());
    }
}

/// What is left of a table when some of its entries are not sent on.
pub(super) fn without<'a>(carried: &'a Carried, spent: &[usize]) -> Option<Cow<'a, str>> {
    if spent.is_empty() {
        return Some(Cow::Borrowed(&carried.text));
    }
    let entries = carried.dtab.entries().iter().enumerate();
    let left = entries.filter(|(i, _)| !spent.contains(i)).map(|(_, entry)| entry.clone());
    let dtab = Dtab::from_entries(left.collect()).filter(|dtab| !dtab.is_empty())?;
    Some(Cow::Owned(dtab.to_string()))
}
