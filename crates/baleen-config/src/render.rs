//! How diagnostics look: text with carets, in the manner of rustc, and JSON.
//!
//! Everything that comes from a file is shown with control characters made visible. Tested: in `tests/it/`.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Related, Severity};
use crate::span::Place;

/// Longest piece of a line that is shown, in bytes; more would not be read.
const SHOWN_BYTES_MAX: usize = 4096;

/// With or without colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Plain text.
    Plain,
    /// With terminal colours.
    Colour,
}

/// Diagnostics as text, each with its file, line and caret, an empty line between them.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], look: Look) -> String {
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Colour => Renderer::styled(),
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&one(diagnostic, &renderer));
        out.push('\n');
    }
    out
}

/// One line that says how many there are: `2 errors, 1 warning`. Empty for none.
#[must_use]
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let words = |n: usize, one: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {one}s")),
    };
    let parts =
        [words(count(Severity::Error), "error"), words(count(Severity::Warning), "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn one(d: &Diagnostic, renderer: &Renderer) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        d.related.iter().partition(|r| same_line(&r.place, &d.place));
    elements.push(snippet(&d.place, &d.label, AnnotationKind::Primary, &here));
    for related in elsewhere {
        elements.push(snippet(&related.place, &related.label, AnnotationKind::Context, &[]));
    }
    for note in &d.notes {
        elements.push(Level::NOTE.message(clean(note)).into());
    }
    if let Some(hint) = &d.hint {
        elements.push(Level::HELP.with_name("hint").message(clean(hint)).into());
    }
    let group: Group<'_> = level.primary_title(clean(&d.title)).elements(elements);
    renderer.render(&[group])
}

fn same_line(a: &Place, b: &Place) -> bool {
    let line = |p: &Place| p.source.line_column(p.span.start).0;
    a.source == b.source && line(a) == line(b)
}

/// The one line where a place begins, with a caret under the part of it that is in that line, and what else is there.
fn snippet(
    place: &Place,
    label: &str,
    kind: AnnotationKind,
    also: &[&Related],
) -> Element<'static> {
    let source = &place.source;
    let span = source.clamp(&place.span);
    let (line, _) = source.line_column(span.start);
    let (text, within) = one_line(&source.text, span);
    let related = also.iter().map(|r| {
        let (_, within) = one_line(&source.text, source.clamp(&r.place.span));
        (within.start.min(text.len())..within.end.min(text.len()), clean(&r.label))
    });
    let related: Vec<_> = related.filter(|(span, _)| text.get(span.clone()).is_some()).collect();
    let annotation = kind.span(within);
    let annotation = if label.is_empty() { annotation } else { annotation.label(clean(label)) };
    Snippet::source(text)
        .line_start(line)
        .path(clean(&source.name.display().to_string()))
        .annotation(annotation)
        .annotations(
            related
                .into_iter()
                .map(|(span, label)| AnnotationKind::Context.span(span).label(label)),
        )
        .into()
}

/// The line in which a span begins and the span within it. Lines that are too long are cut at the end; what is cut before
/// the span is replaced, so that columns stay right.
fn one_line(text: &str, span: Range<usize>) -> (String, Range<usize>) {
    let start = text.get(..span.start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let rest = text.get(start..).unwrap_or("");
    let line = match rest.split_once('\n') {
        Some((line, _)) => line.strip_suffix('\r').unwrap_or(line),
        None => rest,
    };
    let mut from = span.start - start;
    let mut to = (span.end - start).clamp(from.min(line.len()), line.len());
    from = from.min(line.len());
    let mut end = (from + SHOWN_BYTES_MAX).min(line.len());
    while !line.is_char_boundary(end) {
        end += 1;
    }
    to = to.min(end);
    if to == from {
        to = line.get(from..).and_then(|t| t.chars().next()).map_or(to, |c| from + c.len_utf8());
    }
    let shown = line.get(..end.max(to)).unwrap_or("");
    // One character stays one character, so that columns stay right.
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let before: String = shown.get(..from).unwrap_or("").chars().map(visible).collect();
    let marked: String = shown.get(from..to).unwrap_or("").chars().map(visible).collect();
    let after: String = shown.get(to..).unwrap_or("").chars().map(visible).collect();
    let within = before.len()..before.len() + marked.len();
    (before + &marked + &after, within)
}

/// Control characters made visible, so that a file can not write to the terminal.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(SHOWN_BYTES_MAX) {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Diagnostics as a JSON list. Lines and columns count from 1, columns in characters; `start` and `end` are bytes.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic]) -> String {
    let list: Vec<Value> = diagnostics.iter().map(json_of).collect();
    let text = Value::Array(list).to_string();
    // The printer leaves DEL and C1 as they are, which some terminals obey.
    let escaped = |c: char| format!("\\u{:04x}", u32::from(c));
    text.chars().map(|c| if c.is_control() { escaped(c) } else { c.to_string() }).collect()
}

fn json_of(d: &Diagnostic) -> Value {
    let related = d.related.iter().map(|r| with(json_place(&r.place), "label", json!(r.label)));
    let mut value = json_place(&d.place);
    value = with(value, "severity", json!(d.severity.as_str()));
    value = with(value, "title", json!(d.title));
    value = with(value, "label", json!(d.label));
    value = with(value, "notes", json!(d.notes));
    value = with(value, "hint", json!(d.hint));
    let related = related.collect();
    with(value, "related", Value::Array(related))
}

fn json_place(place: &Place) -> Value {
    let (line, column) = place.source.line_column(place.span.start);
    let file = place.source.name.display().to_string();
    json!({ "file": file, "line": line, "column": column, "start": place.span.start, "end": place.span.end })
}

fn with(mut value: Value, key: &str, of: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.insert(key.to_owned(), of);
    }
    value
}
