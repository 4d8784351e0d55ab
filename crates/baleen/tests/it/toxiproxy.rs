//! `baleen fault serve`, driven by clients of Toxiproxy that others wrote, and by its own command line.
//!
//! `scripts/install-test-tools` gets the clients. Where one is missing the test says so; with `BALEEN_REQUIRE_ALL=1` it fails.
//! Not here: what each toxic does (`baleen-drill/tests/fault/`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Backend, connect, program};

/// A running `baleen fault serve`.
struct Server {
    child: Child,
    addr: SocketAddr,
    /// What it said before it was ready.
    lines: Vec<String>,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut child = program()
            .args(["fault", "serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the fault server");
        let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (mut addr, mut lines) = (None, Vec::new());
        for line in out.lines().map_while(Result::ok) {
            addr = line.strip_prefix("listening on ").and_then(|a| a.parse().ok());
            lines.push(line);
            if addr.is_some() {
                break;
            }
        }
        let addr = addr.unwrap_or_else(|| panic!("no address in {lines:?}"));
        Server { child, addr, lines }
    }

    /// Where the proxy of this name listens.
    fn proxy(&self, name: &str) -> SocketAddr {
        let start = format!("proxy {name}: ");
        let line = self.lines.iter().find_map(|l| l.strip_prefix(&start)).expect("its line");
        line.split_whitespace().next().and_then(|a| a.parse().ok()).expect("an address")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Where `scripts/install-test-tools` puts the clients.
fn clients() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_baleen"));
    program.ancestors().nth(2).unwrap_or(program).join("toxiproxy-clients")
}

/// Whether this is there. A missing one is a failure where all are required.
fn has(path: &Path) -> bool {
    let there = path.exists();
    let required = std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(there || !required, "{} is missing: scripts/install-test-tools", path.display());
    if !there {
        eprintln!("skipped: {} is missing: scripts/install-test-tools", path.display());
    }
    there
}

fn drive(client: &mut Command) {
    let out = client.stdin(Stdio::null()).output().expect("start the client");
    let said = String::from_utf8_lossy(&out.stdout);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.trim() == "ok", "{said}\n{error}");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/toxiproxy").join(name)
}

#[test]
fn the_python_client_works_unchanged() {
    let python = clients().join("python/bin/python");
    if !has(&python) {
        return;
    }
    let (server, up) = (Server::start(&[]), Backend::start(&[]));
    let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
    let up = up.addr.to_string();
    drive(Command::new(python).arg(script("client.py")).args([&host, &port, &up]));
}

#[test]
fn the_node_client_works_unchanged() {
    let modules = clients().join("node/node_modules");
    if !has(&modules.join("toxiproxy-node-client")) {
        return;
    }
    let (server, up) = (Server::start(&[]), Backend::start(&[]));
    let (url, up) = (format!("http://{}", server.addr), up.addr.to_string());
    let mut node = Command::new("node");
    drive(node.env("NODE_PATH", modules).arg(script("client.js")).args([&url, &up]));
}

