//! Rules of a listener with the real program: each way to match, each thing that can be done, and what hostile hosts, paths and
//! headers come to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};

use crate::support::{Baleen, connect};

/// A server that answers each request with its head, after its own name.
struct Echo {
    addr: SocketAddr,
}

impl Echo {
    fn start(name: &'static str) -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(name, &stream));
            }
        });
        Echo { addr }
    }
}

fn serve(name: &str, stream: &std::net::TcpStream) {
    let mut lines = BufReader::new(stream);
    loop {
        let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        if lines.read_exact(&mut body).is_err() {
            return;
        }
        let text = format!("{name}\r\n{head}");
        let len = text.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\nServer: secret/1\r\nX_Powered_By: secret\r\nX-Kept: 1\r\nContent-Length: {len}\r\n\r\n{text}"
        );
        if { stream }.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Got {
    /// Which upstream answered.
    fn by(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    /// The first line that the upstream got.
    fn line(&self) -> &str {
        self.body.lines().nth(1).unwrap_or_default()
    }

    /// The values of a header that the upstream got; its name in lower case.
    fn sent(&self, name: &str) -> Vec<&str> {
        let fields = self.body.lines().skip(2).filter_map(|l| l.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    /// The value of a header of the response.
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|l| l.split_once(": "));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

/// Sends a request as it stands, and reads all there is.
fn raw(baleen: &Baleen, request: &str) -> Got {
    let mut s = connect(baleen.addr);
    s.write_all(request.as_bytes()).expect("send");
    let mut bytes = Vec::new();
    s.read_to_end(&mut bytes).expect("read");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Got { status, head: head.to_owned(), body: body.to_owned() }
}

/// `first` is a method and a target; `fields` whole lines.
fn ask(baleen: &Baleen, first: &str, host: &str, fields: &[&str]) -> Got {
    let mut text = format!("{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    raw(baleen, &format!("{text}\r\n"))
}

/// A Baleen with these rules, and clusters `a`, `b`, `users` and `x.org` that say who they are.
fn start(listener: &str) -> Baleen {
    let mut text = format!(
        "workers = 1\n[admin]\nlisten = \"off\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n{listener}\n"
    );
    for name in ["a", "b", "users", "x.org"] {
        let addr = Echo::start(name).addr;
        text.push_str(&format!("[cluster.\"{name}\"]\nendpoints = [\"{addr}\"]\n"));
    }
    Baleen::start(&text)
}

#[test]
fn rules_match_by_host_path_method_and_header() {
    let baleen = start(
        r#"
[[listener.rule]]
host = "one.org"
path = "=/exact"
name = "/svc/a"
[[listener.rule]]
host = "*.many.org"
path = "/below"
method = ["PUT", "DELETE"]
name = "/svc/a"
[[listener.rule]]
header = { X-Canary = "1", User-Agent = "curl/*" }
name = "/svc/a"
[[listener.rule]]
path = "/by-path"
name = "/svc/b"
"#,
    );
    let to = |first: &str, host: &str, fields: &[&str]| {
        let got = ask(&baleen, first, host, fields);
        (got.status, got.by().to_owned())
    };
    let a = || (200, "a".to_owned());
    assert_eq!(to("GET /exact?q", "ONE.org:80", &[]), a());
    assert_eq!(to("GET /exact/", "one.org", &[]), a());
    assert_eq!(to("GET /exact/x", "one.org", &[]).0, 404);
    assert_eq!(to("PUT /below/x", "x.y.many.org", &[]), a());
    assert_eq!(to("GET /below/x", "x.y.many.org", &[]).0, 404);
    assert_eq!(to("PUT /below", "many.org", &[]).0, 404);
    let canary = ["x-canary: 1", "User-Agent: curl/8.0"];
    assert_eq!(to("GET /", "b", &canary), a());
    assert_eq!(to("GET /", "b", &canary[..1]).1, "b");
    assert_eq!(to("GET /", "b", &["x-canary: 11", canary[1]]).1, "b");
    assert_eq!(to("GET /%62y-path//x", "a", &[]).1, "b");
    assert_eq!(to("GET /by-pathx", "a", &[]).1, "a");
    let got = ask(&baleen, "GET /by-path/../x", "a", &[]);
    assert_eq!(got.status, 400, "{got:?}");
}

#[test]
fn names_are_made_of_paths_methods_and_what_trusted_callers_say() {
    let rules = r#"
[[listener.rule]]
name = "{header:l5d-name}"
[[listener.rule]]
host = "api"
name = "/svc/{path:1}"
[[listener.rule]]
host = "*.by-method"
name = "/m/{method}/{host}"
"#;
    let routes = "[route.\"/m/PUT/x.by-method\"]\nto = \"b\"";
    let trusted = start(&format!("trusted_callers = [\"127.0.0.0/8\"]\n{rules}{routes}"));
    let strangers = start(&format!("{rules}{routes}"));
    let named = ["L5d-Name: /svc/b"];
    assert_eq!(ask(&trusted, "GET /", "a", &named).by(), "b");
    assert_eq!(ask(&strangers, "GET /", "a", &named).by(), "a", "a stranger's word is not heard");
    for bad in ["b", "/svc/b/", "/svc/../svc/b", "/svc//b", "/svc/b c", "/svc/b|", ""] {
        let field = format!("l5d-name: {bad}");
        assert_eq!(ask(&trusted, "GET /", "a", &[&field]).by(), "a", "{bad}");
    }
    assert_eq!(ask(&trusted, "GET /", "a", &[named[0], "l5d-name: /svc/a"]).by(), "a");
    assert_eq!(ask(&strangers, "GET /users/1", "api", &[]).by(), "users");
    assert_eq!(ask(&strangers, "GET //%75sers", "api", &[]).by(), "users");
    assert_eq!(ask(&strangers, "PUT /", "x.by-method", &[]).by(), "b");
    assert_eq!(ask(&strangers, "GET /", "x.by-method", &[]).status, 404);
    for hostile in ["/a%2f..", "/..", "/%2e%2e/users", "/users/..;/x"] {
        let got = ask(&strangers, &format!("GET {hostile}"), "api", &[]);
        assert_eq!(got.status, 400, "{hostile}: {got:?}");
    }
    for hostile in ["/a%2fb", "/%23/files", "/$/inet", "/a;x", "/~a", "/.a"] {
        // The host's own name is left.
        let got = ask(&strangers, &format!("GET {hostile}"), "api", &[]);
        assert_eq!(got.status, 404, "{hostile}: {got:?}");
    }
}

#[test]
fn heads_are_changed_on_their_way() {
    let baleen = start(
        r#"
access_log = "{dir}/access"
[[listener.rule]]
path = "/api/v1"
name = "/svc/a"
rewrite = { path = "/", host = "inner:81" }
request_headers = { set = { X-Tenant = "ours" }, add = { Accept = "text/b" }, remove = ["Cookie"] }
response_headers = { set = { X-Frame-Options = "DENY" }, remove = ["server", "x-powered-by"] }
[[listener.rule]]
host = "pre.org"
name = "/svc/b"
rewrite = { path = "/base" }
"#,
    );
    let fields =
        ["X-Tenant: theirs", "X_TENANT: theirs", "Accept: text/a", "Cookie: a=1", "X-Other: 1"];
    let got = ask(&baleen, "GET /api/v1/x%2fy//z?q=/api/v1&r=%20", "shop.org:8080", &fields);
    assert_eq!((got.by(), got.line()), ("a", "GET /x%2fy//z?q=/api/v1&r=%20 HTTP/1.1"));
    assert_eq!(got.sent("host"), ["inner:81"]);
    assert_eq!(got.sent("x-forwarded-host"), ["shop.org:8080"]);
    assert_eq!(got.sent("x-tenant"), ["ours"]);
    assert_eq!(got.sent("x_tenant"), [""; 0]);
    assert_eq!(got.sent("accept"), ["text/a", "text/b"]);
    assert_eq!(got.sent("cookie"), [""; 0]);
    assert_eq!(got.sent("x-other"), ["1"]);
    assert_eq!(got.header("x-frame-options"), Some("DENY"));
    assert_eq!((got.header("server"), got.header("x_powered_by")), (None, None));
    assert_eq!(got.header("x-kept"), Some("1"));
    for (came, want) in [
        ("/api/v1", "/"),
        ("/api/v1?q", "/?q"),
        ("/api/v1//evil.org/x", "/evil.org/x"),
        ("/api//v1///", "/"),
        ("http://shop.org/api/v1/x", "/x"),
    ] {
        let got = ask(&baleen, &format!("GET {came}"), "shop.org", &[]);
        assert_eq!(
            (got.by(), got.line()),
            ("a", format!("GET {want} HTTP/1.1").as_str()),
            "{came}"
        );
        assert_eq!(got.sent("host"), ["inner:81"], "{came}");
    }
    let got = ask(&baleen, "GET /x?y", "pre.org", &[]);
    assert_eq!(got.line(), "GET /base/x?y HTTP/1.1");
    assert_eq!(got.sent("host"), ["pre.org"]);
    assert_eq!(got.header("server"), Some("secret/1"), "another rule's matter");
    assert_eq!(ask(&baleen, "OPTIONS *", "pre.org", &[]).line(), "OPTIONS * HTTP/1.1");
    let http10 = raw(&baleen, "GET /api/v1/x HTTP/1.0\r\n\r\n");
    assert_eq!((http10.line(), http10.sent("host")), ("GET /x HTTP/1.1", vec!["inner:81"]));
    let (code, err, dir) = baleen.stop();
    assert_eq!(code, Some(0), "{err}");
    let log = std::fs::read_to_string(dir.path().join("access")).expect("a log");
    assert!(log.contains("/api/v1/x%2fy//z?q=/api/v1&r=%20"), "it shows what came: {log}");
    assert!(!log.contains("\"/x%2fy"), "{log}");
}

#[test]
fn a_body_is_framed_as_it_came_when_its_head_is_changed() {
    let baleen = start(
        r#"
[[listener.rule]]
path = "/api"
name = "/svc/a"
rewrite = { path = "/" }
request_headers = { set = { X-A = "1" }, remove = ["x-b"] }
"#,
    );
    // What looks like a second request is this one's body, however the head is changed.
    let inner = "GET /inner HTTP/1.1\r\nHost: b\r\n\r\n";
    let n = inner.len();
    let head = "Host: a\r\nConnection: close, x-a, content-length\r\nX-B: 1\r\nx-a: 0";
    let got = raw(
        &baleen,
        &format!("POST /api/x HTTP/1.1\r\n{head}\r\nContent-Length: {n}\r\n\r\n{inner}"),
    );
    assert_eq!((got.status, got.line()), (200, "POST /x HTTP/1.1"));
    assert_eq!(got.sent("content-length"), [n.to_string()]);
    assert_eq!((got.sent("x-a"), got.sent("x-b")), (vec!["1"], vec![]));
    assert!(!got.body.contains("/inner"), "{got:?}");
    for first in ["GET /api/x\ty", "GET /api/\u{1}", "GET /api/ HTTP/1.1\r\nX-Evil: 1\r\nX:"] {
        let got = ask(&baleen, first, "a", &[]);
        assert!(got.status == 400 || got.line() == "GET / HTTP/1.1", "{first:?}: {got:?}");
    }
}

#[test]
fn redirects() {
    let baleen = start(
        r#"
[[listener.rule]]
host = "old.org"
path = "/blog"
redirect = { to = "https://new.org/posts{rest}", status = 301 }
[[listener.rule]]
path = "/local"
redirect = { to = "/{rest}", status = 302 }
response_headers = { set = { Cache-Control = "no-store" } }
[[listener.rule]]
redirect = { to = "https://{host}{path}" }
[[listener.rule]]
answer = { status = 421, body = "no such host\n" }
"#,
    );
    let to = |path: &str, host: &str| {
        let got = ask(&baleen, &format!("GET {path}"), host, &[]);
        (got.status, got.header("location").unwrap_or_default().to_owned())
    };
    let want = |status, text: &str| (status, text.to_owned());
    assert_eq!(to("/blog/1?x=y", "old.org"), want(301, "https://new.org/posts/1?x=y"));
    assert_eq!(to("/a/b?c", "Shop.ORG:8080"), want(308, "https://shop.org/a/b?c"));
    assert_eq!(to("/", "shop.org."), want(308, "https://shop.org/"));
    // Nothing that is said leads to another site.
    assert_eq!(to("/local//evil.org", "a"), want(302, "/evil.org"));
    assert_eq!(to("/local/\\evil.org", "a"), want(302, "/%5Cevil.org"));
    assert_eq!(to("//evil.org", "a"), want(308, "https://a/evil.org"));
    assert_eq!(to("/\\evil.org\"<>", "a"), want(308, "https://a/%5Cevil.org%22%3C%3E"));
    assert_eq!(to("/%0d%0aSet-Cookie:%20a=b", "a"), want(308, "https://a/%0d%0aSet-Cookie:%20a=b"));
    for host in ["[::1]", "a..b", "-a", "a_b.", "a%2fevil.org", "$x"] {
        let got = ask(&baleen, "GET /", host, &[]);
        let expected = if host == "a_b." { 308 } else { 421 };
        assert!(got.status == expected || got.status == 400, "{host}: {got:?}");
        assert!(!got.head.contains("evil"), "{got:?}");
    }
    for host in ["a@evil.org", "a/evil.org", "evil.org\\a", "a,evil.org", "a b", "é", "a?b", "a#b"]
    {
        let got = ask(&baleen, "GET /", host, &[]);
        assert!(matches!(got.status, 400 | 421), "{host}: {got:?}");
        assert_eq!(got.header("location"), None, "{host}");
    }
    let got = ask(&baleen, "HEAD /local/x", "a", &[]);
    assert_eq!((got.status, got.body.as_str()), (302, ""));
    assert_eq!(got.header("cache-control"), Some("no-store"));
}

#[test]
fn answers() {
    let config = format!(
        "workers = 1\n[admin]\nlisten = \"off\"\n{}",
        r#"
[[listener]]
listen = "127.0.0.1:0"
access_log = "{dir}/access"
[[listener.rule]]
path = "=/healthz"
method = ["GET", "HEAD"]
answer = { status = 200, body = "fine\n" }
[[listener.rule]]
path = "/robots.txt"
answer = { status = 200, file = "robots.txt", type = "text/x-robots" }
response_headers = { add = { X-One = "1" } }
[[listener.rule]]
path = "/gone"
answer = { status = 204 }
[[listener.rule]]
answer = { status = 403, body = "not from here\n" }
[cluster.unused]
endpoints = ["127.0.0.1:1"]
"#
    );
    let baleen = Baleen::start_with(&config, |dir| {
        std::fs::write(dir.join("robots.txt"), "User-agent: *\n").expect("write");
    });
    let got = ask(&baleen, "GET /healthz", "[::1]", &[]);
    assert_eq!((got.status, got.body.as_str()), (200, "fine\n"));
    assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(got.header("date").is_some() && got.header("proxy-status").is_none());
    let got = ask(&baleen, "HEAD /healthz", "a", &[]);
    assert_eq!((got.status, got.body.as_str(), got.header("content-length")), (200, "", Some("5")));
    let got = ask(&baleen, "GET /robots.txt", "a", &[]);
    assert_eq!((got.body.as_str(), got.header("x-one")), ("User-agent: *\n", Some("1")));
    assert_eq!(got.header("content-type"), Some("text/x-robots"));
    let got = ask(&baleen, "GET /gone", "a", &[]);
    assert_eq!((got.status, got.header("content-length")), (204, None));
    let got = ask(&baleen, "POST /healthz", "a", &["Content-Length: 5", "", "hello"]);
    assert_eq!((got.status, got.body.as_str()), (403, "not from here\n"));
    // Three on one connection, the last with a body that is not read: it is not taken for a request.
    let next = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let smuggled =
        format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{next}", next.len());
    let mut s = connect(baleen.addr);
    s.write_all(format!("{next}{next}{smuggled}").as_bytes()).expect("send");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("read");
    let statuses: Vec<&str> = text.lines().filter(|l| l.contains("HTTP/1.1 ")).collect();
    assert_eq!(statuses.len(), 3, "{text}");
    assert!(statuses[2].contains("403") && statuses[..2].iter().all(|l| l.contains("200")));
    let (_, _, dir) = baleen.stop();
    let log = std::fs::read_to_string(dir.path().join("access")).expect("a log");
    assert!(log.contains("/healthz") && log.contains("answer"), "{log}");
}

#[test]
fn old_answers_are_those_of_the_same_rule() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = upstream.local_addr().expect("an address");
    // Answers two requests, one for each rule, and then no more.
    let served = std::thread::spawn(move || {
        for _ in 0..2 {
            let (stream, _) = upstream.accept().expect("a connection");
            let mut lines = BufReader::new(&stream);
            let (mut line, mut tenant) = (String::new(), String::new());
            while lines.read_line(&mut line).expect("read") > 2 {
                if let Some(value) = line.strip_prefix("X-Tenant: ") {
                    tenant = value.trim().to_owned();
                }
                line.clear();
            }
            let head =
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nX-Internal: 1\r\nConnection: close";
            write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{tenant}", tenant.len())
                .expect("write");
        }
    });
    let baleen = Baleen::start(&format!(
        r#"
workers = 1
[admin]
listen = "off"
[[listener]]
listen = "127.0.0.1:0"
[[listener.rule]]
header = {{ x-key = "a" }}
name = "/svc/web"
request_headers = {{ set = {{ X-Tenant = "a" }} }}
response_headers = {{ remove = ["x-internal"] }}
[[listener.rule]]
header = {{ x-key = "b" }}
name = "/svc/web"
request_headers = {{ set = {{ X-Tenant = "b" }} }}
[route."/svc/web"]
stale = {{ age = "1h" }}
[cluster.web]
endpoints = ["{addr}"]
"#
    ));
    let get = |key: &str| ask(&baleen, "GET /", "x", &[&format!("x-key: {key}")]);
    assert_eq!((get("a").body.as_str(), get("b").body.as_str()), ("a", "b"));
    served.join().expect("served");
    let (a, b) = (get("a"), get("b"));
    assert_eq!((a.status, a.body.as_str()), (200, "a"), "{a:?}");
    assert_eq!((b.status, b.body.as_str()), (200, "b"), "{b:?}");
    assert_eq!(a.header("x-internal"), None, "what a rule takes out stays out");
    assert_eq!(b.header("x-internal"), Some("1"));
}
