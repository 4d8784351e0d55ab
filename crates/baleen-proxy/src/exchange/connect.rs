//! A new connection to an endpoint, for an attempt that got none from the pool.
//!
//! Timeouts are policy's: it cancels. Not here: which endpoint (policy), what goes over it (`attempt`).
//! Tested: `tests/` (retries, hedges).

use std::io;
use std::net::SocketAddr;

use baleen_base::AttemptId;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::hedge::Start;
use super::lane::{Ended, Mail};
use super::strike::Place;
use super::{Client, Scratch};
use crate::failure;
use crate::io::Want;

/// What became of a connection.
pub(super) enum Connected {
    /// It stands.
    Stands(TcpStream),
    /// Its attempt is over.
    Ended(Ended),
    /// It is not there yet, and policy wants another attempt beside its.
    Hedge(TcpStream, Start),
}

impl Client<'_> {
    /// Make a connection.
    pub(super) async fn connect(
        &self,
        s: &mut Scratch,
        id: AttemptId,
        to: Place,
        address: Option<SocketAddr>,
    ) -> Connected {
        let stream = match self.dial(s, to, address) {
            Ok(stream) => stream,
            Err(error) => return Connected::Ended(self.failed(id, failure::connect(&error))),
        };
        loop {
            match self.watch(s) {
                Err(()) => return Connected::Ended(Ended::DownstreamGone),
                Ok(down) => self.wait(down, Some((&stream, Want::WRITE))).await,
            }
            match self.mail_of(id, self.w.driver.mail(self.id)) {
                Mail::Nothing => {}
                Mail::Ended(ended) => return Connected::Ended(ended),
                Mail::Hedge(start) => return Connected::Hedge(stream, start),
            }
            match connected(&stream) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return Connected::Ended(self.failed(id, failure::connect(&error))),
            }
        }
        self.w.driver.connected(self.id, id);
        Connected::Stands(stream)
    }
}

/// Start connecting, without delay for small segments.
pub(crate) fn begin_connect(address: Option<SocketAddr>) -> io::Result<TcpStream> {
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    TcpStream::from_std(socket.into())
}

/// Whether the connection stands; `Err`: it could not be made.
pub(crate) fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match SockRef::from(stream).peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(e) => Err(e),
    }
}
