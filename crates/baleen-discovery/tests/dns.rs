//! The DNS client with a server of the test's own (its records change, and it misbehaves), and with dnsmasq.
//!
//! Nothing sleeps: records live for one second, and each test waits for the report that must come.

#[path = "common/dnsmasq.rs"]
mod dnsmasq;
#[path = "dns/server.rs"]
mod server;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use baleen_discovery::dns::{Dns, NAMES_MAX, Options};
use baleen_discovery::registry::{Client, Ended, Report, Reports};
use dnsmasq::Dnsmasq;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use server::{Say, Server, cname, ip, srv};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than any report needs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Session {
    wanted: mpsc::Sender<String>,
    reports: mpsc::Receiver<Report>,
    task: JoinHandle<(Dns, Ended)>,
}

fn dns(servers: &[SocketAddr]) -> Dns {
    let timeout = Duration::from_millis(500);
    Dns::new(Options { servers: servers.to_vec(), timeout, ..Options::default() })
}

impl Session {
    fn of(mut dns: Dns, wanted_before: &[&str]) -> Session {
        let (wanted, mut asks) = mpsc::channel(64);
        for name in wanted_before {
            wanted.try_send((*name).to_owned()).unwrap();
        }
        let (to, reports) = Reports::channel();
        let task = tokio::spawn(async move {
            let ended = dns.session(&to, &mut asks).await;
            (dns, ended)
        });
        Session { wanted, reports, task }
    }

    async fn begin(server: &Server) -> Session {
        let mut session = Session::of(dns(&[server.addr]), &[]);
        assert_eq!(session.any().await, Report::All(Default::default()));
        session
    }

    async fn want(&self, name: &str) {
        self.wanted.send(name.to_owned()).await.unwrap();
    }

    async fn any(&mut self) -> Report {
        timeout(PATIENCE, self.reports.recv()).await.expect("a report").expect("still running")
    }

    /// The next report that says more than that all is well, as text.
    async fn next(&mut self) -> String {
        loop {
            match self.any().await {
                Report::Alive => {}
                Report::All(_) => panic!("all again"),
                Report::Refused { key, why } => return format!("{key} refused: {why}"),
                Report::Changed(list) => {
                    let one = |(name, set): &(String, Option<Vec<_>>)| match set {
                        None => format!("{name} gone"),
                        Some(set) => format!("{name}: {}", shown(set)),
                    };
                    return list.iter().map(one).collect::<Vec<_>>().join(", ");
                }
            }
        }
    }

    async fn refused(&mut self, name: &str) {
        let next = self.next().await;
        assert!(next.starts_with(&format!("{name} refused: ")), "{next}");
    }

    async fn alive(&mut self) {
        while self.any().await != Report::Alive {}
    }
}

