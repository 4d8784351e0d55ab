//! Buffers for bytes on their way: three sizes, kept in one stack each per worker.
//!
//! A connection that waits for its next request holds none. A body starts with the smallest, 18 KiB, which holds a head and
//! the 16 KiB that many servers write at once. It gets larger ones, 64 KiB and 256 KiB, by what it has proven (`Growth`): the
//! next one after two reads that filled what it had; the largest after one, if its length says that it will be filled. Larger
//! ones gained nothing when measured. A body that trickles never gets a larger one, whatever it announces, and holds none
//! while nothing comes. Bounds: a stack
//! keeps `KEPT` buffers of each size, more are given back to the allocator; how many are in use is bounded by the calls in
//! flight, each of which holds at most two, and counted (`baleen_buffers`, `baleen_buffer_bytes`).
//!
//! Not here: what the bytes mean. Tested: below.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use baleen_telemetry::{ShellGauge, WorkerCells};

/// Bytes in a buffer of each size.
pub(crate) const SIZES: [usize; 3] = [18 * 1024, 64 * 1024, 256 * 1024];
/// Spare buffers kept of each size.
const KEPT: [usize; 3] = [256, 32, 16];

/// One worker's spare buffers.
pub(crate) struct Buffers {
    spare: [Cell<Vec<Box<[u8]>>>; 3],
    cells: Rc<WorkerCells>,
}

impl Buffers {
    /// None yet.
    pub fn new(cells: Rc<WorkerCells>) -> Rc<Buffers> {
        Rc::new(Buffers { spare: Default::default(), cells })
    }

    /// A buffer of `SIZES[size]` bytes.
    #[inline]
    pub fn take(self: &Rc<Self>, size: usize) -> Buf {
        let size = size.min(SIZES.len() - 1);
        let mut spare = self.spare[size].take();
        let data = spare.pop();
        self.spare[size].set(spare);
        let data = data.unwrap_or_else(|| vec![0; SIZES[size]].into_boxed_slice());
        self.level(1, data.len() as i64);
        Buf { data, start: 0, end: 0, home: Rc::clone(self), size }
    }

    /// A place for a buffer, without one.
    #[inline]
    pub fn none(self: &Rc<Self>) -> Buf {
        Buf { data: Box::default(), start: 0, end: 0, home: Rc::clone(self), size: 0 }
    }

    fn level(&self, buffers: i64, bytes: i64) {
        self.cells.level(ShellGauge::Buffers, buffers);
        self.cells.level(ShellGauge::BufferBytes, bytes);
    }

    fn give(&self, size: usize, data: Box<[u8]>) {
        if data.is_empty() {
            return;
        }
        self.level(-1, -(data.len() as i64));
        let mut spare = self.spare[size].take();
        if spare.len() < KEPT[size] {
            spare.push(data);
        }
        self.spare[size].set(spare);
    }
}

/// A buffer: bytes `start..end` are filled.
pub(crate) struct Buf {
    data: Box<[u8]>,
    /// First filled byte.
    pub start: usize,
    /// After the last filled byte.
    pub end: usize,
    home: Rc<Buffers>,
    size: usize,
}

impl Buf {
    /// What is filled.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Everything up to `end`, whatever was consumed: parsed spans point into this.
    #[inline]
    pub fn upto_end(&self) -> &[u8] {
        &self.data[..self.end]
    }

    /// Any range of it.
    #[inline]
    pub fn at(&self, range: Range<usize>) -> &[u8] {
        &self.data[range]
    }

