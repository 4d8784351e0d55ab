//! Where the control interface listens, and its connections.
//!
//! A socket in the file system is made for this user alone, before anybody can connect; one that a dead process left behind is
//! taken over, one that is alive is not. It is removed at the end. Bounds as for the views (`crate::server`).
//! Not here: requests (`routes.rs`). Tested: `tests/control.rs`.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Control, Tables, routes, tables};
use crate::server::{ACCEPT_PAUSE, CONNECTIONS_MAX, connection};

/// Where it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// An address and port.
    Address(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What whoever asks has to know. Never shown.
pub struct Token(Vec<u8>);

impl Token {
    /// One that is not empty; white space around it does not count.
    #[must_use]
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.as_bytes().to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The place could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("control: can't listen on {place}: {source}")]
pub struct ControlBindError {
    /// Which.
    pub place: Place,
    /// Why.
    pub source: io::Error,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A bound control server.
#[derive(Debug)]
pub struct ControlServer {
    listener: Listener,
    place: Place,
    token: Option<Token>,
    tables: Option<Router>,
}

impl ControlServer {
    /// Take the place. Port 0 takes a free one.
    ///
    /// # Errors
    /// When it is in use or not allowed; an address that is not loopback without a token.
    pub fn bind(place: Place, token: Option<Token>) -> Result<ControlServer, ControlBindError> {
        let bound = match &place {
            Place::Address(address) => bind_address(*address, token.is_some()),
            Place::Unix(path) => bind_unix(path).map(|l| (Listener::Unix(l), place.clone())),
        };
        match bound {
            Ok((listener, place)) => Ok(ControlServer { listener, place, token, tables: None }),
            Err(source) => Err(ControlBindError { place, source }),
        }
    }

    /// Answer requests about tables, too.
    #[must_use]
    pub fn with_tables<T: Tables>(mut self, tables: Arc<T>) -> ControlServer {
        self.tables = Some(tables::router(tables));
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Answer until `stop` comes; then no more is accepted, and what is being answered is dropped.
    pub async fn serve<C: Control>(mut self, control: Arc<C>, stop: impl Future<Output = ()>) {
        let router = routes::router(control, self.token.take(), self.tables.take());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(_) = connections.join_next() => {}
                Ok(place) = Arc::clone(&places).acquire_owned() => tokio::select! {
                    () = &mut stop => return,
                    accepted = self.accept(&router, place, &mut connections) => {
                        if accepted.is_err() {
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
    }

    async fn accept(
        &self,
        router: &Router,
        place: OwnedSemaphorePermit,
        connections: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let router = router.clone();
        match &self.listener {
            Listener::Tcp(l) => connections.spawn(connection(l.accept().await?.0, router, place)),
            Listener::Unix(l) => connections.spawn(connection(l.accept().await?.0, router, place)),
        };
        Ok(())
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if let Place::Unix(path) = &self.place {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_address(address: SocketAddr, has_token: bool) -> io::Result<(Listener, Place)> {
    if !address.ip().is_loopback() && !has_token {
        let why = "not a loopback address, and there is no token";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    let listener = TcpListener::from_std(socket.into())?;
    let place = Place::Address(listener.local_addr()?);
    Ok((Listener::Tcp(listener), place))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let address = SockAddr::unix(path)?;
    let make = || Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
    let socket = make()?;
    if let Err(error) = socket.bind(&address) {
        let is_socket = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
        let in_use = error.kind() == io::ErrorKind::AddrInUse;
        // Nobody listens: whoever made it is gone.
        let refuses = |e: io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
        if !in_use || !is_socket || !make()?.connect(&address).is_err_and(refuses) {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(128)?;
    UnixListener::from_std(socket.into())
}
