//! Asks for one name, and makes a set of endpoints of the answers.
//!
//! What is known of a host and was not answered this time stays as it was, for each family and each target apart: a server that
//! answers only A must not take the others away.
//!
//! Not here: when (`names.rs`). Tested: in `tests/dns.rs`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use baleen_config::Endpoint;
use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::TARGETS_MAX;
use super::name::Wanted;
use crate::settle::{settle, too_many};

/// Longest that one name may take.
const ASK_MAX: Duration = Duration::from_secs(8);
/// Targets asked for at once.
const TARGETS_AT_ONCE: usize = 8;
/// No TTL is taken to be longer.
const TTL_MOST: Duration = Duration::from_secs(24 * 3600);
/// When to ask again for what is not there and does not say.
const NOTHING_TTL: Duration = Duration::from_secs(30);

/// Addresses by host.
pub(super) type Hosts = BTreeMap<String, Vec<IpAddr>>;

/// A question.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) what: Wanted,
    /// What the last answer said.
    pub(super) before: Hosts,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// How long it counts.
    pub(super) ttl: Duration,
    pub(super) hosts: Hosts,
    /// What is wrong with it, if anything is.
    pub(super) complaint: Option<String>,
}

/// What a name is.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is none.
    Gone,
    /// Its endpoints.
    Set(Vec<Endpoint>),
    /// Nobody knows.
    Failed,
}

impl Answer {
    /// Whether somebody answered.
    pub(super) fn is_one(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed)
    }

    fn failed(why: String) -> Answer {
        let ttl = Duration::ZERO;
        Answer { outcome: Outcome::Failed, ttl, hosts: Hosts::new(), complaint: Some(why) }
    }
}

/// What one question came to.
enum Part {
    Found(Lookup),
    /// The name is there, and has no such records; whether that was vouched for (by an SOA record).
    Nothing(Duration, bool),
    NoSuchName(Duration),
    Failed(String),
}

/// What is known of a host.
struct Host {
    ips: Vec<IpAddr>,
    ttl: Duration,
    /// The name is there.
    exists: bool,
    /// What of it could not be learned.
    failed: Option<String>,
    /// Nothing of it could be learned.
    unknown: bool,
}

impl Ask {
    /// Asks.
    pub(super) async fn run(self, resolver: TokioResolver) -> Answer {
        resolver.clear_cache();
        let answer = async {
            match &self.what {
                Wanted::Addr(addr) => set(vec![endpoint(*addr, 1)], TTL_MOST, Hosts::new(), None),
                Wanted::Host(host, port) => self.host(&resolver, host, *port).await,
                Wanted::Service(name) => self.service(&resolver, name).await,
            }
        };
        let late = |_| Answer::failed(format!("no answer within {ASK_MAX:?}"));
        timeout(ASK_MAX, answer).await.unwrap_or_else(late)
    }

    fn before(&self, host: &str) -> Vec<IpAddr> {
        self.before.get(host).cloned().unwrap_or_default()
    }

    async fn host(&self, resolver: &TokioResolver, name: &str, port: u16) -> Answer {
        let host = addresses(resolver, name, &self.before(name)).await;
        match host.failed {
            Some(why) if host.unknown => return Answer::failed(why),
            _ if !host.exists => {
                let hosts = Hosts::new();
                return Answer {
                    outcome: Outcome::Gone,
                    ttl: host.ttl,
                    hosts,
                    complaint: host.failed,
                };
            }
            _ => {}
        }
        let endpoints = host.ips.iter().map(|ip| endpoint(SocketAddr::new(*ip, port), 1)).collect();
        let hosts = Hosts::from([(name.to_owned(), host.ips)]);
        set(endpoints, host.ttl, hosts, host.failed)
    }

