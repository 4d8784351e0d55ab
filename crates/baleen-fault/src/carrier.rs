//! One connection between two sides: each direction goes through a lane of its own, both through one filter.
//!
//! While a lane has no toxics, bytes go past it: one read, one write. An end is passed on as it is, one direction at a time; a
//! connection that broke on one side is reset on the other. When a fault ends the connection, both sides are closed.
//!
//! Whoever drives it owns two [`Stream`]s that never wait, says which of them became readable ([`Carrier::readable`]), calls
//! [`Carrier::step`] and then sleeps as it says: until a stream is ready for what [`Carrier::interest`] names, a time has come, or
//! the faults have changed ([`Carrier::set`]).
//!
//! Bounds: a direction reads no more while its lane is full; what could not be written yet stops reading, too.
//! Not here: sockets, timers, which faults there are. Tested: below, and by the fault server and the proxy with real sockets.

use std::io;

use baleen_base::Tick;

use crate::{Act, Direction, Exchange, Filter, HttpFault, Lane, Out, Toxic};

const WAYS: [Direction; 2] = [Direction::Up, Direction::Down];

/// One side of a connection. None of it waits.
pub trait Stream {
    /// Read what there is; 0 when it has ended, [`io::ErrorKind::WouldBlock`] when there is nothing yet.
    ///
    /// # Errors
    ///
    /// When there is nothing yet, or it broke.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Write what it takes; [`io::ErrorKind::WouldBlock`] when it takes nothing now.
    ///
    /// # Errors
    ///
    /// When it takes nothing now, or it broke.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Say that nothing more will be written.
    fn shutdown_write(&self);
}

/// What shall go wrong with HTTP exchanges.
pub trait HttpFaults {
    /// Whether anything may.
    fn any(&self) -> bool;

    /// What goes wrong with an exchange that begins now.
    fn begin(&mut self, exchange: Exchange<'_>) -> Option<HttpFault>;
}

/// How a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Until something happens or, at the latest, then; at once when [`Carrier::has_more`].
    Wait(Option<Tick>),
    /// Both directions have come to their ends: close both sides.
    Finished,
    /// A fault ends it: close both sides.
    Close,
    /// Reset both sides.
    Reset,
}

/// What the sender of a direction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Open,
    Ended,
    Broke,
}

/// One direction.
#[derive(Debug)]
struct Half {
    lane: Lane,
    source: Source,
    /// It can be read from.
    ready: bool,
    /// Taken from the lane and not written yet.
    pending: Vec<u8>,
    at: usize,
    /// Nothing will be written any more.
    finished: bool,
    /// Its end closes the connection.
    closes: bool,
}

impl Half {
    fn new(now: Tick, seed: u64) -> Half {
        Half {
            lane: Lane::new(now, seed),
            source: Source::Open,
            ready: true,
            pending: Vec::new(),
            at: 0,
            finished: false,
            closes: false,
        }
    }

    fn is_written(&self) -> bool {
        self.at >= self.pending.len()
    }

    /// What nobody is there to get any more is read, too, so that its end is seen.
    fn wants_more(&self) -> bool {
        let has_room = self.is_written() && !self.lane.is_full();
        self.source == Source::Open && (self.finished || has_room)
    }
}

/// A connection. A direction is named by the side that it reads from: [`Direction::Up`] reads the client and writes to the
/// upstream; `streams` are in this order.
#[derive(Debug)]
pub struct Carrier {
    halves: [Half; 2],
    filter: Filter,
}

impl Carrier {
    /// A connection without faults, with a seed for each direction.
    #[must_use]
    pub fn new(now: Tick, seeds: [u64; 2]) -> Carrier {
        Carrier { halves: seeds.map(|seed| Half::new(now, seed)), filter: Filter::new() }
    }

    /// From now on these toxics work on a direction.
    pub fn set(&mut self, way: Direction, now: Tick, toxics: &[Toxic]) {
        self.halves[way as usize].lane.set(now, toxics);
    }

    /// The stream that a direction reads from may have something to read.
    pub fn readable(&mut self, way: Direction) {
        self.halves[way as usize].ready = true;
    }

    /// Whether there is more to read at once, after others have had their turn.
    #[must_use]
    pub fn has_more(&self) -> bool {
        WAYS.into_iter().any(|way| self.halves[way as usize].ready && self.wants_more(way))
    }

    /// What to wait for on the stream that a direction reads from: to read, to write.
    #[must_use]
    pub fn interest(&self, way: Direction) -> (bool, bool) {
        let other = &self.halves[1 - way as usize];
        (self.wants_more(way), !other.finished && !other.is_written())
    }

    /// Whether both sides have ended and neither end went anywhere yet.
    #[must_use]
    pub fn is_swallowed(&self) -> bool {
        self.halves.iter().all(|half| half.source != Source::Open && half.is_written())
    }

