//! Delegation tables over real loopback sockets, as namerd's clients ask: statuses, types, tags, conditions.
//!
//! What namerd answers is taken from its own tests (`HttpControlServiceTest.scala` of linkerd 1.7).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use baleen_admin::control::{
    Control, ControlServer, FaultSpec, FaultView, Place, Refused, TABLE_BODY_BYTES_MAX, TableEntry,
    TableError, TableText, TableView, Tables, Token, When,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

struct NoFaults;

impl Control for NoFaults {
    async fn list(&self) -> Vec<FaultView> {
        Vec::new()
    }

    async fn put(&self, _: String, _: FaultSpec) -> Result<FaultView, Refused> {
        Err(Refused::Failed("none".to_owned()))
    }

    async fn renew(&self, _: String) -> Result<FaultView, Refused> {
        Err(Refused::Failed("none".to_owned()))
    }

    async fn delete(&self, _: String) -> Result<(), Refused> {
        Ok(())
    }

    async fn release(&self, _: String, _: Option<String>) -> Result<(), Refused> {
        Ok(())
    }

    async fn delete_all(&self) -> Result<(), Refused> {
        Ok(())
    }
}

/// Tables by namespace, each with its version. A table that says `lost` would lose names; one that says `wrong` is none.
struct Kept(Mutex<BTreeMap<String, (u64, String)>>);

impl Kept {
    fn new() -> Kept {
        let all = [("tlop", "/yeezy => /pablo"), ("yeezus", "/yeezy => /yeezus")];
        let all = all.map(|(ns, dtab)| (ns.to_owned(), (1, dtab.to_owned())));
        Kept(Mutex::new(all.into()))
    }

    fn fits(&self, ns: &str, when: When) -> Result<u64, TableError> {
        let is = self.0.lock().unwrap().get(ns).map(|(version, _)| *version);
        match (when, is) {
            (When::Any, is) => Ok(is.unwrap_or(0)),
            (When::Absent, None) => Ok(0),
            (When::Absent, Some(_)) => Err(TableError::Exists(ns.to_owned())),
            (When::Present, Some(is)) => Ok(is),
            (When::Version(wanted), Some(is)) if wanted == is => Ok(is),
            (When::Version(_), Some(_)) => Err(TableError::Changed(ns.to_owned())),
            (_, None) => Err(TableError::Missing(ns.to_owned())),
        }
    }
}

impl Tables for Kept {
    async fn list(&self) -> Result<Vec<String>, TableError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    async fn get(&self, ns: String) -> Result<Option<TableView>, TableError> {
        if ns == "down" {
            return Err(TableError::Failed("the store is down".to_owned()));
        }
        let all = self.0.lock().unwrap();
        let Some((version, text)) = all.get(&ns).cloned() else { return Ok(None) };
        let (prefix, dst) = text.split_once(" => ").expect("an entry");
        let entries = vec![TableEntry { prefix: prefix.to_owned(), dst: dst.to_owned() }];
        Ok(Some(TableView { version, entries, text }))
    }

    async fn put(
        &self,
        ns: String,
        table: TableText,
        when: When,
        force: bool,
    ) -> Result<u64, TableError> {
        let text = match table {
            TableText::Text(text) => text,
            TableText::Entries(all) => all
                .iter()
                .map(|e| format!("{} => {}", e.prefix, e.dst))
                .collect::<Vec<_>>()
                .join(";"),
        };
        match text.as_str() {
            "wrong" => return Err(TableError::Wrong("1: no table\nwrong\n^".to_owned())),
            "lost" if !force => return Err(TableError::Refused("names are lost".to_owned())),
            _ => {}
        }
        let version = self.fits(&ns, when)? + 1;
        self.0.lock().unwrap().insert(ns, (version, text));
        Ok(version)
    }

    async fn delete(&self, ns: String, when: When) -> Result<(), TableError> {
        self.fits(&ns, if when == When::Any { When::Present } else { when })?;
        self.0.lock().unwrap().remove(&ns);
        Ok(())
    }
}

