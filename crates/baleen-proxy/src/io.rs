//! Sockets the way the request path wants them: try first, wait only when the kernel says so.
//!
//! A read that returns less than there was room for has emptied the socket (epoll is edge-triggered), so its readiness is
//! cleared at once: the next read waits instead of making a system call that returns `EAGAIN`. The same holds for a short
//! write. What became of a read is a value, not an error: the end of the stream and "nothing yet" are ordinary.
//!
//! Not here: which socket to wait for (`exchange`). Tested: below, and by everything that proxies.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a read gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Took {
    /// This many bytes, at least one.
    Bytes(usize),
    /// The other side will send no more.
    End,
    /// Nothing yet.
    Wait,
}

/// Read what is there into `into`, which is not empty.
#[inline]
pub(crate) fn read(socket: &TcpStream, into: &mut [u8]) -> io::Result<Took> {
    debug_assert!(!into.is_empty());
    let mut short = 0;
    let read = socket.try_io(Interest::READABLE, || {
        let n = receive(socket, into)?;
        if n != 0 && n < into.len() {
            short = n;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    match read {
        Ok(0) => Ok(Took::End),
        Ok(n) => Ok(Took::Bytes(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            Ok(if short == 0 { Took::Wait } else { Took::Bytes(short) })
        }
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Took::Wait),
        Err(e) => Err(e),
    }
}

/// Write what goes of `from`; zero when nothing does yet.
#[inline]
pub(crate) fn write(socket: &TcpStream, from: &[IoSlice<'_>]) -> io::Result<usize> {
    let all: usize = from.iter().map(|s| s.len()).sum();
    let mut short = 0;
    let wrote = socket.try_io(Interest::WRITABLE, || {
        let n = match from {
            [one] => send(socket, one)?,
            many => SockRef::from(socket).send_vectored_with_flags(many, libc::MSG_NOSIGNAL)?,
        };
        if n < all {
            short = n;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    match wrote {
        Ok(n) => Ok(n),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(short),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(e) => Err(e),
    }
}

/// `recv`, without being a place where a thread can be cancelled: the C library's pays for that with two atomic operations
/// per call as soon as a process has threads, 1 to 2 % of a small request's cost when measured.
#[inline]
fn receive(socket: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which is ours alone; no address is asked for; the
    // descriptor is open as long as `socket` is borrowed.
    let n = unsafe {
        let fd = libc::c_long::from(socket.as_raw_fd());
        libc::syscall(libc::SYS_recvfrom, fd, into.as_mut_ptr(), into.len(), 0_usize, none, none)
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `send`, in the same way.
#[inline]
fn send(socket: &TcpStream, from: &[u8]) -> io::Result<usize> {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: the kernel reads at most `from.len()` bytes of `from`; no address is given; the descriptor is open as long as
    // `socket` is borrowed.
    let n = unsafe {
        let fd = libc::c_long::from(socket.as_raw_fd());
        let flags = libc::MSG_NOSIGNAL as usize;
        libc::syscall(libc::SYS_sendto, fd, from.as_ptr(), from.len(), flags, none, 0_usize)
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// What to wait for on one socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    /// Until it can be read.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
}

impl Want {
    /// Neither.
    pub const NOTHING: Want = Want { read: false, write: false };
    /// Reading.
    pub const READ: Want = Want { read: true, write: false };
    /// Writing.
    pub const WRITE: Want = Want { read: false, write: true };
}

/// Ready when any of what is wanted is; else `cx` is woken then. An error of the driver counts as ready: the next read
/// or write meets it.
#[inline]
pub(crate) fn poll(socket: &TcpStream, want: Want, cx: &mut Context<'_>) -> Poll<()> {
    let mut ready = Poll::Pending;
    if want.read && socket.poll_read_ready(cx).is_ready() {
        ready = Poll::Ready(());
    }
    if want.write && socket.poll_write_ready(cx).is_ready() {
        ready = Poll::Ready(());
    }
    ready
}

/// Whether an idle connection still says nothing. `Ok(n)` bytes that nobody asked for (0: it was closed).
#[inline]
pub(crate) fn quiet(socket: &TcpStream) -> Result<(), usize> {
    let mut byte = [0];
    match read(socket, &mut byte) {
        Ok(Took::Wait) => Ok(()),
        Ok(Took::Bytes(n)) => Err(n),
        Ok(Took::End) | Err(_) => Err(0),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_short_read_clears_readiness_and_new_bytes_set_it() {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let a = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (b, _) = listener.accept().await.unwrap();
            let mut buf = [0; 16];
            assert_eq!(read(&b, &mut buf).unwrap(), Took::Wait);
            assert_eq!(write(&a, &[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap(), 4);
            poll_fn(|cx| poll(&b, Want::READ, cx)).await;
            assert_eq!(read(&b, &mut buf).unwrap(), Took::Bytes(4));
            // Not ready although no read has returned EAGAIN since.
            let waits = poll_fn(|cx| Poll::Ready(poll(&b, Want::READ, cx).is_pending())).await;
            assert!(waits);
            assert_eq!(quiet(&b), Ok(()));
            drop(a);
            poll_fn(|cx| poll(&b, Want::READ, cx)).await;
            assert_eq!(read(&b, &mut buf).unwrap(), Took::End);
            assert_eq!(quiet(&b), Err(0));
        });
    }
}
