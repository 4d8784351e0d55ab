//! What Baleen's admin pages say: who is in use and who is not, how many retries and ejections.
//!
//! What can't be read is left out; the demo goes on. Not here: the pages (`baleen-admin`). Tested: below.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::children::ask;

/// How an endpoint stands.
#[derive(Clone, PartialEq, Debug)]
pub struct State {
    /// `usable`, `ejected` or `trial`.
    pub word: String,
    /// Why it is out, if it is.
    pub reason: Option<String>,
    /// Seconds until it is tried again.
    pub trial_in: f64,
}

/// What was seen at one look.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Seen {
    /// By address.
    pub states: BTreeMap<String, State>,
    /// Further tries, those included of which nothing had been sent before.
    pub retries: u64,
    pub ejections: u64,
}

/// Look now.
pub fn look(admin: SocketAddr) -> Seen {
    let clusters = ask(admin, "GET", "/clusters").unwrap_or_default();
    let metrics = ask(admin, "GET", "/metrics").unwrap_or_default();
    Seen {
        states: states(&clusters),
        retries: sum(&metrics, "baleen_retries_total") + sum(&metrics, "baleen_requeues_total"),
        ejections: sum(&metrics, "baleen_ejections_total"),
    }
}

fn states(clusters: &str) -> BTreeMap<String, State> {
    let value: Value = serde_json::from_str(clusters).unwrap_or_default();
    let clusters = value["clusters"].as_array().into_iter().flatten();
    let endpoints = clusters.flat_map(|c| c["endpoints"].as_array().into_iter().flatten());
    endpoints
        .filter_map(|endpoint| {
            let state = State {
                word: endpoint["state"].as_str()?.to_owned(),
                reason: endpoint["ejected"]["reason"].as_str().map(str::to_owned),
                trial_in: endpoint["ejected"]["until_trial_seconds"].as_f64().unwrap_or(0.0),
            };
            Some((endpoint["address"].as_str()?.to_owned(), state))
        })
        .collect()
}

/// All series of a counter, added up.
fn sum(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<u64>().ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_up_by_their_whole_name() {
        let text = "# HELP a_total x\na_total{b=\"c d\"} 3\na_total 4\na_total_more 9\nx 1\n";
        assert_eq!(sum(text, "a_total"), 7);
        assert_eq!(sum("", "a_total"), 0);
    }

    #[test]
    fn states_are_found() {
        let text = r#"{"clusters":[{"endpoints":[
            {"address":"1.2.3.4:5","state":"ejected","ejected":{"reason":"why","until_trial_seconds":2.5}},
            {"address":"1.2.3.4:6","state":"usable","ejected":null}]}]}"#;
        let all = states(text);
        assert_eq!(all["1.2.3.4:5"].reason.as_deref(), Some("why"));
        assert_eq!(all["1.2.3.4:6"].word, "usable");
        assert!(states("not json").is_empty());
    }
}
