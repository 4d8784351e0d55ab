//! An answer whose body is read as it comes: line by line, as watches are sent.
//!
//! Bound: a line has at most as many bytes as the request allowed. Not here: what lines mean. Tested: in `tests.rs`.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use tokio::time::timeout;

use super::pool::Conn;
use super::{Answer, HttpError};

/// An answer that is not over. Dropped, its connection is closed.
#[derive(Debug)]
pub struct Stream {
    /// Its status code.
    pub status: u16,
    /// Its fields.
    pub fields: HeaderMap,
    from: String,
    body: Incoming,
    /// What came and was not yet taken; up to `searched` there is no end of a line in it.
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    searched: usize,
    over: bool,
    most: usize,
    _conn: Conn,
}

impl Stream {
    pub(super) fn new(
        from: String,
        conn: Conn,
        response: Response<Incoming>,
        most: usize,
    ) -> Stream {
        let (head, body) = response.into_parts();
        Stream {
            status: head.status.as_u16(),
            fields: head.headers,
            from,
            body,
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            over: false,
            most,
            _conn: conn,
        }
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The next line that is not empty, without its end; nothing when the body is over. Waiting may be given up and begun anew:
    /// nothing is lost.
    ///
    /// # Errors
    ///
    /// The line is too long, or the connection broke.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            if let Some(line) = self.buffered() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            let waiting = self.buffer.len() - self.taken;
            if waiting > self.most {
                let most = self.most;
                let why = format!("{} sent a line of more than {most} bytes", self.from);
                return Err(HttpError::TooLarge(why));
            }
            if self.over {
                let rest = self.buffer.split_off(self.taken);
                self.buffer.clear();
                (self.taken, self.searched) = (0, 0);
                let blank = rest.iter().all(u8::is_ascii_whitespace);
                return Ok(if blank { None } else { Some(rest) });
            }
            self.more().await?;
        }
    }

    /// The next line as JSON.
    ///
    /// # Errors
    ///
    /// As [`Stream::line`]; or it is no JSON of this form.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, HttpError> {
        let Some(line) = self.line().await? else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|error| {
            let shown = super::brief(&line);
            HttpError::Bad(format!("{} sent what makes no sense ({error}): {shown}", self.from))
        })
    }

    /// The rest as a whole answer, for when the status says that this is no stream.
    ///
    /// # Errors
    ///
    /// The body is too large, breaks off, or takes longer than `within`.
    pub async fn whole(mut self, within: Duration) -> Result<Answer, HttpError> {
        let reading = async {
            while !self.over {
                self.more().await?;
                if self.buffer.len() > self.most {
                    let most = self.most;
                    let why = format!("{} answered with more than {most} bytes", self.from);
                    return Err(HttpError::TooLarge(why));
                }
            }
            Ok(())
        };
        match timeout(within, reading).await {
            Ok(read) => read?,
            Err(_) => {
                let why = format!("{}: no whole answer within {within:?}", self.from);
                return Err(HttpError::Broken(why));
            }
        }
        let body = self.buffer.split_off(self.taken);
        Ok(Answer { status: self.status, fields: self.fields, body })
    }

    fn buffered(&mut self) -> Option<Vec<u8>> {
        let fresh = self.buffer.get(self.searched..)?;
        let Some(found) = fresh.iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let line = self.buffer.get(self.taken..end)?.to_vec();
        (self.taken, self.searched) = (end + 1, end + 1);
        Some(line)
    }

    async fn more(&mut self) -> Result<(), HttpError> {
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        match self.body.frame().await {
            None => self.over = true,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => {
                let why = super::chain(&error);
                return Err(HttpError::Broken(format!(
                    "{}: the stream broke off: {why}",
                    self.from
                )));
            }
        }
        Ok(())
    }
}
