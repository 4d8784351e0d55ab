//! The admin server over real loopback sockets: pages, statuses, bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use baleen_admin::{
    Admin, CONNECTIONS_MAX, ClusterView, Clusters, EndpointView, HEAD_BYTES_MAX, Health, NamerView,
    Namers, Out, Readiness, StagedView, TableView, Views, Window,
};
use baleen_base::WorkerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes, so that a hang is a failure.
const LONG: Duration = Duration::from_secs(60);

struct Shown {
    readiness: Readiness,
}

impl Views for Shown {
    fn metrics(&self) -> String {
        "# HELP x x\n# TYPE x counter\nx 1\n".to_owned()
    }

    async fn clusters(&self) -> Clusters {
        let reason = "5 failures in a row, the last: connection refused".to_owned();
        let endpoint = EndpointView {
            address: "10.0.0.1:80".to_owned(),
            weight: 2,
            state: Health::Ejected,
            ejected: Some(Out { reason, until_trial_seconds: 2.5, nth: 1 }),
            in_flight: 3,
            latency_ewma_us: Some(1500),
            idle_connections: 4,
            window: Some(Window { requests: 40, ok_percent: Some(62.5), mean_us: None }),
        };
        let name = "files/web".to_owned();
        let endpoints = vec![endpoint];
        Clusters {
            clusters: vec![ClusterView {
                name,
                version: 7,
                in_flight: 3,
                queued: 1,
                slots: 1024,
                admission: 1023,
                panic: false,
                endpoints,
            }],
        }
    }

    fn ready(&self) -> Readiness {
        self.readiness.clone()
    }

    async fn namers(&self) -> Namers {
        let namer = NamerView {
            name: "etcd".to_owned(),
            kind: "etcd".to_owned(),
            up: false,
            state: "failing since 3 s: connection refused".to_owned(),
            heard_seconds_ago: Some(3.5),
            services: [("web".to_owned(), 2)].into(),
            ..NamerView::default()
        };
        let table = TableView {
            namespace: "web".to_owned(),
            version: Some(7),
            age_seconds: None,
            state: "cold".to_owned(),
            staged: Some(StagedView { change: "c1".to_owned(), step: 1, ..Default::default() }),
        };
        Namers { dtab: "/svc => /#/etcd".to_owned(), table: Some(table), namers: vec![namer] }
    }

    async fn explain(&self, name: String, dtab: String) -> Result<String, String> {
        if dtab == "bad" { Err("no dtab".to_owned()) } else { Ok(format!("[{name:?},{dtab:?}]")) }
    }

    async fn recording(&self, worker: WorkerId) -> Option<Vec<u8>> {
        (worker.0 < 2).then(|| vec![0, 255, worker.0 as u8])
    }
}

/// A running server.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(readiness: Readiness) -> Running {
        let admin = Admin::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = admin.address();
        let (stop, stopped) = oneshot::channel();
        let views = Arc::new(Shown { readiness });
        let task = tokio::spawn(admin.serve(views, async { stopped.await.unwrap_or_default() }));
        Running { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    /// Send these bytes and read until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("send");
        rest(&mut stream).await
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n\r\n");
        Answer::parse(&self.raw(request.as_bytes()).await)
    }

    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends well");
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut bytes));
    read.await.expect("the server closes the connection").expect("read");
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> serde_json::Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.body).expect("JSON")
    }
}

#[tokio::test]
async fn pages() {
    let admin = Running::start(Readiness::default()).await;
    let metrics = admin.ask("GET", "/metrics").await;
    assert_eq!((metrics.status, &*metrics.body), (200, "# HELP x x\n# TYPE x counter\nx 1\n"));
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    let health = admin.ask("GET", "/healthz").await;
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    let index = admin.ask("GET", "/").await;
    for page in
        ["/metrics", "/healthz", "/readyz", "/clusters", "/namers", "/explain", "/recording"]
    {
        assert!(index.body.contains(page), "{}", index.body);
    }
    admin.end().await;
}

#[tokio::test]
async fn clusters_as_json() {
    let admin = Running::start(Readiness::default()).await;
    let answer = admin.ask("GET", "/clusters").await;
    let want = serde_json::json!({ "clusters": [{
        "name": "files/web", "version": 7, "in_flight": 3, "queued": 1, "slots": 1024,
        "admission": 1023, "panic": false,
        "endpoints": [{
            "address": "10.0.0.1:80", "weight": 2, "state": "ejected",
            "ejected": {
                "reason": "5 failures in a row, the last: connection refused",
                "until_trial_seconds": 2.5, "nth": 1,
            },
            "in_flight": 3, "latency_ewma_us": 1500, "idle_connections": 4,
            "window": { "requests": 40, "ok_percent": 62.5, "mean_us": null },
        }],
    }]});
    assert_eq!((answer.status, answer.json()), (200, want));
    admin.end().await;
}

