//! HTTP/1.1 exchanges on a connection, and what goes wrong with them.
//!
//! A [`Filter`] stands between what was read and the lanes. While nothing shall go wrong, all passes. When something shall, it
//! joins at the next request: a connection's first bytes, or what the client sends after the upstream spoke last. From then on one
//! exchange follows the other: a request is passed on once the answer before it is whole, so that an answer of our own comes in
//! its turn. Heads are passed on byte by byte as they came, but for a changed `Content-Length`.
//!
//! What is no HTTP/1.1, or is more than that (an upgrade, a tunnel), passes as it is from there on. Nothing goes wrong with it.
//!
//! Bounds: [`HELD_BYTES_MAX`] of requests that wait (then nothing more is read), a head of `Limits::head_bytes`.
//! Not here: whether a rule fits ([`Script`](crate::Script)), sockets. Tested: below, and by the fault server's tests.

use std::collections::VecDeque;

use baleen_base::Tick;
use baleen_http1::{
    Asked, BodyDecoder, Framing, Known, Limits, Local, Method, Parsed, Persist, RequestHead,
    RequestOptions, ResponseHead, local_response,
};

use crate::{Direction, Exchange, HttpFault};

/// Most bytes of requests that wait for the answer before theirs.
pub const HELD_BYTES_MAX: usize = 256 << 10;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Pass these on.
    Pass(Direction, Vec<u8>),
    /// The sender of this direction has ended.
    End(Direction),
    /// Pass what there is, and close both sides.
    Close,
}

/// Where the client's side is.
#[derive(Debug)]
enum Asking {
    /// Between requests, or within a head.
    Head,
    /// Within the body of a request that is passed on or, when it was answered here, thrown away.
    Body { decoder: BodyDecoder, pass: bool },
}

/// Where the answer is.
#[derive(Debug)]
enum Answering {
    /// None is awaited.
    Nothing,
    /// The head.
    Head { asked: Asked, fault: Option<HttpFault> },
    /// It waits until then.
    Held { until: Tick, asked: Asked },
    /// The body, of which so many bytes of content are passed on.
    Body { decoder: BodyDecoder, left: Option<u64> },
}

/// One connection's exchanges.
#[derive(Debug)]
pub struct Filter {
    on: bool,
    /// It speaks something else.
    never: bool,
    /// The client may begin a request with what it sends next.
    fresh: bool,
    asking: Asking,
    answering: Answering,
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// Ends to be passed on.
    ended: [bool; 2],
    closed: bool,
    acts: VecDeque<Act>,
}

fn limits() -> Limits {
    Limits::default()
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::new()
    }
}

impl Filter {
    /// One that lets all pass.
    #[must_use]
    pub fn new() -> Filter {
        Filter {
            on: false,
            never: false,
            fresh: true,
            asking: Asking::Head,
            answering: Answering::Nothing,
            requests: Vec::new(),
            answers: Vec::new(),
            ended: [false; 2],
            closed: false,
            acts: VecDeque::new(),
        }
    }

    /// Whether bytes of this direction have to come here; if not, they may go straight on, and that is told with `passed`.
    pub fn takes(&mut self, way: Direction, wanted: bool) -> bool {
        let joins = wanted && !self.never && way == Direction::Up && self.fresh;
        if joins && !self.on {
            self.on = true;
        } else if self.on && !wanted && self.is_idle() {
            self.on = false;
        }
        self.on
    }

    fn is_idle(&self) -> bool {
        let quiet = matches!((&self.asking, &self.answering), (Asking::Head, Answering::Nothing));
        quiet && self.requests.is_empty() && self.answers.is_empty() && !self.closed
    }

    /// Whether an end has to come here.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Bytes went straight on.
    pub fn passed(&mut self, way: Direction) {
        self.fresh = way == Direction::Down;
    }

    /// Whether no more of this direction should be read.
    #[must_use]
    pub fn is_full(&self, way: Direction) -> bool {
        let held = if way == Direction::Up { &self.requests } else { &self.answers };
        held.len() >= HELD_BYTES_MAX
    }

