//! Namers: where a cluster's endpoints come from, and how they change.
//!
//! Now: a folder of files ([`files`]). A namer that loses its source keeps what it last knew: an outage of the registry is
//! not an outage of the services.
//!
//! Not here: what is done with endpoints (the wiring gives them ids; policy chooses). Tested: in `tests/`, with real files.

pub mod files;
