//! A small HTTP/1.1 client for registries: etcd's gateway, Consul, Kubernetes.
//!
//! Several origins stand for one registry: the first that can be reached is used and stays in use until it fails. A request that
//! was not sent is sent to the next origin; one that was sent and not answered only if it changes nothing ([`Request::again`]).
//! Connections are kept and used again. Answers are read whole, up to a bound ([`Client::send`]), or line by line as they come
//! ([`Client::open`]).
//!
//! What an answer may be is bounded: [`HEAD_BYTES_MAX`], [`FIELDS_MAX`], and a body, or a line of a stream, by [`Request::most`];
//! a bound that is reached is an error and ends the connection. There are no redirects, no proxies, no
//! compression and no cookies.
//!
//! Not here: what requests mean. Tested: in `http/tests.rs` with servers that misbehave, and with each registry.

mod message;
mod origin;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use tokio::time::timeout;

pub use hyper::{Method as HttpMethod, header};
pub use message::{Answer, Request, brief};
pub use origin::Origin;
pub use stream::Stream;
pub use tls::{Tls, TlsFiles};

use pool::{Conn, Pool};

/// Most bytes of a status line and its fields.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most fields of an answer.
pub const FIELDS_MAX: usize = 100;
/// Most bytes of a whole body, or of one line of a streamed one, unless the request says otherwise.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Most origins of one registry.
pub const ORIGINS_MAX: usize = 16;
/// Most bytes of a file with a token, a certificate or a key.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HttpError {
    /// No origin could be reached: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// It was sent, and no whole answer came: it may have been done or not.
    #[error("{0}")]
    Broken(String),
    /// The answer is larger than its bound.
    #[error("{0}")]
    TooLarge(String),
    /// The request can't be sent as it is, or the answer makes no sense.
    #[error("{0}")]
    Bad(String),
}

/// How long things may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// From a name to a connection, TLS included, for each origin.
    pub connect: Duration,
    /// From a request to its whole answer; to its head for a stream.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(3), answer: Duration::from_secs(10) }
    }
}

/// Who we say we are: `Authorization: Bearer TOKEN`.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Bearer {
    /// Nobody.
    #[default]
    None,
    /// This token.
    Token(String),
    /// What the file says at each request, so that a token that is renewed is taken up.
    File(PathBuf),
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bearer::None => f.write_str("None"),
            Bearer::Token(_) => f.write_str("Token(..)"),
            Bearer::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A registry's client. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origins: Vec<Origin>,
    tls: Option<Tls>,
    bearer: Bearer,
    timeouts: Timeouts,
    /// The origin in use.
    current: AtomicUsize,
    pool: Pool,
}

/// How one try went wrong.
struct Failed {
    error: HttpError,
    /// It never reached the registry.
    unsent: bool,
}

impl Client {
    /// A client. Connects when something is sent.
    ///
    /// # Errors
    ///
    /// No origin or too many; `https` without TLS.
    pub fn new(
        origins: Vec<Origin>,
        tls: Option<Tls>,
        bearer: Bearer,
        timeouts: Timeouts,
    ) -> Result<Client, HttpError> {
        if origins.is_empty() || origins.len() > ORIGINS_MAX {
            let why = format!("a registry has 1 to {ORIGINS_MAX} addresses, not {}", origins.len());
            return Err(HttpError::Bad(why));
        }
        if let (Some(origin), None) = (origins.iter().find(|origin| origin.tls), &tls) {
            return Err(HttpError::Bad(format!("{origin} needs TLS, which was not set up")));
        }
        let pool = Pool::new(origins.len());
        let current = AtomicUsize::new(0);
        Ok(Client { shared: Arc::new(Shared { origins, tls, bearer, timeouts, current, pool }) })
    }

