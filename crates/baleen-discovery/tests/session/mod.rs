//! What the tests of clients share: a session and what it says, and a server whose answers a function makes.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use baleen_config::Endpoint;
use baleen_discovery::http::{self, Bearer, Timeouts, Tls, TlsFiles};
use baleen_discovery::registry::{Client, Ended, Report, Reports};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session under way; dropped, it ends.
pub struct Session {
    reports: mpsc::Receiver<Report>,
    task: JoinHandle<Ended>,
    /// How often it said that the registry answers.
    pub alive: usize,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    pub fn begin(mut client: impl Client) -> Session {
        let (to, reports) = Reports::channel();
        let task = tokio::spawn(async move {
            let (_asks, mut wanted) = mpsc::channel(1);
            client.session(&to, &mut wanted).await
        });
        Session { reports, task, alive: 0 }
    }

    /// The next report, whichever it is; nothing when the session is over.
    async fn any(&mut self) -> Option<Report> {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        let report = report.expect("the session says something");
        self.alive += usize::from(report == Some(Report::Alive));
        report
    }

    /// The next report that is not just a sign of life.
    pub async fn next(&mut self) -> Report {
        loop {
            match self.any().await {
                Some(Report::Alive) => {}
                Some(report) => return report,
                None => panic!("the session ended: {:?}", (&mut self.task).await),
            }
        }
    }

    /// The next report is a sign of life.
    pub async fn alive(&mut self) {
        match self.any().await {
            Some(Report::Alive) => {}
            Some(report) => panic!("not just alive: {report:?}"),
            None => panic!("the session ended: {:?}", (&mut self.task).await),
        }
    }

    /// Everything, each set in one line.
    pub async fn all(&mut self) -> BTreeMap<String, String> {
        match self.next().await {
            Report::All(all) => all.iter().map(|(key, set)| (key.clone(), line(set))).collect(),
            report => panic!("not everything: {report:?}"),
        }
    }

    /// One service that changed, as `web: 10.0.0.1:80` or `web gone`.
    pub async fn changed(&mut self) -> String {
        match self.next().await {
            Report::Changed(changed) => {
                let one = |(key, set): &(String, Option<Vec<Endpoint>>)| match set {
                    Some(set) => format!("{key}: {}", line(set)),
                    None => format!("{key} gone"),
                };
                changed.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            report => panic!("not a change: {report:?}"),
        }
    }

    pub async fn refused(&mut self) -> (String, String) {
        match self.next().await {
            Report::Refused { key, why } => (key, why),
            report => panic!("not a refusal: {report:?}"),
        }
    }

    /// Why it ended; whatever it says before is lost, but counted.
    pub async fn ended(mut self) -> Over {
        let mut said = Vec::new();
        while let Some(report) = self.any().await {
            said.push(report);
        }
        let Ended(why) = (&mut self.task).await.expect("no panic");
        Over { why, said }
    }
}

/// A session that is over.
#[derive(Debug)]
pub struct Over {
    pub why: String,
    pub said: Vec<Report>,
}

impl Over {
    /// It ended for this reason, and told nothing of what there is: at most that somebody answers.
    #[track_caller]
    pub fn untold(&self, why: &str) {
        assert!(self.why.contains(why), "{self:?}");
        assert!(self.said.iter().all(|report| *report == Report::Alive), "{self:?}");
    }

    /// It ended for this reason, having said nothing any more.
    #[track_caller]
    pub fn silently(&self, why: &str) {
        assert!(self.why.contains(why), "{self:?}");
        assert!(self.said.is_empty(), "{self:?}");
    }
}

/// `127.0.0.1:80 127.0.0.1:81*3`.
pub fn line(set: &[Endpoint]) -> String {
    let one = |e: &Endpoint| match (e.weight, e.zone) {
        (1, 0) => e.addr.to_string(),
        (weight, 0) => format!("{}*{weight}", e.addr),
        (weight, zone) => format!("{}*{weight}@{zone:x}", e.addr),
    };
    set.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A body: whole, or in pieces that may end in an error.
pub enum Out {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for Out {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Out::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Out::Pieces(pieces) => pieces.poll_recv(cx).map(|p| p.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Out::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Out::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Out::Pieces(_) => SizeHint::default(),
        }
    }
}

pub type Reply = Response<Out>;

pub fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let body = Out::Whole(Some(body.into()));
    Response::builder().status(status).body(body).expect("a response")
}

/// A body in pieces, and where they are put in.
pub fn pieces() -> (mpsc::Sender<io::Result<Bytes>>, Reply) {
    let (to, from) = mpsc::channel(16);
    (to, Response::new(Out::Pieces(from)))
}

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status and body.
    Status(u16, &'static str),
    /// This instead of the body.
    Body(String),
    /// The beginning of a body, then the connection breaks.
    Breaks(String),
    /// A body without end.
    Endless,
    /// No answer.
    Hangs,
}

impl Fault {
    pub async fn reply(&self) -> Reply {
        match self {
            Fault::Status(status, body) => reply(*status, *body),
            Fault::Body(body) => reply(200, body.clone()),
            Fault::Breaks(body) => {
                let (to, reply) = pieces();
                let _ = to.send(Ok(body.clone().into())).await;
                let _ = to.send(Err(io::Error::other("broken"))).await;
                reply
            }
            Fault::Endless => {
                let (to, reply) = pieces();
                let piece = Bytes::from(vec![b'['; 1 << 20]);
                tokio::spawn(async move { while to.send(Ok(piece.clone())).await.is_ok() {} });
                reply
            }
            Fault::Hangs => std::future::pending().await,
        }
    }
}

/// A server; dropped, it is gone with all its connections.
pub struct Server {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start<F, R>(tls: Option<TlsAcceptor>, handle: F) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, tls.clone(), handle.clone()));
            }
        });
        Server { addr, task }
    }
}

async fn serve<F, R>(stream: TcpStream, tls: Option<TlsAcceptor>, handle: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Reply>,
{
    let handle = &handle;
    let service = service_fn(|request| async move { Ok::<_, Infallible>(handle(request).await) });
    let server = hyper::server::conn::http1::Builder::new();
    // A client that goes away is no failure of the test.
    let _ = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => Ok(()),
        },
    };
}

/// A server's TLS, and the file with the certificate of who vouches for it.
pub fn tls(folder: &Path) -> (TlsAcceptor, std::path::PathBuf) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).expect("an authority");
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let cert = params.signed_by(&key, &issuer).expect("a certificate");
    let file = folder.join("ca.crt");
    std::fs::write(&file, ca.pem()).expect("a file");
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], secret)
        .expect("a certificate that fits its key");
    (TlsAcceptor::from(Arc::new(config)), file)
}

/// A client for these addresses; with TLS when there is a file with an authority.
pub fn client(addrs: &[SocketAddr], ca: Option<&Path>, bearer: Bearer) -> http::Client {
    let scheme = if ca.is_some() { "https" } else { "http" };
    let origin = |addr: &SocketAddr| format!("{scheme}://{addr}").parse().expect("an origin");
    let files = |ca: &Path| TlsFiles { ca: Some(ca.to_owned()), ..TlsFiles::default() };
    let tls = ca.map(|ca| Tls::new(&files(ca)).expect("an authority"));
    let origins = addrs.iter().map(origin).collect();
    http::Client::new(origins, tls, bearer, Timeouts::default()).expect("a client")
}