fn shown(set: &[baleen_config::Endpoint]) -> String {
    set.iter().map(|e| format!("{}*{}", e.addr, e.weight)).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn hosts_have_both_families_and_change_when_their_ttl_ends() {
    let server = Server::start();
    server.host("web.test", &["10.0.0.2", "10.0.0.1", "fd00::1"]);
    let mut session = Session::begin(&server).await;
    session.want("web.test/80").await;
    assert_eq!(session.next().await, "web.test/80: 10.0.0.1:80*1 10.0.0.2:80*1 [fd00::1]:80*1");
    server.host("web.test", &["10.0.0.3"]);
    assert_eq!(session.next().await, "web.test/80: 10.0.0.3:80*1");
    // The same host with another port is another service.
    session.want("web.test/81").await;
    assert_eq!(session.next().await, "web.test/81: 10.0.0.3:81*1");
    server.host("web.test", &[]);
    let both = [session.next().await, session.next().await];
    assert!(
        both.contains(&"web.test/80: ".to_owned()) && both.contains(&"web.test/81: ".to_owned()),
        "{both:?}"
    );
    server.remove("web.test");
    let both = [session.next().await, session.next().await];
    assert!(both.contains(&"web.test/80 gone".to_owned()), "{both:?}");
    // What is negative is asked for again, too.
    server.host("web.test", &["10.0.0.4"]);
    let both = [session.next().await, session.next().await];
    assert!(both.contains(&"web.test/81: 10.0.0.4:81*1".to_owned()), "{both:?}");
    session.alive().await;
}

#[tokio::test]
async fn a_ttl_is_honoured() {
    let server = Server::start();
    server.ttl(1000);
    server.host("long.test", &["10.0.0.1"]);
    server.host("other.test", &["10.0.0.1"]);
    let mut session = Session::begin(&server).await;
    session.want("long.test/80").await;
    assert_eq!(session.next().await, "long.test/80: 10.0.0.1:80*1");
    server.ttl(1);
    session.want("other.test/80").await;
    assert_eq!(session.next().await, "other.test/80: 10.0.0.1:80*1");
    // While the other changes again and again, this one is left alone.
    for n in 2..5 {
        server.host("other.test", &[&format!("10.0.0.{n}")]);
        assert_eq!(session.next().await, format!("other.test/80: 10.0.0.{n}:80*1"));
    }
    assert_eq!(server.asked("long.test", RecordType::A), 1);
}

#[tokio::test]
async fn a_quiet_session_asks_to_know_that_it_is_heard() {
    let server = Server::start();
    server.ttl(1000);
    server.host("long.test", &["10.0.0.1"]);
    let mut session = Session::begin(&server).await;
    // With nothing to ask, all is well.
    session.alive().await;
    session.want("long.test/80").await;
    assert_eq!(session.next().await, "long.test/80: 10.0.0.1:80*1");
    for _ in 0..3 {
        session.alive().await;
    }
    assert!(server.asked("long.test", RecordType::A) >= 2);
    // The server dies: one word may be under way, then there is none, and the trouble is told.
    server.set("long.test", Some(RecordType::A), Say::Silence);
    server.set("long.test", Some(RecordType::AAAA), Say::Silence);
    session.refused("long.test/80").await;
    let answered = Instant::now();
    let more =
        timeout(Duration::from_secs(8), async { while session.any().await != Report::Alive {} });
    assert!(more.await.is_err() || answered.elapsed() < Duration::from_secs(5));
    server.host("long.test", &["10.0.0.2"]);
    assert_eq!(session.next().await, "long.test/80: 10.0.0.2:80*1");
    session.alive().await;
}

#[tokio::test]
async fn services_have_priorities_weights_and_ports() {
    let server = Server::start();
    let name = "_http._tcp.web.test";
    let set = |data: Vec<_>| server.set(name, Some(RecordType::SRV), Say::Records(data));
    server.host("a.test", &["10.0.0.1"]);
    server.host("b.test", &["10.0.0.2", "fd00::2"]);
    server.host("c.test", &["10.0.0.3"]);
    set(vec![srv(1, 10, 81, "a.test"), srv(1, 65535, 82, "b.test"), srv(2, 1, 83, "c.test")]);
    let mut session = Session::begin(&server).await;
    session.want(name).await;
    let first = format!("{name}: 10.0.0.1:81*10 10.0.0.2:82*65535 [fd00::2]:82*65535");
    assert_eq!(session.next().await, first);
    assert_eq!(server.asked("c.test", RecordType::A), 0, "only the lowest priority is asked for");
    // Weights of 0 are the smallest there are, and equal among themselves.
    set(vec![srv(1, 0, 81, "a.test"), srv(1, 0, 81, "c.test")]);
    assert_eq!(session.next().await, format!("{name}: 10.0.0.1:81*1 10.0.0.3:81*1"));
    // Targets that are not there leave the turn to the next priority.
    set(vec![srv(1, 5, 81, "nobody.test"), srv(3, 7, 83, "c.test")]);
    assert_eq!(session.next().await, format!("{name}: 10.0.0.3:83*7"));
    // One of two is not there.
    set(vec![srv(1, 5, 81, "nobody.test"), srv(1, 7, 81, "a.test")]);
    assert_eq!(session.next().await, format!("{name}: 10.0.0.1:81*7"));
    // A target that fails keeps what it had.
    server.set("a.test", Some(RecordType::A), Say::Code(ResponseCode::ServFail));
    set(vec![srv(1, 5, 81, "a.test"), srv(1, 5, 81, "c.test")]);
    session.refused(name).await;
    assert_eq!(session.next().await, format!("{name}: 10.0.0.1:81*5 10.0.0.3:81*5"));
    // The root as target: there is decidedly no such service.
    server.host("a.test", &["10.0.0.1"]);
    set(vec![srv(0, 0, 0, ".")]);
    let mut next = session.next().await;
    while next != format!("{name}: ") {
        next = session.next().await;
    }
    server.remove(name);
    assert_eq!(session.next().await, format!("{name} gone"));
}

#[tokio::test]
async fn addresses_that_come_along_are_not_asked_for() {
    let server = Server::start();
    server.set(
        "_http._tcp.web.test",
        Some(RecordType::SRV),
        Say::Records(vec![srv(1, 1, 81, "Along.test")]),
    );
    server.additional("along.TEST", "10.0.0.9");
    server.additional("along.TEST", "fd00::9");
    server.additional("other.test", "10.0.0.10");
    let mut session = Session::begin(&server).await;
    session.want("_http._tcp.web.test").await;
    assert_eq!(session.next().await, "_http._tcp.web.test: 10.0.0.9:81*1 [fd00::9]:81*1");
    assert_eq!(server.asked("along.test", RecordType::A), 0);
}

#[tokio::test]
async fn what_is_no_answer_leaves_things_as_they_were() {
    let hostile = [
        ("servfail", Say::Code(ResponseCode::ServFail)),
        ("refused", Say::Code(ResponseCode::Refused)),
        ("silence", Say::Silence),
        ("garbage", Say::Garbage),
        ("torn", Say::Torn),
        ("wrong-id", Say::WrongId),
        ("loop", Say::Records(vec![cname("loop.test")])),
    ];
    let checks: Vec<_> = hostile.map(|(host, say)| tokio::spawn(check_hostile(host, say))).into();
    for check in checks {
        check.await.unwrap();
    }
}

async fn check_hostile(host: &str, say: Say) {
    let server = Server::start();
    server.host("good.test", &["10.0.0.1"]);
    let name = format!("{host}.test");
    server.host(&name, &["10.0.0.7", "fd00::7"]);
    let mut session = Session::begin(&server).await;
    session.want("good.test/80").await;
    assert_eq!(session.next().await, "good.test/80: 10.0.0.1:80*1");
    session.want(&format!("{name}/80")).await;
    assert_eq!(session.next().await, format!("{name}/80: 10.0.0.7:80*1 [fd00::7]:80*1"));
    server.remove(&name);
    server.set(&name, None, say);
    session.refused(&format!("{name}/80")).await;
    // The session goes on for the others, and this one comes back.
    server.host("good.test", &["10.0.0.2"]);
    while session.next().await != "good.test/80: 10.0.0.2:80*1" {}
    session.alive().await;
    server.remove(&name);
    server.host(&name, &["10.0.0.8"]);
    while session.next().await != format!("{name}/80: 10.0.0.8:80*1") {}
}

#[tokio::test]
async fn a_family_that_fails_keeps_what_it_had() {
    let server = Server::start();
    server.host("web.test", &["10.0.0.1", "fd00::1"]);
    let mut session = Session::begin(&server).await;
    session.want("web.test/80").await;
    assert_eq!(session.next().await, "web.test/80: 10.0.0.1:80*1 [fd00::1]:80*1");
    server.set("web.test", Some(RecordType::AAAA), Say::Code(ResponseCode::ServFail));
    server.set("web.test", Some(RecordType::A), Say::Records(vec![ip("10.0.0.2")]));
    // Which of the two was asked first is not known.
    let mut seen = vec![session.next().await];
    while seen.last().unwrap() != "web.test/80: 10.0.0.2:80*1 [fd00::1]:80*1" {
        seen.push(session.next().await);
    }
    assert!(seen.iter().any(|line| line.starts_with("web.test/80 refused: AAAA")), "{seen:?}");
}

#[tokio::test]
async fn names_that_lead_on_are_followed_and_long_answers_come_over_tcp() {
    let server = Server::start();
    server.set("alias.test", None, Say::Records(vec![cname("real.test")]));
    server.host("real.test", &["10.0.0.5"]);
    let many: Vec<_> = (1..=200).map(|n| ip(&format!("10.1.0.{n}"))).collect();
    server.set("many.test", Some(RecordType::A), Say::TooLong(many));
    let mut session = Session::begin(&server).await;
    session.want("alias.test/80").await;
    assert_eq!(session.next().await, "alias.test/80: 10.0.0.5:80*1");
    session.want("many.test/80").await;
    let many = session.next().await;
    assert_eq!(many.matches("10.1.0.").count(), 200, "{many}");
}

#[tokio::test]
async fn names_that_are_none_are_refused_and_there_are_bounds() {
    let server = Server::start();
    let mut session = Session::begin(&server).await;
    session.want("nonsense").await;
    session.refused("nonsense").await;
    assert_eq!(session.next().await, "nonsense gone");
    // Whoever asks again is told again.
    session.want("nonsense").await;
    assert_eq!(session.next().await, "nonsense gone");
    let long = format!("{}/80", "a".repeat(600));
    session.want(&long).await;
    session.refused(long.get(..256).unwrap()).await;
    assert_eq!(session.next().await, format!("{long} gone"));
    session.want("127.0.0.1/80").await;
    assert_eq!(session.next().await, "127.0.0.1/80: 127.0.0.1:80*1");
    session.want("::1/80").await;
    assert_eq!(session.next().await, "::1/80: [::1]:80*1");
    // The system's hosts file counts.
    session.want("localhost/80").await;
    let local = session.next().await;
    assert!(local.contains("127.0.0.1:80*1"), "{local}");
    for n in 4..NAMES_MAX {
        session.want(&format!("10.0.{}.{}/80", n / 256, n % 256)).await;
        session.next().await;
    }
    session.want("one.too.many/80").await;
    let next = session.next().await;
    assert!(next.contains("1024 names are asked for already"), "{next}");
}

#[tokio::test]
async fn a_new_session_begins_with_what_was_known() {
    let server = Server::start();
    server.host("web.test", &["10.0.0.1"]);
    server.set("bad.test", None, Say::Code(ResponseCode::ServFail));
    let mut session =
        Session::of(dns(&[server.addr]), &["web.test/80", "bad.test/80", "none.test/80"]);
    session.refused("bad.test/80").await;
    let Report::All(all) = session.any().await else { panic!("all comes next") };
    assert_eq!(all.keys().collect::<Vec<_>>(), ["web.test/80"]);
    assert_eq!(session.next().await, "none.test/80 gone", "that all lacks it would not say so");
    // Nobody listens: it ends, and the next one still knows.
    drop(session.reports);
    let (dns, ended) = timeout(PATIENCE, session.task).await.expect("it ends").unwrap();
    assert!(ended.0.contains("nobody listens"), "{ended}");
    server.set("web.test", Some(RecordType::A), Say::Code(ResponseCode::ServFail));
    server.set("web.test", Some(RecordType::AAAA), Say::Code(ResponseCode::ServFail));
    let mut session = Session::of(dns, &[]);
    let both = [session.next().await, session.next().await];
    assert!(both.iter().all(|line| line.contains(" refused: ")), "{both:?}");
    let Report::All(all) = session.any().await else { panic!("all comes next") };
    assert_eq!(shown(&all["web.test/80"]), "10.0.0.1:80*1");
}

#[tokio::test]
async fn dnsmasq_answers() {
    let known = [
        "--host-record=web.test,10.0.0.1,fd00::1",
        "--host-record=two.test,10.0.0.2",
        "--srv-host=_http._tcp.web.test,web.test,8080,1,10",
        "--srv-host=_http._tcp.web.test,two.test,8081,1,20",
    ];
    let Some(dnsmasq) = Dnsmasq::start(&known) else { return };
    let mut session = Session::of(dns(&[dnsmasq.address]), &[]);
    assert_eq!(session.any().await, Report::All(Default::default()));
    session.want("web.test/80").await;
    assert_eq!(session.next().await, "web.test/80: 10.0.0.1:80*1 [fd00::1]:80*1");
    session.want("_http._tcp.web.test").await;
    let all = "_http._tcp.web.test: 10.0.0.1:8080*10 10.0.0.2:8081*20 [fd00::1]:8080*10";
    assert_eq!(session.next().await, all);
    session.want("nobody.test/80").await;
    assert_eq!(session.next().await, "nobody.test/80 gone");
    session.alive().await;
}
