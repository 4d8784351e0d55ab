//! Connections: opened, kept while idle, used again.
//!
//! Bound: [`IDLE_MAX`] idle ones for each origin; another is closed. Not here: which origin (`http.rs`). Tested: in `tests.rs`.

use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{FIELDS_MAX, HEAD_BYTES_MAX, Origin, Tls, chain};

/// Most idle connections to one origin.
const IDLE_MAX: usize = 4;

/// A connection. Dropped, it is closed, whatever is still under way.
#[derive(Debug)]
pub(super) struct Conn {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no head of an answer.
pub(super) struct Unanswered {
    pub(super) why: String,
    /// Nothing of the request was written.
    pub(super) unsent: bool,
}

impl Conn {
    pub(super) async fn open(origin: &Origin, tls: Option<&Tls>) -> Result<Conn, String> {
        let tcp = TcpStream::connect((origin.host.as_str(), origin.port))
            .await
            .map_err(|error| error.to_string())?;
        let _ = tcp.set_nodelay(true);
        match tls {
            Some(tls) if origin.tls => Conn::over(tls.connect(&origin.host, tcp).await?).await,
            _ if origin.tls => Err("TLS was not set up".to_owned()),
            _ => Conn::over(tcp).await,
        }
    }

    async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Conn, String> {
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| chain(&error))?;
        let task = tokio::spawn(async move {
            // What goes wrong is told to whoever waits for the answer.
            let _ = connection.await;
        });
        Ok(Conn { sender, task })
    }

    pub(super) async fn send(
        &mut self,
        message: hyper::Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        if let Err(error) = self.sender.ready().await {
            return Err(Unanswered { why: chain(&error), unsent: true });
        }
        self.sender.try_send_request(message).await.map_err(|mut failed| {
            let unsent = failed.take_message().is_some();
            Unanswered { why: chain(failed.error()), unsent }
        })
    }
}

/// Idle connections by origin.
#[derive(Debug)]
pub(super) struct Pool(Mutex<Vec<Vec<Conn>>>);

impl Pool {
    pub(super) fn new(origins: usize) -> Pool {
        Pool(Mutex::new((0..origins).map(|_| Vec::new()).collect()))
    }

    /// One that is open, as far as we know.
    pub(super) fn take(&self, at: usize) -> Option<Conn> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.get_mut(at)?;
        idle.retain(|conn| !conn.sender.is_closed());
        idle.pop()
    }

    /// One whose answer was read to its end.
    pub(super) fn give(&self, at: usize, conn: Conn) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(idle) = idle.get_mut(at)
            && idle.len() < IDLE_MAX
            && !conn.sender.is_closed()
        {
            idle.push(conn);
        }
    }
}
