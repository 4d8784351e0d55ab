//! Whether a service is well, as it says itself: `GET` of a page, 2xx or not.
//!
//! Not here: what follows from it (`register.rs`). Tested: below and in `tests/it/register.rs`.

use std::time::Duration;

use baleen_discovery::http::{Bearer, Client, Origin, Request, Timeouts};
use tokio::sync::mpsc;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A page of health is small.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A page.
#[derive(Clone, Debug)]
pub struct Url {
    origin: Origin,
    path: String,
}

/// Reads `http://host:port/path`.
pub fn parse(text: &str) -> Result<Url, String> {
    let example = "expected for example http://127.0.0.1:8080/healthz";
    let rest = text.strip_prefix("http://").ok_or(example)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let origin = Origin::parse_authority(authority, false, 80)?;
    let path = if path.is_empty() { "/" } else { path };
    if path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#') {
        return Err(example.to_owned());
    }
    Ok(Url { origin, path: path.to_owned() })
}

/// Asks again and again.
pub struct Probe {
    changes: mpsc::Receiver<Result<(), String>>,
}

impl Probe {
    /// Begins at once, and ends when it is dropped.
    pub fn start(url: Url, every: Duration) -> Probe {
        let (sender, changes) = mpsc::channel(1);
        tokio::spawn(ask(url, every, sender));
        Probe { changes }
    }
}

/// When it turns well, or ill with the reason; never, when there is none.
pub async fn changed(probe: Option<&mut Probe>) -> Result<(), String> {
    let changed = match probe {
        Some(probe) => probe.changes.recv().await,
        None => None,
    };
    match changed {
        Some(changed) => changed,
        None => std::future::pending().await,
    }
}

async fn ask(url: Url, every: Duration, changes: mpsc::Sender<Result<(), String>>) {
    let timeouts = Timeouts { connect: ANSWER_MAX, answer: ANSWER_MAX };
    let client = Client::new(vec![url.origin.clone()], None, Bearer::None, timeouts);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut well = None;
    loop {
        ticks.tick().await;
        let now = match &client {
            Ok(client) => one(client, &url).await,
            Err(error) => Err(error.to_string()),
        };
        if well.replace(now.is_ok()) != Some(now.is_ok()) && changes.send(now).await.is_err() {
            return;
        }
    }
}

async fn one(client: &Client, url: &Url) -> Result<(), String> {
    let request = Request::get(url.path.clone()).most(PAGE_BYTES_MAX);
    match client.send(request).await {
        Ok(answer) if answer.is_success() => Ok(()),
        Ok(answer) => Err(format!("{}{} answered {}", url.origin, url.path, answer.brief())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let url = parse("http://127.0.0.1:80/a?b=c").expect("a page");
        assert_eq!(
            (url.origin.to_string().as_str(), url.path.as_str()),
            ("http://127.0.0.1:80", "/a?b=c")
        );
        assert_eq!(parse("http://[::1]:8080").expect("a page").path, "/");
        for text in
            ["", "healthz", "https://a/", "http://", "http://a:0/", "http://a/ b", "http://a/#b"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
