//! What a registry's client says, and what is asked of one.
//!
//! A client asks its registry in *sessions*: one lasts until something goes wrong. Who runs it ([`crate::keeper`]) begins the next
//! one after a wait, notices when nothing is heard for too long, keeps what was last good, and holds back what looks like the
//! registry's own failure. So a client keeps no state but what it needs to ask again, and never decides what to forget.
//!
//! Bounds: [`SERVICES_MAX`] services, `baleen_config::ENDPOINTS_MAX` endpoints each, [`REPORTS_MAX`] reports that wait.
//! Not here: how each registry is asked (a module each). Tested: with each of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use baleen_config::Endpoint;
use tokio::sync::mpsc;

/// Most services of one namer; those after, in the order of their names, are left out and reported as refused.
pub const SERVICES_MAX: usize = 4096;
/// Reports that wait to be taken; then the client waits.
pub const REPORTS_MAX: usize = 64;
/// A client says at least this often that it hears its registry.
pub const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// What a client heard. A service is named by what follows the mount in a path: `web`, or `default/http/web`.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// All there is, complete: a service that is not in it is gone. The first of each session, and whenever the client asked
    /// for everything again.
    All(BTreeMap<String, Vec<Endpoint>>),
    /// These services changed; each with its whole set, or nothing when it is gone.
    Changed(Vec<(String, Option<Vec<Endpoint>>)>),
    /// The registry answered, and nothing has changed.
    Alive,
    /// Something in it can't be read; the rest goes on.
    Refused {
        /// What: a key or a name.
        key: String,
        /// Why.
        why: String,
    },
}

/// Where reports go.
#[derive(Clone, Debug)]
pub struct Reports(mpsc::Sender<Report>);

impl Reports {
    /// A way for reports, and its end.
    #[must_use]
    pub fn channel() -> (Reports, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(REPORTS_MAX);
        (Reports(sender), receiver)
    }

    /// Say something. Waits while too much waits already.
    ///
    /// # Errors
    ///
    /// Nobody listens any more: the session is to end.
    pub async fn say(&self, report: Report) -> Result<(), Ended> {
        self.0.send(report).await.map_err(|_| Ended("nobody listens any more".to_owned()))
    }
}

/// Why a session ended, for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Ended(pub String);

/// A registry's client.
pub trait Client: Send + 'static {
    /// Ask until something goes wrong. Says [`Report::All`] as soon as everything is known, before it [`Report::Alive`]
    /// when that takes long; something at least every [`ALIVE_EVERY`], and only when the registry really answered. `wanted`: services that
    /// somebody asks for, of registries that can't be listed (DNS); others ignore it.
    fn session(
        &mut self,
        to: &Reports,
        wanted: &mut mpsc::Receiver<String>,
    ) -> impl Future<Output = Ended> + Send;
}
