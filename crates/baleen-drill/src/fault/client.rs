//! A client of the interface: of this fault server, of a Toxiproxy, or of a proxy's control interface.
//!
//! One request, one connection; blocks the thread. Bounds: [`ANSWER_BYTES_MAX`], [`TIMEOUT`] for each step.
//! Not here: what is asked. Tested: below, and through `baleen fault` in its end-to-end tests.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    address: String,
    /// What is sent as `Authorization`.
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers there.
    Unreachable(io::Error),
    /// It answers something else.
    Foreign,
    /// It refused.
    Refused {
        /// The status.
        status: u16,
        /// In its words.
        message: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unreachable(e) => write!(f, "no fault server there: {e}"),
            ClientError::Foreign => f.write_str("what answers there is no fault server"),
            ClientError::Refused { status, message } => write!(f, "{message} (status {status})"),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// Of the server at `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    #[must_use]
    pub fn new(url: &str) -> Client {
        let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        Client { address: address.to_owned(), token: None }
    }

    /// The same, with a token for those who ask for one.
    #[must_use]
    pub fn with_token(self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self }
    }

    /// One request. The answer's JSON; null when it has none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let text = self.exchange(method, path, body).map_err(ClientError::Unreachable)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.strip_prefix("HTTP/1.").and_then(|h| h.split(' ').nth(1));
        let value: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        match status.and_then(|s| s.parse().ok()) {
            Some(200..=299) if body.trim().is_empty() || !value.is_null() => Ok(value),
            Some(status @ 400..=599) => {
                let message = value["error"].as_str().unwrap_or(body).trim().to_owned();
                Err(ClientError::Refused { status, message })
            }
            _ => Err(ClientError::Foreign),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<String> {
        if let Some(at) = self.address.strip_prefix("unix:") {
            let stream = UnixStream::connect(at)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            return self.over(stream, "localhost", (method, path, body));
        }
        let none = || io::Error::other("that name has no address");
        let to = self.address.to_socket_addrs()?.next().ok_or_else(none)?;
        let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        self.over(stream, &self.address, (method, path, body))
    }

    fn over(
        &self,
        mut stream: impl Read + Write,
        host: &str,
        (method, path, body): (&str, &str, Option<&Value>),
    ) -> io::Result<String> {
        let token = self.token.iter().map(|t| format!("Authorization: Bearer {t}\r\n"));
        let token: String = token.collect();
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        // HTTP/1.0: no answer in chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: baleen\r\n{token}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut text = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// A name as part of a path: everything but letters, digits and the like as `%XX`.
    #[must_use]
    pub fn encode(name: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let part = |b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        name.bytes().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers once.
    fn once(answer: &'static str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut s, _) = listener.accept().expect("accept");
            let _ = s.read(&mut [0; 4096]);
            let _ = s.write_all(answer.as_bytes());
        });
        Client::new(&format!("http://{address}/"))
    }

    #[test]
    fn answers_of_all_kinds() {
        let ask = |answer| once(answer).ask("GET", "/", None);
        assert_eq!(ask("HTTP/1.1 200 OK\r\n\r\n{}").expect("an answer"), serde_json::json!({}));
        assert_eq!(ask("HTTP/1.0 204 No Content\r\n\r\n").expect("an answer"), Value::Null);
        let refused = ask("HTTP/1.1 404 No\r\n\r\n{\"error\":\"gone\",\"status\":404}");
        assert_eq!(refused.expect_err("refused").to_string(), "gone (status 404)");
        for foreign in
            ["", "SSH-2.0\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>", "HTTP/1.1 302 x\r\n\r\n"]
        {
            assert!(matches!(ask(foreign), Err(ClientError::Foreign)), "{foreign}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let nobody = Client::new(&nobody.expect("an address").to_string());
        let gone = nobody.ask("GET", "/", None);
        assert!(matches!(gone, Err(ClientError::Unreachable(_))));
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(Client::encode("a b/ü-1"), "a%20b%2F%C3%BC-1");
    }
}
