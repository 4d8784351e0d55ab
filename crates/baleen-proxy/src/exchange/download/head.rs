//! Response heads as they come from the upstream: informational ones are passed on, the final one waits for policy's word.
//!
//! Not here: bodies (`download`). Tested: `tests/` (upgrades, hedges).

use baleen_http1::{
    Limits, Parsed, Refusal, ResponseEdits, ResponseHead, Rule, Version, encode_response,
};
use tokio::net::TcpStream;

use super::{Down, Download, Phase, Terms};

/// More informational responses to one request are a fault of the upstream.
const INFORMATIONAL_MAX: u8 = 16;

impl Download {
    /// The other's response, whose head has not gone down, takes the place of the one at hand. Informational heads that were
    /// begun are still written out.
    pub fn swap_attempt(&mut self, other: &mut Download) {
        std::mem::swap(&mut self.phase, &mut other.phase);
        std::mem::swap(&mut self.buf, &mut other.buf);
        std::mem::swap(&mut self.growth, &mut other.growth);
        std::mem::swap(&mut self.informational, &mut other.informational);
        std::mem::swap(&mut self.read, &mut other.read);
    }

    pub(super) fn read_head(
        &mut self,
        up: &TcpStream,
        head: &mut ResponseHead,
        terms: Terms,
        limits: &Limits,
    ) -> Option<Down> {
        if self.buf.is_empty() {
            self.buf.clear();
            if let Some(wait) = self.fill(up) {
                return Some(wait);
            }
        }
        loop {
            match head.parse(self.buf.filled(), limits, terms.asked) {
                Err(refusal) => return Some(Down::Refused(refusal, false)),
                Ok(Parsed::Complete { consumed }) if head.is_informational() => {
                    return self.inform(head, terms, consumed);
                }
                Ok(Parsed::Complete { consumed }) => {
                    // Spans are about the buffer from 0.
                    debug_assert!(self.buf.start == 0);
                    self.buf.start = consumed;
                    self.phase = Phase::Verdict;
                    return Some(Down::Head);
                }
                Ok(Parsed::Partial) => {
                    if self.buf.room_len() == 0 && !self.buf.grow() {
                        return Some(Down::Refused(
                            Refusal::from(Rule::HeadTooLarge).by_upstream(),
                            false,
                        ));
                    }
                    if let Some(wait) = self.fill(up) {
                        return Some(wait);
                    }
                }
            }
        }
    }

    /// Pass an informational response on, if the downstream may have it.
    fn inform(&mut self, head: &ResponseHead, terms: Terms, consumed: usize) -> Option<Down> {
        self.informational += 1;
        if self.informational > INFORMATIONAL_MAX {
            return Some(Down::Refused(Rule::StatusCode.into(), false));
        }
        let wanted = terms.version == Version::Http11
            && (head.status() != 100 || (terms.expects && !self.continued));
        self.continued |= head.status() == 100;
        if wanted {
            if self.head_sent {
                self.head_out.clear();
                self.head_sent = false;
            }
            let edits = ResponseEdits::forward(head);
            encode_response(&mut self.head_out, head, self.buf.filled(), &edits, []);
            self.piece.head_only();
        }
        self.buf.start += consumed;
        self.buf.compact();
        None
    }
}
