//! `rate`, `sticky`, `stale` and `answer` of `[route]`: what the proxy itself needs to know.
//!
//! Not here: what contradicts what (`checks`). Tested: in `tests/it/`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Rate;

use crate::diagnostic::{Diagnostic, Findings};
use crate::files::Files;
use crate::layer::{get, is_on, layer, on_at, set};
use crate::number;
use crate::reader::{Reader, TableOrWord};
use crate::shell::{ANSWER_BYTES_MAX, KeySource, Stale, StaticAnswer, Sticky};
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::Table;
use crate::value::{Wrong, show_size};

/// Longest content type.
const TYPE_BYTES_MAX: usize = 256;
/// What a fixed answer is when nothing is said.
const TYPE: &str = "text/plain; charset=utf-8";

layer! {
    /// What `rate` says.
    RateLayer {
        on: bool,
        limit: u64,
        burst: u32,
        key: KeySource,
    }
}

layer! {
    /// What `stale` says.
    StaleLayer {
        on: bool,
        age: Duration,
        bytes: u64,
        body: u64,
    }
}

/// What `sticky` says. It has a setting that must be there, so a table replaces another whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct StickyLayer {
    pub(crate) on: Option<At<bool>>,
    pub(crate) by: Option<At<KeySource>>,
    pub(crate) ttl: Option<At<Duration>>,
}

/// What `answer` says. A table replaces another whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerLayer {
    pub(crate) on: Option<At<bool>>,
    pub(crate) status: Option<At<u16>>,
    pub(crate) content_type: Option<At<String>>,
    pub(crate) body: Option<At<String>>,
    pub(crate) file: Option<At<PathBuf>>,
    /// What the file says.
    content: Vec<u8>,
}

/// Reads `rate`.
pub(crate) fn read_rate(r: &mut Reader<'_, '_>) -> RateLayer {
    match r.table_or_word("rate") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (limit, burst) = (r.frequency("limit"), r.integer("burst"));
            let key = r.text("key", |text| number::key_source(text, true));
            r.done();
            RateLayer { on: on_at(place), limit, burst, key }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            RateLayer { on: Some(off.map(|_| false)), ..RateLayer::default() }
        }
        None => RateLayer::default(),
    }
}

/// Reads `stale`.
pub(crate) fn read_stale(r: &mut Reader<'_, '_>) -> StaleLayer {
    match r.table_or_word("stale") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let (age, bytes, body) = (r.duration("age"), r.bytes("bytes"), r.bytes("body"));
            r.done();
            StaleLayer { on: on_at(place), age, bytes, body }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            StaleLayer { on: Some(off.map(|_| false)), ..StaleLayer::default() }
        }
        None => StaleLayer::default(),
    }
}

/// Reads `sticky`.
pub(crate) fn read_sticky(r: &mut Reader<'_, '_>) -> StickyLayer {
    match r.table_or_word("sticky") {
        Some((def, TableOrWord::Table(table, place))) => {
            let mut r = Reader::new(def, table, place, None, r.findings);
            let by = r.text("by", |text| number::key_source(text, false));
            let ttl = r.duration("ttl");
            r.done();
            StickyLayer { on: on_at(place), by, ttl }
        }
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            StickyLayer { on: Some(off.map(|_| false)), ..StickyLayer::default() }
        }
        None => StickyLayer::default(),
    }
}

/// Reads `answer`.
pub(crate) fn read_answer(r: &mut Reader<'_, '_>) -> AnswerLayer {
    match r.table_or_word("answer") {
        Some((def, TableOrWord::Table(table, place))) => answer(def, table, place, r.findings),
        Some((_, TableOrWord::Word(off) | TableOrWord::Value(off))) => {
            AnswerLayer { on: Some(off.map(|_| false)), ..AnswerLayer::default() }
        }
        None => AnswerLayer::default(),
    }
}

