//! `[[listener]]`: where connections are accepted, how their requests are named, what guards them.
//!
//! Not here: rules (`rule.rs`). Tested: in `tests/it/`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use baleen_policy::params::ClientParams;

use crate::diagnostic::{Diagnostic, Findings};
use crate::files::Files;
use crate::layer::set;
use crate::number;
use crate::reader::Reader;
use crate::rule::{self, Rule};
use crate::shell::Network;
use crate::span::{At, Place};
use crate::table::Def;
use crate::template::NameTemplate;
use crate::tree::Table;
use crate::value::{self, Wrong};

/// Clocks of callers that keep their time by NTP are nearer than this.
pub(crate) const DEADLINE_SKEW: Duration = Duration::from_millis(100);

/// A place where connections are accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The logical name of requests that no rule names.
    pub name: NameTemplate,
    /// What is done with requests by host, path, method and headers; the first that matches wins.
    pub rules: Vec<Rule>,
    /// Proxies in front whose word is believed.
    pub trusted_hops: u32,
    /// Where a line for each request goes.
    pub access_log: AccessLog,
    /// What guards its connections.
    pub client: ClientParams,
    /// Bounds of what is parsed.
    pub limits: HeadLimits,
    /// Callers whose word about deadlines and priorities is believed; nobody when empty.
    pub trusted_callers: Vec<Network>,
    /// How far apart this clock and a trusted caller's may be: absolute deadlines are believed up to this much.
    pub deadline_skew: Duration,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http,
}

/// Where a line for each request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

/// Bounds of a request's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Bytes of a head, its first line included.
    pub head_bytes: u32,
    /// Header fields.
    pub fields: u32,
    /// Bytes of the first line.
    pub request_line_bytes: u32,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits { head_bytes: 65_536, fields: 100, request_line_bytes: 8_192 }
    }
}

/// A listener and the places that cross checks point at.
#[derive(Clone, Debug)]
pub(crate) struct ReadListener {
    pub(crate) listener: Listener,
    pub(crate) listen: Place,
    pub(crate) name: Place,
    pub(crate) rules: Vec<(Place, Place)>,
    pub(crate) head_bytes: Option<At<u32>>,
    pub(crate) request_line_bytes: Option<At<u32>>,
    pub(crate) min_rate: Option<At<u32>>,
    pub(crate) min_rate_grace: Option<Place>,
    pub(crate) trusted_callers: Vec<At<Network>>,
    pub(crate) deadline_skew: Option<At<Duration>>,
}

/// Reads a `[[listener]]`. `None` when it has no address.
pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    files: &dyn Files,
    findings: &mut Findings,
) -> Option<ReadListener> {
    let mut r = Reader::new(def, table, place, None, findings);
    let listen = r.text("listen", value::address);
    let _ = r.choice("protocol");
    let name = r.text("name", NameTemplate::parse);
    let trusted_hops = r.integer("trusted_hops");
    let access_log = r.text("access_log", |text| access_log(text, place));
    let mut client = ClientParams::default();
    set(&mut client.connections_max, &r.integer("connections"));
    set(&mut client.head_timeout, &r.duration("head_timeout"));
    set(&mut client.body_timeout, &r.duration("body_timeout"));
    set(&mut client.keep_alive_timeout, &r.duration("keep_alive_timeout"));
    let min_rate = r.bytes("min_rate");
    set(&mut client.min_rate, &min_rate);
    let grace = r.duration("min_rate_grace");
    set(&mut client.min_rate_grace, &grace);
    let mut limits = HeadLimits::default();
    let head_bytes = r.bytes("head_bytes");
    let request_line_bytes = r.bytes("request_line_bytes");
    set(&mut limits.head_bytes, &head_bytes);
    set(&mut limits.fields, &r.integer("fields"));
    set(&mut limits.request_line_bytes, &request_line_bytes);
    let trusted_callers = networks(&mut r);
    let deadline_skew = r.duration("deadline_skew");
    let rules: Vec<_> = r
        .tables("rule")
        .into_iter()
        .filter_map(|(def, table, place)| rule::read(def, table, place, files, r.findings))
        .collect();
    r.done();
    let name_place = name.as_ref().map_or(place, |at| &at.place).clone();
    let listen = listen?;
    let listener = Listener {
        listen: listen.value,
        protocol: Protocol::Http,
        name: name.map_or_else(|| NameTemplate::parse("/svc/{host}").ok(), |at| Some(at.value))?,
        rules: rules.iter().map(|(rule, ..)| rule.clone()).collect(),
        trusted_hops: trusted_hops.map_or(0, |at| at.value),
        access_log: access_log.map_or(AccessLog::Off, |at| at.value),
        client,
        limits,
        trusted_callers: trusted_callers.iter().map(|at| at.value).collect(),
        deadline_skew: deadline_skew.as_ref().map_or(DEADLINE_SKEW, |at| at.value),
    };
    Some(ReadListener {
        listener,
        listen: listen.place,
        name: name_place,
        rules: rules.into_iter().map(|(_, whole, name)| (whole, name)).collect(),
        head_bytes,
        request_line_bytes,
        min_rate,
        min_rate_grace: grace.map(|at| at.place),
        trusted_callers,
        deadline_skew,
    })
}

fn networks(r: &mut Reader<'_, '_>) -> Vec<At<Network>> {
    let mut found: Vec<At<Network>> = Vec::new();
    for node in r.texts("trusted_callers").map(|at| at.value).unwrap_or_default() {
        match number::network(node.as_str().unwrap_or("")) {
            Ok(network) => found.push(At::new(network, &node.place)),
            Err(wrong) => r.findings.push(
                Diagnostic::error(&node.place, "invalid value for `trusted_callers`")
                    .label(wrong.label)
                    .maybe_hint(wrong.hint),
            ),
        }
    }
    found
}

fn access_log(text: &str, place: &Place) -> Result<AccessLog, Wrong> {
    Ok(match text {
        "off" => AccessLog::Off,
        "stdout" => AccessLog::Stdout,
        "" => return Err(Wrong::new("expected \"off\", \"stdout\" or a path")),
        path => AccessLog::File(place.source.folder().join(path)),
    })
}
