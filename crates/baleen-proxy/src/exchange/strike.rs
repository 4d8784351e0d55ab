//! What faults do to attempts: instead of connecting, or on a connection that stands.
//!
//! Called only while there are faults (`Faults::any`). Not here: which ones hit (`inject`), carrying (`inject::carry`).
//! Tested: end to end in `baleen`'s `tests/it/inject.rs`.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use baleen_base::{AttemptId, ClusterId, EndpointId};
use baleen_fault::HttpFault;
use baleen_http1::{Local, Method, Persist, local_response};
use tokio::net::TcpStream;

use super::call::view;
use super::connect::begin_connect;
use super::{Client, Scratch};
use crate::inject::{Effect, Facts, Fault, carry};

/// Where an attempt goes.
pub(super) type Place = (ClusterId, EndpointId);

impl Client<'_> {
    /// Start connecting, or what goes wrong with it.
    #[inline]
    pub(super) fn dial(
        &self,
        s: &Scratch,
        to: Place,
        address: Option<SocketAddr>,
    ) -> io::Result<TcpStream> {
        if self.w.faults.any()
            && let Some(wrong) = self.wrong_connect(s, to)
        {
            return wrong;
        }
        begin_connect(address)
    }

    #[cold]
    fn wrong_connect(&self, s: &Scratch, to: Place) -> Option<io::Result<TcpStream>> {
        let now = self.w.driver.now();
        let fault = self.with_facts(s, to, |facts| self.w.faults.at_connect(now, facts))?;
        self.w.cells.injected(fault.effect.as_str());
        Some(match fault.effect {
            Effect::Hang => carry::never(),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }

    fn with_facts<T>(&self, s: &Scratch, to: Place, f: impl FnOnce(&Facts<'_>) -> T) -> T {
        let directory = self.w.directory.borrow();
        f(&Facts {
            cluster: directory.cluster(to.0),
            endpoint: directory.address(to.1),
            route: &s.name,
            request: &view(&s.request, s.input.upto_end()),
        })
    }

    /// What goes wrong with an attempt whose connection stands: `stream` may be another then. `Some`: this is the upstream's
    /// answer, and nothing is to be sent to it.
    #[cold]
    pub(super) fn strike(
        &self,
        s: &Scratch,
        to: Place,
        id: AttemptId,
        stream: &mut TcpStream,
    ) -> Option<Vec<u8>> {
        let (driver, faults) = (&self.w.driver, &self.w.faults);
        let (conn, known, carried) = driver.conn_of(self.id, id)?;
        let now = driver.now();
        let (http, bytes) = self.with_facts(s, to, |facts| faults.on(now, facts, known));
        for fault in http.iter().chain(&bytes) {
            self.w.cells.injected(fault.effect.as_str());
        }
        let http = http.first();
        let effect = http.and_then(|fault| match fault.effect {
            Effect::Http(effect) => Some((fault, effect)),
            _ => None,
        });
        let (answer, effect) = match effect {
            Some((fault, HttpFault::Status { status, retry_after })) => {
                (Some(self.answer_for(s, fault, status, retry_after)), None)
            }
            Some((_, effect)) => (None, Some(effect)),
            None => (None, None),
        };
        let carried = match carried {
            Some(carried) => carried,
            None if bytes.is_empty() && effect.is_none() => return answer,
            None => {
                let Ok(carried) = carry::carry(faults, stream, known) else {
                    for fault in http.into_iter().chain(&bytes) {
                        fault.counts.missed.fetch_add(1, Ordering::Relaxed);
                    }
                    return answer;
                };
                driver.carry(conn, Rc::clone(&carried));
                carried
            }
        };
        carried.begin(&bytes, effect);
        answer
    }

    /// An upstream's answer that none gave.
    fn answer_for(
        &self,
        s: &Scratch,
        fault: &Fault,
        status: u16,
        retry_after: Option<u32>,
    ) -> Vec<u8> {
        let local = Local {
            status,
            content_type: "text/plain",
            body: b"a fault, as asked for\n",
            to_head: s.request.method() == Method::Head,
            persist: Persist::Unsaid,
        };
        let said = format!("baleen; details=\"fault {}, as asked for\"", fault.name);
        let retry_after = retry_after.map(|s| s.to_string());
        let fields = [(&b"Proxy-Status"[..], said.as_bytes())].into_iter();
        let fields = fields.chain(retry_after.iter().map(|s| (&b"Retry-After"[..], s.as_bytes())));
        let mut out = Vec::new();
        local_response(&mut out, &local, fields);
        out
    }
}
