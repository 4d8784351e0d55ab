//! What is measured: the cases, and who takes part in each.

use super::peers::Peer;

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Every connection always has one in flight.
    Closed,
    /// So many per second, at fixed times.
    Open(u64),
}

/// One row of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub connections: usize,
    pub workers: usize,
    pub body_bytes: usize,
    pub load: Load,
    pub peers: &'static [Peer],
}

impl Case {
    /// With one worker the proxy has a core for itself; with two, all float.
    pub fn pinned(&self) -> bool {
        self.workers == 1
    }
}

/// Idle connections of the memory measurement, and its name on the command line.
pub const IDLE: (&str, usize) = ("idle-10k", 10_000);

/// Who takes part in the memory measurement.
pub const IDLE_PEERS: &[Peer] = &[Peer::Baleen, Peer::Haproxy, Peer::Nginx, Peer::Envoy];

const WITH_LOG: &[Peer] =
    &[Peer::Floor, Peer::Baleen, Peer::BaleenLog, Peer::Haproxy, Peer::Nginx, Peer::Envoy];
const PLAIN: &[Peer] = &[Peer::Floor, Peer::Baleen, Peer::Haproxy, Peer::Nginx, Peer::Envoy];
const WITH_SPLICE: &[Peer] =
    &[Peer::Floor, Peer::Baleen, Peer::Haproxy, Peer::HaproxySplice, Peer::Nginx, Peer::Envoy];

const WITH_PIPES: &[Peer] = &[
    Peer::Floor,
    Peer::Baleen,
    Peer::Haproxy,
    Peer::HaproxySplice,
    Peer::HaproxySpliceWide,
    Peer::Nginx,
    Peer::Envoy,
];

/// All cases but memory.
pub const CASES: &[Case] = &[
    closed("c64-w1-128", "One worker, 64 connections, 128 B", 64, 1, 128, WITH_LOG),
    closed("c256-w1-128", "One worker, 256 connections, 128 B", 256, 1, 128, WITH_LOG),
    closed("c64-w2-128", "Two workers, 64 connections, 128 B", 64, 2, 128, PLAIN),
    closed("c256-w2-128", "Two workers, 256 connections, 128 B", 256, 2, 128, PLAIN),
    closed("c64-w1-16k", "One worker, 64 connections, 16 KiB", 64, 1, 16 << 10, WITH_SPLICE),
    closed("c64-w1-1m", "One worker, 64 connections, 1 MiB", 64, 1, 1 << 20, WITH_PIPES),
    Case {
        name: "open-10k",
        title: "One worker, 10,000 requests per second, 64 connections, 128 B",
        connections: 64,
        workers: 1,
        body_bytes: 128,
        load: Load::Open(10_000),
        peers: WITH_LOG,
    },
];

const fn closed(
    name: &'static str,
    title: &'static str,
    connections: usize,
    workers: usize,
    body_bytes: usize,
    peers: &'static [Peer],
) -> Case {
    Case { name, title, connections, workers, body_bytes, load: Load::Closed, peers }
}
