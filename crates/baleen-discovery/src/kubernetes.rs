//! Kubernetes: endpoints from EndpointSlices, listed once and then watched.
//!
//! **Not yet verified against the real server.** It was written from the documentation of the Kubernetes API, and so was the
//! server it is tested with.
//!
//! `/apis/discovery.k8s.io/v1/endpointslices` (or those of one namespace) is listed in pages, then watched from the version of
//! the list, with bookmarks; a watch ends after half a minute and the next goes on where it ended. `410 Gone`, as a status or in a
//! watch, means to list again. Every four seconds one slice is asked for, without its contents, to hear that the server answers.
//!
//! - A service is named `NAMESPACE/PORT/SERVICE`, such as `default/http/web`: the port by its name, or by its number (that of
//!   the endpoints, not of the service) where it has none. A service whose slices have no ports, as one that is scaled to
//!   nothing, is not there; one that has no endpoint that counts is there, and empty.
//! - Which endpoints count is told in `join.rs`. The first address of each is taken; `zone` is its zone; weights are 1.
//!   Slices without the label `kubernetes.io/service-name` are nobody's; those with `addressType: FQDN` are refused.
//! - Whatever is not as documented ends the session: that is the server's failure, and what was known stays.
//! - Bounds: pages of [`PAGE`] slices and 64 MiB, [`PAGES_MAX`] pages, a line of a watch of 4 MiB, and those of `join.rs`.
//!
//! Not here: HTTP and the token, which is read again from its file as it is renewed (`http.rs`); what to forget (the keeper).
//! Tested: in `tests/kubernetes.rs`, with a server that lists and watches; the parsing beside it, and fuzzed.

#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod join;
mod session;
#[doc(hidden)]
pub mod slice;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::http::{self, Answer, Bearer, Origin, Request, Timeouts, Tls, TlsFiles};
use crate::registry::{self, Ended, Reports};
use crate::settle::encode;
use session::Session;

/// Slices in a page of a list.
pub const PAGE: usize = 100;
/// Most pages of a list.
pub const PAGES_MAX: usize = 1000;
/// Where a pod finds who it is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long things take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// How long a watch lasts; the server is told whole seconds.
    pub watch: Duration,
    /// How often an answer is asked for.
    pub alive: Duration,
    /// How much later than promised something may come.
    pub slack: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            watch: Duration::from_secs(30),
            alive: Duration::from_secs(4),
            slack: Duration::from_secs(10),
        }
    }
}

/// What to ask for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only this namespace; all when there is none.
    pub namespace: Option<String>,
    /// How long things take.
    pub times: Times,
}

/// Where the API server is, who vouches for it, and who we are. What is not said is what a pod is told of its own cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// `https://HOST:PORT`.
    pub address: Option<String>,
    /// A file with certificates.
    pub ca: Option<PathBuf>,
    /// A token, or a file with one.
    pub token: Bearer,
}

impl Access {
    /// A client with this access.
    ///
    /// # Errors
    ///
    /// No address was said, and this is no pod; or the certificates can't be read.
    pub fn connect(self) -> Result<http::Client, String> {
        self.connect_from(|name| std::env::var(name).ok(), Path::new(ACCOUNT))
    }

    /// As [`Access::connect`], with another environment and another folder of the service account.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_from(
        self,
        env: impl Fn(&str) -> Option<String>,
        account: &Path,
    ) -> Result<http::Client, String> {
        let origin = match &self.address {
            Some(address) => address.parse::<Origin>()?,
            None => own_cluster(env)?,
        };
        let given = |name: &str| Some(account.join(name)).filter(|path| path.exists());
        let token = match self.token {
            Bearer::None => given("token").map_or(Bearer::None, Bearer::File),
            token => token,
        };
        let files = TlsFiles { ca: self.ca.or_else(|| given("ca.crt")), ..TlsFiles::default() };
        let tls = if origin.tls { Some(Tls::new(&files)?) } else { None };
        http::Client::new(vec![origin], tls, token, Timeouts::default()).map_err(|e| e.to_string())
    }
}

/// The API server of the cluster that this process runs in.
fn own_cluster(env: impl Fn(&str) -> Option<String>) -> Result<Origin, String> {
    let (host, port) = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT");
    let (Some(host), Some(port)) = (env(host), env(port)) else {
        return Err(format!(
            "{host} and {port} are not set: outside of a pod say `address`, `ca` and `token`"
        ));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("https://{host}:{port}").parse()
}

/// The client of an API server.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    http: http::Client,
    path: String,
    times: Times,
}

impl Kubernetes {
    /// A client that asks over `http`, whose bearer it uses.
    #[must_use]
    pub fn new(http: http::Client, options: Options) -> Kubernetes {
        let mut path = "/apis/discovery.k8s.io/v1/".to_owned();
        if let Some(namespace) = &options.namespace {
            path.push_str("namespaces/");
            encode(namespace, &mut path);
            path.push('/');
        }
        path.push_str("endpointslices");
        Kubernetes { http, path, times: options.times }
    }

    async fn get(&self, request: Request) -> Result<Answer, Ended> {
        self.http.send(request).await.map_err(|e| Ended(e.to_string()))
    }

    /// What an answer that is no 200 means, and what to do about it.
    fn refusal(&self, answer: &Answer) -> Ended {
        let to_do = match answer.status {
            401 => ": the token is not accepted; is it of this cluster, and still valid?",
            403 => {
                ": the service account needs `get`, `list` and `watch` of `endpointslices` in the group `discovery.k8s.io`"
            }
            _ => "",
        };
        self.ended(&format!("{}{to_do}", answer.brief()))
    }

    /// The server's failure; another of its addresses may do better.
    fn ended(&self, why: &str) -> Ended {
        let ended = Ended(format!("kubernetes at {}: {why}", self.http.origin()));
        self.http.avoid();
        ended
    }
}

impl registry::Client for Kubernetes {
    async fn session(&mut self, to: &Reports, _wanted: &mut mpsc::Receiver<String>) -> Ended {
        match Session::new(self, to).follow().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_where_its_cluster_is() {
        let env = |host: &'static str| {
            move |name: &str| match name {
                "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
                "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
                _ => None,
            }
        };
        let found = own_cluster(env("10.96.0.1")).unwrap();
        assert_eq!(found.to_string(), "https://10.96.0.1:6443");
        let found = own_cluster(env("fd00::1")).unwrap();
        assert_eq!(found.to_string(), "https://[fd00::1]:6443");
        let missing = own_cluster(|_| None).unwrap_err();
        assert!(missing.contains("say `address`, `ca` and `token`"), "{missing}");
        assert!(own_cluster(env("a b")).is_err());
    }

    #[test]
    fn elsewhere_it_is_said() {
        let account = Path::new("/nowhere");
        let access = Access { address: Some("http://127.0.0.1:8001".into()), ..Access::default() };
        let client = access.clone().connect_from(|_| None, account).unwrap();
        assert_eq!(client.origin().to_string(), "http://127.0.0.1:8001");
        let ca = Some("/nowhere/else.crt".into());
        let access = Access { address: Some("https://127.0.0.1:6443".into()), ca, ..access };
        let why = access.connect_from(|_| None, account).unwrap_err();
        assert!(why.contains("/nowhere/else.crt"), "{why}");
    }
}
