//! `baleen register` with a real etcd: the service is there while it runs and well, and is taken out before it ends.
//!
//! Where etcd is missing the test says so; with `BALEEN_REQUIRE_ALL=1` it fails. Not here: ZooKeeper, which is held to the same
//! checks in `baleen-discovery/tests/`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;

use crate::registry::etcd::Server;
use crate::support::{LONG, die_with_parent, program};

/// Keys and values of services, a line each.
fn has(etcd: &Server) -> Vec<String> {
    etcd.ctl(&["get", "--prefix", "/services"]).lines().map(str::to_owned).collect()
}

/// What happens to services: `PUT`, key and value, or `DELETE`, key and nothing, a line each.
fn watch(etcd: &Server) -> (Child, mpsc::Receiver<String>) {
    let mut command = Command::new("etcdctl");
    die_with_parent(&mut command);
    command.env("ETCDCTL_API", "3").args(["--endpoints", &etcd.client]);
    command.args(["watch", "--prefix", "/services", "--rev", "1"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("etcdctl");
    let lines = lines(child.stdout.take().expect("a pipe"));
    (child, lines)
}

fn url(etcd: &Server) -> String {
    format!("etcd://{}/services", etcd.client)
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Read to the end, so that nobody waits for us.
            let _ = sender.send(line);
        }
    });
    lines
}

/// A running `baleen register`.
struct Register {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Register {
    fn start(args: &[&str]) -> Register {
        let mut child = program()
            .arg("register")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start baleen");
        let stderr: ChildStderr = child.stderr.take().expect("a pipe");
        Register { child, said: lines(stderr) }
    }

    /// Reads what it says up to a line with this.
    fn says(&self, text: &str) -> String {
        let mut all = String::new();
        loop {
            match self.said.recv_timeout(LONG) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => all.push_str(&format!("{line}\n")),
                Err(_) => panic!("it did not say `{text}`:\n{all}"),
            }
        }
    }

    fn signal(&self, number: i32) {
        // SAFETY: a signal to a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, number) }, 0);
    }

    /// Its exit code and what the command wrote.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut out = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
        (self.child.wait().expect("wait").code(), out)
    }
}

impl Drop for Register {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_is_there_until_it_is_asked_to_end() {
    let Some(etcd) = Server::start() else { return };
    let url = url(&etcd);
    let args = ["web", "127.0.0.1:8080", "--in", &url, "--weight", "3", "--zone", "a"];
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let register = Register::start(&args);
        let line = register.says("registered");
        assert!(line.starts_with("registered: web/127.0.0.1:8080 in etcd://"), "{line}");
        assert_eq!(has(&etcd), ["/services/web/127.0.0.1:8080", "127.0.0.1:8080 3 zone=a"]);
        register.signal(signal);
        register.says("taken out");
        assert_eq!(register.ended().0, Some(0));
        assert!(has(&etcd).is_empty());
    }
}

#[test]
fn a_service_that_dies_without_a_word_is_gone_after_its_ttl() {
    let Some(etcd) = Server::start() else { return };
    let (mut watching, events) = watch(&etcd);
    let register = Register::start(&["web", "127.0.0.1:8080", "--in", &url(&etcd), "--ttl", "2s"]);
    register.says("registered");
    register.signal(libc::SIGKILL);
    assert_eq!(register.ended().0, None);
    let next = || events.recv_timeout(LONG).expect("an event");
    assert_eq!(
        [next(), next(), next()],
        ["PUT", "/services/web/127.0.0.1:8080", "127.0.0.1:8080 1"]
    );
    assert_eq!([next(), next()], ["DELETE", "/services/web/127.0.0.1:8080"]);
    let _ = watching.kill();
    watching.wait().expect("wait");
}

