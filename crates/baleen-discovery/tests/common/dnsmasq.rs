//! A real dnsmasq on a port of its own, ended by its process id.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A question for the address of `web.test`.
const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x04test\0\0\x01\0\x01";

/// A running server.
pub struct Dnsmasq {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dnsmasq {
    /// One that knows these records, `web.test` among them, and nothing else below `test`. It answers. Nothing where it is
    /// missing.
    pub fn start(records: &[&str]) -> Option<Dnsmasq> {
        loop {
            let Some(address) = free() else { continue };
            let started = Command::new("dnsmasq")
                .args([
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--no-resolv",
                    "--no-hosts",
                ])
                .args(["--no-daemon", "--listen-address=127.0.0.1", "--bind-interfaces"])
                .args(["--local=/test/", "--local-ttl=1"])
                .args(records)
                .arg(format!("--port={}", address.port()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(child) = started else {
                let required = std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1");
                assert!(!required, "dnsmasq is not installed: scripts/install-test-tools");
                eprintln!("skipped: dnsmasq is not installed (scripts/install-test-tools)");
                return None;
            };
            let mut server = Dnsmasq { child, address };
            // One that ends had its port taken by somebody who was faster: another.
            while server.child.try_wait().expect("a child").is_none() {
                if answers(address) {
                    return Some(server);
                }
            }
        }
    }
}

fn free() -> Option<SocketAddr> {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = udp.local_addr().expect("an address");
    TcpListener::bind(address).is_ok().then_some(address)
}

/// Whether an answer comes to our question.
fn answers(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut answer = [0; 512];
    let asked = socket.connect(server).and_then(|()| socket.send(QUESTION));
    asked.is_ok() && socket.recv(&mut answer).is_ok_and(|n| n > 12 && answer[..2] == QUESTION[..2])
}
