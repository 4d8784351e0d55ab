//! Every error of input and output as policy's three facts: the one place where they are mapped.
//!
//! | what happened | cause | sent |
//! |---|---|---|
//! | connect: refused | `ConnectRefused` | nothing |
//! | connect: no descriptor, port or memory here | `OutOfDescriptors` | nothing |
//! | connect: anything else | `ConnectFailed` | nothing |
//! | pooled connection closed before use | `ConnectionStale` | nothing |
//! | ended or reset before any byte of a response, pooled | `ReusedConnectionTerminated` | maybe, once a byte was written |
//! | ended or reset before the whole head, otherwise | `ConnectionTerminated` | the same |
//! | head that the codec refuses | `ResponseInvalid` | maybe |
//! | body ends early, or is not what its framing says | `BodyIncomplete` | maybe |
//!
//! Not here: timeouts (the core has them) and what a client is told (`answer.rs`). Tested: below and in `tests/`.

use std::io;

use baleen_base::{Cause, Failure, Sent};

/// A connection that could not be made.
pub(crate) fn connect(error: &io::Error) -> Failure {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::ConnectRefused,
        _ if is_exhaustion(error) => Cause::OutOfDescriptors,
        _ => Cause::ConnectFailed,
    };
    Failure { cause, sent: Sent::Nothing }
}

/// A pooled connection that was closed while it was idle: nothing was written to it.
pub(crate) const STALE: Failure = Failure { cause: Cause::ConnectionStale, sent: Sent::Nothing };

/// The upstream's connection ended or was reset before a whole response head.
pub(crate) fn before_head(reused: bool, any_byte_came: bool, any_byte_went: bool) -> Failure {
    let cause = if reused && !any_byte_came {
        Cause::ReusedConnectionTerminated
    } else {
        Cause::ConnectionTerminated
    };
    Failure { cause, sent: if any_byte_went { Sent::Maybe } else { Sent::Nothing } }
}

/// A failure after the request was, at least in part, sent.
pub(crate) const fn late(cause: Cause) -> Failure {
    Failure { cause, sent: Sent::Maybe }
}

/// This machine has no descriptor, port or memory left for a socket.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EAGAIN
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_connecting() {
        let cause = |errno| connect(&io::Error::from_raw_os_error(errno)).cause;
        assert_eq!(cause(libc::ECONNREFUSED), Cause::ConnectRefused);
        assert_eq!(cause(libc::EHOSTUNREACH), Cause::ConnectFailed);
        assert_eq!(cause(libc::EMFILE), Cause::OutOfDescriptors);
        assert_eq!(cause(libc::EADDRNOTAVAIL), Cause::OutOfDescriptors);
    }

    #[test]
    fn an_end_before_the_head_blames_a_fresh_connection_only() {
        assert_eq!(before_head(true, false, true), late(Cause::ReusedConnectionTerminated));
        assert_eq!(before_head(true, true, true), late(Cause::ConnectionTerminated));
        assert_eq!(before_head(false, false, false).sent, Sent::Nothing);
    }
}
