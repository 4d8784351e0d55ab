//! Looks at what a proxy does before it is measured: same bytes down, same features up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::backend::{SIZES, body};
use super::client::{parse_head, request};
use super::process::Running;

/// How long a proxy may take to listen.
const READY_MAX: Duration = Duration::from_secs(15);

/// Fields that every proxy must have added when a request arrives upstream.
const ADDED: [&str; 3] = ["x-request-id", "via", "x-forwarded-for"];

/// Waits until the proxy accepts connections, or says that it stopped.
pub fn wait_ready(running: &mut Running, port: u16) -> Result<()> {
    let asked = Instant::now();
    while asked.elapsed() < READY_MAX {
        if let Some(status) = running.child().try_wait()? {
            bail!("it stopped at once: {status}");
        }
        if connect(port).is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(5));
    }
    bail!("it did not listen on port {port} within {} s", READY_MAX.as_secs())
}

/// Asks for each body and compares it; looks at the head that arrives upstream.
pub fn forwards(port: u16, adds_fields: bool) -> Result<()> {
    let mut stream = connect(port)?;
    for size in SIZES {
        let got = ask(&mut stream, &format!("/{size}")).with_context(|| format!("/{size}"))?;
        if got != body(size) {
            bail!("the body of /{size} did not come through");
        }
    }
    if !adds_fields {
        return Ok(());
    }
    let head = String::from_utf8(ask(&mut stream, "/head").context("/head")?)?.to_lowercase();
    match ADDED.iter().find(|name| !head.contains(&format!("\r\n{name}:"))) {
        Some(name) => bail!("no {name} arrived upstream:\n{head}"),
        None => Ok(()),
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request; the body of its answer.
fn ask(stream: &mut TcpStream, path: &str) -> Result<Vec<u8>> {
    stream.write_all(&request(path))?;
    let mut got = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            bail!("closed after {} bytes", got.len());
        }
        got.extend_from_slice(&chunk[..n]);
        if let Some((head, length)) = parse_head(&got)? {
            if got.len() > head + length {
                bail!("{} bytes after the response", got.len() - head - length);
            }
            if got.len() == head + length {
                return Ok(got.split_off(head));
            }
        }
    }
}
