//! Old answers, kept for when nothing else is left (RFC 9111, RFC 5861 `stale-if-error`).
//!
//! A route with `stale` keeps the last good response to each GET that allows it ([`rules`]). It is served only where a failure
//! would be passed on: in place of a refusal of ours, and of a 500, 502, 503 or 504 that goes through. As long as the upstream
//! answers nothing comes from here, so this is no performance cache, and nothing is revalidated.
//!
//! **Key.** The route, scheme, authority, path and query, and the request's values of what the response varies by, all
//! compared in full; a request that brings a table of its own comes here neither to keep nor to find. HEAD is answered from what GET got. Conditions and ranges in the request are not evaluated: it gets the
//! whole.
//!
//! **Scope: process.** What one worker kept serves all. Each route has a shelf behind a lock of its own, taken once per
//! response that is kept and once per failure; a route without `stale` takes none. Entries are made and read outside of it.
//!
//! **Bounds, per route.** `stale.bytes` for all that is kept, counting [`ENTRY_BYTES`] besides the bytes of each; at that
//! bound what was stored longest ago goes. (Each good response stores anew, so this is also what was used longest ago.)
//! [`ENTRIES_MAX`] entries; [`VARIANTS_MAX`] for one key; `stale.body_bytes` for one body. Responses that are on their way
//! may hold as many bytes again, all together; what finds no room is not kept. Entries older than `stale.age` go when
//! something is stored. A shelf goes when its route loses `stale`.
//!
//! Not here: when it is served (`exchange/degraded`). Tested: `stale/tests.rs`, `tests/it/degraded.rs`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use baleen_base::{RouteId, Tick};
use baleen_config::Stale;
use baleen_http1::{Known, Persist, reason_phrase};

use crate::access_log::push_http_date;
use crate::forward::PSEUDONYM;
use crate::head::{FIELDS_MAX, FieldView, HeadView};

mod rules;

use rules::Use;

/// Counted for each entry besides its bytes: what the maps take.
const ENTRY_BYTES: u64 = 512;
/// Most entries of a route.
const ENTRIES_MAX: usize = 65_536;
/// Most entries that differ only in what they vary by.
const VARIANTS_MAX: usize = 8;
/// Longest of a request's values that a response may vary by, all together.
const SELECTING_BYTES_MAX: usize = 4096;

/// All shelves of a process.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    by_route: RwLock<HashMap<RouteId, Arc<Shelf>>>,
}

/// What is kept for a route.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Bytes of responses that are on their way.
    in_flight: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Arc<[u8]>, Vec<Variant>>,
    /// Keys by the number of their entry: in the order in which they were stored.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Variant {
    number: u64,
    vary: Vec<Vec<u8>>,
    /// What the request said in those fields.
    selecting: Vec<u8>,
    saved: Arc<Saved>,
}

/// A response that was kept.
#[derive(Debug)]
pub(crate) struct Saved {
    pub status: u16,
    /// Fields as lines, but those about the connection and the length.
    fields: Vec<u8>,
    pub body: Vec<u8>,
    /// When its head came.
    came: Tick,
    fresh: Option<u64>,
    age: u64,
    age_max: Option<u64>,
    shared: bool,
    /// What it counts for.
    bytes: u64,
}

/// A response that is on its way and may be kept when it is whole.
#[derive(Debug)]
pub(crate) struct Capture {
    bounds: Stale,
    key: Vec<u8>,
    vary: Vec<Vec<u8>>,
    selecting: Vec<u8>,
    saved: Saved,
    reserved: Reserved,
}

/// Bytes that are counted as on their way, until it is dropped.
#[derive(Debug)]
struct Reserved {
    shelf: Arc<Shelf>,
    bytes: u64,
}

/// A response whose head is here.
pub(crate) struct Fresh<'a, V> {
    pub status: u16,
    pub head: &'a V,
    /// How long its body is, if that is known.
    pub length: Option<u64>,
    pub now: Tick,
    pub unix_ms: u64,
}

