//! Starts the real program and small raw servers, and ends them again.
//!
//! Nothing sleeps: readiness is a line on stdout, ends are ends of files. Children die with the test process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for anything that should come at once. A test that waits this long has failed.
pub const LONG: Duration = Duration::from_secs(20);

/// A running `baleen run`.
pub struct Baleen {
    child: Child,
    pub addr: SocketAddr,
    pub admin: Option<SocketAddr>,
    /// Where its control interface is, as it is printed.
    pub control: Option<String>,
    pub dir: tempfile::TempDir,
}

/// The program under test.
pub fn program() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_baleen"));
    c.env("NO_COLOR", "1");
    die_with_parent(&mut c);
    c
}

/// The kernel kills the child when the thread that started it ends.
pub fn die_with_parent(c: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        c.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

impl Baleen {
    /// Start with this configuration; `{dir}` in it is the test's own folder. Waits until it listens.
    pub fn start(config: &str) -> Baleen {
        Baleen::start_with(config, |_| {})
    }

    /// The same, after `prepare` has filled the folder.
    pub fn start_with(config: &str, prepare: impl FnOnce(&std::path::Path)) -> Baleen {
        let dir = tempfile::tempdir().expect("a temporary folder");
        prepare(dir.path());
        let path = dir.path().join("baleen.toml");
        let text = config.replace("{dir}", &dir.path().display().to_string());
        std::fs::write(&path, text).expect("write the configuration");
        let records = dir.path().join("records");
        std::fs::create_dir_all(&records).expect("a folder for recordings");
        let mut child = program()
            .arg("run")
            .arg(&path)
            .arg("--record-dir")
            .arg(&records)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.path().join("stderr")).expect("stderr file"))
            .spawn()
            .expect("start baleen");
        let (mut addr, mut admin, mut control) = (None, None, None);
        let mut out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        let wants_admin = !config.contains("listen = \"off\"");
        let wants_control = config.contains("[control]");
        while addr.is_none()
            || (wants_admin && admin.is_none())
            || (wants_control && control.is_none())
        {
            line.clear();
            if out.read_line(&mut line).expect("read stdout") == 0 {
                let err = std::fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
                panic!("baleen ended before it listened:\n{err}");
            }
            if line.contains("(control)") {
                control = line.split_whitespace().nth(2).map(str::to_owned);
                continue;
            }
            let found = line.split_whitespace().find_map(|w| w.parse::<SocketAddr>().ok());
            if let Some(a) = found {
                if line.contains("admin") {
                    admin = Some(a);
                } else {
                    addr.get_or_insert(a);
                }
            }
        }
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Baleen { child, addr: addr.expect("set above"), admin, control, dir }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kill it, as if the machine had.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait for baleen");
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a folder"))
    }

    /// A connection from a downstream.
    pub fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    /// The body of an admin page.
    pub fn page(&self, path: &str) -> String {
        let admin = self.admin.expect("the admin server is on");
        let mut s = connect(admin);
        write!(s, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").expect("send");
        let mut text = String::new();
        s.read_to_string(&mut text).expect("read the page");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            let mut whole = String::new();
            let mut rest = body;
            while let Some((size, after)) = rest.split_once("\r\n") {
                let n = usize::from_str_radix(size, 16).expect("chunk size");
                whole.push_str(&after[..n]);
                rest = &after[n + 2..];
                if n == 0 {
                    break;
                }
            }
            return whole;
        }
        body.to_string()
    }

    /// Ask it to end and wait. Returns its exit code and what it said.
    pub fn stop(mut self) -> (Option<i32>, String, tempfile::TempDir) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait().expect("wait for baleen");
        let err = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a folder"));
        (status.code(), err, dir)
    }

    /// Stop it; what its workers decided is decided again.
    pub fn stop_and_replay(self) {
        let (code, err, dir) = self.stop();
        assert_eq!(code, Some(0), "{err}");
        assert!(replay(&Baleen::recordings(&dir)) > 0, "something was decided");
    }

    pub fn recordings(dir: &tempfile::TempDir) -> Vec<PathBuf> {
        let mut v: Vec<PathBuf> = std::fs::read_dir(dir.path().join("records"))
            .expect("recordings")
            .map(|e| e.expect("entry").path())
            .collect();
        v.sort();
        v
    }
}

impl Drop for Baleen {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let s = TcpStream::connect_timeout(&addr, LONG).expect("connect");
    s.set_read_timeout(Some(LONG)).expect("timeout");
    s.set_write_timeout(Some(LONG)).expect("timeout");
    s.set_nodelay(true).expect("nodelay");
    s
}

/// The same inputs give the same decisions; how many.
pub fn replay(files: &[PathBuf]) -> u64 {
    let again = |file: &PathBuf| {
        let bytes = std::fs::read(file).expect("read the recording");
        let recording = baleen_policy::Recording::from_bytes(&bytes)
            .unwrap_or_else(|e| panic!("{}: {e:?}", file.display()));
        match baleen_policy::replay(&recording) {
            Ok(done) => done.decisions,
            Err(d) => panic!("{} decides otherwise: {d:?}", file.display()),
        }
    };
    files.iter().map(again).sum()
}

/// A `baleen backend` as a child process.
pub struct Backend {
    pub child: Child,
    pub addr: SocketAddr,
}

impl Backend {
    pub fn start(args: &[&str]) -> Backend {
        let mut child = program()
            .arg("backend")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a backend");
        let mut out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("read stdout");
        let addr = line
            .split_whitespace()
            .find_map(|w| w.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Backend { child, addr }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `\r \n \t \0 \\ \xHH` and `{text*n}` in the case files.
pub fn unescape(s: &str) -> Vec<u8> {
    let b = s.as_bytes();
    let (mut out, mut i) = (Vec::new(), 0);
    while i < b.len() {
        match b[i] {
            b'\\' => {
                i += 1;
                match b[i] {
                    b'r' => out.push(b'\r'),
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'0' => out.push(0),
                    b'p' => out.push(b'|'),
                    b'x' => {
                        out.push(u8::from_str_radix(&s[i + 1..i + 3], 16).expect("two hex digits"));
                        i += 2;
                    }
                    c => out.push(c),
                }
                i += 1;
            }
            b'{' => {
                let end = i + s[i..].find('}').expect("closing brace");
                let (text, n) = s[i + 1..end].rsplit_once('*').expect("{text*n}");
                let piece = unescape(text);
                for _ in 0..n.parse::<usize>().expect("a count") {
                    out.extend_from_slice(&piece);
                }
                i = end + 1;
            }
            c => {
                out.push(c);
                i += 1;
            }
        }
    }
    out
}

pub fn show(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(600)];
    cut.escape_ascii().to_string()
}

pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|w| w == needle)
}
