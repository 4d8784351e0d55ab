//! etcd that misbehaves: a server that answers what the test says.

use super::*;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is answered to `/v3/kv/range`, and the lines of `/v3/watch`.
#[derive(Clone, Default)]
struct Says {
    status: u16,
    list: String,
    /// One check after the other; the last again and again.
    checks: Vec<String>,
    watch: &'static str,
}

struct Toy {
    store: Arc<Etcd>,
    says: Arc<Mutex<Says>>,
    task: JoinHandle<()>,
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const CREATED: &str = r#"{"result":{"header":{"revision":"7"},"created":true}}"#;
const ONE: &str = r#"{"header":{"revision":"7"},"kvs":[{"key":"L3IvYQ==","mod_revision":"5","value":"MQ=="}],"count":"1"}"#;

fn good() -> Says {
    Says { status: 200, list: ONE.to_owned(), checks: vec![ONE.to_owned()], watch: CREATED }
}

impl Toy {
    async fn start(says: Says) -> Toy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = listener.local_addr().unwrap().to_string().parse().unwrap();
        let says = Arc::new(Mutex::new(says));
        let shared = Arc::clone(&says);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        let mut options = Options::new(vec![origin], "/r");
        options.timeouts.answer = Duration::from_millis(500);
        Toy { store: Arc::new(Etcd::new(options).unwrap()), says, task }
    }

    /// What a follower hears, and why it ends.
    async fn follow(&self) -> (Vec<KvEvent>, String) {
        let (to, mut events) = mpsc::channel(64);
        let why = self.store.follow("", to).await.to_string();
        let mut heard = Vec::new();
        while let Some(event) = events.recv().await {
            heard.push(event);
        }
        (heard, why)
    }
}