    async fn service(&self, resolver: &TokioResolver, name: &str) -> Answer {
        let lookup = match question(resolver, name, RecordType::SRV).await {
            Part::Found(lookup) => lookup,
            Part::Nothing(ttl, _) => return set(Vec::new(), ttl, Hosts::new(), None),
            Part::NoSuchName(ttl) => {
                return Answer {
                    outcome: Outcome::Gone,
                    ttl,
                    hosts: Hosts::new(),
                    complaint: None,
                };
            }
            Part::Failed(why) => return Answer::failed(why),
        };
        let mut groups: BTreeMap<u16, Vec<&SRV>> = BTreeMap::new();
        let services = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(srv),
            _ => None,
        });
        let mut all = 0;
        for srv in services {
            all += 1;
            if all <= TARGETS_MAX {
                groups.entry(srv.priority).or_default().push(srv);
            }
        }
        let mut sum = Sum { ttl: ttl(lookup.answers()), ..Sum::default() };
        if all > TARGETS_MAX {
            sum.complaint = Some(format!("{all} targets: only the first {TARGETS_MAX} are taken"));
        }
        let told = additionals(&lookup);
        for group in groups.values() {
            sum.endpoints.clear();
            self.group(resolver, group, &told, &mut sum).await;
            if !sum.endpoints.is_empty() {
                break;
            }
            // Whether the next one's turn has come is not known.
            if let Some(why) = sum.unknown {
                return Answer::failed(why);
            }
        }
        set(sum.endpoints, sum.ttl, sum.hosts, sum.complaint)
    }

    /// The endpoints of the targets of one priority.
    async fn group(
        &self,
        resolver: &TokioResolver,
        group: &[&SRV],
        told: &BTreeMap<String, (Vec<IpAddr>, Duration)>,
        sum: &mut Sum,
    ) {
        let mut targets: BTreeMap<String, Host> = BTreeMap::new();
        let mut asks = JoinSet::new();
        let mut open: Vec<String> = group.iter().map(|srv| key(&srv.target.to_string())).collect();
        open.sort();
        open.dedup();
        while !(open.is_empty() && asks.is_empty()) {
            while let Some(target) = open.pop_if(|_| asks.len() < TARGETS_AT_ONCE) {
                if let Some((ips, ttl)) = told.get(&target) {
                    let host = Host {
                        ips: ips.clone(),
                        ttl: *ttl,
                        exists: true,
                        failed: None,
                        unknown: false,
                    };
                    targets.insert(target, host);
                    continue;
                }
                let (resolver, before) = (resolver.clone(), self.before(&target));
                asks.spawn(async move {
                    let host = addresses(&resolver, &target, &before).await;
                    (target, host)
                });
            }
            if let Some(Ok((target, host))) = asks.join_next().await {
                targets.insert(target, host);
            }
        }
        let weightless = group.iter().all(|srv| srv.weight == 0);
        for srv in group {
            let Some(host) = targets.get(&key(&srv.target.to_string())) else { continue };
            let weight = if weightless { 1 } else { u32::from(srv.weight).max(1) };
            let addrs = host.ips.iter().map(|ip| SocketAddr::new(*ip, srv.port));
            sum.endpoints.extend(addrs.map(|addr| endpoint(addr, weight)));
        }
        for (target, host) in targets {
            sum.ttl = sum.ttl.min(host.ttl);
            if let Some(why) = host.failed {
                let why = format!("its target {target}: {why}");
                if host.unknown && host.ips.is_empty() {
                    sum.unknown = Some(why.clone());
                }
                sum.complaint = Some(why);
            }
            sum.hosts.insert(target, host.ips);
        }
    }
}

/// What the targets of a service come to.
#[derive(Default)]
struct Sum {
    endpoints: Vec<Endpoint>,
    ttl: Duration,
    hosts: Hosts,
    complaint: Option<String>,
    /// A target that nothing is known of.
    unknown: Option<String>,
}

fn endpoint(addr: SocketAddr, weight: u32) -> Endpoint {
    Endpoint { addr, weight, zone: 0 }
}

fn set(endpoints: Vec<Endpoint>, ttl: Duration, hosts: Hosts, complaint: Option<String>) -> Answer {
    let (endpoints, over) = settle(endpoints);
    let complaint = complaint.or_else(|| (over > 0).then(|| too_many(over)));
    Answer { outcome: Outcome::Set(endpoints), ttl, hosts, complaint }
}

