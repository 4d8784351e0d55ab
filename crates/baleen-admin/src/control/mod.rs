//! The control interface: faults asked for while the proxy runs, and delegation tables, over HTTP/1.1 and JSON.
//!
//! Why apart from the views: whoever reaches the views can look and do nothing else; whoever reaches this can break every
//! request. So it listens elsewhere, is off unless it is turned on, asks for a token where one is set, and refuses browsers. All it
//! can do is in two narrow traits, [`Control`] and, where there is a store of tables, [`Tables`].
//!
//! Every fault has a lease: it ends by itself when whoever asked does not renew it.
//!
//! Bounds: `CONNECTIONS_MAX`, heads and times as for the views; [`BODY_BYTES_MAX`], [`LEASE_MAX`], [`FAULTS_MAX`].
//! Not here: what a fault does, and to whom (whoever implements [`Control`]). Tested: `tests/control.rs`, `tests/tables.rs`; beside the code.

mod routes;
mod server;
mod spec;
mod tables;

use std::future::Future;
use std::time::Duration;

use serde::Serialize;

pub use server::{ControlBindError, ControlServer, Place, Token};
pub use spec::{FaultSpec, Stream};
pub use tables::{
    TABLE_BODY_BYTES_MAX, TableEntry, TableError, TableText, TableView, Tables, When,
};

/// Most faults at once.
pub const FAULTS_MAX: usize = 64;
/// Most bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest lease.
pub const LEASE_MAX: Duration = Duration::from_secs(3600);

/// What can be asked. What was answered is in force for every attempt that begins after.
pub trait Control: Send + Sync + 'static {
    /// All faults, in the order they came.
    fn list(&self) -> impl Future<Output = Vec<FaultView>> + Send;

    /// A fault, new or in place of the one of this name.
    fn put(
        &self,
        name: String,
        spec: FaultSpec,
    ) -> impl Future<Output = Result<FaultView, Refused>> + Send;

    /// Its lease begins anew.
    fn renew(&self, name: String) -> impl Future<Output = Result<FaultView, Refused>> + Send;

    /// Take a fault away.
    fn delete(&self, name: String) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Take all faults away.
    fn delete_all(&self) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Believe a registry: let go the endpoints of a service, or of all, that it has no more and that are held.
    fn release(
        &self,
        namer: String,
        service: Option<String>,
    ) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// A fault as it stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FaultView {
    /// What it is called.
    pub name: String,
    /// As it was asked for.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// It has begun.
    pub on: bool,
    /// When it ends, unless it is renewed.
    pub ends_in_ms: u64,
    /// Attempts that it hit.
    pub hits: u64,
    /// Attempts that it would have hit, had more connections been allowed to be carried.
    pub missed: u64,
}

/// Why it is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// What is asked makes no sense.
    Wrong(String),
    /// There is no such thing.
    Unknown(String),
    /// There are too many.
    Full(String),
    /// It could not be done now.
    Failed(String),
}
