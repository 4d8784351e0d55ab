//! The control interface over real loopback sockets: requests, statuses, bounds, who is let in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use baleen_admin::control::{
    BODY_BYTES_MAX, Control, ControlServer, FaultSpec, FaultView, Place, Refused, Token,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, FaultSpec>>);

impl Kept {
    fn view(name: &str, spec: &FaultSpec) -> FaultView {
        let (name, spec) = (name.to_owned(), spec.clone());
        FaultView { name, ends_in_ms: spec.lease_ms, spec, on: true, hits: 0, missed: 0 }
    }
}

impl Control for Kept {
    async fn list(&self) -> Vec<FaultView> {
        self.0.lock().unwrap().iter().map(|(name, spec)| Kept::view(name, spec)).collect()
    }

    async fn put(&self, name: String, spec: FaultSpec) -> Result<FaultView, Refused> {
        let view = Kept::view(&name, &spec);
        self.0.lock().unwrap().insert(name, spec);
        Ok(view)
    }

    async fn renew(&self, name: String) -> Result<FaultView, Refused> {
        let all = self.0.lock().unwrap();
        let spec = all.get(&name).ok_or_else(|| Refused::Unknown("no such fault".to_owned()))?;
        Ok(Kept::view(&name, spec))
    }

    async fn delete(&self, name: String) -> Result<(), Refused> {
        let gone = self.0.lock().unwrap().remove(&name);
        gone.map(drop).ok_or_else(|| Refused::Unknown("no such fault".to_owned()))
    }

    async fn delete_all(&self) -> Result<(), Refused> {
        Err(Refused::Failed("not today".to_owned()))
    }

    async fn release(&self, namer: String, service: Option<String>) -> Result<(), Refused> {
        match (namer.as_str(), service.as_deref()) {
            ("etcd", None | Some("default/http/web")) => Ok(()),
            _ => Err(Refused::Unknown(format!("{namer} {service:?}"))),
        }
    }
}

struct Running {
    place: Place,
    kept: Arc<Kept>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn start(token: Option<&str>) -> Running {
    let token = token.and_then(Token::new);
    let any = Place::Address(([127, 0, 0, 1], 0).into());
    let server = ControlServer::bind(any, token).expect("a free port");
    let (place, kept) = (server.place().clone(), Arc::new(Kept::default()));
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let task = tokio::spawn(server.serve(Arc::clone(&kept), stopped));
    Running { place, kept, stop, task }
}

impl Running {
    /// The status and all that was answered.
    async fn ask(&self, line: &str, fields: &str, body: &str) -> (u16, String) {
        let Place::Address(address) = &self.place else { panic!("an address") };
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let length = body.len();
        let text =
            format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{fields}\r\n{body}");
        // It may answer before it has read all.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0), text)
    }

    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends well");
    }
}

const FAULT: &str = r#"{"type":"refuse","cluster":"web","lease_ms":1000}"#;

#[tokio::test]
async fn faults_come_are_renewed_and_go() {
    let server = start(None);
    let (status, text) = server.ask("PUT /faults/a", "", FAULT).await;
    assert!(
        status == 200 && text.contains("\"name\":\"a\"") && text.contains("\"ends_in_ms\":1000")
    );
    let (status, text) = server.ask("GET /faults", "", "").await;
    assert!(
        status == 200 && text.contains("{\"faults\":[{\"name\":\"a\",\"type\":\"refuse\""),
        "{text}"
    );
    assert_eq!(server.ask("POST /faults/a/renew", "", "").await.0, 200);
    assert_eq!(server.ask("DELETE /faults/a", "", "").await.0, 204);
    for gone in ["DELETE /faults/a", "POST /faults/a/renew"] {
        let (status, text) = server.ask(gone, "", "").await;
        assert!(status == 404 && text.contains("{\"error\":\"no such fault\",\"status\":404}"));
    }
    let (status, text) = server.ask("DELETE /faults", "", "").await;
    assert!(status == 500 && text.contains("not today"));
    server.end().await;
}

#[tokio::test]
async fn what_is_held_is_let_go() {
    let server = start(None);
    assert_eq!(server.ask("DELETE /held/etcd", "", "").await.0, 204);
    assert_eq!(server.ask("DELETE /held/etcd/default/http/web", "", "").await.0, 204);
    let (status, text) = server.ask("DELETE /held/etcd/web", "", "").await;
    assert!(status == 404 && text.contains("web"), "{text}");
    assert_eq!(server.ask("GET /held/etcd", "", "").await.0, 405);
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_said() {
    let server = start(None);
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    for (line, body, status, said) in [
        ("PUT /faults/a", "", 400, "EOF"),
        ("PUT /faults/a", "{}", 400, "missing field `type`"),
        ("PUT /faults/a%20b", FAULT, 400, "a name is"),
        ("PUT /faults/a", long.as_str(), 413, "the body: "),
        ("GET /faults/a", "", 405, "no such method"),
        ("POST /faults", FAULT, 405, "no such method"),
        ("GET /metrics", "", 404, "no such path"),
    ] {
        let (got, text) = server.ask(line, "", body).await;
        assert!(
            got == status && text.contains(said) && text.contains("\"error\""),
            "{line}: {text}"
        );
    }
    assert!(server.kept.0.lock().unwrap().is_empty());
    server.end().await;
}

#[tokio::test]
async fn only_who_knows_the_token_is_let_in() {
    let server = start(Some(" open-sesame\n"));
    for wrong in
        ["", "Bearer", "Bearer ", "Bearer open-sesam", "Bearer open-sesame1", "Basic open-sesame"]
    {
        let field =
            if wrong.is_empty() { String::new() } else { format!("Authorization: {wrong}\r\n") };
        for line in ["PUT /faults/a", "GET /faults", "GET /nothing"] {
            let (status, text) = server.ask(line, &field, FAULT).await;
            assert_eq!(status, 401, "{wrong}");
            assert!(text.to_ascii_lowercase().contains("www-authenticate: bearer"), "{text}");
        }
    }
    assert!(server.kept.0.lock().unwrap().is_empty());
    let right = "authorization: bearer open-sesame\r\n";
    assert_eq!(server.ask("PUT /faults/a", right, FAULT).await.0, 200);
    let browser = format!("{right}Origin: null\r\n");
    assert_eq!(server.ask("GET /faults", &browser, "").await.0, 403);
    let browser = format!("{right}User-Agent: Mozilla/5.0\r\n");
    assert_eq!(server.ask("GET /faults", &browser, "").await.0, 403);
    server.end().await;
}

#[tokio::test]
async fn other_machines_only_with_a_token() {
    let any = || Place::Address(([0, 0, 0, 0], 0).into());
    let refused = ControlServer::bind(any(), None).expect_err("refused").to_string();
    assert!(refused.contains("there is no token"), "{refused}");
    assert!(ControlServer::bind(any(), Token::new("secret")).is_ok());
    assert!(Token::new(" \n").is_none() && format!("{:?}", Token::new("secret")).contains(".."));
}

#[tokio::test]
async fn a_file_that_is_no_socket_stays() {
    let path = std::env::temp_dir().join(format!("baleen-control-{}", std::process::id()));
    std::fs::write(&path, "precious").expect("write");
    assert!(ControlServer::bind(Place::Unix(path.clone()), None).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "precious");
    std::fs::remove_file(&path).expect("remove");
}