async fn connection(mut stream: TcpStream, says: Arc<Mutex<Says>>) {
    loop {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            text.push(byte[0]);
        }
        let head = String::from_utf8(text).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let Says { status, list, checks, watch } = says.lock().unwrap().clone();
        if head.starts_with("post /v3/watch") {
            let head = "HTTP/1.1 200 OK\r\n\r\n";
            stream.write_all(format!("{head}{watch}\n").as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0]).await;
            return;
        }
        // Checks ask for the newest key alone.
        let body = String::from_utf8(body).unwrap();
        let answer = if body.contains("DESCEND") {
            let left = &mut says.lock().unwrap().checks;
            if left.len() > 1 { left.remove(0) } else { checks[0].clone() }
        } else {
            list
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused_and_never_taken_for_an_empty_store() {
    for (status, list, says) in [
        (200, "", "makes no sense"),
        (200, "{}", "is this etcd?"),
        (200, "[]", "is this etcd?"),
        (200, "null", "makes no sense"),
        (200, "<html>", "makes no sense"),
        (200, r#"{"header":{"revision":"7"},"kvs":[{"key":"L3IvYQ="}]}"#, "makes no sense"),
        (
            200,
            r#"{"header":{"revision":"7"},"kvs":[{"key":"L3gvYQ==","mod_revision":"5"}]}"#,
            "not asked for",
        ),
        (200, r#"{"header":{"revision":"7"},"more":true,"count":"9"}"#, "out of order"),
        (
            200,
            r#"{"header":{"revision":"7"},"kvs":[{"key":"L3gvYQ=="}],"more":true}"#,
            "out of order",
        ),
        (200, r#"{"header":{"revision":"7"},"count":"65537"}"#, "more than 65536 keys"),
        (500, "", "500"),
        (502, "<html>\n", "502 <html>"),
        (404, "404 page not found", "404 404 page not found"),
        (400, r#"{"code":3,"message":"etcdserver: no"}"#, "etcdserver: no"),
        (503, r#"{"code":14,"message":"etcdserver: no leader"}"#, "no leader"),
    ] {
        let toy = Toy::start(Says { status, list: list.to_owned(), ..good() }).await;
        let listed = toy.store.list("").await.unwrap_err().to_string();
        assert!(listed.contains(says) && !listed.contains('\n'), "{list}: {listed}");
        let (heard, why) = toy.follow().await;
        // What was heard ends before anything was told.
        assert!(heard.is_empty() && why.contains(says), "{list}: {heard:?} {why}");
    }
}

#[tokio::test]
async fn a_page_that_never_moves_on_is_refused() {
    let stays = ONE.replace("\"count\"", "\"more\":true,\"count\"");
    let toy = Toy::start(Says { list: stays, ..good() }).await;
    let why = toy.store.list("").await.unwrap_err().to_string();
    assert!(why.contains("out of order"), "{why}");
}

#[tokio::test]
async fn watches_that_make_no_sense_end_the_session() {
    for (watch, says) in [
        ("x", "makes no sense"),
        ("{}", "makes no sense"),
        (r#"{"result":{"header":{"revision":"7"}}}"#, "something else"),
        (r#"{"error":{"grpc_code":14,"message":"stopping"}}"#, "stopping"),
        (r#"{"result":{"created":true,"canceled":true,"cancel_reason":"no"}}"#, "ended: no"),
        (r#"{"result":{"canceled":true,"compact_revision":"9"}}"#, "9 was compacted"),
        (
            concat!(
                r#"{"result":{"created":true}}"#,
                "\n",
                r#"{"result":{"events":[{"kv":{"key":"L3gvYQ==","mod_revision":"8"}}]}}"#
            ),
            "not asked for",
        ),
        (
            concat!(
                r#"{"result":{"created":true}}"#,
                "\n",
                r#"{"result":{"events":[{"kv":{"key":"L3IvY","mod_revision":"8"}}]}}"#
            ),
            "makes no sense",
        ),
    ] {
        let toy = Toy::start(Says { watch, ..good() }).await;
        let (heard, why) = toy.follow().await;
        assert_eq!(heard.len(), 1, "all, and no more: {heard:?}");
        assert!(why.contains(says) && !why.contains('\n'), "{watch}: {why}");
    }
}

#[tokio::test]
async fn a_watch_that_is_stuck_is_noticed() {
    // The store has another key, or has one less, and the watch says nothing of it.
    let more =
        r#"{"header":{"revision":"9"},"kvs":[{"key":"L3IvYg==","mod_revision":"9"}],"count":"2"}"#;
    let less = r#"{"header":{"revision":"9"}}"#;
    for check in [more, less] {
        let toy = Toy::start(Says { checks: vec![check.to_owned()], ..good() }).await;
        let (heard, why) = toy.follow().await;
        assert_eq!(heard.len(), 1, "not said to be alive: {heard:?}");
        assert!(why.contains("the watch is stuck"), "{why}");
    }
}

#[tokio::test]
async fn a_difference_that_passes_ends_nothing() {
    let more =
        r#"{"header":{"revision":"9"},"kvs":[{"key":"L3IvYg==","mod_revision":"9"}],"count":"2"}"#;
    let checks = [more, ONE].map(str::to_owned).into();
    let toy = Toy::start(Says { checks, ..good() }).await;
    let (to, mut events) = mpsc::channel(64);
    let store = Arc::clone(&toy.store);
    let following = tokio::spawn(async move { store.follow("", to).await });
    assert!(matches!(events.recv().await, Some(KvEvent::All(_))));
    // After the first check the store is as the watch told.
    assert_eq!(events.recv().await, Some(KvEvent::Alive));
    following.abort();
}

#[tokio::test]
async fn a_store_that_went_back_ends_the_session() {
    let back = ONE.replace("\"revision\":\"7\"", "\"revision\":\"6\"");
    let toy = Toy::start(Says { checks: vec![back], ..good() }).await;
    let (heard, why) = toy.follow().await;
    assert_eq!(heard.len(), 1);
    assert!(why.contains("went back from revision 7 to 6"), "{why}");
}

#[tokio::test]
async fn a_store_that_no_longer_answers_ends_the_session() {
    for (status, check) in [(200, "{"), (503, "")] {
        let toy = Toy::start(good()).await;
        let (to, mut events) = mpsc::channel(64);
        let store = Arc::clone(&toy.store);
        let following = tokio::spawn(async move { store.follow("", to).await });
        assert!(matches!(events.recv().await, Some(KvEvent::All(_))));
        *toy.says.lock().unwrap() = Says { status, checks: vec![check.to_owned()], ..good() };
        assert_eq!(events.recv().await, None, "nothing is said without an answer");
        assert!(following.await.is_ok());
    }
}
