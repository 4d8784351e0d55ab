//! Delegation tables in real stores, changed from the command line and over HTTP: conditions, checks, history, staged changes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use baleen_discovery::kv::{Expect, Kv};
use baleen_discovery::open::{AnyKv, open};
use serde_json::Value;

use crate::registry::{etcd, zookeeper};
use crate::support::{Baleen, program};

/// A store that ends with the test.
struct Place {
    url: String,
    dir: tempfile::TempDir,
    server: Option<Server>,
}

/// What a store runs in.
enum Server {
    Etcd(etcd::Server),
    ZooKeeper(zookeeper::Server),
}

impl Server {
    fn kill(&mut self) {
        match self {
            Server::Etcd(server) => server.kill(),
            Server::ZooKeeper(server) => server.kill(),
        }
    }
}

impl Place {
    fn folder() -> Place {
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("file:{}", dir.path().join("dtabs").display());
        Place { url, dir, server: None }
    }

    /// A real etcd; nothing where it is missing.
    fn etcd() -> Option<Place> {
        let server = etcd::Server::start()?;
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("etcd://{}/baleen/dtabs", server.client);
        Some(Place { url, dir, server: Some(Server::Etcd(server)) })
    }

    /// A real ZooKeeper; nothing where it is missing.
    fn zookeeper() -> Option<Place> {
        if !zookeeper::installed() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let server = zookeeper::Server::start();
        let url = format!("zookeeper://{}/baleen/dtabs", server.addr());
        Some(Place { url, dir, server: Some(Server::ZooKeeper(server)) })
    }

    fn each() -> impl Iterator<Item = Place> {
        [Some(Place::folder()), Place::etcd()].into_iter().flatten()
    }

    fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = program();
        command.env("BALEEN_STORE", &self.url).env("USER", "ann").args(["dtab", verb]).args(rest);
        command
    }

    fn run(&self, verb: &str, rest: &[&str]) -> Output {
        self.command(verb, rest).output().expect("it runs")
    }

    /// What it wrote, and nothing else happened.
    fn fine(&self, verb: &str, rest: &[&str]) -> String {
        let output = self.run(verb, rest);
        assert_eq!(output.status.code(), Some(0), "{verb} {rest:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, verb: &str, rest: &[&str]) -> Value {
        let said = self.fine(verb, &[rest, &["--format", "json"]].concat());
        serde_json::from_str(&said).expect("JSON")
    }

    /// What it said, and how it ended.
    fn refused(&self, verb: &str, rest: &[&str], code: i32, says: &str) {
        let output = self.run(verb, rest);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb} {rest:?}: {said}");
        assert!(said.contains(says), "{verb} {rest:?}: {said}");
    }

    /// A file with a table.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn kv(&self) -> AnyKv {
        open(&self.url).expect("a store")
    }

    fn staged(&self) -> Value {
        self.json("get", &["web"])["staged"].clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const A: &str = "# where services are\n/svc => /#/etcd;\n/svc/web => /#/etcd/web1;\n";
const B: &str = "/svc => /#/etcd;\n/svc/web => /#/etcd/web2;\n";

#[test]
fn tables_are_set_shown_and_rolled_back() {
    for place in Place::each() {
        let (a, b) = (place.file("a", A), place.file("b", B));
        assert_eq!(place.json("list", &[])["namespaces"].as_array().map(Vec::len), Some(0));
        place.refused("get", &["web"], 2, "no namespace `web`");
        assert_eq!(place.fine("set", &["web", &a, "--note", "first"]), "`web` is at version 1\n");
        // As it was written.
        assert_eq!(place.fine("get", &["web"]), A);
        place.refused("set", &["web", &b, "--if-version", "0"], 1, "exists");
        place.refused("set", &["web", &b, "--if-version", "7"], 1, "at version 1");
        place.fine("set", &["web", &b, "--if-version", "1"]);
        // The same again is no version.
        assert_eq!(place.fine("set", &["web", &b]), "`web` is at version 2\n");
        let mut piped = place.command("set", &["other", "-"]);
        let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
        piped.stdin.take().expect("piped").write_all(B.as_bytes()).expect("write");
        assert!(piped.wait().expect("it ends").success());
        let list = place.fine("list", &[]);
        assert!(list.contains("\nother ") && list.contains("\nweb "), "{list}");
        assert_eq!(place.json("rollback", &["web", "1"])["version"], 3);
        assert_eq!(place.fine("get", &["web"]), A);
        assert_eq!(place.fine("get", &["web", "--version", "2"]), B);
        place.refused("rollback", &["web", "9"], 2, "no version 9");
        let history = place.json("history", &["web"]);
        let said: Vec<(u64, &str, bool)> = history["versions"]
            .as_array()
            .expect("versions")
            .iter()
            .map(|v| {
                let by = v["by"].as_str().expect("who");
                let version = v["version"].as_u64().expect("a number");
                (version, v["note"].as_str().expect("why"), by.starts_with("ann"))
            })
            .collect();
        assert_eq!(said, [(3, "version 1 again", true), (2, "", true), (1, "first", true)]);
        let table = place.fine("history", &["web"]);
        assert_eq!(table.lines().count(), 4, "{table}");
        place.refused("delete", &["web", "--if-version", "1"], 1, "at version 3");
        place.fine("delete", &["web", "--note", "moved"]);
        place.refused("get", &["web"], 2, "no namespace `web`");
        assert_eq!(place.json("history", &["web"])["versions"][0]["dtab"], Value::Null);
        assert_eq!(place.json("set", &["web", &b])["version"], 5);
    }
}

#[test]
fn a_change_is_checked_first() {
    let place = Place::folder();
    let a = place.file("a", A);
    place.fine("set", &["web", &a]);
    let broken = place.file("broken", "/svc => /#/etcd;\n/svc/web =< /#/etcd/x;\n");
    let output = place.run("set", &["web", &broken]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("broken:2: ") && said.contains("/svc/web =< /#/etcd/x;\n"), "{said}");
    assert!(said.lines().any(|line| line.trim() == "^"), "{said}");

    let gone = place.file("gone", "/svc/web => /#/etcd/web1;\n");
    place.refused("set", &["web", &gone], 2, "/svc/anything: now /#/etcd/anything, then ~");
    let elsewhere = place.file("elsewhere", "/svc => /#/consul;\n");
    place.refused("set", &["web", &elsewhere], 2, "--mount");
    let names = place.file("names", "# known\n/svc/shop\n/svc/x y\n");
    place.refused("set", &["web", &a, "--names", &names], 2, "names:3: ");
    let names = place.file("names", "# known\n\n/svc/shop\n");
    let shop = place.file("shop", &format!("{A}/svc/shop => !;\n"));
    place.refused("set", &["web", &shop, "--names", &names], 2, "/svc/shop: now /#/etcd/shop");
    assert_eq!(place.fine("get", &["web"]), A, "none of it was done");
    place.refused("set", &["web", &shop], 2, "/svc/shop: now /#/etcd/shop");
    place.fine("set", &["web", &shop, "--force"]);
    place.fine("set", &["web", &elsewhere, "--mount", "consul"]);
    place.fine("set", &["web", &gone, "--force"]);
    place.refused("rollback", &["web", "3"], 2, "would lead nowhere");
    place.fine("rollback", &["web", "3", "--force"]);
}

#[test]
fn names_that_a_proxy_carries_are_not_lost() {
    let proxy = Baleen::start(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [cluster.shop]\nendpoints = [\"127.0.0.1:1\"]\n",
    );
    let mut stream = proxy.connect();
    write!(stream, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").expect("send");
    stream.read_to_end(&mut Vec::new()).expect("an answer");
    let admin = format!("http://{}", proxy.admin.expect("it is on"));
    let place = Place::folder();
    place.fine("set", &["web", &place.file("a", "/svc => /#/static;\n")]);
    let shop = place.file("shop", "/svc => /#/static;\n/svc/shop => !;\n");
    place.refused("set", &["web", &shop, "--proxy", &admin], 2, "/svc/shop: now /#/static/shop");
    let basket = place.file("basket", "/svc => /#/static;\n/svc/basket => !;\n");
    place.fine("set", &["web", &basket, "--proxy", &admin]);
    drop(proxy);
    place.refused("set", &["web", &shop, "--proxy", &admin], 3, "does not tell its names");
}

#[test]
fn a_store_that_is_not_there_is_told() {
    let mut command = program();
    let output = command.args(["dtab", "list", "--store", "etcd://127.0.0.1:1/x"]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    for store in ["redis://a/b", "etcd://a"] {
        let output = program().args(["dtab", "list", "--store", store]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    let output = program().env_remove("BALEEN_STORE").args(["dtab", "list"]).output();
    let output = output.expect("it runs");
    assert!(text(&output.stderr).contains("--store"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_staged_change_becomes_the_table() {
    for place in Place::each() {
        let (a, b) = (place.file("a", A), place.file("b", B));
        place.refused("set", &["web", &b, "--stage", "100"], 2, "without --stage");
        place.fine("set", &["web", &a]);
        place.refused("set", &["web", &a, "--stage", "100"], 2, "so already");
        let output = place.run("set", &["web", &b, "--stage", "10,100", "--bake", "300ms"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        for line in ["step 1 of 2: 10 %", "step 2 of 2: 100 %", "version 2"] {
            assert!(said.contains(line), "{said}");
        }
        assert_eq!(text(&output.stdout), "`web` is at version 2\n");
        assert_eq!(place.fine("get", &["web"]), B);
        assert_eq!(place.staged(), Value::Null);
    }
}

/// A change that is being staged, at its first step.
struct Staging(Child, BufReader<std::process::ChildStderr>);

impl Staging {
    fn start(place: &Place, file: &str) -> Staging {
        let mut command =
            place.command("set", &["web", file, "--stage", "10,100", "--bake", "60s"]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains("step 1 of 2"), "{line}");
        Staging(child, said)
    }

    /// How it ended, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.1.read_to_string(&mut said).expect("read");
        (self.0.wait().expect("it ends").code(), said)
    }
}

#[test]
fn a_proxy_that_goes_back_ends_the_change() {
    for place in Place::each() {
        place.fine("set", &["web", &place.file("a", A)]);
        let staging = Staging::start(&place, &place.file("b", B));
        let id = place.staged()["id"].as_str().expect("an id").to_owned();
        place.refused("set", &["web", &place.file("c", "/svc => /#/etcd")], 1, "staged by ann");
        let report = r#"{"before":{"calls":100,"failures":0},"after":{"calls":50,"failures":40},"left":"it is bad"}"#;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let put = async {
            let key = format!("reports/web/{id}/p1");
            place.kv().put(&key, report.as_bytes(), Expect::Any).await.expect("written");
        };
        runtime.expect("a runtime").block_on(put);
        let (code, said) = staging.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("p1 went back: it is bad"), "{said}");
        assert_eq!((place.staged(), place.fine("get", &["web"])), (Value::Null, A.to_owned()));
    }
}

#[test]
fn a_driver_that_ends_takes_its_change_back_and_one_that_dies_does_not() {
    let place = Place::folder();
    let (a, b) = (place.file("a", A), place.file("b", B));
    place.fine("set", &["web", &a]);
    let staging = Staging::start(&place, &b);
    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(staging.0.id() as i32, libc::SIGTERM) };
    let (code, said) = staging.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the change is withdrawn"), "{said}");
    assert_eq!(place.staged(), Value::Null);

    let mut staging = Staging::start(&place, &b);
    staging.0.kill().expect("kill");
    staging.end();
    assert_ne!(place.staged(), Value::Null);
    place.refused("set", &["web", &b], 1, "staged by ann");
    place.fine("withdraw", &["web"]);
    assert_eq!((place.staged(), place.fine("get", &["web"])), (Value::Null, A.to_owned()));
}

#[test]
fn somebody_else_can_take_a_change_back_or_write_over_it() {
    let place = Place::folder();
    place.fine("set", &["web", &place.file("a", A)]);
    let b = place.file("b", B);
    let staging = Staging::start(&place, &b);
    place.fine("withdraw", &["web"]);
    place.refused("withdraw", &["web"], 2, "nothing is staged");
    let (code, said) = staging.end();
    assert!(code == Some(1) && said.contains("somebody else"), "{said}");
    let staging = Staging::start(&place, &b);
    place.fine("set", &["web", &b, "--force"]);
    let (code, said) = staging.end();
    assert!(code == Some(1) && said.contains("somebody else"), "{said}");
    assert_eq!(place.fine("get", &["web"]), B);
}

/// A service that answers every request with a status and its name, for as long as the test runs.
fn service(name: &'static str, status: u16) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut said = BufReader::new(stream.try_clone().expect("a clone"));
                let mut line = String::new();
                while said.read_line(&mut line).is_ok_and(|n| n > 0) {
                    let length = name.len();
                    let answer =
                        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
                    if line == "\r\n" && stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

/// Status and body.
fn ask(baleen: &Baleen) -> (u16, String) {
    let mut stream = baleen.connect();
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("send");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn until(baleen: &Baleen, body: &str) {
    let end = std::time::Instant::now() + crate::support::LONG;
    while ask(baleen) != (200, body.to_owned()) {
        assert!(std::time::Instant::now() < end, "{:?}", ask(baleen));
        std::thread::yield_now();
    }
}

/// What `/namers` says of the table.
fn table(baleen: &Baleen) -> Value {
    let page: Value = serde_json::from_str(&baleen.page("/namers")).expect("JSON");
    page["table"].clone()
}

/// What a person should know.
fn warnings(baleen: &Baleen) -> Vec<String> {
    let page: Value = serde_json::from_str(&baleen.page("/readyz")).expect("JSON");
    assert_eq!(page["ready"], true, "{page}");
    let warnings = page["warnings"].as_array().expect("a list").iter();
    warnings.map(|warning| warning.as_str().expect("text").to_owned()).collect()
}

fn sooner_or_later<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + crate::support::LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_proxy_follows_its_table_and_shows_it_as_namerd_does() {
    for mut place in Place::each().chain(Place::zookeeper()) {
        place.fine("set", &["default", &place.file("a", "/svc => /#/static;\n")]);
        let (a, b) = (service("a", 200), service("b", 200));
        let state = place.dir.path().join("state").display().to_string();
        let config = format!(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [control]\nlisten = \"127.0.0.1:0\"\n[names]\nstore = \"{}\"\nstate_dir = \"{state}\"\n\
             [cluster.a]\nendpoints = [\"{a}\"]\n[cluster.b]\nendpoints = [\"{b}\"]\n",
            place.url
        );
        let baleen = Baleen::start(&config);
        assert_eq!(ask(&baleen), (200, "a".to_owned()));
        let moved = "/svc => /#/static;\n/svc/a => /#/static/b;\n";
        place.fine("set", &["default", &place.file("b", moved)]);
        until(&baleen, "b");

        let control: std::net::SocketAddr =
            baleen.control.as_deref().and_then(|at| at.parse().ok()).expect("an address");
        let asked = |text: String| {
            let mut stream = crate::support::connect(control);
            stream.write_all(text.as_bytes()).expect("send");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            text
        };
        let shown = asked("GET /api/1/dtabs/default HTTP/1.1\r\nHost: x\r\nAccept: application/dtab\r\nConnection: close\r\n\r\n".to_owned());
        assert!(shown.contains("etag: \"2\"") && shown.contains(moved), "{shown}");
        let put = |version: u64, json: &str| {
            let length = json.len();
            let text = asked(format!(
                "PUT /api/1/dtabs/default HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-Match: \"{version}\"\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
            ));
            text.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok())
        };
        let back = r#"[{"prefix":"/svc","dst":"/#/static"}]"#;
        assert_eq!(put(1, back), Some(412));
        assert_eq!(put(2, r#"[{"prefix":"/other","dst":"/#/static"}]"#), Some(422));
        assert_eq!(put(2, back), Some(204));
        until(&baleen, "a");
        assert_eq!(place.json("get", &["default"])["by"], "control interface");

        // The store dies, and the proxy starts anew without it.
        place.fine("set", &["default", &place.file("b", moved)]);
        until(&baleen, "b");
        if let Some(mut server) = place.server.take() {
            dies_and_a_proxy_starts_without_it(&mut server, baleen, &config);
        }
    }
}

/// The table is at version 4.
fn dies_and_a_proxy_starts_without_it(server: &mut Server, baleen: Baleen, config: &str) {
    let shown = table(&baleen);
    assert_eq!((&shown["namespace"], &shown["version"]), (&"default".into(), &4.into()));
    assert_eq!(shown["state"], "the store answers");
    assert!(shown["age_seconds"].as_f64().is_some_and(|age| age < 60.0), "{shown}");
    assert_eq!(shown["staged"], Value::Null);
    assert_eq!(warnings(&baleen), [""; 0]);
    let metrics = baleen.page("/metrics");
    assert!(metrics.contains("baleen_dtab_version{namespace=\"default\"} 4\n"), "{metrics}");
    assert!(metrics.contains("baleen_dtab_heard_age_seconds{namespace=\"default\"} "));
    assert!(metrics.contains("baleen_dtab_staged{namespace=\"default\"} 0\n"));

    server.kill();
    let warning = sooner_or_later("it is noticed", || warnings(&baleen).pop());
    assert!(warning.starts_with("table default: the store last answered "), "{warning}");
    assert!(warning.contains(" s ago, the last good table is used (version 4): "), "{warning}");
    assert_eq!(ask(&baleen), (200, "b".to_owned()));
    drop(baleen.kill());

    let again = Baleen::start(config);
    assert_eq!(ask(&again), (200, "b".to_owned()));
    let warning = "table default: the store has not answered since the start, \
                   the last good table from the disk is used (version 4)";
    assert!(warnings(&again)[0].starts_with(warning), "{:?}", warnings(&again));
    let shown = table(&again);
    assert_eq!((&shown["version"], &shown["age_seconds"]), (&4.into(), &Value::Null));
    let metrics = again.page("/metrics");
    assert!(metrics.contains("baleen_dtab_version{namespace=\"default\"} 4\n"), "{metrics}");
    assert!(!metrics.contains("baleen_dtab_heard_age_seconds{"), "{metrics}");
}

#[test]
fn a_bad_staged_change_is_left_by_the_proxy_and_withdrawn() {
    // Without the `!` the entry before it would be taken as soon as all of b fail.
    bad_change_is_withdrawn("/svc => /#/static;\n/svc/a => /#/static/b | !;\n", 500);
}

/// The commonest mistake: a live name then leads nowhere, so that no route counts its requests.
#[test]
fn a_staged_change_that_leads_a_name_nowhere_is_withdrawn() {
    bad_change_is_withdrawn("/svc => /#/static/none;\n", 404);
}

/// With this table requests get this status.
fn bad_change_is_withdrawn(bad: &str, status: u16) {
    let place = Place::folder();
    let (a, b) = (service("a", 200), service("b", 500));
    place.fine("set", &["web", &place.file("a", "/svc => /#/static;\n")]);
    let config = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [names]\nstore = \"{}\"\nnamespace = \"web\"\n\
         [cluster.a]\nendpoints = [\"{a}\"]\n[cluster.b]\nendpoints = [\"{b}\"]\n",
        place.url
    );
    let baleen = Baleen::start(&config);
    // What is before it must have been counted before it comes.
    for _ in 0..200 {
        assert_eq!(ask(&baleen), (200, "a".to_owned()));
    }
    let bad = place.file("b", bad);
    let mut driver = place.command("set", &["web", &bad, "--stage", "100", "--bake", "60s"]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let seen = sooner_or_later("it is on trial", || warnings(&baleen).pop());
    let trial = table(&baleen)["staged"].clone();
    let change = trial["change"].as_str().expect("an id").to_owned();
    assert_eq!(
        seen,
        format!("table web: the staged change {change} is on trial here, at step 1 of 1")
    );
    assert_eq!((&trial["on_trial"], &trial["reverted"]), (&true.into(), &Value::Null));
    assert!(baleen.page("/metrics").contains("baleen_dtab_staged{namespace=\"web\"} 1\n"));
    let mut bad = 0;
    while driver.try_wait().expect("a child").is_none() {
        bad += usize::from(ask(&baleen).0 == status);
    }
    let mut said = String::new();
    driver.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
    assert_eq!(driver.wait().expect("it ends").code(), Some(1), "{said}");
    assert!(bad > 0 && said.contains("went back: ") && said.contains("% of"), "{bad} {said}");
    until(&baleen, "a");
    assert_eq!(
        (place.staged(), place.json("get", &["web"])["version"].as_u64()),
        (Value::Null, Some(1))
    );
    let reverted = format!("table web: the staged change {change} was reverted here: ");
    let left = warnings(&baleen).pop().expect("a warning");
    assert!(left.starts_with(&reverted) && left.contains("% of"), "{left}");
    assert!(baleen.page("/metrics").contains("baleen_dtab_staged{namespace=\"web\"} 0\n"));
    // Another version is another matter.
    place.fine("set", &["web", &place.file("c", "# c\n/svc => /#/static;\n")]);
    sooner_or_later("it is forgotten", || warnings(&baleen).is_empty().then_some(()));
    assert_eq!(table(&baleen)["version"], 2);
}
