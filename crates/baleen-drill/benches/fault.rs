//! What a link without faults adds to a round trip, and how much it carries, against a direct connection in the same run.
//!
//! `cargo bench -p baleen-drill --bench fault`. Toxiproxy claims less than 100 us. The two are measured in turns, so that a busy
//! machine slows both.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use baleen_drill::fault::{FaultServer, Params};

const ROUNDS: usize = 20;
const TRIPS: usize = 1000;
const BULK_BYTES: usize = 256 << 20;

/// Sends back what it gets; but after a first byte of 1 it only reads, and answers with one byte at the end.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut s in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = s.set_nodelay(true);
                let mut buf = vec![0; 1 << 16];
                let mut left = BULK_BYTES;
                while let Ok(n @ 1..) = s.read(&mut buf) {
                    if buf[0] == 0 {
                        let _ = s.write_all(&buf[..n]);
                        continue;
                    }
                    left = left.saturating_sub(n);
                    if left == 0 {
                        let _ = s.write_all(&[1]);
                        left = BULK_BYTES;
                    }
                }
            });
        }
    });
    addr
}

fn connect(addr: SocketAddr) -> TcpStream {
    let s = TcpStream::connect(addr).expect("connect");
    s.set_nodelay(true).expect("nodelay");
    s
}

fn trips(s: &mut TcpStream, times: &mut Vec<Duration>) {
    let mut buf = [0; 64];
    for _ in 0..TRIPS {
        let start = Instant::now();
        s.write_all(&buf).expect("send");
        s.read_exact(&mut buf).expect("read");
        times.push(start.elapsed());
    }
}

fn bulk(s: &mut TcpStream) -> f64 {
    let chunk = vec![1; 1 << 16];
    let start = Instant::now();
    for _ in 0..BULK_BYTES / chunk.len() {
        s.write_all(&chunk).expect("send");
    }
    s.read_exact(&mut [0]).expect("the end");
    BULK_BYTES as f64 / start.elapsed().as_secs_f64() / 1e6
}

fn main() {
    let up = upstream();
    let proxies = format!(r#"[{{"name":"a","listen":"127.0.0.1:0","upstream":"{up}"}}]"#);
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let params = Params { listen, proxies: Some(proxies), ..Params::default() };
    let server = FaultServer::bind(params).and_then(FaultServer::spawn).expect("start");
    let link: SocketAddr = server.proxies()[0].listen.parse().expect("an address");
    let mut streams = [connect(up), connect(link)];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (s, times) in streams.iter_mut().zip(&mut times) {
            trips(s, times);
        }
    }
    let at = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6
    };
    for share in [0.5, 0.99] {
        let [direct, through] = times.each_mut().map(|t| at(t, share));
        let (p, added) = (share * 100.0, through - direct);
        println!(
            "p{p:.0}: direct {direct:.1} us, through a link {through:.1} us, added {added:.1} us"
        );
    }
    let [direct, through] = streams.each_mut().map(bulk);
    println!("bulk: direct {direct:.0} MB/s, through a link {through:.0} MB/s");
}