/// A host's name as a key.
fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Asks for both families. What fails leaves what was known of that family.
async fn addresses(resolver: &TokioResolver, host: &str, before: &[IpAddr]) -> Host {
    let (four, six) = tokio::join!(
        question(resolver, host, RecordType::A),
        question(resolver, host, RecordType::AAAA)
    );
    let mut found =
        Host { ips: Vec::new(), ttl: TTL_MOST, exists: true, failed: None, unknown: false };
    let (mut failed, mut absent, mut certain) = (0, false, false);
    for (part, is_four) in [(four, true), (six, false)] {
        match part {
            Part::Found(lookup) => {
                let ips = lookup.answers().iter().filter_map(|record| record.data.ip_addr());
                found.ips.extend(ips.filter(|ip| ip.is_ipv4() == is_four && usable(*ip)));
                found.ttl = found.ttl.min(ttl(lookup.answers()));
            }
            Part::Nothing(ttl, vouched) => {
                certain |= vouched;
                found.ttl = found.ttl.min(ttl);
            }
            Part::NoSuchName(ttl) => {
                absent = true;
                found.ttl = found.ttl.min(ttl);
            }
            Part::Failed(why) => {
                failed += 1;
                found.ips.extend(before.iter().filter(|ip| ip.is_ipv4() == is_four));
                found.failed = Some(why);
            }
        }
    }
    if absent {
        found.failed = None;
        found.exists = !found.ips.is_empty();
        return found;
    }
    if found.ips.is_empty() && failed == 0 && !certain {
        // A name for another that leads nowhere, or in a circle, looks the same as one without addresses.
        if let Part::Found(_) = question(resolver, host, RecordType::CNAME).await {
            found.failed = Some(format!("{host} is a name for another that leads nowhere"));
            found.ips = before.to_vec();
            found.unknown = true;
            return found;
        }
    }
    found.unknown = failed == 2 || (failed == 1 && found.ips.is_empty());
    found
}

/// Whether one can connect to it.
fn usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

async fn question(resolver: &TokioResolver, name: &str, kind: RecordType) -> Part {
    match resolver.lookup(name, kind).await {
        Ok(lookup) if lookup.answers().iter().any(|record| record.record_type() == kind) => {
            Part::Found(lookup)
        }
        // Other names and nothing at their end: a loop, or nonsense.
        Ok(_) => Part::Failed(format!("{kind} {name}: the answer leads nowhere")),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            let ttl = none.negative_ttl.map_or(NOTHING_TTL, |s| Duration::from_secs(s.into()));
            match none.response_code {
                ResponseCode::NXDomain => Part::NoSuchName(ttl),
                ResponseCode::NoError => Part::Nothing(ttl, none.soa.is_some()),
                code => Part::Failed(format!("{kind} {name}: {code}")),
            }
        }
        Err(error) => Part::Failed(format!("{kind} {name}: {error}")),
    }
}

/// How long all of these count.
fn ttl(records: &[Record]) -> Duration {
    let least = records.iter().map(|record| record.ttl).min();
    least.map_or(NOTHING_TTL, |seconds| Duration::from_secs(seconds.into()).min(TTL_MOST))
}

/// Addresses of targets that came with the answer.
fn additionals(lookup: &Lookup) -> BTreeMap<String, (Vec<IpAddr>, Duration)> {
    let mut told: BTreeMap<String, (Vec<IpAddr>, Duration)> = BTreeMap::new();
    for record in lookup.additionals() {
        let Some(ip) = record.data.ip_addr().filter(|ip| usable(*ip)) else { continue };
        let ttl = ttl(std::slice::from_ref(record));
        let entry = told.entry(key(&record.name.to_string())).or_insert((Vec::new(), ttl));
        entry.0.push(ip);
        entry.1 = entry.1.min(ttl);
    }
    told
}