    /// Read what has come, at most one buffer of each side, and write what is due.
    pub fn step<S: Stream>(
        &mut self,
        streams: &[S; 2],
        buffer: &mut [u8],
        now: Tick,
        http: &mut impl HttpFaults,
    ) -> Next {
        for way in WAYS {
            self.read(way, streams, buffer, now, http);
        }
        if self.filter.is_on() {
            self.filter.wake(now, |exchange| http.begin(exchange));
            self.act(now);
        }
        let mut due = self.filter.due();
        for way in WAYS {
            match self.write(way, &streams[1 - way as usize], now) {
                Next::Wait(at) => due = [due, at].into_iter().flatten().min(),
                end => return end,
            }
        }
        if self.halves.iter().all(|half| half.finished) {
            return Next::Finished;
        }
        Next::Wait(due)
    }

    fn wants_more(&self, way: Direction) -> bool {
        self.halves[way as usize].wants_more() && !self.filter.is_full(way)
    }

    /// Read once, if there is something to read.
    fn read<S: Stream>(
        &mut self,
        way: Direction,
        streams: &[S; 2],
        buffer: &mut [u8],
        now: Tick,
        http: &mut impl HttpFaults,
    ) {
        if !self.halves[way as usize].ready || !self.wants_more(way) {
            return;
        }
        match streams[way as usize].try_read(buffer) {
            Ok(0) => self.ended(way, now, Source::Ended, http),
            Ok(n) => {
                // A buffer that was not filled was the last of it, most likely.
                self.halves[way as usize].ready = n == buffer.len();
                self.came(way, &streams[1 - way as usize], now, &buffer[..n], http);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.halves[way as usize].ready = false;
            }
            Err(_) => self.ended(way, now, Source::Broke, http),
        }
    }

    fn came(
        &mut self,
        way: Direction,
        to: &impl Stream,
        now: Tick,
        bytes: &[u8],
        http: &mut impl HttpFaults,
    ) {
        if self.halves[way as usize].finished {
            return;
        }
        if self.filter.takes(way, http.any()) {
            self.filter.take(way, bytes, now, |exchange| http.begin(exchange));
            self.act(now);
            return;
        }
        self.filter.passed(way);
        let half = &mut self.halves[way as usize];
        if !half.lane.is_clear() {
            half.lane.push(now, bytes);
            return;
        }
        half.lane.pass(bytes.len());
        let sent = to.try_write(bytes).unwrap_or(0);
        half.at = 0;
        half.pending.clear();
        half.pending.extend_from_slice(&bytes[sent..]);
    }

    fn ended(&mut self, way: Direction, now: Tick, how: Source, http: &mut impl HttpFaults) {
        self.halves[way as usize].source = how;
        if how == Source::Broke {
            self.filter.give_up();
            self.act(now);
        }
        if self.filter.is_on() {
            self.filter.end(way, now, |exchange| http.begin(exchange));
            self.act(now);
        } else {
            self.halves[way as usize].lane.end(now);
        }
    }

    /// Do what the filter says.
    fn act(&mut self, now: Tick) {
        while let Some(act) = self.filter.act() {
            match act {
                Act::Pass(way, bytes) => self.halves[way as usize].lane.push(now, &bytes),
                Act::End(way) => self.halves[way as usize].lane.end(now),
                Act::Close => {
                    let half = &mut self.halves[Direction::Down as usize];
                    half.closes = true;
                    half.lane.end(now);
                }
            }
        }
    }

    /// Write what is due, as far as the receiver takes it.
    fn write(&mut self, way: Direction, to: &impl Stream, now: Tick) -> Next {
        let half = &mut self.halves[way as usize];
        while !half.finished {
            if !half.is_written() {
                match to.try_write(&half.pending[half.at..]) {
                    Ok(n) => half.at += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Next::Wait(None),
                    // Whoever receives is gone. The other direction will see how; nothing waits for it.
                    Err(_) => {
                        half.finished = true;
                        self.filter.give_up();
                        self.act(now);
                        return Next::Wait(None);
                    }
                }
                continue;
            }
            match half.lane.poll(now) {
                Out::Bytes(bytes) => (half.pending, half.at) = (bytes, 0),
                Out::End if half.closes => return Next::Close,
                Out::End => match half.source {
                    Source::Open => return Next::Close,
                    Source::Broke => return Next::Reset,
                    Source::Ended => {
                        to.shutdown_write();
                        half.finished = true;
                    }
                },
                Out::Reset => return Next::Reset,
                Out::Wait(at) => return Next::Wait(Some(at)),
                Out::Idle => return Next::Wait(None),
            }
        }
        Next::Wait(None)
    }
}

#[cfg(test)]
mod tests;
