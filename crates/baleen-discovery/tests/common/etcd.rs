//! A real etcd in a folder of its own, on ports of its own. Ends with the test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use baleen_discovery::etcd::{Etcd, Options};
use baleen_discovery::http::Origin;

/// A running etcd.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`, where clients go.
    pub client: String,
    peer: String,
    dir: tempfile::TempDir,
}

/// Whether it is here. A missing one is a failure where all are required.
pub fn is_here() -> bool {
    let there = ["etcd", "etcdctl"].iter().all(|program| {
        Command::new(program)
            .arg(if *program == "etcd" { "--version" } else { "version" })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    });
    let required = std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(there || !required, "etcd or etcdctl is missing: scripts/install-test-tools");
    if !there {
        eprintln!("skipped: etcd or etcdctl is missing: scripts/install-test-tools");
    }
    there
}

fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

impl Server {
    /// Starts one; nothing where etcd is missing.
    pub fn start() -> Option<Server> {
        if !is_here() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        loop {
            let (client, peer) = (free(), free());
            // A port that somebody else was faster to take: others.
            if let Some(child) = spawn(dir.path(), &client, &peer) {
                return Some(Server { child, client, peer, dir });
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as if the machine had.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again, with what it had written.
    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path(), &self.client, &self.peer).expect("its ports are free");
    }

    /// Forgets all it had written. It must have been killed.
    pub fn wipe(&mut self) {
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("remove");
    }

    /// A client whose root is this.
    pub fn store(&self, root: &str) -> Arc<Etcd> {
        Arc::new(Etcd::new(self.options(root)).expect("options"))
    }

    /// How to reach it.
    pub fn options(&self, root: &str) -> Options {
        let origin: Origin = format!("http://{}", self.client).parse().expect("an address");
        Options::new(vec![origin], root)
    }

    /// Runs etcdctl.
    pub fn ctl(&self, args: &[&str]) -> String {
        let out = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.client])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("etcdctl");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts etcd and waits until it serves; nothing when it ends before.
fn spawn(dir: &Path, client: &str, peer: &str) -> Option<Child> {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "one", "--data-dir"]).arg(dir.join("data"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("one={peer}")]);
    command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
    if has_no_fsync() {
        command.arg("--unsafe-no-fsync");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    die_with_parent(&mut command);
    let mut child = command.spawn().expect("start etcd");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    let (ready, waits) = mpsc::channel();
    // What it says is read to its end, so that it never waits for us.
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            if line.contains("ready to serve client requests") {
                let _ = ready.send(());
            }
        }
    });
    // Without a sender it has ended.
    match waits.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => Some(child),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            child.wait().expect("wait");
            None
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let _ = child.kill();
            panic!("etcd does not serve");
        }
    }
}

/// Newer ones need not wait for the disk.
fn has_no_fsync() -> bool {
    let help = Command::new("etcd").arg("--help").output().expect("etcd --help");
    let text = [help.stdout, help.stderr].concat();
    String::from_utf8_lossy(&text).contains("--unsafe-no-fsync")
}

/// The kernel kills the child when the thread that started it ends.
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
