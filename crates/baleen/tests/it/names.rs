//! Names at work: tables that come with a request and what becomes of them hop by hop, alternatives, and names that change.
//!
//! Services here are threads with a socket each. One that calls another asks for it at the same Baleen by its name, and sends on
//! what it was told to send on: `baleen-ctx-dtab` and `l5d-ctx-dtab`, as a service has to.

mod dns;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use crate::support::{Baleen, LONG, connect};

/// Where services send their own requests.
type Way = Arc<OnceLock<SocketAddr>>;

/// A request as it came: its head.
#[derive(Clone)]
struct Head(String);

impl Head {
    /// Reads one; nothing at the end of the connection.
    fn read(from: &mut TcpStream) -> Option<Head> {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            if from.read(&mut one).ok()? == 0 {
                return None;
            }
            bytes.push(one[0]);
        }
        Some(Head(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Asks for `/` at a host and gives status and body. `fields` are whole lines.
fn ask(at: SocketAddr, host: &str, fields: &str) -> (u16, String) {
    let mut s = connect(at);
    let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
    write!(s, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n").expect("send");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("read");
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// A service of its own thread. `answer` makes a body of a request's head.
struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Head>>>,
}

impl Service {
    fn start(answer: impl Fn(&Head) -> String + Send + Sync + 'static) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Head>>> = Arc::default();
        let (answer, all) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                std::thread::spawn(move || {
                    while let Some(head) = Head::read(&mut stream) {
                        let body = answer(&head);
                        all.lock().expect("no panic").push(head);
                        let head =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                        if stream.write_all((head + &body).as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Service { address, seen }
    }

    /// One that says its name, and of those behind it what they say.
    fn named(name: &'static str, next: Option<&'static str>, way: &Way) -> Service {
        let way = Arc::clone(way);
        Service::start(move |head| match next {
            None => name.to_owned(),
            Some(next) => {
                // What every service has to do for tables to follow its calls.
                let context = ["baleen-ctx-dtab", "l5d-ctx-dtab"].into_iter();
                let fields: Vec<String> = context
                    .filter_map(|field| Some(format!("{field}: {}", head.field(field)?)))
                    .collect();
                let baleen = *way.get().expect("it is started");
                let (status, body) = ask(baleen, next, &fields.join("\r\n"));
                if status == 200 { format!("{name}>{body}") } else { format!("{name}>{status}") }
            }
        })
    }

    /// What the last request said.
    fn last(&self, field: &str) -> Option<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.last().expect("it was asked").field(field).map(str::to_owned)
    }
}

fn endpoints(clusters: &[(&str, SocketAddr)]) -> String {
    clusters
        .iter()
        .map(|(name, at)| format!("[cluster.{name}]\nendpoints = [\"{at}\"]\n"))
        .collect()
}

const LISTENER: &str = r#"
workers = 1
[admin]
listen = "off"
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/{host}"
"#;
const TRUSTED: &str = "trusted_callers = [\"127.0.0.0/8\"]\n";

fn start(rest: &str) -> Baleen {
    Baleen::start(&format!("{LISTENER}{TRUSTED}{rest}"))
}

#[test]
fn one_request_goes_to_staging_all_the_way_down() {
    let way = Way::default();
    let a = Service::named("a", Some("b"), &way);
    let b = Service::named("b", Some("c"), &way);
    let b2 = Service::named("b2", Some("c"), &way);
    let c = Service::named("c", None, &way);
    let clusters = [("a", a.address), ("b", b.address), ("b2", b2.address), ("c", c.address)];
    let baleen = start(&endpoints(&clusters));
    way.set(baleen.addr).expect("once");
    let body = |fields: &str| ask(baleen.addr, "a", fields);
    assert_eq!(body(""), (200, "a>b>c".to_owned()));
    assert_eq!(c.last("baleen-ctx-dtab"), None);

    let staging = "/svc/b => /svc/b2";
    assert_eq!(body(&format!("baleen-dtab: {staging}")), (200, "a>b2>c".to_owned()));
    for service in [&a, &b2, &c] {
        assert_eq!(service.last("baleen-ctx-dtab").as_deref(), Some(staging));
        assert_eq!(service.last("l5d-ctx-dtab"), None);
        assert_eq!(service.last("baleen-dtab"), None, "it is for one hop");
    }
    assert_eq!(body(""), (200, "a>b>c".to_owned()), "only that request");

    // The older form, and a table that was carried along with one that was not: the latter wins.
    assert_eq!(body(&format!("L5d-Dtab: {staging}")), (200, "a>b2>c".to_owned()));
    for service in [&a, &b2, &c] {
        assert_eq!(service.last("l5d-ctx-dtab").as_deref(), Some(staging));
        assert_eq!(service.last("baleen-ctx-dtab").as_deref(), Some(staging), "not twice as long");
    }
    let both = "baleen-ctx-dtab: /svc/b => /svc/none\r\nbaleen-dtab: /svc/b => /svc/b2";
    assert_eq!(body(both), (200, "a>b2>c".to_owned()));
    // A table that leads to nowhere: the first service hears of it, with the name.
    assert_eq!(body("baleen-dtab: /svc/b => !"), (200, "a>404".to_owned()));
    let (status, text) = ask(baleen.addr, "b", "baleen-dtab: /svc/b => !");
    assert_eq!(status, 404);
    assert!(text.contains("name /svc/b, with the request's own delegation table"), "{text}");
    baleen.stop_and_replay();
}

#[test]
fn a_debug_proxy_is_put_in_the_middle_of_a_path() {
    let (way, back) = (Way::default(), Way::default());
    let a = Service::named("a", Some("e"), &way);
    let e = Service::named("e", Some("c"), &way);
    let (c, c2) = (Service::named("c", None, &way), Service::named("c2", None, &way));
    // It passes on what it gets, to the listener whose names come from what is left over.
    let to = Arc::clone(&back);
    let p = Service::start(move |head| {
        let own = ["host", "connection", "content-length"];
        let fields = head.0.lines().skip(1).filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !line.is_empty() && !own.iter().any(|n| n.eq_ignore_ascii_case(name))
        });
        let fields: Vec<&str> = fields.collect();
        let (_, body) = ask(*to.get().expect("it is started"), "whoever", &fields.join("\r\n"));
        format!("p({body})")
    });
    let second = free_port();
    let clusters = [
        ("a", a.address),
        ("e", e.address),
        ("c", c.address),
        ("c2", c2.address),
        ("p", p.address),
    ];
    let baleen = start(&format!(
        "[[listener]]\nlisten = \"{second}\"\nname = \"{{header:baleen-dst-residual}}\"\n{TRUSTED}{}",
        endpoints(&clusters)
    ));
    way.set(baleen.addr).expect("once");
    back.set(second).expect("once");
    let body = |fields: &str| ask(baleen.addr, "a", fields);
    assert_eq!(body(""), (200, "a>e>c".to_owned()));

    let middle = "/svc/e => /svc/p/svc/e";
    assert_eq!(body(&format!("baleen-dtab: {middle}")), (200, "a>p(e>c)".to_owned()));
    assert_eq!(a.last("baleen-ctx-dtab").as_deref(), Some(middle));
    assert_eq!(p.last("baleen-dst-residual").as_deref(), Some("/svc/e"));
    assert_eq!(p.last("l5d-dst-residual").as_deref(), Some("/svc/e"));
    assert_eq!(p.last("baleen-ctx-dtab"), None, "it is in the middle already");
    // Whatever else the table says goes on.
    let more = format!("baleen-dtab: {middle}; /svc/c => /svc/c2");
    assert_eq!(body(&more), (200, "a>p(e>c2)".to_owned()));
    assert_eq!(p.last("baleen-ctx-dtab").as_deref(), Some("/svc/c => /svc/c2"));
    baleen.stop_and_replay();
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[test]
fn who_is_not_trusted_brings_no_table() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let clusters = endpoints(&[("a", a.address), ("b", b.address)]);
    let baleen = Baleen::start(&format!("{LISTENER}{clusters}"));
    for fields in [
        "baleen-dtab: /svc/a => /svc/b",
        "l5d-dtab: /svc/a => /svc/b",
        "baleen-ctx-dtab: /svc/a => /svc/b\r\nl5d-ctx-dtab: /svc/a => /svc/b",
        "baleen_dtab: /svc/a => /svc/b",
        "baleen-dtab: not a table",
        "baleen-dst-residual: /x\r\nl5d-dst-residual: /y\r\nl5d_ctx_dtab: z",
    ] {
        assert_eq!(ask(baleen.addr, "a", fields), (200, "a".to_owned()), "{fields}");
        let seen = a.seen.lock().expect("no panic").last().expect("it was asked").0.clone();
        assert!(!seen.to_lowercase().contains("dtab"), "{seen}");
        assert!(!seen.to_lowercase().contains("residual"), "{seen}");
    }
}

#[test]
fn a_table_that_is_wrong_is_answered_with_the_place() {
    let way = Way::default();
    let a = Service::named("a", None, &way);
    let baleen = start(&endpoints(&[("a", a.address)]));
    let (status, text) = ask(baleen.addr, "a", "baleen-dtab: /svc/a => /svc/b; /svc/c -> /svc/d");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("the request's delegation table can't be read"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|l| l.starts_with("/svc/a => /svc/b; ")).expect("the table");
    let caret = lines[at + 1].find('^').expect("a caret");
    assert_eq!(lines[at].find("->"), Some(caret), "{text}");
    let long = (0..70).map(|i| format!("/svc/x{i} => /svc/a")).collect::<Vec<_>>().join("; ");
    let (status, text) = ask(baleen.addr, "a", &format!("l5d-ctx-dtab: {long}"));
    assert!(status == 400 && text.contains("at most 64 entries"), "{text}");
    // A circle is the request's own.
    let (status, text) = ask(baleen.addr, "a", "baleen-dtab: /svc/a => /svc/a2; /svc/a2 => /svc/a");
    assert!(status == 400 && text.contains("/svc/a -> /svc/a2"), "{text}");
    assert_eq!(ask(baleen.addr, "a", ""), (200, "a".to_owned()));
}

/// One request on a connection that stays; gives status and body.
fn again(s: &mut TcpStream, host: &str, fields: &str) -> (u16, String) {
    write!(s, "GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n").expect("send");
    let head = Head::read(s).expect("an answer");
    let status = head.0.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let length = head.field("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    s.read_exact(&mut body).expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Memory that the process holds, in kilobytes.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn ten_thousand_tables_take_no_memory() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let baleen = start(&endpoints(&[("a", a.address), ("b", b.address)]));
    let mut s = baleen.connect();
    let mut ask = |i: u32| {
        // Each is another tree.
        let table = format!(
            "baleen-dtab: /svc/a => {} * /svc/a0 & 1 * /svc/b0; /svc/a0 => /#/static/a; /svc/b0 => /#/static/b",
            i + 2
        );
        let (status, body) = again(&mut s, "a", &table);
        assert!(status == 200 && (body == "a" || body == "b"), "{status} {body}");
    };
    (0..3_000).for_each(&mut ask);
    let before = resident_kb(baleen.pid());
    (3_000..13_000).for_each(&mut ask);
    let after = resident_kb(baleen.pid());
    assert!(after < before + 4_096, "{before} kB before, {after} kB after");
}

#[test]
fn shares_are_as_they_are_said() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let baleen = start(&endpoints(&[("a", a.address), ("b", b.address)]));
    let mut s = baleen.connect();
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2_000 {
        let table = "baleen-dtab: /svc/w => 0.9 * /svc/a & 0.1 * /svc/b";
        let (status, body) = again(&mut s, "w", table);
        assert_eq!(status, 200, "{body}");
        *count.entry(body).or_default() += 1;
    }
    // Seven standard deviations.
    assert!(count["b"].abs_diff(200) < 95, "{count:?}");
    baleen.stop_and_replay();
}

#[test]
fn an_alternative_is_taken_when_nobody_is_left_or_never() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    for (by, want) in [("health", (200, "b".to_owned())), ("name", (503, String::new()))] {
        let config = format!(
            "{LISTENER}[route]\nnames = {{ fallback = \"{by}\" }}\n\
             [route.\"/svc/x\"]\nto = {{ first = [\"one\", \"b\"] }}\n\
             [namer.files]\nkind = \"files\"\ndir = \"services\"\n\
             [cluster.b]\nendpoints = [\"{}\"]\n",
            b.address
        );
        let baleen = Baleen::start_with(&config, |dir| {
            std::fs::create_dir(dir.join("services")).expect("folder");
            std::fs::write(dir.join("services/one"), format!("{}\n", a.address)).expect("write");
        });
        assert_eq!(ask(baleen.addr, "x", ""), (200, "a".to_owned()), "{by}");
        let services = baleen.dir.path().join("services");
        std::fs::write(services.join(".new"), "# nobody\n").expect("write");
        std::fs::rename(services.join(".new"), services.join("one")).expect("rename");
        until(|| {
            let (status, body) = ask(baleen.addr, "x", "");
            status == want.0 && (body == want.1 || status == 503)
        });
        assert_eq!(ask(baleen.addr, "x", "").0, want.0, "{by}: it stays so");
    }
}

#[test]
fn an_alternative_is_taken_when_all_servers_fail() {
    let way = Way::default();
    let b = Service::named("b", None, &way);
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = gone.local_addr().expect("an address");
    drop(gone);
    let baleen = start(&endpoints(&[("a", dead), ("b", b.address)]));
    let mut s = baleen.connect();
    let table = "baleen-dtab: /svc/x => /svc/a | /svc/b";
    until(|| again(&mut s, "x", table).0 == 200);
    let answered = (0..100).filter(|_| again(&mut s, "x", table) == (200, "b".to_owned())).count();
    assert_eq!(answered, 100);
    baleen.stop_and_replay();
}

#[test]
fn a_standby_is_exercised() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let baleen = start(&format!(
        "[route]\nnames = {{ standby = \"10%\" }}\n{}",
        endpoints(&[("a", a.address), ("b", b.address)])
    ));
    let mut s = baleen.connect();
    let table = "baleen-dtab: /svc/x => /svc/a | /svc/b";
    let asked: Vec<_> = (0..1_000).map(|_| again(&mut s, "x", table).1).collect();
    let standby = asked.iter().filter(|body| *body == "b").count();
    // Seven standard deviations.
    assert!(standby.abs_diff(100) < 67, "{standby}");
    assert_eq!(asked.iter().filter(|body| *body == "a").count(), 1_000 - standby);
}

#[test]
fn an_address_can_be_named() {
    let way = Way::default();
    let a = Service::named("a", None, &way);
    let baleen = start(&endpoints(&[("other", a.address)]));
    let inet = format!("/$/inet/{}/{}", a.address.ip(), a.address.port());
    let table = format!("baleen-dtab: /svc/x => {inet}");
    assert_eq!(ask(baleen.addr, "x", &table), (200, "a".to_owned()), "found out when asked for");
    assert_eq!(ask(baleen.addr, "x", &table), (200, "a".to_owned()));
    let (status, text) = ask(baleen.addr, "x", "baleen-dtab: /svc/x => /$/inet/127.0.0.1/none");
    assert_eq!(status, 404, "{text}");
    assert_eq!(ask(baleen.addr, "x", "").0, 404);
    baleen.stop_and_replay();
}

#[test]
fn names_move_with_files() {
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let config = format!(
        "{LISTENER}{TRUSTED}[namer.files]\nkind = \"files\"\ndir = \"services\"\n\
         [cluster.b]\nendpoints = [\"{}\"]\n",
        b.address
    );
    let baleen = Baleen::start_with(&config, |dir| {
        std::fs::create_dir(dir.join("services")).expect("folder");
    });
    let services = baleen.dir.path().join("services");
    // An alternative that is not there yet, and comes, and goes.
    let table = "baleen-dtab: /svc/x => /svc/late | /svc/b";
    assert_eq!(ask(baleen.addr, "x", table), (200, "b".to_owned()));
    std::fs::write(services.join(".new"), format!("{}\n", a.address)).expect("write");
    std::fs::rename(services.join(".new"), services.join("late")).expect("rename");
    until(|| ask(baleen.addr, "x", table) == (200, "a".to_owned()));
    assert_eq!(ask(baleen.addr, "late", ""), (200, "a".to_owned()));
    std::fs::remove_file(services.join("late")).expect("remove");
    until(|| {
        let answer = ask(baleen.addr, "x", table);
        assert_eq!(answer.0, 200, "no request is lost on the way");
        answer.1 == "b"
    });
    baleen.stop_and_replay();
}

/// Ask again until it holds. The bound is a failure, not a wait.
fn until(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "did not come to hold");
        std::thread::yield_now();
    }
}

/// Old answers are kept by what was asked for, and a table of one's own makes that something else.
#[test]
fn where_a_table_leads_is_no_old_answer_for_anybody_else() {
    let way = Way::default();
    let (live, staging) = (Service::named("b", None, &way), Service::named("b2", None, &way));
    let dead = free_port();
    let clusters = [("a", dead), ("b", live.address), ("dead", dead), ("b2", staging.address)];
    let baleen = start(&format!("{}[route]\nstale = {{}}\n", endpoints(&clusters)));
    // B2 answers in the place of A, which is dead: none of that is for those who ask for A itself.
    let to = "baleen-dtab: /svc/a => /svc/b2";
    assert_eq!(ask(baleen.addr, "a", to), (200, "b2".to_owned()));
    let (status, body) = ask(baleen.addr, "a", "");
    assert!(status >= 500 && body != "b2", "{status} {body}");
    // And nobody's debug target seems to answer because B does.
    assert_eq!(ask(baleen.addr, "b", ""), (200, "b".to_owned()));
    let (status, body) = ask(baleen.addr, "b", "baleen-ctx-dtab: /svc/b => /svc/dead");
    assert!(status >= 500 && body != "b", "{status} {body}");
}