#[tokio::test]
async fn namers_and_where_names_lead() {
    let admin = Running::start(Readiness::default()).await;
    let answer = admin.ask("GET", "/namers").await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["dtab"], "/svc => /#/etcd");
    assert_eq!(json["namers"][0]["services"], serde_json::json!({ "web": 2 }));
    assert_eq!(json["namers"][0]["up"], false);
    let table = &json["table"];
    assert_eq!((&table["namespace"], &table["version"]), (&"web".into(), &7.into()));
    assert_eq!(
        (&table["age_seconds"], &table["state"]),
        (&serde_json::Value::Null, &"cold".into())
    );
    assert_eq!(
        (&table["staged"]["change"], &table["staged"]["on_trial"]),
        (&"c1".into(), &false.into())
    );

    let answer = admin.ask("GET", "/explain?name=%2Fsvc%2Fa+b&dtab=%2Fx%20=%3E%20!").await;
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!(["/svc/a b", "/x => !"])));
    let answer = admin.ask("GET", "/explain?name=/svc/x&dtab=bad").await;
    assert_eq!((answer.status, &*answer.body), (400, "no dtab\n"));
    for path in ["/explain", "/explain?dtab=x", "/explain?%ff%00=&&="] {
        assert_eq!(admin.ask("GET", path).await.status, 400, "{path}");
    }
    admin.end().await;
}

#[tokio::test]
async fn readiness() {
    let warnings = vec!["services/web: line 1 is no address".to_owned()];
    let admin = Running::start(Readiness { reasons: Vec::new(), warnings }).await;
    let answer = admin.ask("GET", "/readyz").await;
    let want = serde_json::json!({
        "ready": true, "reasons": [], "warnings": ["services/web: line 1 is no address"],
    });
    assert_eq!((answer.status, answer.json()), (200, want));
    admin.end().await;

    let reasons = vec!["cluster files/web was not read yet".to_owned()];
    let admin = Running::start(Readiness { reasons, warnings: Vec::new() }).await;
    let answer = admin.ask("GET", "/readyz").await;
    let want = serde_json::json!({
        "ready": false, "reasons": ["cluster files/web was not read yet"], "warnings": [],
    });
    assert_eq!((answer.status, answer.json()), (503, want));
    admin.end().await;
}

#[tokio::test]
async fn recordings_are_bytes_of_one_worker() {
    let admin = Running::start(Readiness::default()).await;
    let answer = admin.ask("GET", "/recording?worker=1").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/octet-stream"), "{}", answer.head);
    assert!(answer.head.contains("content-length: 3"), "{}", answer.head);
    for (path, status) in [
        ("/recording?worker=2", 404),
        ("/recording", 400),
        ("/recording?worker=", 400),
        ("/recording?worker=-1", 400),
        ("/recording?worker=65536", 400),
        ("/recording?worker=1&worker=0", 400),
    ] {
        assert_eq!(admin.ask("GET", path).await.status, status, "{path}");
    }
    admin.end().await;
}

#[tokio::test]
async fn only_reading_and_only_what_exists() {
    let admin = Running::start(Readiness::default()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = admin.ask(method, "/clusters").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
    }
    for path in ["/nothing", "/metrics/", "/clusters/web", "//metrics"] {
        assert_eq!(admin.ask("GET", path).await.status, 404, "{path}");
    }
    let head = admin.ask("HEAD", "/metrics").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    admin.end().await;
}

#[tokio::test]
async fn one_request_for_each_connection_and_bodies_unread() {
    let admin = Running::start(Readiness::default()).await;
    let two = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let text = admin.raw(two.as_bytes()).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
    assert!(text.to_ascii_lowercase().contains("connection: close"), "{text}");
    let endless = b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n";
    assert!(admin.raw(endless).await.starts_with("HTTP/1.1 200"));
    admin.end().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let admin = Running::start(Readiness::default()).await;
    let mut stream = admin.connect().await;
    let long = "x".repeat(HEAD_BYTES_MAX);
    let head = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n");
    // The server may answer and close before it has taken all of it.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 431");
    let garbage = admin.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await;
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    admin.end().await;
}

#[tokio::test]
async fn a_free_place_is_needed_and_silent_clients_lose_theirs() {
    let admin = Running::start(Readiness::default()).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(admin.connect().await);
    }
    // All places are taken: this one is answered only because the head timeout frees some.
    assert_eq!(admin.ask("GET", "/healthz").await.status, 200);
    let mut closed = 0;
    for stream in silent {
        let mut stream = stream.into_std().expect("a socket");
        let mut buffer = [0; 1024];
        closed += usize::from(std::io::Read::read(&mut stream, &mut buffer).is_ok());
    }
    assert!(closed > 0, "it was answered while all places were taken");
    admin.end().await;
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_says_so() {
    let admin = Running::start(Readiness::default()).await;
    let error = Admin::bind(admin.address).await.expect_err("the address is taken").to_string();
    assert!(error.contains(&admin.address.to_string()), "{error}");
    assert!(error.to_ascii_lowercase().contains("in use"), "{error}");
    admin.end().await;
}
