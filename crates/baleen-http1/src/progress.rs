//! Heads that arrive in small pieces: when it is worth while to parse again.
//!
//! Tested in `request/tests.rs`, where every row is also fed byte by byte.

use crate::lex::is_control;

/// How far a head that arrives in pieces was looked at, so that every byte is looked at a fixed
/// number of times however small the pieces are.
///
/// The first call parses. If the head is not whole, later calls only search what is new for
/// something that can change the answer: the end of the first line, of the head, or a byte that
/// must be refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    scanned: usize,
    line_done: bool,
}

impl Progress {
    /// Is there anything in `buf` that makes parsing it again worth while? The first line must be
    /// over before `line_limit`.
    #[inline(always)]
    pub(crate) fn worth_parsing(&mut self, buf: &[u8], line_limit: usize) -> bool {
        self.scanned == 0 || self.scanned > buf.len() || self.scan(buf, line_limit)
    }

    #[cold]
    fn scan(&mut self, buf: &[u8], line_limit: usize) -> bool {
        if !self.line_done && buf.len() >= line_limit {
            return true;
        }
        for i in self.scanned..buf.len() {
            let back = |n: usize| i.checked_sub(n).and_then(|j| buf.get(j)).copied();
            let (Some(b), last) = (buf.get(i), back(1)) else { return true };
            let after_cr = last == Some(b'\r');
            let found = match b {
                b'\n' => !after_cr || !self.line_done || back(2) == Some(b'\n'),
                b'\r' | b'\t' => after_cr,
                b => after_cr || is_control(*b),
            };
            if found {
                return true;
            }
        }
        self.scanned = buf.len();
        false
    }

    /// Parsing found the head incomplete.
    pub(crate) fn partial(&mut self, buf: &[u8], line_done: bool) {
        *self = Self { scanned: buf.len(), line_done };
    }

    /// Forget: the next call is about a new head.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
