//! The processes of the demo: three backends and a Baleen, all this same program.
//!
//! They never outlive the demo: each is killed and waited for when [`Cast`] is dropped, and the kernel kills them when the
//! demo dies without that. They have process groups of their own, so that Ctrl-C reaches only the demo, which ends them.
//! Not here: what happens to them (`story.rs`). Tested: in `tests/cli.rs`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::exit::Failure;

/// Names of the backends.
pub const NAMES: [&str; 3] = ["web-1", "web-2", "web-3"];
/// Service time of a backend that is well.
pub const TIME: &str = "5ms + exp(10ms)";
/// Most names that are tried for the folder.
const FOLDERS_MAX: u32 = 16;
/// Longest wait for an answer of a child's own pages.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// One backend.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    pub killed: bool,
    child: Child,
}

/// All processes, and the folder they use.
pub struct Cast {
    pub servers: Vec<Server>,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub config: PathBuf,
    pub config_text: String,
    baleen: Child,
    _folder: Folder,
}

/// Gone when dropped.
struct Folder(PathBuf);

impl Folder {
    /// A new one. A demo that was killed may have left its own behind, under what is now our number.
    fn new() -> Result<Folder, Failure> {
        let (base, pid) = (std::env::temp_dir(), std::process::id());
        let mut made = Err(Failure::environment("no folder for the demo"));
        for n in 0..FOLDERS_MAX {
            let folder = base.join(format!("baleen-demo-{pid}-{n}"));
            match std::fs::create_dir(&folder) {
                Ok(()) => return Ok(Folder(folder)),
                Err(e) => made = Err(cannot_write(&folder, &e)),
            }
        }
        made
    }
}

fn cannot_write(path: &Path, e: &std::io::Error) -> Failure {
    Failure::environment(format!("can't write {}: {e}", path.display()))
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        end(&mut self.baleen);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A child, its standard output, and what it said of where it listens.
struct Ready {
    child: Child,
    addresses: Vec<SocketAddr>,
}

/// This program as a child that dies with us.
fn start(args: &[&str], lines: usize, folder: &Path, name: &str) -> Result<Ready, Failure> {
    let cannot = |e: std::io::Error| Failure::environment(format!("can't start {name}: {e}"));
    let talk = folder.join(format!("{name}.log"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    command.stderr(std::fs::File::create(&talk).map_err(cannot)?);
    let parent = std::process::id();
    // SAFETY: between fork and exec only these two system calls are made; both are async-signal-safe and touch no memory.
    unsafe {
        command.pre_exec(move || {
            #[cfg(target_os = "linux")]
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Had the parent died before that call, nobody would tell us.
            if libc::getppid().unsigned_abs() != parent {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(cannot)?;
    let mut addresses = Vec::new();
    let mut out = child.stdout.take().map(BufReader::new);
    while addresses.len() < lines {
        let mut line = String::new();
        let read = out.as_mut().map_or(Ok(0), |out| out.read_line(&mut line));
        if !matches!(read, Ok(1..)) {
            end(&mut child);
            let said = std::fs::read_to_string(&talk).unwrap_or_default();
            return Err(Failure::environment(format!(
                "{name} did not start:\n{}",
                said.trim_end()
            )));
        }
        addresses.extend(line.split_whitespace().find_map(|w| w.parse::<SocketAddr>().ok()));
    }
    Ok(Ready { child, addresses })
}

impl Cast {
    /// Start all of them and wait until they listen.
    pub fn start() -> Result<Cast, Failure> {
        let folder = Folder::new()?;
        let mut servers = Vec::new();
        for (i, name) in NAMES.into_iter().enumerate() {
            let seed = i.to_string();
            let args = ["backend", "--control", "--name", name, "--time", TIME, "--seed", &seed];
            let ready = start(&args, 1, &folder.0, name)?;
            let (address, child) = (ready.addresses[0], ready.child);
            servers.push(Server { name, address, killed: false, child });
        }
        let config_text = config(&servers);
        let config = folder.0.join("baleen.toml");
        std::fs::write(&config, &config_text).map_err(|e| cannot_write(&config, &e))?;
        let path = config.display().to_string();
        let ready = start(&["run", &path], 2, &folder.0, "baleen")?;
        let (proxy, admin) = (ready.addresses[0], ready.addresses[1]);
        let baleen = ready.child;
        Ok(Cast { servers, proxy, admin, config, config_text, baleen, _folder: folder })
    }

    /// Kill a backend as a crash would (kill -9).
    pub fn kill(&mut self, at: usize) {
        if let Some(server) = self.servers.get_mut(at) {
            server.killed = true;
            end(&mut server.child);
        }
    }

    /// Give a backend another service time.
    pub fn slow(&self, at: usize, time: &str) -> std::io::Result<()> {
        let Some(server) = self.servers.get(at) else { return Ok(()) };
        let query = time.replace(' ', "");
        ask(server.address, "POST", &format!("/_control?time={query}")).map(|_| ())
    }

    /// Whoever should live does.
    pub fn check(&mut self) -> Result<(), Failure> {
        let ended = |child: &mut Child| child.try_wait().ok().flatten();
        if let Some(status) = ended(&mut self.baleen) {
            return Err(Failure::environment(format!("baleen itself ended: {status}")));
        }
        for server in self.servers.iter_mut().filter(|server| !server.killed) {
            if let Some(status) = ended(&mut server.child) {
                return Err(Failure::environment(format!("{} ended: {status}", server.name)));
            }
        }
        Ok(())
    }
}

/// The configuration of the demo.
fn config(servers: &[Server]) -> String {
    let mut text = String::from(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\n[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\n\n\
         [cluster.web]\nendpoints = [\n",
    );
    for server in servers {
        let _ = writeln!(text, "    \"{}\",", server.address);
    }
    text.push_str("]\n");
    text
}

/// The body of the answer to a small request to one of our own servers.
pub fn ask(address: SocketAddr, method: &str, target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ASK_TIMEOUT)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    stream.set_write_timeout(Some(ASK_TIMEOUT))?;
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("{target} was not answered with 200"))),
    }
}
