//! What Baleen thinks of its endpoints, asked ten times a second: who is taken out and comes back is told in the log.
//!
//! Bounds: one request at a time to each process, [`TIMEOUT`] for each step, [`PAGE_BYTES_MAX`] of an answer. A process that does
//! not answer is asked again next time. Tested: below.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::journal::Journal;
use crate::cast::monotonic;
use crate::stage::Looked;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(500);
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// What is known of one process: how each endpoint stands, and which clusters use all of theirs.
#[derive(Default)]
struct Known {
    out: BTreeMap<String, bool>,
    panic: BTreeMap<String, bool>,
}

/// Looks until it is over.
pub fn watch(all: &[(String, Looked)], journal: &Journal, over: &AtomicBool) {
    let mut known: Vec<Known> = all.iter().map(|_| Known::default()).collect();
    while !over.load(Ordering::Relaxed) {
        for ((name, looked), known) in all.iter().zip(&mut known) {
            match page(looked.admin) {
                Ok(page) => {
                    let at = monotonic();
                    for (kind, text) in known.learn(&page, &looked.replicas) {
                        journal.note(at, kind, format!("{name}: {text}"));
                    }
                }
                // It was killed, or is stopped: when it is there again it knows nothing, or what it knew.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => *known = Known::default(),
                Err(_) => {}
            }
        }
        std::thread::sleep(EVERY);
    }
}

fn page(admin: SocketAddr) -> io::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: no answer in chunks.
    write!(stream, "GET /clusters HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
    let mut text = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    serde_json::from_str(body).map_err(io::Error::other)
}

impl Known {
    /// What is new.
    fn learn(
        &mut self,
        page: &Value,
        replicas: &BTreeMap<String, String>,
    ) -> Vec<(&'static str, String)> {
        let mut new = Vec::new();
        for cluster in page["clusters"].as_array().into_iter().flatten() {
            let name = cluster["name"].as_str().unwrap_or_default();
            let panic = cluster["panic"].as_bool().unwrap_or_default();
            if self.panic.insert(name.to_owned(), panic).unwrap_or_default() != panic {
                new.push((
                    "panic",
                    match panic {
                        true => format!("too few of {name} are left: all are used"),
                        false => format!("enough of {name} are well again"),
                    },
                ));
            }
            for endpoint in cluster["endpoints"].as_array().into_iter().flatten() {
                let address = endpoint["address"].as_str().unwrap_or_default();
                let who = replicas.get(address).map_or(address, String::as_str);
                let out = endpoint["state"].as_str() != Some("usable");
                if self.out.insert(address.to_owned(), out).unwrap_or_default() == out {
                    continue;
                }
                new.push(if out {
                    let time = endpoint["ejected"]["until_trial_seconds"].as_f64().unwrap_or(0.0);
                    let why =
                        endpoint["ejected"]["reason"].as_str().unwrap_or("it does not say why");
                    ("ejected", format!("{who} is out for {time:.1} s: {why}"))
                } else {
                    ("restored", format!("{who} is back"))
                });
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(state: &str, panic: bool) -> Value {
        let out = json!({"reason": "5 failures in a row", "until_trial_seconds": 4.96, "nth": 1});
        json!({"clusters": [{"name": "web", "panic": panic, "endpoints": [
            {"address": "127.0.0.1:1", "state": state, "ejected": out},
            {"address": "127.0.0.1:2", "state": "usable", "ejected": null},
        ]}]})
    }

    #[test]
    fn changes_are_told_once() {
        let replicas = BTreeMap::from([("127.0.0.1:1".to_owned(), "web/0".to_owned())]);
        let mut known = Known::default();
        assert_eq!(known.learn(&said("usable", false), &replicas), []);
        let out = ("ejected", "web/0 is out for 5.0 s: 5 failures in a row".to_owned());
        let panic = ("panic", "too few of web are left: all are used".to_owned());
        assert_eq!(known.learn(&said("ejected", true), &replicas), [panic, out]);
        // A trial is no use yet.
        assert_eq!(known.learn(&said("trial", true), &replicas), []);
        let back = known.learn(&said("usable", false), &replicas);
        assert_eq!(back[1], ("restored", "web/0 is back".to_owned()));
        assert_eq!(known.learn(&json!({"clusters": 3}), &replicas), []);
    }
}
