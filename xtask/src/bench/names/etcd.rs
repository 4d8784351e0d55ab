//! A real etcd on free ports of loopback, asked over its JSON gateway.
//!
//! Tested: below, and by running it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::super::process::{Running, start};

/// A running etcd; it ends with this.
pub struct Etcd {
    pub client: SocketAddr,
    _running: Running,
}

impl Etcd {
    /// Starts one that keeps its data below `dir`.
    pub fn start(dir: &Path) -> Result<Etcd> {
        let (client, peer) = (free()?, free()?);
        let urls = |at: SocketAddr| format!("http://{at}");
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(dir.join("etcd"));
        command.args(["--listen-client-urls", &urls(client)]);
        command.args(["--advertise-client-urls", &urls(client)]);
        command.args(["--listen-peer-urls", &urls(peer)]);
        command.args(["--initial-advertise-peer-urls", &urls(peer)]);
        command.args(["--initial-cluster", &format!("default={}", urls(peer))]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running =
            start(command, None).context("etcd; hint: apt-get install etcd-server")?;
        let said = running.child().stderr.take().context("it is piped")?;
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while !line.contains("ready to serve client requests") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                bail!("etcd ended before it was ready");
            }
        }
        // Nobody else reads it, and it must not fill.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(Etcd { client, _running: running })
    }

    /// A connection that asks.
    pub fn asker(&self) -> Result<Asker> {
        Ok(Asker(BufReader::new(connect(self.client)?)))
    }

    /// Everything that becomes of a key from now on.
    pub fn watch(&self, key: &str) -> Result<Watch> {
        let mut stream = connect(self.client)?;
        let body = json!({ "create_request": { "key": base64(key.as_bytes()) } });
        send(&mut stream, "/v3/watch", &body)?;
        let mut watch = Watch(BufReader::new(stream));
        let created = watch.message()?;
        match created["result"]["created"] == true {
            true => Ok(watch),
            false => bail!("etcd made no watch: {created}"),
        }
    }
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn connect(at: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(at).with_context(|| format!("connect {at}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, path: &str, body: &Value) -> Result<()> {
    let body = body.to_string();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
    Ok(stream.write_all((head + &body).as_bytes())?)
}

/// Asks one thing after the other.
pub struct Asker(BufReader<TcpStream>);

impl Asker {
    /// Writes a key; gives the revision at which that was done.
    pub fn put(&mut self, key: &str, value: &str) -> Result<u64> {
        let body = json!({ "key": base64(key.as_bytes()), "value": base64(value.as_bytes()) });
        send(self.0.get_mut(), "/v3/kv/put", &body)?;
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                bail!("etcd closed the connection");
            }
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().context("a length")?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let answer: Value = serde_json::from_slice(&body)?;
        number(&answer["header"]["revision"]).with_context(|| format!("no revision: {answer}"))
    }
}

/// What becomes of a key.
pub struct Watch(BufReader<TcpStream>);

impl Watch {
    /// The revision of the next change.
    pub fn next(&mut self) -> Result<u64> {
        loop {
            let message = self.message()?;
            let last = message["result"]["events"].as_array().and_then(|events| events.last());
            if let Some(revision) = last.and_then(|event| number(&event["kv"]["mod_revision"])) {
                return Ok(revision);
            }
        }
    }

    /// The next message: a line of its own, between sizes of chunks and, at the start, the head.
    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                bail!("etcd ended the watch");
            }
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }
}

/// The gateway writes numbers of 64 bits as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, expect) in pairs {
            assert_eq!(base64(text.as_bytes()), expect);
        }
    }

    #[test]
    fn numbers_are_text_or_not() {
        assert_eq!(number(&json!("7")), Some(7));
        assert_eq!(number(&json!(7)), Some(7));
        assert_eq!(number(&json!(null)), None);
    }
}
