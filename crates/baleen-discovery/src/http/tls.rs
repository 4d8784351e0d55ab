//! TLS to a registry: which authorities are believed, and who we are.
//!
//! Not here: TLS with upstreams and downstreams. Tested: in `tests.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the distribution keeps the authorities that it believes.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Files, each PEM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFiles {
    /// Certificates of authorities that are believed; the system's when there is none.
    pub ca: Option<PathBuf>,
    /// Our certificate and those that vouch for it; with `key`.
    pub cert: Option<PathBuf>,
    /// Our private key; with `cert`.
    pub key: Option<PathBuf>,
    /// The name the registry's certificate must have, where it is another than that of its address.
    pub server_name: Option<String>,
}

/// TLS, set up.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Read the files.
    ///
    /// # Errors
    ///
    /// In one line, for people: which file, and why.
    pub fn new(files: &TlsFiles) -> Result<Tls, String> {
        let ca = files.ca.as_deref().unwrap_or(Path::new(SYSTEM));
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(certificates(ca)?);
        if taken == 0 {
            return Err(format!("{} has no certificate of an authority", ca.display()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match (&files.cert, &files.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let bytes = super::read_bounded(key)?;
                let secret = PrivateKeyDer::from_pem_slice(&bytes)
                    .map_err(|error| format!("{} has no private key: {error}", key.display()))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    format!("{} and {} don't go together: {error}", cert.display(), key.display())
                })?
            }
            _ => return Err("a client certificate needs both `cert` and `key`".to_owned()),
        };
        let server_name = files.server_name.as_deref().map(name).transpose()?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => name(host)?,
        };
        self.connector.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))
    }
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| format!("`{text}` is no server's name"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = super::read_bounded(path)?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{} is not PEM: {error}", path.display()))
}
