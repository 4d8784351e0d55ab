//! Upstreams that answer `/warm` by themselves and hand every other request to the test, with its connection.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::harness::{Message, PATIENCE, Proxy, Wire, get, ok};

/// Some upstreams.
pub struct Stage {
    pub addresses: Vec<SocketAddr>,
    asked: Receiver<Asked>,
    to: Sender<Asked>,
}

/// A request that an upstream got.
pub struct Asked {
    /// Which upstream.
    pub at: usize,
    pub wire: Wire,
    pub request: Message,
}

pub fn stage(upstreams: usize) -> Stage {
    let (to, asked) = channel();
    let mut addresses = Vec::new();
    for at in 0..upstreams {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        addresses.push(listener.local_addr().unwrap());
        let to = to.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let to = to.clone();
                std::thread::spawn(move || serve(at, Wire::new(stream), &to));
            }
        });
    }
    Stage { addresses, asked, to }
}

/// Answer what is `/warm`; the first other request goes to the test, and the connection with it.
fn serve(at: usize, mut wire: Wire, to: &Sender<Asked>) {
    while !wire.ends() {
        let request = wire.message();
        if !request.head.starts_with("GET /warm ") {
            // A test that is over wants it no more.
            let _ = to.send(Asked { at, wire, request });
            return;
        }
        wire.send(ok("warm"));
    }
}

/// Lets upstreams go on by themselves.
pub struct Back(Sender<Asked>);

impl Back {
    pub fn resume(self, asked: Asked) {
        std::thread::spawn(move || serve(asked.at, asked.wire, &self.0));
    }
}

impl Stage {
    /// The next request that some upstream gets.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("a request at some upstream")
    }

    /// The next one, if there is one soon.
    pub fn asked_within(&self, time: Duration) -> Option<Asked> {
        self.asked.recv_timeout(time).ok()
    }

    /// No request was handed over that the test did not take.
    pub fn is_quiet(&self) -> bool {
        self.asked.try_recv().is_err()
    }

    /// Let the upstream go on by itself.
    pub fn resume(&self, asked: Asked) {
        self.back().resume(asked);
    }

    /// What lets upstreams go on, for other threads.
    pub fn back(&self) -> Back {
        Back(self.to.clone())
    }

    /// Enough requests that went well for a quantile of their times; each upstream has an idle connection then.
    pub fn warm(&self, p: &Proxy) {
        let mut client = p.client();
        for _ in 0..40 {
            client.send(get("/warm"));
            assert_eq!(client.message().text(), "warm");
        }
    }
}
