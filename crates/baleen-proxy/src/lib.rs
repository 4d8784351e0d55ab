//! Listeners, pools and the request path; drives policy in real time
pub mod access_log;
pub mod answer;
pub mod directory;
pub mod edits;
pub mod forward;
pub mod head;
pub mod identify;
