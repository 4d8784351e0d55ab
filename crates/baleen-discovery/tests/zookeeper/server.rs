//! A real ZooKeeper on loopback, in a temporary folder, ended by its process id; and a wire to it that can be cut, gagged or aged.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use baleen_discovery::zookeeper::{Options, ZooKeeper};
use tempfile::TempDir;

const JAR: &str = "/usr/share/java/zookeeper.jar";
/// Far more than a server needs to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server; it dies with this.
pub struct Server {
    folder: TempDir,
    port: u16,
    child: Child,
}

/// Whether ZooKeeper is installed. Where it must be, its absence is a failure.
pub fn installed() -> bool {
    let java =
        Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = Path::new(JAR).exists() && java.is_ok_and(|status| status.success());
    if !there {
        let required = std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!required, "ZooKeeper is not installed: scripts/install-test-tools");
        eprintln!("skipped: ZooKeeper is not installed (scripts/install-test-tools)");
    }
    there
}

impl Server {
    /// A server with nothing in it.
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "tickTime=200\nminSessionTimeout=400\nmaxSessionTimeout=60000\ndataDir={0}/data\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
            folder.path().display()
        );
        fs::write(folder.path().join("zoo.cfg"), config).unwrap();
        let child = run(folder.path());
        let server = Server { folder, port, child };
        server.wait();
        server
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Begins again with what is on its disk.
    pub fn restart(&mut self) {
        self.child = run(self.folder.path());
        self.wait();
    }

    /// Begins again with nothing.
    pub fn restart_empty(&mut self) {
        fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        self.restart();
    }

    /// A store below a path, straight.
    pub fn store(&self, root: &str) -> Arc<ZooKeeper> {
        store(self.addr(), root)
    }

    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        while !answers(self.addr()) {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "ZooKeeper does not begin: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn store(addr: SocketAddr, root: &str) -> Arc<ZooKeeper> {
    let options = Options { servers: vec![addr.to_string()], root: root.to_owned(), auth: None };
    Arc::new(ZooKeeper::new(options).unwrap())
}

fn run(folder: &Path) -> Child {
    let log = File::create(folder.join("log")).unwrap();
    Command::new("java")
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JAR])
        .args(["org.apache.zookeeper.server.ZooKeeperServerMain", "zoo.cfg"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn answers(addr: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"isro")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer == "rw")
}

/// What a wire does.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Carries everything.
    Open,
    /// Answers requests for persistent watches as servers before 3.6 do.
    Aged,
    /// Swallows what watches say.
    Gagged,
    /// Carries nothing, and closes nothing.
    Stalled,
}

/// A wire to a server.
pub struct Wire {
    pub addr: SocketAddr,
    mode: Arc<AtomicU8>,
}

/// The request for a persistent watch.
const ADD_WATCH: i32 = 106;
const UNIMPLEMENTED: i32 = -6;
/// The number that what watches say has in place of a request's.
const NOTIFICATION: i32 = -1;

impl Wire {
    pub fn to(server: SocketAddr, mode: Mode) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mode = Arc::new(AtomicU8::new(mode as u8));
        let wire = Wire { addr, mode: Arc::clone(&mode) };
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(server)) else { continue };
                let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (up, down) = (Arc::clone(&mode), Arc::clone(&mode));
                std::thread::spawn(move || carry(near, far, &up, true));
                std::thread::spawn(move || carry(far2, near2, &down, false));
            }
        });
        wire
    }

    pub fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8, up: bool) {
    let mut first = true;
    while let Some(frame) = frame(&mut from) {
        let word =
            |at: usize| frame.get(at..at + 4).map(|b| i32::from_be_bytes(b.try_into().unwrap()));
        let mode = mode.load(Ordering::SeqCst);
        if mode == Mode::Stalled as u8 {
            continue;
        }
        if !first && up && mode == Mode::Aged as u8 && word(4) == Some(ADD_WATCH) {
            let mut answer = vec![0, 0, 0, 16];
            answer.extend(&frame[..4]);
            answer.extend([0; 8]);
            answer.extend(UNIMPLEMENTED.to_be_bytes());
            if from.write_all(&answer).is_err() {
                break;
            }
            continue;
        }
        let gagged = !first && !up && mode == Mode::Gagged as u8 && word(0) == Some(NOTIFICATION);
        first = false;
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(&frame);
        if !gagged && to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}