    /// These were read. `begin` says what goes wrong with a request.
    pub fn take(
        &mut self,
        way: Direction,
        bytes: &[u8],
        now: Tick,
        begin: impl FnMut(Exchange<'_>) -> Option<HttpFault>,
    ) {
        match way {
            Direction::Up => self.requests.extend_from_slice(bytes),
            Direction::Down => self.answers.extend_from_slice(bytes),
        }
        self.run(now, begin);
    }

    /// The sender of this direction has ended.
    pub fn end(
        &mut self,
        way: Direction,
        now: Tick,
        begin: impl FnMut(Exchange<'_>) -> Option<HttpFault>,
    ) {
        self.ended[way as usize] = true;
        self.run(now, begin);
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Tick, begin: impl FnMut(Exchange<'_>) -> Option<HttpFault>) {
        if self.due().is_some_and(|at| at <= now) {
            self.run(now, begin);
        }
    }

    /// When it has to be woken.
    #[must_use]
    pub fn due(&self) -> Option<Tick> {
        match self.answering {
            Answering::Held { until, .. } => Some(until),
            _ => None,
        }
    }

    /// What to do, in order.
    pub fn act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    fn pass(&mut self, way: Direction, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.acts.push_back(Act::Pass(way, bytes));
        }
    }

    /// From here on all passes.
    pub fn give_up(&mut self) {
        (self.on, self.never) = (false, true);
        (self.asking, self.answering) = (Asking::Head, Answering::Nothing);
        let (requests, answers) =
            (std::mem::take(&mut self.requests), std::mem::take(&mut self.answers));
        self.pass(Direction::Up, requests);
        self.pass(Direction::Down, answers);
        for way in [Direction::Up, Direction::Down] {
            self.say_end(way);
        }
    }

    /// Nothing comes after this.
    fn close(&mut self) {
        self.acts.push_back(Act::Close);
        self.closed = true;
    }

    fn run(&mut self, now: Tick, mut begin: impl FnMut(Exchange<'_>) -> Option<HttpFault>) {
        while self.on && !self.closed {
            let answered = self.answer(now);
            let asked = self.on && !self.closed && self.ask(&mut begin);
            if !answered && !asked {
                break;
            }
        }
        if self.closed {
            self.requests.clear();
            self.answers.clear();
            return;
        }
        if !self.on {
            return;
        }
        // An end passes once all before it has. What comes before it and is no whole head is passed as it is.
        if self.ended[Direction::Down as usize] && self.due().is_none() {
            // Nothing will be answered any more, so nothing waits for its turn.
            self.give_up();
        } else if self.ended[Direction::Up as usize] {
            if self.requests.is_empty() {
                self.say_end(Direction::Up);
            } else if matches!(self.answering, Answering::Nothing) {
                self.give_up();
            }
        }
    }

    /// Once.
    fn say_end(&mut self, way: Direction) {
        if std::mem::take(&mut self.ended[way as usize]) {
            self.acts.push_back(Act::End(way));
        }
    }

    /// Go on with requests. True when something happened.
    fn ask(&mut self, begin: &mut impl FnMut(Exchange<'_>) -> Option<HttpFault>) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        match &mut self.asking {
            Asking::Body { decoder, pass } => {
                let pass = *pass;
                let Ok(used) = decode(decoder, &self.requests) else {
                    self.give_up();
                    return true;
                };
                let done = decoder.is_done();
                let bytes: Vec<u8> = self.requests.drain(..used).collect();
                if pass {
                    self.pass(Direction::Up, bytes);
                }
                if done {
                    self.asking = Asking::Head;
                }
                used > 0 || done
            }
            Asking::Head if matches!(self.answering, Answering::Nothing) => self.head(begin),
            Asking::Head => false,
        }
    }

    /// A request's head, perhaps.
    fn head(&mut self, begin: &mut impl FnMut(Exchange<'_>) -> Option<HttpFault>) -> bool {
        let mut head = RequestHead::new();
        let consumed = match head.parse(&self.requests, &limits(), &RequestOptions::default()) {
            Ok(Parsed::Complete { consumed }) => consumed,
            Ok(Parsed::Partial) => return false,
            Err(_) => {
                self.give_up();
                return true;
            }
        };
        if head.upgrade().is_some() {
            self.give_up();
            return true;
        }
        let fault = {
            let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
            let buf = &self.requests;
            let names: Vec<String> =
                head.fields().iter().map(|f| text(f.name.of(buf)).to_ascii_lowercase()).collect();
            let values = head.fields().iter().map(|f| text(f.value.of(buf)));
            let headers: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
            begin(Exchange { path: text(head.path_and_query().of(buf)), headers: &headers })
        };
        let asked = head.asked(false);
        let bytes: Vec<u8> = self.requests.drain(..consumed).collect();
        let decoder = BodyDecoder::new(head.framing(), &limits());
        let pass = if let Some(HttpFault::Status { status, retry_after }) = fault {
            self.answer_here(status, retry_after, &head);
            false
        } else {
            self.pass(Direction::Up, bytes);
            self.answering = Answering::Head { asked, fault };
            true
        };
        if !decoder.is_done() {
            self.asking = Asking::Body { decoder, pass };
        }
        true
    }

    /// An answer of our own.
    fn answer_here(&mut self, status: u16, retry_after: Option<u32>, head: &RequestHead) {
        // Who waits for a word before the body may send it or not: nobody can tell.
        let goes_on = head.keep_alive() && !head.expect_continue();
        let persist = if goes_on { Persist::Unsaid } else { Persist::Close };
        let local = Local {
            status,
            content_type: "text/plain",
            body: b"a fault, as asked for\n",
            to_head: head.method() == Method::Head,
            persist,
        };
        let retry_after = retry_after.map(|s| s.to_string());
        let field = retry_after.iter().map(|s| (&b"Retry-After"[..], s.as_bytes()));
        let mut out = Vec::new();
        local_response(&mut out, &local, field);
        self.pass(Direction::Down, out);
        if persist == Persist::Close {
            self.close();
        }
    }

    /// Go on with the answer. True when something happened.
    fn answer(&mut self, now: Tick) -> bool {
        match &mut self.answering {
            // What comes unasked is not ours to judge.
            Answering::Nothing => {
                let bytes = std::mem::take(&mut self.answers);
                let some = !bytes.is_empty();
                self.pass(Direction::Down, bytes);
                some
            }
            Answering::Head { .. } if self.answers.is_empty() => false,
            Answering::Head { asked, fault } => {
                let (asked, fault) = (*asked, *fault);
                self.answer_head(now, asked, fault)
            }
            Answering::Held { until, asked } if *until <= now => {
                self.answering = Answering::Head { asked: *asked, fault: None };
                true
            }
            Answering::Held { .. } => false,
            Answering::Body { decoder, left } => {
                let before = decoder.is_done();
                let Ok((used, content)) = decode_counted(decoder, &self.answers, *left) else {
                    self.give_up();
                    return true;
                };
                let done = decoder.is_done();
                let cut = left.is_some_and(|left| content >= left && !before);
                if let Some(left) = left {
                    *left -= content.min(*left);
                }
                let bytes: Vec<u8> = self.answers.drain(..used).collect();
                self.pass(Direction::Down, bytes);
                if cut {
                    self.close();
                } else if done {
                    self.answering = Answering::Nothing;
                }
                used > 0 || done
            }
        }
    }

    fn answer_head(&mut self, now: Tick, asked: Asked, fault: Option<HttpFault>) -> bool {
        let mut head = ResponseHead::new();
        let consumed = match head.parse(&self.answers, &limits(), asked) {
            Ok(Parsed::Complete { consumed }) => consumed,
            Ok(Parsed::Partial) => return false,
            Err(_) => {
                self.give_up();
                return true;
            }
        };
        if head.is_tunnel() {
            self.give_up();
            return true;
        }
        if head.is_informational() {
            let bytes: Vec<u8> = self.answers.drain(..consumed).collect();
            self.pass(Direction::Down, bytes);
            return true;
        }
        if let Some(HttpFault::DelayHead { delay }) = fault {
            self.answering = Answering::Held { until: now + delay, asked };
            return true;
        }
        let mut bytes: Vec<u8> = self.answers.drain(..consumed).collect();
        let decoder = BodyDecoder::new(head.framing(), &limits());
        let mut left = None;
        match fault {
            Some(HttpFault::WrongLength { by }) => bytes = with_length(&head, &bytes, by),
            Some(HttpFault::CutBody { bytes }) => left = Some(bytes),
            _ => {}
        }
        self.pass(Direction::Down, bytes);
        if left == Some(0) && !decoder.is_done() {
            self.close();
        }
        let whole = decoder.is_done();
        self.answering = if whole { Answering::Nothing } else { Answering::Body { decoder, left } };
        true
    }
}

/// How many bytes belong to the body.
fn decode(decoder: &mut BodyDecoder, bytes: &[u8]) -> Result<usize, ()> {
    let mut at = 0;
    while at < bytes.len() && !decoder.is_done() {
        at += decoder.decode(&bytes[at..]).map_err(|_| ())?.consumed;
    }
    Ok(at)
}

/// How many bytes belong to the body, up to `most` of content, and how many of them are content.
fn decode_counted(
    decoder: &mut BodyDecoder,
    bytes: &[u8],
    most: Option<u64>,
) -> Result<(usize, u64), ()> {
    let (mut at, mut content) = (0, 0u64);
    while at < bytes.len() && !decoder.is_done() {
        let step = decoder.decode(&bytes[at..]).map_err(|_| ())?;
        let room = most.map_or(u64::MAX, |most| most - content);
        if step.data.len() as u64 >= room {
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            return Ok((at + step.data.start + room, content + room as u64));
        }
        content += step.data.len() as u64;
        at += step.consumed;
    }
    Ok((at, content))
}

/// The head with a length that is wrong by so much. Without a length, it stays as it is.
fn with_length(head: &ResponseHead, bytes: &[u8], by: i64) -> Vec<u8> {
    let (Framing::Length(length), Some(field)) =
        (head.framing(), head.all(Known::ContentLength).next())
    else {
        return bytes.to_vec();
    };
    let (start, end) = (field.value.start as usize, field.value.end as usize);
    let wrong = length.saturating_add_signed(by).to_string();
    let mut out = Vec::with_capacity(bytes.len() + 20);
    out.extend_from_slice(bytes.get(..start).unwrap_or_default());
    out.extend_from_slice(wrong.as_bytes());
    out.extend_from_slice(bytes.get(end..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