impl Shelves {
    /// The shelf of a route that keeps.
    fn shelf(&self, route: RouteId) -> Arc<Shelf> {
        if let Some(shelf) = self.known(route) {
            return shelf;
        }
        let mut all = self.by_route.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(route).or_default())
    }

    fn known(&self, route: RouteId) -> Option<Arc<Shelf>> {
        let all = self.by_route.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&route).map(Arc::clone)
    }

    /// Let go of what is kept for other routes than these.
    pub fn retain(&self, keeps: impl Fn(RouteId) -> bool) {
        if self.by_route.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let mut all = self.by_route.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|route, _| keeps(*route));
    }

    /// Begin to keep the response to a request, if it may be kept. `content`: the request has a body.
    pub fn begin<V: FieldView>(
        &self,
        route: RouteId,
        bounds: Stale,
        request: &impl HeadView,
        content: bool,
        response: &Fresh<'_, V>,
    ) -> Option<Capture> {
        let length = response.length.unwrap_or(0);
        if length > bounds.body_bytes {
            return None;
        }
        let Fresh { status, head, .. } = *response;
        let how = rules::usable(request, content, status, head, response.unix_ms / 1000)?;
        let selecting = rules::selecting(request, &how.vary);
        if selecting.len() > SELECTING_BYTES_MAX {
            return None;
        }
        let Use { fresh, age, age_max, shared, vary } = how;
        let mut capture = Capture {
            bounds,
            key: key(request),
            vary,
            selecting,
            saved: Saved {
                status,
                fields: lines(head, response.unix_ms),
                body: Vec::new(),
                came: response.now,
                fresh,
                age,
                age_max,
                shared,
                bytes: 0,
            },
            reserved: Reserved { shelf: self.shelf(route), bytes: 0 },
        };
        let named: usize = capture.vary.iter().map(Vec::len).sum();
        let head = capture.key.len() + capture.saved.fields.len() + capture.selecting.len() + named;
        let all = head as u64 + ENTRY_BYTES + length;
        capture.saved.bytes = all - length;
        // All of a length that is known, so that one that finds no room is not copied in vain.
        if all > bounds.bytes || !capture.reserved.add(all, bounds.bytes) {
            return None;
        }
        capture.saved.body.reserve_exact(usize::try_from(length).ok()?);
        Some(capture)
    }

    /// What was kept for such a request and may be served now. `content`: the request has a body.
    pub fn find(
        &self,
        route: RouteId,
        bounds: Stale,
        request: &impl HeadView,
        content: bool,
        now: Tick,
    ) -> Option<Arc<Saved>> {
        if !rules::may_take(request, content) {
            return None;
        }
        let says = rules::directives(request);
        let authorized = rules::is_authorized(request);
        let shelf = self.known(route)?;
        let key = key(request);
        let kept = shelf.kept();
        // The last one stored counts.
        let variants = kept.by_key.get(&key[..])?.iter().rev();
        let mut alike = variants.filter(|v| rules::selecting(request, &v.vary) == v.selecting);
        let saved = &alike.next()?.saved;
        let age_max = match (saved.age_max, says.stale_if_error) {
            (max, None) => max.unwrap_or(u64::MAX),
            (max, Some(after)) => {
                max.unwrap_or(u64::MAX).min(saved.fresh.unwrap_or(0).saturating_add(after))
            }
        };
        let usable = now.since(saved.came) <= bounds.age
            && saved.age(now) <= age_max
            && (saved.shared || !authorized)
            && !says.no_cache;
        usable.then(|| Arc::clone(saved))
    }
}

/// What a request asks for: scheme, authority, path and query.
fn key(request: &impl HeadView) -> Vec<u8> {
    let authority = request.authority().unwrap_or_default();
    let path = request.path_and_query();
    let scheme = request.scheme().as_str();
    let mut key = Vec::with_capacity(scheme.len() + authority.len() + path.len() + 3);
    key.extend_from_slice(scheme.as_bytes());
    key.extend_from_slice(b"://");
    key.extend(authority.iter().map(u8::to_ascii_lowercase));
    // Neither holds a line end.
    key.push(b'\n');
    key.extend_from_slice(path);
    key
}

