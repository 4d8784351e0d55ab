//! Waiting until a process answers: its port accepts, or a path is answered.
//!
//! Not here: what is said when it does not (`run`). Tested: below.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Between two attempts.
const EVERY: Duration = Duration::from_millis(10);
/// Longest wait for a connection or an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// What is read of an answer.
const HEAD_BYTES: u64 = 512;

/// What ready means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// The port accepts.
    Accepts,
    /// This path is answered with a status below 500.
    Answers(String),
}

/// Waits until it is ready, or `ended` says why it never will be, or the time is up.
///
/// # Errors
/// Why it is not ready: for people.
pub fn wait_until_ready(
    at: SocketAddr,
    ready: &Ready,
    until: Instant,
    mut ended: impl FnMut() -> Option<String>,
) -> Result<(), String> {
    loop {
        let why = match is_ready(at, ready) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if let Some(ended) = ended() {
            return Err(ended);
        }
        if Instant::now() >= until {
            return Err(format!("{at} was not ready in time: {why}"));
        }
        std::thread::sleep(EVERY);
    }
}

fn is_ready(at: SocketAddr, ready: &Ready) -> Result<(), String> {
    let asked = TcpStream::connect_timeout(&at, ANSWER_TIMEOUT).and_then(|stream| match ready {
        Ready::Accepts => Ok(None),
        Ready::Answers(path) => ask(stream, at, path).map(Some),
    });
    match asked {
        Ok(None) => Ok(()),
        Ok(Some(status)) if status < 500 => Ok(()),
        Ok(Some(status)) => Err(format!("it answers {status}")),
        Err(e) => Err(e.to_string()),
    }
}

fn ask(mut stream: TcpStream, at: SocketAddr, path: &str) -> io::Result<u16> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    // In one piece: who answers after the first may close before the rest, and the answer would be lost.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut stream = stream.take(HEAD_BYTES);
    let mut piece = [0; 128];
    while !head.contains(&b'\n') {
        match stream.read(&mut piece)? {
            0 => break,
            n => head.extend_from_slice(&piece[..n]),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let status = line.strip_prefix("HTTP/1.").and_then(|l| l.split(' ').nth(1)?.get(..3));
    status.and_then(|s| s.parse().ok()).ok_or_else(|| io::Error::other("it does not speak HTTP/1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_port_and_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let at = listener.local_addr().expect("an address");
        let soon = Instant::now() + Duration::from_secs(10);
        assert_eq!(wait_until_ready(at, &Ready::Accepts, soon, || None), Ok(()));
        let thread = std::thread::spawn(move || {
            for (nth, status) in ["", "503", "404"].into_iter().enumerate() {
                let (mut s, _) = listener.accept().expect("accept");
                if nth > 0 {
                    let _ = s.read(&mut [0; 512]);
                    let _ = write!(s, "HTTP/1.1 {status} x\r\n\r\n");
                }
            }
        });
        let ready = Ready::Answers("/healthz".to_owned());
        assert_eq!(wait_until_ready(at, &ready, soon, || None), Ok(()));
        thread.join().expect("no panic");
        let ended = || Some("it ended: exit status: 7".to_owned());
        let why = wait_until_ready(at, &Ready::Accepts, soon, ended);
        assert_eq!(why, Err("it ended: exit status: 7".to_owned()));
        let why = wait_until_ready(at, &Ready::Accepts, Instant::now(), || None).expect_err("late");
        assert!(why.contains("was not ready in time: "), "{why}");
    }
}