fn get(addr: SocketAddr) -> String {
    let mut s = connect(addr);
    s.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("read");
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_command_line_is_enough() {
    let up = Backend::start(&[]);
    let to = |name: &str| format!("{name}=127.0.0.1:0->{}", up.addr);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("toxiproxy.json");
    let text = format!(r#"[{{"name":"file","listen":"127.0.0.1:0","upstream":"{}"}}]"#, up.addr);
    std::fs::write(&file, text).expect("write");
    let server = Server::start(&[
        "-p",
        &to("one"),
        "-p",
        &to("two"),
        "-c",
        file.to_str().expect("text"),
        "-t",
        "two/http:status=503,first=1",
        "-t",
        "file/limit_data:bytes=0",
    ]);
    assert_eq!(get(server.proxy("one")), "HTTP/1.1 200 OK");
    assert_eq!(get(server.proxy("two")), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(get(server.proxy("two")), "HTTP/1.1 200 OK");
    assert_eq!(get(server.proxy("file")), "");
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    let run = |args: &[&str]| {
        let mut server = program();
        let server = server.args(["fault", "serve", "--listen", "127.0.0.1:0"]).args(args);
        let out = server.output().expect("run");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let taken = (taken.local_addr().expect("an address").to_string(), taken);
    let on_taken = format!("a={}->127.0.0.1:1", taken.0);
    for (args, code, says) in [
        (&["-p", "nonsense"][..], 2, "LISTEN->UPSTREAM"),
        (&["-t", "latency"], 2, "there is no proxy"),
        (&["-p", "a=127.0.0.1:0->127.0.0.1:1", "-t", "b/latency"], 2, "there is no proxy `b`"),
        (&["-p", "a=127.0.0.1:0->127.0.0.1:1", "-t", "nothing"], 2, "invalid toxic type"),
        (&["-p", "a=127.0.0.1:0->127.0.0.1:1", "-t", "silent:after=x"], 2, "whole number"),
        (&["-c", "/nothing/there.json"], 2, "/nothing/there.json"),
        (&["-p", &on_taken], 3, "address already in use"),
        (&["--listen", &taken.0], 2, "cannot be used multiple times"),
    ] {
        let (got, text) = run(args);
        assert_eq!(got, Some(code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    }
    let out = program().args(["fault", "serve", "--listen", &taken.0]).output().expect("run");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(3) && text.contains("hint: another program"), "{text}");
}

#[test]
fn a_server_is_told_from_the_command_line() {
    let (server, up) = (Server::start(&[]), Backend::start(&[]));
    let (url, up) = (format!("http://{}", server.addr), up.addr.to_string());
    let tell = |args: &[&str]| {
        let mut told = program();
        let out = told.env("TOXIPROXY_URL", &url).arg("fault").args(args).output().expect("run");
        let json = serde_json::from_slice(&out.stdout).unwrap_or(serde_json::Value::Null);
        (out.status.code(), json, String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, made, _) = tell(&["create", "a b", "-u", &up, "-t", "http:status=503,name=x"]);
    assert_eq!((code, &made["toxics"][0]["name"]), (Some(0), &"x".into()));
    let addr = made["listen"].as_str().and_then(|a| a.parse().ok()).expect("an address");
    assert_eq!(get(addr), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(tell(&["toxic", "remove", "a b", "x"]).0, Some(0));
    assert_eq!(get(addr), "HTTP/1.1 200 OK");
    let (_, toxic, _) = tell(&["toxic", "add", "a b", "limit_data:bytes=0"]);
    assert_eq!((&toxic["stream"], get(addr).as_str()), (&"downstream".into(), ""));
    assert_eq!(tell(&["reset"]).0, Some(0));
    assert_eq!(get(addr), "HTTP/1.1 200 OK");
    assert_eq!(tell(&["disable", "a b"]).1["enabled"], false);
    assert_eq!(tell(&["enable", "a b"]).1["enabled"], true);
    let (code, _, text) = tell(&["toxic", "add", "a b", "nothing"]);
    assert!(code == Some(2) && text.contains("invalid toxic type (status 400)"), "{text}");
    assert_eq!(tell(&["list"]).1["a b"]["upstream"], up);
    assert_eq!(tell(&["delete", "a b"]).0, Some(0));
    assert_eq!(tell(&["list"]).1, serde_json::json!({}));
    drop(server);
    let (code, _, text) = tell(&["list"]);
    assert!(code == Some(3) && text.contains("hint: start one: baleen fault serve"), "{text}");
}

#[test]
fn it_ends_when_it_is_asked_to() {
    let up = Backend::start(&[]);
    let mut server = Server::start(&["-p", &format!("a=127.0.0.1:0->{}", up.addr)]);
    let mut held = connect(server.proxy("a"));
    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(server.child.id() as i32, libc::SIGTERM) };
    assert_eq!(server.child.wait().expect("wait").code(), Some(0));
    let mut rest = Vec::new();
    assert!(held.read_to_end(&mut rest).is_err() || rest.is_empty());
}