/// A response's fields as they are served later.
fn lines(head: &impl FieldView, unix_ms: u64) -> Vec<u8> {
    const OURS: u32 = Known::ContentLength.bit()
        | Known::TransferEncoding.bit()
        | Known::Trailer.bit()
        | Known::ForPolicy.bit();
    let out_of = head.hop_by_hop() | head.mask(OURS) | head.find(b"age");
    let mut lines = Vec::new();
    let mut dated = false;
    for i in (0..head.field_count().min(FIELDS_MAX)).filter(|i| out_of & (1 << i) == 0) {
        let (name, value) = head.field(i);
        dated |= name.eq_ignore_ascii_case(b"date");
        for part in [name, b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    if !dated {
        lines.extend_from_slice(b"Date: ");
        push_http_date(&mut lines, unix_ms);
        lines.extend_from_slice(b"\r\n");
    }
    push(&mut lines, format_args!("Via: {} {PSEUDONYM}\r\n", head.protocol().as_str()));
    lines.shrink_to_fit();
    lines
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
}

impl Capture {
    /// More of its body. False when it is too long, or there is no room: then it can't be kept.
    pub fn add(&mut self, content: &[u8]) -> bool {
        let all = self.saved.body.len() as u64 + content.len() as u64;
        let total = self.saved.bytes + all;
        if all > self.bounds.body_bytes || total > self.bounds.bytes {
            return false;
        }
        let more = total.saturating_sub(self.reserved.bytes);
        if more > 0 && !self.reserved.add(more, self.bounds.bytes) {
            return false;
        }
        self.saved.body.extend_from_slice(content);
        true
    }

    /// It is whole: keep it.
    pub fn keep(self) {
        let Capture { bounds, key, vary, selecting, mut saved, reserved } = self;
        saved.body.shrink_to_fit();
        saved.bytes += saved.body.len() as u64;
        let variant = Variant { number: 0, vary, selecting, saved: Arc::new(saved) };
        let gone = reserved.shelf.kept().put(&key, variant, bounds);
        // Freed without the lock.
        drop(gone);
    }
}

impl Reserved {
    /// Count so many more, if no more than `max` are on their way then.
    fn add(&mut self, bytes: u64, max: u64) -> bool {
        let before = self.shelf.in_flight.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        let fits = before.saturating_add(bytes) <= max;
        if !fits {
            self.bytes -= bytes;
            self.shelf.in_flight.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shelf.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Shelf {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Store an entry, and take out what has no place beside it.
    fn put(&mut self, key: &[u8], mut variant: Variant, bounds: Stale) -> Vec<Variant> {
        let mut gone = Vec::new();
        let now = variant.saved.came;
        let bytes = variant.saved.bytes;
        if bytes > bounds.bytes {
            return gone;
        }
        variant.number = self.next;
        self.next += 1;
        let same = |v: &Variant| v.vary == variant.vary && v.selecting == variant.selecting;
        if let Some(variants) = self.by_key.get(key) {
            let old = variants.iter().find(|v| same(v));
            let full = (variants.len() >= VARIANTS_MAX).then(|| variants.first()).flatten();
            if let Some(number) = old.or(full).map(|v| v.number) {
                gone.extend(self.take(number));
            }
        }
        while let Some((number, _)) = self.order.first_key_value() {
            let number = *number;
            let full = self.bytes + bytes > bounds.bytes || self.order.len() >= ENTRIES_MAX;
            let old = || self.came(number).is_none_or(|came| now.since(came) > bounds.age);
            if !full && !old() {
                break;
            }
            gone.extend(self.take(number));
        }
        let key = match self.by_key.get_key_value(key) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(key),
        };
        self.order.insert(variant.number, Arc::clone(&key));
        self.bytes += bytes;
        self.by_key.entry(key).or_default().push(variant);
        debug_assert!(self.bytes <= bounds.bytes && self.order.len() <= ENTRIES_MAX);
        gone
    }

    fn came(&self, number: u64) -> Option<Tick> {
        let variants = self.by_key.get(self.order.get(&number)?)?;
        variants.iter().find(|v| v.number == number).map(|v| v.saved.came)
    }

    fn take(&mut self, number: u64) -> Option<Variant> {
        let key = self.order.remove(&number)?;
        let variants = self.by_key.get_mut(&key)?;
        let at = variants.iter().position(|v| v.number == number)?;
        let variant = variants.remove(at);
        if variants.is_empty() {
            self.by_key.remove(&key);
        }
        self.bytes -= variant.saved.bytes;
        Some(variant)
    }
}

impl Saved {
    /// Its age in seconds (RFC 9111 section 4.2.3).
    fn age(&self, now: Tick) -> u64 {
        self.age.saturating_add(now.since(self.came).as_secs())
    }

    /// Appends its head as an HTTP/1 response, with these fields besides its own. The body follows, if it is to be sent.
    pub fn push_head<'n>(
        &self,
        out: &mut Vec<u8>,
        now: Tick,
        persist: Persist,
        add: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
    ) {
        push(out, format_args!("HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status)));
        out.extend_from_slice(&self.fields);
        push(out, format_args!("Age: {}\r\n", self.age(now)));
        push(out, format_args!("Cache-Status: {PSEUDONYM}; hit; detail=stale-if-error\r\n"));
        for (name, value) in add {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        push(out, format_args!("Content-Length: {}\r\n", self.body.len()));
        match persist {
            Persist::Unsaid => {}
            Persist::Close => out.extend_from_slice(b"Connection: close\r\n"),
            Persist::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