struct Running {
    place: Place,
    kept: Arc<Kept>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn start(token: Option<&str>, with_tables: bool) -> Running {
    let any = Place::Address(([127, 0, 0, 1], 0).into());
    let mut server = ControlServer::bind(any, token.and_then(Token::new)).expect("a free port");
    let kept = Arc::new(Kept::new());
    if with_tables {
        server = server.with_tables(Arc::clone(&kept));
    }
    let place = server.place().clone();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let task = tokio::spawn(server.serve(Arc::new(NoFaults), stopped));
    Running { place, kept, stop, task }
}

impl Running {
    /// The status and all that was answered.
    async fn ask(&self, line: &str, fields: &[&str], body: &str) -> (u16, String) {
        let Place::Address(address) = &self.place else { panic!("an address") };
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let length = body.len();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        );
        // It may answer before it has read all.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0), text)
    }

    fn table(&self, ns: &str) -> Option<String> {
        self.kept.0.lock().unwrap().get(ns).map(|(_, text)| text.clone())
    }

    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends well");
    }
}

const TEXT: &str = "/yeezy => /kanye";
const JSON: &str = r#"[{"prefix":"/yeezy","dst":"/kanye"}]"#;
const BODIES: [(&str, &str); 4] = [
    ("application/json", JSON),
    ("application/json;charset=UTF-8", JSON),
    ("text/plain", TEXT),
    ("application/dtab", TEXT),
];

