//! Requests that are due whether or not the ones before were answered, and what became of each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::connect;

/// Connections, each with its own schedule.
const CONNECTIONS: u32 = 16;
/// Between two requests of a connection: 400 requests a second in all.
const EVERY: Duration = Duration::from_millis(40);
/// Failures that are shown.
const SHOWN_MAX: usize = 20;

/// Requests for one service, for as long as this lives.
pub struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of them.
#[derive(Default, Debug)]
pub struct Seen {
    pub answered: u64,
    /// Another service answered.
    pub wrong: u64,
    pub failed: Vec<String>,
    /// From when it was due to its answer.
    pub slowest: Duration,
}

impl Load {
    pub fn start(to: SocketAddr, service: &'static str) -> Load {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let began = Instant::now();
        let thread = |i: u32| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            let first = began + EVERY * i / CONNECTIONS;
            std::thread::spawn(move || send(to, service, first, &stop, &seen))
        };
        let threads = (0..CONNECTIONS).map(thread).collect();
        Load { stop, seen, threads }
    }

    /// So many were answered so far.
    pub fn answered(&self) -> u64 {
        self.seen.lock().expect("nobody panicked").answered
    }

    /// Ends it. All requests that became due were sent.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a thread that sends");
        }
        std::mem::take(&mut self.seen.lock().expect("nobody panicked"))
    }
}

fn send(to: SocketAddr, service: &str, first: Instant, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut stream: Option<TcpStream> = None;
    let mut due = first;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = ask(stream.get_or_insert_with(|| connect(to)), service);
        let mut seen = seen.lock().expect("nobody panicked");
        seen.slowest = seen.slowest.max(due.elapsed());
        match answer {
            Ok(body) if body == service => seen.answered += 1,
            Ok(other) if other.len() < 16 => seen.wrong += 1,
            Ok(other) | Err(other) => {
                stream = None;
                if seen.failed.len() < SHOWN_MAX {
                    seen.failed.push(other);
                }
            }
        }
        due += EVERY;
    }
}

/// The body of the answer; what else came is an error.
fn ask(stream: &mut TcpStream, service: &str) -> Result<String, String> {
    let request = format!("GET / HTTP/1.1\r\nHost: {service}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| format!("send: {e}"))?;
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).map_err(|e| format!("receive: {e}"))?;
        if n == 0 {
            return Err(format!("closed after {text:?}"));
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        if length.is_some_and(|length| body.len() >= length) {
            let body = body.to_owned();
            return if head.starts_with("HTTP/1.1 200") { Ok(body) } else { Err(text) };
        }
    }
}
