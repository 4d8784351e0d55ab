//! Faults as toxics of the fault server, with leases.
//!
//! Not here: the server and its client (`fault`). Tested: below and in `tests/inject/`.

use std::net::SocketAddr;
use std::time::Instant;

use baleen_scenario::Distribution;
use baleen_scenario::model::{FaultKind, Link};
use serde_json::{Value, json};

use super::LEASE;
use crate::fault::{Client, ClientError};

/// What a lost message takes to be sent again, once, twice, ...
const AGAIN_MS: [u64; 4] = [200, 600, 1400, 3000];
/// Longer than any drill.
const HELD_MS: u64 = 86_400_000;
const WHOLE_PPM: u64 = 1_000_000;
const BOTH: [&str; 2] = ["upstream", "downstream"];

struct Toxic {
    fault: usize,
    proxy: String,
    name: String,
}

/// The fault server, and what was asked of it.
pub(super) struct Links {
    client: Client,
    toxics: Vec<Toxic>,
    renewed: Instant,
}

impl Links {
    pub(super) fn new(api: SocketAddr, proxies: &[Value]) -> Result<Links, String> {
        let client = Client::new(&api.to_string());
        let list = Value::from(proxies);
        client.ask("POST", "/populate", Some(&list)).map_err(|e| format!("links: {e}"))?;
        Ok(Links { client, toxics: Vec::new(), renewed: Instant::now() })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Put toxics on these.
    pub(super) fn begin(
        &mut self,
        fault: usize,
        proxies: &[String],
        toxics: &[Value],
    ) -> Result<(), String> {
        for proxy in proxies {
            for (nth, toxic) in toxics.iter().enumerate() {
                let name = toxic_name(fault, nth);
                let mut toxic = toxic.clone();
                toxic["name"] = name.clone().into();
                toxic["lease_ms"] = (LEASE.as_millis() as u64).into();
                let path = format!("/proxies/{}/toxics", Client::encode(proxy));
                // It is to be taken away even if the answer is lost.
                self.toxics.push(Toxic { fault, proxy: proxy.clone(), name });
                self.client
                    .ask("POST", &path, Some(&toxic))
                    .map_err(|e| format!("{proxy}: {e}"))?;
            }
        }
        Ok(())
    }

    /// Take them away again. What failed stays to be tried again.
    pub(super) fn end(&mut self, fault: usize) -> Result<(), String> {
        let mut wrong = None;
        let client = &self.client;
        self.toxics.retain(|toxic| {
            if toxic.fault != fault {
                return true;
            }
            match client.ask("DELETE", &toxic.path(), None) {
                Ok(_) | Err(ClientError::Refused { status: 404, .. }) => false,
                Err(e) => {
                    wrong = Some(format!("{}: {e}", toxic.proxy));
                    true
                }
            }
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Renew leases, now and then.
    pub(super) fn renew(&mut self) -> Result<(), String> {
        if self.renewed.elapsed() < LEASE / 5 {
            return Ok(());
        }
        self.renewed = Instant::now();
        let renew = |toxic: &Toxic| {
            let done = self.client.ask("POST", &toxic.path(), None);
            done.map(|_| ()).map_err(|e| format!("{}: {e}", toxic.proxy))
        };
        self.toxics.iter().map(renew).fold(Ok(()), Result::and)
    }

    /// Where the first toxic of each link of a fault is asked for.
    pub(super) fn paths(&self, fault: usize) -> Vec<String> {
        self.toxics.iter().filter(|t| t.fault == fault).map(Toxic::path).collect()
    }
}

fn toxic_name(fault: usize, nth: usize) -> String {
    format!("fault{fault}-{nth}")
}

impl Toxic {
    fn path(&self) -> String {
        format!("/proxies/{}/toxics/{}", Client::encode(&self.proxy), self.name)
    }
}

fn delay(stream: &str, times: &str) -> Value {
    json!({"type": "delay", "stream": stream, "attributes": {"distribution": times}})
}

/// Lost and sent again: how late messages are.
fn late(share_ppm: u32) -> String {
    let share = u64::from(share_ppm);
    let mut left = WHOLE_PPM;
    let mut parts = Vec::new();
    let mut times = vec![0];
    times.extend(AGAIN_MS);
    for (nth, ms) in times.iter().enumerate() {
        // Of those that came so far, so many are lost once more.
        let lost = if nth + 1 == times.len() { 0 } else { left * share / WHOLE_PPM };
        let here = left - lost;
        if here > 0 {
            parts.push(format!("{}% {ms}ms", here as f64 / 1e4));
        }
        left = lost;
    }
    match &parts[..] {
        [_] => "0ms".to_owned(),
        _ => format!("mix({})", parts.join(", ")),
    }
}

fn lossy(share_ppm: u32) -> Vec<Value> {
    if u64::from(share_ppm) >= WHOLE_PPM {
        return BOTH.iter().map(|stream| json!({"type": "silent", "stream": stream})).collect();
    }
    BOTH.iter().map(|stream| delay(stream, &late(share_ppm))).collect()
}

fn thin(bytes_per_second: u64) -> Vec<Value> {
    let rate = ((bytes_per_second + 500) / 1000).max(1);
    let one = |stream| json!({"type": "bandwidth", "stream": stream, "attributes": {"rate": rate}});
    BOTH.into_iter().map(one).collect()
}

/// What always lies between two sides.
pub(super) fn always(link: &Link) -> Vec<Value> {
    let mut out = Vec::new();
    // A link takes its bytes first, then its time.
    if let Some(bytes) = link.bandwidth {
        out.extend(thin(bytes));
    }
    if !link.latency.is_zero() {
        out.extend(BOTH.iter().map(|stream| delay(stream, &link.latency.to_string())));
    }
    if link.loss_ppm > 0 {
        out.extend(lossy(link.loss_ppm));
    }
    for (nth, toxic) in out.iter_mut().enumerate() {
        toxic["name"] = format!("always-{nth}").into();
    }
    out
}

/// What a fault is as toxics. `ways`: of a partition, whether what callers and what those they call say is held.
pub(super) fn toxics(kind: &FaultKind, ways: [bool; 2]) -> Vec<Value> {
    let both = |add: &Distribution| BOTH.map(|stream| delay(stream, &add.to_string())).to_vec();
    match kind {
        FaultKind::Silent => {
            BOTH.map(|s| json!({"type": "silent", "stream": s, "only_established": true})).to_vec()
        }
        FaultKind::Refuse => vec![json!({"type": "refuse"})],
        FaultKind::Latency { add } => vec![delay("downstream", &add.to_string())],
        FaultKind::Errors { share_ppm, status } => {
            let share = f64::from(*share_ppm) / 1e6;
            vec![json!({"type": "http", "toxicity": share, "attributes": {"status": status}})]
        }
        FaultKind::FailFirst { count, status } => {
            vec![json!({"type": "http", "attributes": {"status": status, "first": count}})]
        }
        FaultKind::Loss { share_ppm } => lossy(*share_ppm),
        FaultKind::Delay { add } => both(add),
        FaultKind::Bandwidth { bytes_per_second } => thin(*bytes_per_second),
        FaultKind::Partition { .. } => {
            let held = |s: &str| json!({"type": "latency", "stream": s, "attributes": {"latency": HELD_MS}});
            let cut = BOTH.iter().zip(ways).filter(|(_, cut)| *cut);
            cut.map(|(stream, _)| held(stream)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_comes_late() {
        assert_eq!(late(10_000), "mix(99% 0ms, 0.99% 200ms, 0.0099% 600ms, 0.0001% 1400ms)");
        for share in [1, 1000, 500_000, 999_999] {
            let text = late(share);
            let times: Distribution = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(times.mean() > std::time::Duration::ZERO, "{text}");
        }
    }
}