    /// Any range of it, to change.
    #[inline]
    pub fn at_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.data[range]
    }

    /// Room after what is filled.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.data[self.end..]
    }

    /// How much room there is.
    #[inline]
    pub fn room_len(&self) -> usize {
        self.data.len() - self.end
    }

    /// Whether nothing is filled.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes are filled.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Forget what is filled.
    #[inline]
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Move what is filled to the front.
    pub fn compact(&mut self) {
        if self.start != 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Get a buffer of the smallest size if there is none here yet.
    #[inline]
    pub fn ensure(&mut self) {
        if self.data.is_empty() {
            let home = Rc::clone(&self.home);
            *self = home.take(0);
        }
    }

    /// Give the buffer back; the place stays.
    #[inline]
    pub fn release(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.home.give(self.size, data);
        self.start = 0;
        self.end = 0;
        self.size = 0;
    }

    /// Append bytes that fit.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        self.data[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Its size, as an index into `SIZES`.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A copy in a larger buffer, positions kept; false when it is the largest already.
    pub fn grow(&mut self) -> bool {
        if self.size + 1 >= SIZES.len() {
            return false;
        }
        let mut larger = self.home.take(self.size + 1);
        larger.data[..self.end].copy_from_slice(&self.data[..self.end]);
        larger.start = self.start;
        larger.end = self.end;
        *self = larger;
        true
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        if !self.data.is_empty() {
            self.home.give(self.size, std::mem::take(&mut self.data));
        }
    }
}

/// When a body gets a larger buffer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Growth {
    full_reads: u8,
    last: usize,
}

impl Growth {
    /// One read gave `took` bytes where `room` were free.
    #[inline]
    pub fn saw(&mut self, took: usize, room: usize) {
        self.last = took;
        if took == room {
            self.full_reads = self.full_reads.saturating_add(1);
        }
    }

    /// Nothing is there to be read now: an empty `buf` is given back, unless what comes is too much for the smallest.
    #[inline]
    pub fn waits(&self, buf: &mut Buf) {
        if buf.is_empty() && self.last <= SIZES[0] {
            buf.release();
        }
    }

    /// Replace an empty `buf` if the body has proven long. `left`: bytes that follow as far as is known.
    #[inline]
    pub fn apply(&mut self, buf: &mut Buf, left: u64) {
        let largest = SIZES.len() - 1;
        if self.full_reads == 0 || !buf.is_empty() || buf.size() == largest {
            return;
        }
        let size = if left >= SIZES[largest] as u64 {
            largest
        } else if self.full_reads >= 2 {
            buf.size() + 1
        } else {
            return;
        };
        let home = Rc::clone(&buf.home);
        // The old one first, so that never both are held.
        buf.release();
        *buf = home.take(size);
        self.full_reads = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use baleen_telemetry::Snapshot;

    use super::*;

    #[test]
    fn buffers_go_back_and_are_counted() {
        let cells = Rc::new(WorkerCells::new());
        let held = cells.cells();
        let gauge = |g| Snapshot::of(&[Arc::clone(&held)]).gauge(g);
        let home = Buffers::new(cells);
        let mut buf = home.take(0);
        buf.room()[..3].copy_from_slice(b"abc");
        buf.end = 3;
        buf.start = 1;
        assert!(buf.grow());
        assert_eq!((buf.filled(), buf.size()), (&b"bc"[..], 1));
        buf.compact();
        assert_eq!((buf.start, buf.end, buf.filled()), (0, 2, &b"bc"[..]));
        assert_eq!(gauge(ShellGauge::Buffers), 1);
        assert_eq!(gauge(ShellGauge::BufferBytes), SIZES[1] as i64);
        assert!(buf.grow() && !buf.grow());
        drop(buf);
        assert_eq!((gauge(ShellGauge::Buffers), gauge(ShellGauge::BufferBytes)), (0, 0));
    }

    #[test]
    fn a_long_body_gets_larger_buffers() {
        let home = Buffers::new(Rc::new(WorkerCells::new()));
        let mut buf = home.take(0);
        let mut growth = Growth::default();
        for (full, expect) in [(true, 0), (false, 0), (true, 1), (true, 1), (true, 2), (true, 2)] {
            growth.saw(if full { 10 } else { 5 }, 10);
            growth.apply(&mut buf, 0);
            assert_eq!(buf.size(), expect);
        }
    }

    #[test]
    fn a_body_that_only_says_it_is_long_does_not() {
        let home = Buffers::new(Rc::new(WorkerCells::new()));
        let mut buf = home.take(0);
        let mut growth = Growth::default();
        for (full, expect) in [(false, 0), (false, 0), (true, 2)] {
            growth.saw(if full { 10 } else { 5 }, 10);
            growth.apply(&mut buf, 1 << 30);
            assert_eq!(buf.size(), expect);
        }
    }
}
