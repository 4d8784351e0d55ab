//! Events to counters, histograms and text.
//!
//! What: [`WorkerCells`], a [`Sink`](baleen_base::Sink) that counts events in cells which other threads read without stopping
//! the worker; [`Snapshot`], the sum of all workers' cells at one moment; [`prometheus`], the text that `/metrics` answers;
//! [`Hist`], the histogram, for whoever else measures durations.
//!
//! Why cells: an event must cost some 10 ns on the request path, so a worker writes plain relaxed atomics that nobody else
//! writes, and all adding up is done by the reader. Names stay outside, too: cells know dense ids, and [`Names`] tells
//! what people call them when text is made.
//!
//! Not here: sockets, files, clocks. Reading `/proc` and answering HTTP is `baleen-admin`'s.
//!
//! Tested: beside the code; `tests/text.rs` (golden text and a checker of its syntax), `tests/threads.rs` (readers while a
//! writer writes), `tests/reference.rs` (the reference page is what the table of families says).

mod cells;
mod families;
mod hist;
mod record;
mod shell;
mod snapshot;
mod text;
mod words;

pub use cells::{CLUSTERS_MAX, Cells, ENDPOINTS_MAX, LISTENERS_MAX, ROUTES_MAX, WorkerCells};
pub use families::{Family, Kind, families, reference_markdown};
pub use hist::{BUCKETS, Hist};
pub use shell::{RULES_MAX, Sender, ShellCounter, ShellGauge};
pub use snapshot::{ClusterCounts, EndpointCounts, ListenerCounts, RouteCounts, Slots, Snapshot};
pub use text::{
    CLUSTERS_SHOWN, ENDPOINTS_SHOWN, LISTENERS_SHOWN, NamerFigures, Names, Process, ROUTES_SHOWN,
    TableFigures, prometheus, prometheus_namers, prometheus_table,
};
