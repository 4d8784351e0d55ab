//! Calls by a logical name: to one process of Baleen, on connections that are kept.
//!
//! The one used last is used next. Bounds: [`IDLE_MAX`] idle ones; one that comes back above that is closed.
//! Not here: attempts behind Baleen; its access log tells. Tested: `tests/calls/named.rs`.

use std::cell::RefCell;
use std::net::SocketAddr;

use baleen_http1::{Asked, Method};
use baleen_scenario::outcome::CallEnd;
use tokio::time::Instant;

use super::{Said, Way};
use crate::conn::Conn;

/// Most idle connections of one caller to its process.
pub(super) const IDLE_MAX: usize = 1024;

pub(super) struct Named {
    process: Option<SocketAddr>,
    idle: RefCell<Vec<Conn>>,
}

impl Named {
    pub(super) fn new(process: Option<SocketAddr>) -> Named {
        Named { process, idle: RefCell::new(Vec::new()) }
    }

    pub(super) async fn attempt(
        &self,
        way: &Way,
        said: Said,
        idempotent: bool,
        until: Option<Instant>,
    ) -> CallEnd {
        let Some(process) = self.process else { return CallEnd::Broken };
        let conn = match self.kept() {
            Some(conn) => Some(conn),
            None => way.open(process).await,
        };
        let Some(mut conn) = conn else { return CallEnd::Broken };
        let method = if idempotent { Method::Get } else { Method::Post };
        let left = until.map(|until| until - Instant::now());
        let make = |out: &mut Vec<u8>| way.form.write(out, said, idempotent, left);
        let asked = Asked { method, upgrade: false };
        match conn.exchange_made(make, way.form.body_bytes, asked).await {
            Err(_) => CallEnd::Broken,
            Ok(answered) => {
                let mut idle = self.idle.borrow_mut();
                if answered.keep && idle.len() < IDLE_MAX {
                    idle.push(conn);
                }
                CallEnd::Status(answered.status)
            }
        }
    }

    fn kept(&self) -> Option<Conn> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find(Conn::is_quiet)
    }
}