/// Reads a fixed answer.
pub(crate) fn answer(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> AnswerLayer {
    let mut r = Reader::new(def, table, place, None, findings);
    let layer = AnswerLayer {
        on: on_at(place),
        status: r.integer("status"),
        content_type: r.text("type", content_type),
        body: r.text("body", body),
        file: r.text("file", |text| {
            if text.is_empty() {
                return Err(Wrong::new("expected the path of a file"));
            }
            Ok(place.source.folder().join(text))
        }),
        content: Vec::new(),
    };
    r.done();
    layer
}

fn body(text: &str) -> Result<String, Wrong> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err(Wrong::new(format!("at most {}", show_size(ANSWER_BYTES_MAX as u64))));
    }
    Ok(text.to_owned())
}

fn content_type(text: &str) -> Result<String, Wrong> {
    let essence = text.split(';').next().unwrap_or("").trim();
    let parts =
        essence.split_once('/').is_some_and(|(a, b)| number::is_token(a) && number::is_token(b));
    let value = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if parts && value && text.len() <= TYPE_BYTES_MAX && text.trim() == text {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new("expected a content type such as \"application/json\"");
    Err(match essence.to_ascii_lowercase().as_str() {
        "json" => wrong.hint("did you mean \"application/json\"?"),
        "html" => wrong.hint("did you mean \"text/html; charset=utf-8\"?"),
        "text" | "plain" => wrong.hint(format!("did you mean \"{TYPE}\"?")),
        _ => wrong,
    })
}

impl RateLayer {
    pub(crate) fn params(&self) -> Option<Rate> {
        let mut p = Rate { per_kilosecond: 100_000, burst: 100 };
        set(&mut p.per_kilosecond, &self.limit);
        set(&mut p.burst, &self.burst);
        is_on(&self.on, false).then_some(p)
    }
}

impl StaleLayer {
    pub(crate) fn params(&self) -> Option<Stale> {
        let mut p = Stale::default();
        set(&mut p.age, &self.age);
        set(&mut p.bytes, &self.bytes);
        set(&mut p.body_bytes, &self.body);
        is_on(&self.on, false).then_some(p)
    }
}

impl StickyLayer {
    pub(crate) fn over(&self, below: &StickyLayer) -> StickyLayer {
        if self.on.is_some() { self.clone() } else { below.clone() }
    }

    pub(crate) fn params(&self) -> Option<Sticky> {
        let by = get(&self.by)?;
        is_on(&self.on, false).then_some(Sticky { by, ttl: get(&self.ttl) })
    }
}

impl AnswerLayer {
    pub(crate) fn over(&self, below: &AnswerLayer) -> AnswerLayer {
        if self.on.is_some() { self.clone() } else { below.clone() }
    }

    pub(crate) fn params(&self) -> Option<Arc<StaticAnswer>> {
        let status = get(&self.status)?;
        let body = match &self.body {
            Some(body) => body.value.clone().into_bytes(),
            None => self.content.clone(),
        };
        let content_type = get(&self.content_type).unwrap_or_else(|| TYPE.into());
        is_on(&self.on, false).then(|| Arc::new(StaticAnswer { status, content_type, body }))
    }

    /// Reads the file with the body, if there is one.
    pub(crate) fn load(&mut self, files: &dyn Files, findings: &mut Findings) {
        let Some(file) = &self.file else { return };
        let title = || format!("can not read {}", file.value.display());
        match files.read(&file.value) {
            Ok(bytes) if bytes.len() > ANSWER_BYTES_MAX => {
                let label = format!("it has more than {}", show_size(ANSWER_BYTES_MAX as u64));
                findings.push(Diagnostic::error(&file.place, title()).label(label));
            }
            Ok(bytes) => self.content = bytes,
            Err(error) => {
                findings.push(Diagnostic::error(&file.place, title()).label(error.to_string()));
            }
        }
    }

    /// Whether there is a body to send.
    pub(crate) fn has_body(&self) -> bool {
        self.body.as_ref().is_some_and(|b| !b.value.is_empty()) || !self.content.is_empty()
    }
}
