//! The client with servers that misbehave. Each server is a script: what it sends to each connection.

use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a toy server does with a request.
#[derive(Clone)]
enum Does {
    /// Sends this and waits for the next request.
    Sends(&'static str),
    /// Sends this, then nothing more, and keeps the connection.
    Hangs(&'static str),
    /// Sends this and closes.
    Closes(&'static str),
    /// Sends the first once and the second without end.
    Floods(&'static str, &'static str),
}

/// A server that does one thing after the other, and what it was asked.
struct Toy {
    origin: Origin,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Toy {
    async fn start(script: &[Does]) -> Toy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: VecDeque<Does> = script.iter().cloned().collect();
        let task = tokio::spawn(serve(listener, Arc::new(Mutex::new(script)), Arc::clone(&asked)));
        Toy { origin, asked, task }
    }

    fn client(&self) -> Client {
        client(vec![self.origin.clone()])
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn client(origins: Vec<Origin>) -> Client {
    let timeouts = Timeouts { answer: Duration::from_millis(300), ..Timeouts::default() };
    Client::new(origins, None, Bearer::None, timeouts).unwrap()
}

async fn serve(
    listener: TcpListener,
    script: Arc<Mutex<VecDeque<Does>>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(connection(stream, Arc::clone(&script), Arc::clone(&asked)));
    }
}

async fn connection(
    mut stream: TcpStream,
    script: Arc<Mutex<VecDeque<Does>>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = request(&mut stream).await {
        asked.lock().unwrap().push(request);
        let does = script.lock().unwrap().pop_front();
        match does {
            None => return,
            Some(Does::Sends(text)) => stream.write_all(text.as_bytes()).await.unwrap(),
            Some(Does::Closes(text)) => return stream.write_all(text.as_bytes()).await.unwrap(),
            Some(Does::Hangs(text)) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                // Until the client goes.
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Some(Does::Floods(head, text)) => {
                stream.write_all(head.as_bytes()).await.unwrap();
                let much = text.repeat(1024);
                while stream.write_all(much.as_bytes()).await.is_ok() {}
                return;
            }
        }
    }
}

/// Reads a request with its body.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut missing = None;
    while missing != Some(0) {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(char::from(byte[0]));
        missing = match missing {
            Some(bytes) => Some(bytes - 1),
            None if text.ends_with("\r\n\r\n") => {
                let head = text.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1);
                Some(length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap()))
            }
            None => None,
        };
    }
    Some(text)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn connections_are_used_again() {
    let toy =
        Toy::start(&[Does::Sends(OK), Does::Sends(OK), Does::Closes(OK), Does::Sends(OK)]).await;
    let client = toy.client();
    for _ in 0..4 {
        // The third connection is closed after its answer: nobody notices.
        let request = Request::get("/x?y=1").field("x-a", "b");
        let answer = client.send(request).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    }
    let asked = toy.asked();
    assert!(asked[0].starts_with("GET /x?y=1 HTTP/1.1\r\n") && asked[0].contains("x-a: b\r\n"));
    assert!(asked[0].contains(&format!("host: {}\r\n", toy.origin.authority())));
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn the_next_origin_is_tried() {
    let toy =
        Toy::start(&[Does::Sends(OK), Does::Sends("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")])
            .await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody: Origin = nobody.to_string().parse().unwrap();
    let both = client(vec![nobody.clone(), toy.origin.clone()]);
    let post = Request::post_json("/", &serde_json::json!({}));
    assert_eq!(both.send(post.clone()).await.unwrap().status, 200);
    assert_eq!(both.origin(), &toy.origin, "it stays with the one that answered");
    assert_eq!(both.send(post.clone()).await.unwrap().status, 500, "a status is an answer");
    let none = client(vec![nobody.clone(), nobody.clone()]);
    let Err(HttpError::Unreachable(why)) = none.send(post).await else { panic!("nobody is there") };
    assert_eq!(why.matches(&nobody.to_string()).count(), 2, "{why}");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let silent = Toy::start(&[Does::Hangs(""), Does::Closes(""), Does::Hangs("")]).await;
    let good = Toy::start(&[Does::Sends(OK)]).await;
    let both = || client(vec![silent.origin.clone(), good.origin.clone()]);
    let post = Request::post_json("/", &serde_json::json!({}));
    for _ in 0..2 {
        let sent = both().send(post.clone()).await;
        assert!(matches!(sent, Err(HttpError::Broken(_))), "{sent:?}");
    }
    assert!(good.asked().is_empty());
    assert_eq!(both().send(post.again()).await.unwrap().status, 200);
    assert_eq!((silent.asked().len(), good.asked().len()), (3, 1));
}

#[tokio::test]
async fn hostile_answers_are_refused() {
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
    let floods = |head| Does::Floods(head, "x");
    for (does, says) in [
        (Does::Hangs(""), "no answer within"),
        (Does::Hangs("HTTP/1.1 200 OK\r\n"), "no answer within"),
        (Does::Hangs(CHUNKED), "no answer within"),
        (Does::Closes(""), ""),
        (Does::Closes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"), "broke off"),
        (Does::Closes("hello\r\n\r\n"), ""),
        (Does::Closes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), "broke off"),
        (floods(long), "more than 1000 bytes"),
        (floods("HTTP/1.1 200 OK\r\n\r\n"), "more than 1000 bytes"),
        (floods("HTTP/1.1 200 OK\r\nx: "), ""),
        (Does::Floods("HTTP/1.1 200 OK\r\n", "a: b\r\n"), ""),
        (Does::Floods(CHUNKED, "1\r\nx\r\n"), "more than 1000 bytes"),
    ] {
        let toy = Toy::start(&[does]).await;
        let why = toy.client().send(Request::get("/").most(1000)).await.unwrap_err().to_string();
        assert!(why.contains(&toy.origin.to_string()) && why.contains(says), "{why}");
        assert!(!why.contains('\n'), "{why:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let toy = Toy::start(&[]).await;
    let client = toy.client();
    for request in [
        Request::get("/a b"),
        Request::get("/\r\nx: y"),
        Request::get("/").field("x", "a\r\nb"),
        Request::get("/").field("", "a"),
    ] {
        let sent = client.send(request).await;
        assert!(matches!(sent, Err(HttpError::Bad(_))), "{sent:?}");
    }
    assert!(toy.asked().is_empty());
    let https = vec!["https://127.0.0.1:1".parse().unwrap()];
    assert!(Client::new(https, None, Bearer::None, Timeouts::default()).is_err());
    assert!(Client::new(Vec::new(), None, Bearer::None, Timeouts::default()).is_err());
}

#[tokio::test]
async fn lines_come_as_they_are_sent() {
    let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                4\r\n{\"a\"\r\n6\r\n:1}\n\n[\r\n4\r\n2]\nx\r\n0\r\n\r\n";
    let toy = Toy::start(&[Does::Sends(text), Does::Hangs(CHUNKED)]).await;
    let client = toy.client();
    let mut stream = client.open(Request::get("/")).await.unwrap();
    assert_eq!(stream.json().await, Ok(Some(serde_json::json!({"a": 1}))));
    assert_eq!(stream.line().await, Ok(Some(b"[2]".to_vec())));
    let last = stream.json::<serde_json::Value>().await;
    assert!(matches!(last, Err(HttpError::Bad(_))), "{last:?}");
    assert_eq!(stream.line().await, Ok(None));
    let mut silent = client.open(Request::get("/")).await.unwrap();
    assert!(timeout(Duration::from_millis(50), silent.line()).await.is_err());
    let why = silent.whole(Duration::from_millis(50)).await.unwrap_err().to_string();
    assert!(why.contains("no whole answer"), "{why}");
}

#[tokio::test]
async fn a_line_without_an_end_is_refused() {
    let toy = Toy::start(&[
        Does::Floods("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx"),
        Does::Floods("HTTP/1.1 200 OK\r\n\r\n", "\n \r\n"),
        Does::Floods("HTTP/1.1 400 No\r\n\r\n", "\n"),
        Does::Closes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    ])
    .await;
    let client = toy.client();
    let open = || client.open(Request::get("/").most(1000));
    let endless = open().await.unwrap().line().await;
    assert!(matches!(endless, Err(HttpError::TooLarge(_))), "{endless:?}");
    // Blank lines take no memory; that nothing comes is for whoever waits.
    let mut blank = open().await.unwrap();
    assert!(timeout(Duration::from_millis(200), blank.line()).await.is_err());
    let stream = open().await.unwrap();
    assert!(!stream.is_success());
    let whole = stream.whole(Duration::from_secs(20)).await;
    assert!(matches!(whole, Err(HttpError::TooLarge(_))), "{whole:?}");
    let broken = open().await.unwrap().line().await;
    assert!(matches!(broken, Err(HttpError::Broken(_))), "what is half a line is none: {broken:?}");
}

#[tokio::test]
async fn a_token_is_read_again_at_each_request() {
    let toy = Toy::start(&[Does::Sends(OK), Does::Sends(OK)]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let bearer = Bearer::File(file.clone());
    let client = Client::new(vec![toy.origin.clone()], None, bearer, Timeouts::default()).unwrap();
    let why = client.send(Request::get("/")).await.unwrap_err().to_string();
    assert!(why.contains("can't read") && why.contains("token"), "{why}");
    for token in ["one", "two"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        client.send(Request::get("/")).await.unwrap();
        let asked = toy.asked();
        let field = format!("authorization: Bearer {token}\r\n");
        assert!(asked.last().unwrap().contains(&field), "{asked:?}");
    }
    assert!(!format!("{:?}", Bearer::Token("secret".to_owned())).contains("secret"));
}
