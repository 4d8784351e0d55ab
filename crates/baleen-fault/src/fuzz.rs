//! Body of the fuzz target `exchange_faults`: bytes of both sides in any pieces, through a [`Filter`].
//!
//! Not here: exchanges that are as they should be (`filter/tests.rs`). Tested: in `fuzz/tests.rs`, which replays the corpus.

#[cfg(test)]
mod tests;

use std::time::Duration;

use baleen_base::Tick;

use crate::{Act, Direction, Filter, HELD_BYTES_MAX, HttpFault};

/// What a byte of the input stands for.
fn fault(byte: u8) -> Option<HttpFault> {
    match byte % 8 {
        0 => Some(HttpFault::Status { status: 503, retry_after: Some(1) }),
        1 => Some(HttpFault::DelayHead { delay: Duration::from_millis(u64::from(byte)) }),
        2 => Some(HttpFault::CutBody { bytes: u64::from(byte) / 8 }),
        3 => Some(HttpFault::WrongLength { by: i64::from(byte) - 128 }),
        _ => None,
    }
}

/// Input: a byte for the faults, then pieces: a byte with the direction (1), whether it ends (2) and how long it is (the rest), and so
/// many bytes.
///
/// No panic; what is held is bounded; in the order of its end, each direction passes on no byte that did not come, unless an
/// answer or a length is Baleen's; after it gave up, everything has passed.
pub fn fuzz_filter(data: &[u8]) {
    let Some((&which, mut rest)) = data.split_first() else { return };
    let mut filter = Filter::new();
    let (mut came, mut passed) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut requests = 0u8;
    let (mut own, mut closed, mut now) = (false, false, Tick::ZERO);
    while let Some((&head, more)) = rest.split_first() {
        let way = if head & 1 == 0 { Direction::Up } else { Direction::Down };
        let (piece, after) = more.split_at(usize::from(head >> 2).min(more.len()));
        rest = after;
        now = now + Duration::from_millis(u64::from(head));
        let begin = |_: crate::Exchange<'_>| {
            requests = requests.wrapping_add(1);
            let fault = if which == 0xff { None } else { fault(which.wrapping_mul(requests)) };
            own |= matches!(fault, Some(HttpFault::Status { .. } | HttpFault::WrongLength { .. }));
            fault
        };
        if !filter.is_full(way) {
            came[way as usize].extend_from_slice(piece);
            if filter.takes(way, true) {
                filter.take(way, piece, now, begin);
            } else {
                filter.passed(way);
                passed[way as usize].extend_from_slice(piece);
            }
        } else {
            assert!(came[way as usize].len() >= HELD_BYTES_MAX);
        }
        if head & 2 != 0 {
            filter.end(way, now, |_| None);
        }
        filter.wake(now, |_| None);
        drain(&mut filter, &mut passed, &mut closed);
        if !own {
            for (all, some) in came.iter().zip(&passed) {
                assert!(all.starts_with(some), "bytes that never came, or in another order");
            }
        }
    }
    filter.give_up();
    drain(&mut filter, &mut passed, &mut closed);
    if requests == 0 && !closed {
        assert!(came == passed, "nothing was asked, so all passes");
    }
}

fn drain(filter: &mut Filter, passed: &mut [Vec<u8>; 2], closed: &mut bool) {
    while let Some(act) = filter.act() {
        match act {
            Act::Pass(way, bytes) => passed[way as usize].extend(bytes),
            Act::End(_) => {}
            Act::Close => *closed = true,
        }
    }
}
