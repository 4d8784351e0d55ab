//! Ports of a drill, which no other drill takes while it lasts, not even while a replica of it is down.
//!
//! They lie below those that the kernel gives to connections. They are taken in blocks of [`BLOCK`]; a block is ours as long as we
//! hold a socket of its name, which no other process of this network can have then, whoever's it is, and which the kernel lets go
//! when we die. Within it, a port that something else listens on is left out.
//! Bounds: the blocks between [`FIRST`] and the first port for connections. Tested: below.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;

const BLOCK: u16 = 32;
const FIRST: u16 = 14_000;
/// The first port for connections, where the kernel does not say.
const EPHEMERAL: u16 = 32_768;

/// Gives out ports. They are free for others when it is dropped.
#[derive(Debug)]
pub struct Ports {
    held: Vec<UnixDatagram>,
    /// Blocks that were not tried yet.
    blocks: Vec<u16>,
    now: Range<u16>,
}

impl Ports {
    /// None are taken yet.
    #[must_use]
    pub fn new() -> Ports {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let low = range.ok().and_then(|r| r.split_whitespace().next()?.parse().ok());
        let end = low.unwrap_or(EPHEMERAL).min(EPHEMERAL);
        let end = if end < FIRST + 4 * BLOCK { EPHEMERAL } else { end };
        let count = (end - FIRST) / BLOCK;
        // Drills side by side begin at different ones.
        let first = std::process::id().wrapping_mul(7) % u32::from(count);
        let first = u16::try_from(first).unwrap_or_default();
        let blocks = (0..count).map(|n| FIRST + (first + n) % count * BLOCK).rev().collect();
        Ports { held: Vec::new(), blocks, now: 0..0 }
    }

    /// A free one on loopback.
    ///
    /// # Errors
    /// There is none.
    pub fn take(&mut self) -> io::Result<SocketAddr> {
        loop {
            for port in self.now.by_ref() {
                let at = SocketAddr::from(([127, 0, 0, 1], port));
                let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
                if TcpListener::bind(everywhere).is_ok() && TcpListener::bind(at).is_ok() {
                    return Ok(at);
                }
            }
            let none = || io::Error::new(io::ErrorKind::AddrInUse, "no free ports are left");
            let block = self.blocks.pop().ok_or_else(none)?;
            let name = format!("baleen-drill-ports-{block}");
            let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            if let Ok(held) = UnixDatagram::bind_addr(&name) {
                self.held.push(held);
                self.now = block..block + BLOCK;
            }
        }
    }
}

impl Default for Ports {
    fn default() -> Ports {
        Ports::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nobody_gets_the_same() {
        let (mut a, mut b) = (Ports::new(), Ports::new());
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            assert!(seen.insert(a.take().expect("a port")));
            assert!(seen.insert(b.take().expect("a port")));
        }
        assert!(seen.iter().all(|at| at.port() >= FIRST && at.ip().is_loopback()));
    }

    #[test]
    fn ports_in_use_are_left_out() {
        let mut ports = Ports::new();
        ports.take().expect("a port");
        let next = ports.now.start;
        // It may be in use already, which is as well.
        let _held = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], next)));
        assert_ne!(ports.take().expect("a port").port(), next);
    }
}
