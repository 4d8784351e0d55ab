//! Many small HTTP servers in one thread: each says which service it is, and can be ended at once.

use std::net::{SocketAddr, TcpListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where servers run.
pub struct Fleet {
    servers: Handle,
    /// Ends the servers' thread when it is dropped.
    _stop: oneshot::Sender<()>,
    /// For whoever waits.
    own: Runtime,
}

/// One server; it ends when this is dropped, with its connections.
pub struct Server {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fleet {
    pub fn new() -> Fleet {
        let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (stop, stopped) = oneshot::channel::<()>();
        let servers = runtime();
        let handle = servers.handle().clone();
        std::thread::spawn(move || servers.block_on(stopped));
        Fleet { servers: handle, _stop: stop, own: runtime() }
    }

    /// A server on a free port.
    pub fn start(&self, service: &'static str) -> Server {
        self.start_at(([127, 0, 0, 1], 0).into(), service)
    }

    /// A server on this port, which another one may just have left.
    pub fn start_at(&self, at: SocketAddr, service: &'static str) -> Server {
        let listener = loop {
            match TcpListener::bind(at) {
                Ok(listener) => break listener,
                Err(e) if at.port() != 0 && e.kind() == std::io::ErrorKind::AddrInUse => {
                    std::thread::yield_now();
                }
                Err(e) => panic!("{at}: {e}"),
            }
        };
        let addr = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("nonblocking");
        let task = self.servers.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(serve(stream, service));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Server { addr, task }
    }

    /// Wait for something.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.own.block_on(future)
    }
}

/// Answers requests without bodies until the other side leaves.
async fn serve(mut stream: TcpStream, service: &'static str) {
    let (mut buffer, mut filled) = ([0; 4096], 0);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{service}", service.len());
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(n) if n > 0 => filled += n,
            _ => return,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
