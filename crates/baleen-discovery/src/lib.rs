//! Registries: which services there are, where their endpoints are, and how that changes.
//!
//! A [`registry::Client`] asks one kind of registry and reports what it says. A [`keeper`] stands between a client and the proxy: it
//! starts session after session, holds mass removals back, keeps the last good sets in memory and on disk, and says how well all
//! that goes. An outage of the registry is not an outage of the services.
//!
//! | module | idea |
//! |---|---|
//! | `files` | a folder with a file for each service, which has a way of its own |
//! | `registry` | what a client reports, and to whom |
//! | `keeper` | sessions, holds, snapshots, health |
//! | `consul`, `dns`, `kubernetes` | clients |
//! | `kv` | a few small values with versions: what etcd, ZooKeeper and a folder have in common |
//! | `etcd`, `zookeeper`, `folder`, `open` | stores of such values, and one by its address |
//! | `kv_namer`, `members` | the client of such a store, and how its members are written |
//! | `store` | delegation tables in such a store |
//! | `http` | the client that etcd, Consul and Kubernetes are asked with |
//! | `backoff`, `settle` | growing waits; endpoints in order, each once, within a bound |
//!
//! Not here: what is done with endpoints (the wiring gives them ids; policy chooses). Tested: in `tests/`, with real files, etcd,
//! ZooKeeper and dnsmasq, and with servers that stand in for Consul and Kubernetes.

mod backoff;
pub mod consul;
pub mod dns;
pub mod etcd;
pub mod files;
pub mod folder;
pub mod http;
pub mod keeper;
pub mod kubernetes;
pub mod kv;
pub mod kv_namer;
pub mod members;
pub mod open;
pub mod registry;
mod settle;
pub mod store;
pub mod zookeeper;

pub use open::{AnyKv, open};