#[tokio::test]
async fn tables_are_shown() {
    let server = start(None, true);
    for list in ["/api/1/dtabs", "/api/1/dtabs/"] {
        let (status, text) = server.ask(&format!("GET {list}"), &[], "").await;
        assert!(status == 200 && text.ends_with("[\"tlop\",\"yeezus\"]\n"), "{text}");
    }
    let path = "/api/1/dtabs/yeezus";
    for (accept, kind, body) in [
        ("", "application/json", r#"[{"prefix":"/yeezy","dst":"/yeezus"}]"#),
        ("Accept: */*", "application/json", r#"[{"prefix":"/yeezy","dst":"/yeezus"}]"#),
        ("Accept: image/png", "application/json", r#"[{"prefix":"/yeezy","dst":"/yeezus"}]"#),
        (
            "Accept: application/dtab;q=0.9, application/json",
            "application/dtab",
            "/yeezy => /yeezus",
        ),
        ("Accept: text/plain", "text/plain", "/yeezy => /yeezus"),
    ] {
        let fields: &[&str] = if accept.is_empty() { &[] } else { &[accept] };
        let (status, text) = server.ask(&format!("GET {path}"), fields, "").await;
        assert_eq!(status, 200, "{text}");
        assert!(text.contains(&format!("content-type: {kind}\r\n")), "{text}");
        assert!(text.contains("etag: \"1\"\r\n"), "{text}");
        assert!(text.ends_with(&format!("\r\n\r\n{body}\n")), "{text}");
    }
    let (status, text) = server.ask(&format!("HEAD {path}"), &[], "").await;
    assert!(status == 200 && text.contains("etag: \"1\"") && text.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(server.ask("GET /api/1/dtabs/graduation", &[], "").await.0, 404);
    assert_eq!(server.ask("GET /api/1/dtabsexpialidocious", &[], "").await.0, 404);
    assert_eq!(server.ask("GET /api/1/dtabs/down", &[], "").await.0, 503);
    assert_eq!(server.ask(&format!("GET {path}?watch=true"), &[], "").await.0, 501);
    assert_eq!(server.ask(&format!("PATCH {path}"), &[], "").await.0, 405);
    server.end().await;
}

#[tokio::test]
async fn tables_are_created_once() {
    let server = start(None, true);
    for (n, (kind, body)) in BODIES.into_iter().enumerate() {
        let kind = format!("Content-Type: {kind}");
        let line = format!("POST /api/1/dtabs/graduation{n}");
        let (status, text) = server.ask(&line, &[&kind], body).await;
        assert!(status == 204 && text.contains("etag: \"1\""), "{text}");
        assert_eq!(server.table(&format!("graduation{n}")).as_deref(), Some(TEXT));
        assert_eq!(server.ask(&line, &[&kind], body).await.0, 409);
    }
    server.end().await;
}

#[tokio::test]
async fn tables_are_replaced_under_conditions() {
    let server = start(None, true);
    let put = "PUT /api/1/dtabs/yeezus";
    for (kind, body) in BODIES {
        let kind = format!("Content-Type: {kind}");
        assert_eq!(server.ask(put, &[&kind], body).await.0, 204);
        assert_eq!(server.table("yeezus").as_deref(), Some(TEXT));
    }
    let kind = "Content-Type: text/plain";
    for (tag, status) in
        [("yolo", 412), ("\"1\"", 412), ("W/\"5\"", 412), ("\"5\"", 204), ("6", 204), ("*", 204)]
    {
        let (got, text) = server.ask(put, &[kind, &format!("If-Match: {tag}")], TEXT).await;
        assert_eq!(got, status, "{tag}: {text}");
    }
    let gone = server.ask("PUT /api/1/dtabs/none", &[kind, "If-Match: \"1\""], TEXT).await;
    assert_eq!(gone.0, 404);
    assert_eq!(server.ask("PUT /api/1/dtabs/none", &[kind], TEXT).await.0, 204);
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_or_would_lose_names_is_refused() {
    let server = start(None, true);
    let put = "PUT /api/1/dtabs/yeezus";
    let text_type = "Content-Type: application/dtab";
    let json_type = "Content-Type: application/json";
    let long = "x".repeat(TABLE_BODY_BYTES_MAX + 1);
    for (line, fields, body, status, says) in [
        (put, &[][..], TEXT, 400, "Content-Type"),
        (put, &["Content-Type: */*"], TEXT, 400, "Content-Type"),
        (put, &["Content-Type: text/html"], TEXT, 400, "text/html"),
        (put, &[text_type], "wrong", 400, "no table\\nwrong\\n^"),
        (put, &[json_type], "[null]", 400, "expected a list"),
        (put, &[json_type], "{}", 400, "expected a list"),
        (put, &[text_type], "lost", 422, "names are lost"),
        (put, &[text_type], &long, 413, "the body: "),
    ] {
        let (got, text) = server.ask(line, fields, body).await;
        assert!(got == status && text.contains(says), "{line} {fields:?}: {text}");
    }
    assert_eq!(server.table("yeezus").as_deref(), Some("/yeezy => /yeezus"));
    let forced = format!("{put}?force=true");
    assert_eq!(server.ask(&forced, &[text_type], "lost").await.0, 204);
    server.end().await;
}

#[tokio::test]
async fn tables_are_deleted() {
    let server = start(None, true);
    let delete = "DELETE /api/1/dtabs/tlop";
    assert_eq!(server.ask(delete, &["If-Match: \"2\""], "").await.0, 412);
    assert_eq!(server.ask(delete, &[], "").await.0, 204);
    assert_eq!(server.ask(delete, &[], "").await.0, 404);
    server.end().await;
}

#[tokio::test]
async fn only_who_may_ask_for_faults_may_ask_for_tables() {
    let server = start(Some("secret"), true);
    let put = "PUT /api/1/dtabs/yeezus";
    let kind = "Content-Type: text/plain";
    assert_eq!(server.ask("GET /api/1/dtabs", &[], "").await.0, 401);
    assert_eq!(server.ask(put, &[kind], TEXT).await.0, 401);
    let knows = "Authorization: Bearer secret";
    let browser = "Origin: http://evil.example";
    assert_eq!(server.ask(put, &[kind, knows, browser], TEXT).await.0, 403);
    assert_eq!(server.ask(put, &[kind, knows], TEXT).await.0, 204);
    server.end().await;
    let server = start(None, false);
    let (status, text) = server.ask("GET /api/1/dtabs", &[], "").await;
    assert!(status == 404 && text.contains("with a store of tables"), "{text}");
    server.end().await;
}
