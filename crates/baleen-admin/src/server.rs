//! Connections of the admin server, and their bounds; those of the control interface are served by the same.
//!
//! Each connection carries one request and is then closed. Bounds: [`CONNECTIONS_MAX`] at once (further ones wait unaccepted),
//! [`HEAD_BYTES_MAX`] of head (431 beyond), [`HEAD_TIMEOUT`] for a whole head, [`WHOLE_TIMEOUT`] from accept to the last byte.
//! So nobody holds a place for longer than that, whether they send slowly or read slowly. Request bodies are read by the control interface only.
//!
//! Not here: pages (`pages.rs`). Tested: `tests/admin.rs`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::pages;
use crate::views::Views;

/// Most connections at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Most bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// From accept to the end of the head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// From accept to the last byte of the response.
pub const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept: most likely no file descriptor is left, and asking again at once would spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("admin: can't listen on {address}: {source}")]
pub struct BindError {
    /// Which address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// A bound admin server.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Take the address. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is in use, not this machine's, or not allowed.
    pub async fn bind(address: SocketAddr) -> Result<Admin, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Admin { listener, address })
        };
        bound.await.map_err(|source| BindError { address, source })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answer until `stop` comes; then no more is accepted, and what is being answered is dropped.
    pub async fn serve<V: Views>(self, views: Arc<V>, stop: impl Future<Output = ()>) {
        let router = pages::router(views);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(_) = connections.join_next() => {}
                next = self.accept(&places) => {
                    if let Some((stream, place)) = next {
                        connections.spawn(connection(stream, router.clone(), place));
                    }
                }
            }
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

/// One connection: one request, one answer. What goes wrong on it is the client's business alone.
pub(crate) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    _place: OwnedSemaphorePermit,
) {
    let answer = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = timeout(WHOLE_TIMEOUT, answer).await;
}