    /// The origin in use.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        // There is at least one, and the index is kept below their number.
        &self.shared.origins[self.shared.current.load(Ordering::Relaxed)]
    }

    /// Use another origin from now on, if there is one: this one answers, but not well.
    pub fn avoid(&self) {
        let at = self.shared.current.load(Ordering::Relaxed);
        self.leave(at);
    }

    /// Send, and read the whole answer.
    ///
    /// # Errors
    ///
    /// No origin could be reached, no whole answer came in time, or it was too large. A status such as 500 is no error here.
    pub async fn send(&self, request: Request) -> Result<Answer, HttpError> {
        let within = request.answer.unwrap_or(self.shared.timeouts.answer);
        let (at, conn, response) = self.head(&request, within).await?;
        let origin = &self.shared.origins[at];
        let answer = match timeout(within, whole(origin, response, request.most)).await {
            Ok(answer) => answer,
            Err(_) => Err(late(origin, within).error),
        };
        match &answer {
            Ok(_) => self.shared.pool.give(at, conn),
            Err(HttpError::TooLarge(_)) => {}
            Err(_) => self.leave(at),
        }
        answer
    }

    /// Send, and give the answer's body as it comes.
    ///
    /// # Errors
    ///
    /// As [`Client::send`], up to the answer's head.
    pub async fn open(&self, request: Request) -> Result<Stream, HttpError> {
        let within = request.answer.unwrap_or(self.shared.timeouts.answer);
        let (at, conn, response) = self.head(&request, within).await?;
        Ok(Stream::new(self.shared.origins[at].to_string(), conn, response, request.most))
    }

    /// Up to the answer's head: at the origin in use, then at the others, as long as that can do no harm.
    async fn head(
        &self,
        request: &Request,
        within: Duration,
    ) -> Result<(usize, Conn, Response<Incoming>), HttpError> {
        if let Some(wrong) = &request.wrong {
            return Err(HttpError::Bad(wrong.clone()));
        }
        let first = self.shared.current.load(Ordering::Relaxed);
        let count = self.shared.origins.len();
        let mut unreached = Vec::new();
        for step in 0..count {
            let at = (first + step) % count;
            let trying = timeout(within + self.shared.timeouts.connect, self.exchange(at, request));
            let failed = match trying.await {
                Ok(Ok((conn, response))) => return Ok((at, conn, response)),
                Ok(Err(failed)) => failed,
                Err(_) => late(&self.shared.origins[at], within),
            };
            if matches!(failed.error, HttpError::Bad(_)) {
                return Err(failed.error);
            }
            self.leave(at);
            if !failed.unsent && !request.again {
                return Err(failed.error);
            }
            unreached.push(failed.error);
        }
        Err(together(unreached))
    }

    /// Don't begin with this origin next time.
    fn leave(&self, at: usize) {
        let next = (at + 1) % self.shared.origins.len();
        // Somebody else may have left it already: then it stays with what they chose.
        let current = &self.shared.current;
        let _ = current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// One request at one origin, up to the answer's head: over a connection that is kept, or over a new one.
    async fn exchange(
        &self,
        at: usize,
        request: &Request,
    ) -> Result<(Conn, Response<Incoming>), Failed> {
        let origin = &self.shared.origins[at];
        let bad = |error| Failed { error, unsent: true };
        while let Some(mut conn) = self.shared.pool.take(at) {
            let message = self.message(origin, request).map_err(bad)?;
            match conn.send(message).await {
                Ok(response) => return Ok((conn, response)),
                // The registry closed it while it was idle: that says nothing about a new one.
                Err(failed) if failed.unsent || request.again => {}
                Err(failed) => return Err(broken(origin, failed)),
            }
        }
        let connecting = Conn::open(origin, self.shared.tls.as_ref());
        let mut conn = match timeout(self.shared.timeouts.connect, connecting).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(why)) => return Err(bad(unreachable(origin, &why))),
            Err(_) => {
                let why = format!("no connection within {:?}", self.shared.timeouts.connect);
                return Err(bad(unreachable(origin, &why)));
            }
        };
        let message = self.message(origin, request).map_err(bad)?;
        match conn.send(message).await {
            Ok(response) => Ok((conn, response)),
            Err(failed) => Err(broken(origin, failed)),
        }
    }

    /// The request as it is sent to an origin.
    fn message(
        &self,
        origin: &Origin,
        request: &Request,
    ) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
        let mut message = hyper::Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request.path.parse().map_err(|error| {
            let path = brief(request.path.as_bytes());
            HttpError::Bad(format!("`{path}` is no path of a request: {error}"))
        })?;
        let fields = message.headers_mut();
        fields.extend(request.fields.clone());
        let host = HeaderValue::try_from(origin.authority())
            .map_err(|_| HttpError::Bad(format!("`{origin}` is no address")))?;
        fields.insert(HOST, host);
        if let Some(token) = self.token()? {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| HttpError::Bad("the token can't be sent in a field".to_owned()))?;
            value.set_sensitive(true);
            fields.insert(AUTHORIZATION, value);
        }
        Ok(message)
    }

    fn token(&self) -> Result<Option<String>, HttpError> {
        match &self.shared.bearer {
            Bearer::None => Ok(None),
            Bearer::Token(token) => Ok(Some(token.clone())),
            Bearer::File(path) => {
                let bytes = read_bounded(path).map_err(HttpError::Bad)?;
                let token = String::from_utf8(bytes)
                    .map_err(|_| HttpError::Bad(format!("{} is no text", path.display())))?;
                Ok(Some(token.trim().to_owned()))
            }
        }
    }
}

/// A small file, whole.
pub(crate) fn read_bounded(path: &std::path::Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let name = path.display();
    let failed = |error: std::io::Error| format!("can't read {name}: {error}");
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{name} is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

async fn whole(
    origin: &Origin,
    response: Response<Incoming>,
    most: usize,
) -> Result<Answer, HttpError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            HttpError::TooLarge(format!("{origin} answered with more than {most} bytes"))
        } else {
            HttpError::Broken(format!("{origin}: the answer broke off: {}", chain(error.as_ref())))
        }
    })?;
    let body = body.to_bytes().to_vec();
    Ok(Answer { status: head.status.as_u16(), fields: head.headers, body })
}

fn late(origin: &Origin, within: Duration) -> Failed {
    let error = HttpError::Broken(format!("{origin}: no answer within {within:?}"));
    Failed { error, unsent: false }
}

fn unreachable(origin: &Origin, why: &str) -> HttpError {
    HttpError::Unreachable(format!("{origin} can't be reached: {why}"))
}

fn broken(origin: &Origin, failed: pool::Unanswered) -> Failed {
    let error = if failed.unsent {
        unreachable(origin, &failed.why)
    } else {
        HttpError::Broken(format!("{origin}: {}", failed.why))
    };
    Failed { error, unsent: failed.unsent }
}

/// What became of all tries: that nothing was sent only if nothing was sent anywhere.
fn together(mut errors: Vec<HttpError>) -> HttpError {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let unsent = errors.iter().all(|error| matches!(error, HttpError::Unreachable(_)));
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let all = all.join("; ");
    if unsent { HttpError::Unreachable(all) } else { HttpError::Broken(all) }
}

/// An error and what it came from, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    brief(text.as_bytes())
}
