//! What a member of a service looks like in etcd, in ZooKeeper or in a folder.
//!
//! - `host:port [weight] [zone=NAME]`, as in the files namer;
//! - `{"host":"10.0.0.1","port":80,"weight":1,"zone":"a"}` or `{"address":"10.0.0.1:80"}`;
//! - Finagle's serverset: `{"serviceEndpoint":{"host":"10.0.0.1","port":80},"status":"ALIVE", …}`, where only `ALIVE` takes traffic;
//! - nothing at all: then the key's last label is `host:port`.
//!
//! Hosts are IP addresses: a name would have to be asked for behind the back of the registry, and to change without it.
//!
//! Not here: where values come from (`kv_namer.rs`). Tested: in `members/tests.rs`; fuzzed (`registry_members`).

pub mod fuzz;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use baleen_config::{Endpoint, parse_endpoint};
use serde::Deserialize;

use crate::http::brief;

/// Most bytes of a value that are looked at: a member is one line.
pub const MEMBER_BYTES_MAX: usize = 16 << 10;

/// Reads a member: its label and its value. Nothing, when it says itself that it takes no traffic.
///
/// # Errors
///
/// In one line, for people.
pub fn parse(label: &str, value: &[u8]) -> Result<Option<Endpoint>, String> {
    if value.len() > MEMBER_BYTES_MAX {
        let bytes = value.len();
        return Err(format!("{bytes} bytes are more than a member has ({MEMBER_BYTES_MAX})"));
    }
    let text = std::str::from_utf8(value).map_err(|_| "it is no text".to_owned())?;
    match text.trim() {
        "" => line(label).map(Some),
        json if json.starts_with('{') => {
            let form: Form = serde_json::from_str(json)
                .map_err(|error| brief(format!("it is no JSON of a member: {error}").as_bytes()))?;
            form.endpoint()
        }
        text => line(text).map(Some),
    }
}

#[derive(Deserialize)]
struct Form {
    host: Option<String>,
    port: Option<u64>,
    weight: Option<u64>,
    zone: Option<String>,
    address: Option<String>,
    #[serde(rename = "serviceEndpoint")]
    service_endpoint: Option<HostPort>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct HostPort {
    host: String,
    port: u64,
}

impl Form {
    fn endpoint(self) -> Result<Option<Endpoint>, String> {
        let addr = match (self.service_endpoint, self.address, self.host, self.port) {
            (Some(HostPort { host, port }), None, None, None) => {
                let status = self.status.as_deref();
                let status = status.ok_or("a serverset's member has a `status`")?;
                match status {
                    "ALIVE" => {}
                    "DEAD" | "STARTING" | "STOPPING" | "STOPPED" | "WARNING" => return Ok(None),
                    other => {
                        let other = brief(other.as_bytes());
                        return Err(format!("`{other}` is no status of a serverset"));
                    }
                }
                socket(&host, port)?
            }
            (None, Some(address), None, None) if address.trim().contains(char::is_whitespace) => {
                return Err("an `address` is host:port and nothing else".to_owned());
            }
            (None, Some(address), None, None) => line(&address)?.addr,
            (None, None, Some(host), Some(port)) => socket(&host, port)?,
            (None, None, None, None) => {
                return Err("it has none of `address`, `host` and `serviceEndpoint`".to_owned());
            }
            (None, None, Some(_), None) => return Err("it has a `host` and no `port`".to_owned()),
            (None, None, None, Some(_)) => return Err("it has a `port` and no `host`".to_owned()),
            _ => {
                let why =
                    "it has more than one of `address`, `host` with `port`, and `serviceEndpoint`";
                return Err(why.to_owned());
            }
        };
        let mut text = addr.to_string();
        if let Some(weight) = self.weight {
            text.push_str(&format!(" {weight}"));
        }
        if let Some(zone) = self.zone {
            if zone.contains(char::is_whitespace) {
                return Err(format!("`{}` is no zone", brief(zone.as_bytes())));
            }
            text.push_str(&format!(" zone={zone}"));
        }
        line(&text).map(Some)
    }
}

fn socket(host: &str, port: u64) -> Result<SocketAddr, String> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let ip: IpAddr = inner.parse().map_err(|_| no_address(host))?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| "a port is 1 to 65535".to_owned())?;
    Ok(SocketAddr::new(ip, port))
}

/// `host:port [weight] [zone=NAME]`.
fn line(text: &str) -> Result<Endpoint, String> {
    if text.contains(['\n', '\r']) {
        return Err("a member is one line".to_owned());
    }
    let first = text.split_whitespace().next().unwrap_or("");
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    if host.eq_ignore_ascii_case("localhost") {
        return Err("`localhost` is another machine for everyone who reads it".to_owned());
    }
    parse_endpoint(text).map_err(|error| {
        let word = text.get(error.span.clone()).unwrap_or(text);
        if word == first && is_name(host) {
            return no_address(host);
        }
        let (title, label) = (&error.title, &error.wrong.label);
        let hint = error.wrong.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{title}: `{}`: {label}{hint}", brief(word.as_bytes()))
    })
}

/// Whether this looks like a host's name and not like a mistake in an address.
fn is_name(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !host.is_empty()
        && host.bytes().all(plain)
        && host.bytes().any(|b| b.is_ascii_alphabetic())
        && host.parse::<IpAddr>().is_err()
}

fn no_address(host: &str) -> String {
    let host = brief(host.as_bytes());
    format!(
        "`{host}` is no IP address: register the address, or find the service by a namer of kind \"dns\""
    )
}