#[test]
fn a_command_is_passed_signals_and_its_exit_code_is_passed_on() {
    let Some(etcd) = Server::start() else { return };
    let url = url(&etcd);
    let args = ["web", "127.0.0.1:8080", "--in", &url, "--", "sh", "-c"];
    let start = |script| Register::start(&[&args[..], &[script]].concat());
    // It ends by itself.
    let register = start("read line; exit 7");
    register.says("the command ended with code 7");
    assert_eq!(register.ended().0, Some(7));
    assert!(has(&etcd).is_empty());
    // It is asked to end: first out of the registry. The command looks whether it still is in it.
    let script = format!(
        "trap 'ETCDCTL_API=3 etcdctl --endpoints {} get --prefix /services; echo sorry; exit 5' TERM; \
         trap 'echo rotated' HUP; echo ready; while :; do sleep 0.1; done",
        etcd.client
    );
    let mut register = start(&script);
    let out = register.child.stdout.take().expect("a pipe");
    let wrote = lines(out);
    let next = || wrote.recv_timeout(LONG).expect("a line");
    assert_eq!(next(), "ready");
    register.says("registered");
    register.signal(libc::SIGHUP);
    assert_eq!(next(), "rotated");
    assert!(!has(&etcd).is_empty(), "it goes on");
    register.signal(libc::SIGTERM);
    assert_eq!(next(), "sorry", "nothing was in the registry any more");
    register.says("taken out");
    assert_eq!(register.child.wait().expect("wait").code(), Some(5));
    // It is killed by a signal.
    let register = start("kill -9 $$");
    assert_eq!(register.ended().0, Some(128 + 9));
}

#[test]
fn a_service_is_there_only_while_its_check_answers() {
    let Some(etcd) = Server::start() else { return };
    let page = TcpListener::bind("127.0.0.1:0").expect("a port");
    let check = format!("http://{}/healthz", page.local_addr().expect("an address"));
    let (answers, status) = mpsc::channel::<&str>();
    std::thread::spawn(move || {
        let mut now = "503 Not Yet";
        for stream in page.incoming() {
            now = status.try_iter().last().unwrap_or(now);
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ =
                write!(stream, "HTTP/1.1 {now}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let url = url(&etcd);
    let args = ["web", "127.0.0.1:8080", "--in", &url, "--check", &check, "--check-every", "100ms"];
    let register = Register::start(&args);
    let line = register.says("the check fails");
    assert!(line.contains("/healthz answered 503"), "{line}");
    assert!(has(&etcd).is_empty());
    answers.send("204 Fine").expect("it listens");
    register.says("registered: ");
    assert_eq!(has(&etcd).len(), 2);
    answers.send("500 Ill").expect("it listens");
    register.says("taken out");
    assert!(has(&etcd).is_empty());
    answers.send("200 Well").expect("it listens");
    register.says("registered: ");
    register.signal(libc::SIGTERM);
    assert_eq!(register.ended().0, Some(0));
    assert!(has(&etcd).is_empty());
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let Some(mut etcd) = Server::start() else { return };
    etcd.kill();
    let register = Register::start(&["web", "127.0.0.1:8080", "--in", &url(&etcd), "--ttl", "2s"]);
    let line = register.says("not registered");
    assert!(line.contains("can't be reached") && line.contains("trying on"), "{line}");
    etcd.restart();
    register.says("registered: ");
    etcd.kill();
    register.says("not registered: ");
    etcd.restart();
    register.says("registered: ");
    assert_eq!(has(&etcd).len(), 2);
    // Asked to end while the registry is away: it ends soon all the same.
    etcd.kill();
    register.signal(libc::SIGTERM);
    register.says("could not be taken out");
    assert_eq!(register.ended().0, Some(0));
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let said = |args: &[&str]| {
        let out = program().arg("register").args(args).output().expect("it ran");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let etcd = "etcd://127.0.0.1:1/services";
    for (args, code, says) in [
        (&["web"][..], 2, "required"),
        (&["web", "10.0.0.1:80"], 2, "--in"),
        (&["we/b", "10.0.0.1:80", "--in", etcd], 2, "no `/`"),
        (&["web", "host:80", "--in", etcd], 2, "`host` is no IP address"),
        (&["web", "10.0.0.1", "--in", etcd], 2, "port"),
        (&["web", "10.0.0.1:80", "--in", etcd, "--zone", "a b"], 2, "10.0.0.1:80"),
        (&["web", "10.0.0.1:80", "--in", "redis://x"], 2, "no store's address"),
        (&["web", "10.0.0.1:80", "--in", "file:/tmp"], 2, "no registry of services"),
        (&["web", "10.0.0.1:80", "--in", etcd, "--ttl", "1s"], 2, "expected 2s"),
        (&["web", "10.0.0.1:80", "--in", etcd, "--check", "https://x"], 2, "healthz"),
        (&["web", "10.0.0.1:80", "--in", etcd, "--check-every", "1s"], 2, "--check"),
        (&["web", "10.0.0.1:80", "--in", etcd, "--", "/no/such"], 3, "can't start `/no/such`"),
    ] {
        let (exit, text) = said(args);
        assert_eq!(exit, Some(code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    }
}
