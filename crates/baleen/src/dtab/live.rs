//! Which names a running proxy has carried: the routes of its metrics.
//!
//! Bounds: [`PAGE_BYTES_MAX`], [`TIMEOUT`] for each read. Not here: metrics (`baleen-admin`). Tested: below and in
//! `tests/it/dtab.rs`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use baleen_names::Path;

use crate::exit::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// The names that the proxy with this admin address has carried.
pub fn names(url: &str) -> Result<BTreeSet<Path>, Failure> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let page = page(host).map_err(|why| {
        Failure::environment(format!("the proxy at {url} does not tell its names: {why}"))
            .hint("the admin address is what `[admin] listen` says, such as http://127.0.0.1:9990")
    })?;
    Ok(routes(&page))
}

fn page(host: &str) -> Result<String, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut addresses = host.to_socket_addrs().map_err(text)?;
    let address = addresses.next().ok_or("it has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(text)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n").map_err(text)?;
    let mut page = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut page).map_err(text)?;
    match page.split_whitespace().nth(1) {
        Some("200") => Ok(page),
        status => Err(format!("it answers /metrics with {}", status.unwrap_or("nothing"))),
    }
}

/// The routes that calls were made to.
fn routes(page: &str) -> BTreeSet<Path> {
    let mut all = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("baleen_tries_total{")) {
        let Some((_, rest)) = line.split_once("route=\"") else { continue };
        let Some((route, count)) = rest.split_once('"') else { continue };
        let is_called = count.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        if let (Ok(path), true) = (Path::parse(route), is_called.is_some_and(|n| n > 0.0)) {
            all.insert(path);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_routes_that_were_called() {
        let page = "# HELP baleen_tries_total x\nbaleen_tries_total{route=\"/svc/a\"} 3\n\
                    baleen_tries_total{route=\"/svc/b\"} 0\nbaleen_tries_total{route=\"web\"} 3\n\
                    baleen_retries_total{route=\"/svc/c\",cause=\"x\"} 3\n";
        let names: Vec<String> = routes(page).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["/svc/a"]);
    }
}
