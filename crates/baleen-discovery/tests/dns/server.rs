//! A small DNS server on loopback, over UDP and TCP, whose records and misbehaviour the test changes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What is said of a name, for one type of record or for all.
#[derive(Clone)]
pub enum Say {
    Records(Vec<RData>),
    Code(ResponseCode),
    /// Nothing at all.
    Silence,
    /// Bytes that are no message.
    Garbage,
    /// A message cut in the middle, over UDP and TCP.
    Torn,
    /// An answer to another question.
    WrongId,
    /// Over UDP that it is too long, over TCP these.
    TooLong(Vec<RData>),
}

#[derive(Default)]
struct Zone {
    says: BTreeMap<(String, Option<RecordType>), Say>,
    additionals: Vec<(String, IpAddr)>,
    ttl: u32,
    asked: BTreeMap<(String, RecordType), usize>,
}

/// The server; it lives as long as the test.
#[derive(Clone)]
pub struct Server {
    pub addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

pub fn ip(text: &str) -> RData {
    match text.parse().unwrap() {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

pub fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

pub fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

impl Server {
    pub fn start() -> Server {
        let zone = Arc::new(Mutex::new(Zone { ttl: 1, ..Zone::default() }));
        // The same port for both; another one where only one of them is free.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let server = Server { addr: udp.local_addr().unwrap(), zone };
        let (over_udp, over_tcp) = (server.clone(), server.clone());
        std::thread::spawn(move || over_udp.udp(&udp));
        std::thread::spawn(move || over_tcp.tcp(&tcp));
        server
    }

    /// Addresses of a host: of each family those that are given.
    pub fn host(&self, host: &str, ips: &[&str]) {
        let (four, six) =
            ips.iter().map(|text| ip(text)).partition(|r| r.record_type() == RecordType::A);
        self.set(host, Some(RecordType::A), Say::Records(four));
        self.set(host, Some(RecordType::AAAA), Say::Records(six));
    }

    pub fn set(&self, host: &str, kind: Option<RecordType>, say: Say) {
        self.zone.lock().unwrap().says.insert((host.to_owned(), kind), say);
    }

    pub fn remove(&self, host: &str) {
        self.zone.lock().unwrap().says.retain(|(name, _), _| name != host);
    }

    pub fn additional(&self, host: &str, ip: &str) {
        self.zone.lock().unwrap().additionals.push((host.to_owned(), ip.parse().unwrap()));
    }

    pub fn ttl(&self, ttl: u32) {
        self.zone.lock().unwrap().ttl = ttl;
    }

    /// How often something was asked.
    pub fn asked(&self, host: &str, kind: RecordType) -> usize {
        self.zone.lock().unwrap().asked.get(&(host.to_owned(), kind)).copied().unwrap_or(0)
    }

    fn udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = self.answer(&buffer[..n], true) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn tcp(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let (server, mut stream) = (self.clone(), stream);
            std::thread::spawn(move || {
                let mut len = [0; 2];
                while stream.read_exact(&mut len).is_ok() {
                    let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
                    if stream.read_exact(&mut question).is_err() {
                        return;
                    }
                    let Some(answer) = server.answer(&question, false) else { continue };
                    let len = (answer.len() as u16).to_be_bytes();
                    if stream.write_all(&[&len[..], &answer].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    }

    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).ok()?;
        let query = asked.queries.first()?.clone();
        let host = query.name().to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned();
        let mut zone = self.zone.lock().unwrap();
        *zone.asked.entry((host.clone(), query.query_type())).or_default() += 1;
        let exact = zone.says.get(&(host.clone(), Some(query.query_type())));
        let exists = zone.says.keys().any(|(name, _)| *name == host);
        let otherwise = match exists {
            true => Say::Records(Vec::new()),
            false => Say::Code(ResponseCode::NXDomain),
        };
        let say = exact.or_else(|| zone.says.get(&(host, None))).cloned().unwrap_or(otherwise);
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let record = |data: RData| Record::from_rdata(query.name().clone(), zone.ttl, data);
        match say {
            Say::Silence => return None,
            Say::Garbage => return Some(vec![0xa5; 40]),
            Say::Torn => {
                answer.add_answer(record(ip("127.0.0.99")));
                let mut bytes = answer.to_vec().unwrap();
                bytes.truncate(bytes.len() - 6);
                return Some(bytes);
            }
            Say::WrongId => {
                answer.metadata.id ^= 1;
                answer.add_answer(record(ip("127.0.0.99")));
            }
            Say::TooLong(_) if udp => answer.metadata.truncation = true,
            Say::Records(data) | Say::TooLong(data) if !data.is_empty() => {
                answer.add_answers(data.into_iter().map(record));
                for (host, ip) in &zone.additionals {
                    let data = RData::from(*ip);
                    answer.add_additional(Record::from_rdata(name(host), zone.ttl, data));
                }
            }
            Say::Records(_) | Say::TooLong(_) => {
                answer.add_authority(soa(zone.ttl));
            }
            Say::Code(code) => {
                answer.metadata.response_code = code;
                answer.add_authority(soa(zone.ttl));
            }
        }
        Some(answer.to_vec().unwrap())
    }
}

fn soa(minimum: u32) -> Record {
    let data = SOA::new(name("ns.test"), name("admin.test"), 1, 60, 60, 60, minimum);
    Record::from_rdata(name("test"), minimum, RData::SOA(data))
}
