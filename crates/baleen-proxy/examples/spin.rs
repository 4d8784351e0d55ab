//! Temporary.
use std::sync::Arc;
use baleen_http1::Limits;
use baleen_policy::Target;
use baleen_policy::params::*;
use baleen_proxy::access_log::Destination;
use baleen_proxy::answer::Disclose;
use baleen_proxy::directory::{Binding, Registry};
use baleen_proxy::forward::TrustParams;
use baleen_proxy::identify::{Naming, Template};
use baleen_proxy::{ListenerPlan, Plan, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "backend" {
        let size: usize = args[3].parse().unwrap();
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let l = tokio::net::TcpListener::bind(&args[2]).await.unwrap();
            let mut resp = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: text/plain\r\nServer: spin\r\n\r\n").into_bytes();
            resp.extend(std::iter::repeat_n(b'x', size));
            let resp: &'static [u8] = resp.leak();
            loop {
                let (mut s, _) = l.accept().await.unwrap();
                s.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut b = [0u8; 8192];
                    loop {
                        match s.read(&mut b).await { Ok(0) | Err(_) => return, Ok(n) => {
                            if b[..n].ends_with(b"\r\n\r\n") { if s.write_all(resp).await.is_err() { return } }
                        } }
                    }
                });
            }
        });
        return;
    }
    let mut registry = Registry::new();
    let listener = registry.listener("test").unwrap();
    let route = registry.route("/svc/test").unwrap();
    let cluster = registry.cluster("/#/test").unwrap();
    let tree = Target::Cluster(cluster);
    let target = registry.target(&tree).unwrap();
    registry.bind("/svc/127.0.0.1", Binding { route, target }).unwrap();
    let found: Vec<_> = args[4..].iter().map(|a| (a.parse().unwrap(), 1)).collect();
    let set = registry.discovered(cluster, &found).set.unwrap_or_default();
    let params = Params {
        routes: vec![(route, RouteParams::default())],
        clusters: vec![(cluster, ClusterParams::default())],
        listeners: vec![(listener, ClientParams::default())],
        ..Params::default()
    };
    let server = Server::start(Plan {
        workers: args[3].parse().unwrap(),
        listeners: vec![ListenerPlan { id: listener, address: args[2].parse().unwrap(),
            naming: Arc::new(Naming::new(Vec::new(), Some(Template::parse("/svc/{host}").unwrap()))),
            trust: TrustParams::default(), limits: Limits::default(), access_log: Destination::Off, disclose: Disclose::default() }],
        params: Arc::new(params), directory: registry.directory(), clusters: vec![(cluster, set)],
        targets: vec![(target, Arc::new(tree))], seed: 7,
        recorder_entries: std::env::var("REC").map_or(65536, |r| r.parse().unwrap()),
    }).unwrap();
    println!("{:?}", server.addresses());
    std::thread::park();
}
