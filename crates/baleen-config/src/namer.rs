//! `[namer.NAME]`: registries, each mounted at `/#/NAME`.
//!
//! Not here: asking them (`baleen-discovery`). Tested: in `tests/it/names.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::{Secret, parse_secret};
use crate::diagnostic::{Diagnostic, Findings};
use crate::name::is_label;
use crate::names::STATIC;
use crate::reader::{Reader, TableOrWord};
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::{Entry, Value};
use crate::value::{self, Wrong};

/// Where Consul's agent is.
const CONSUL: &str = "http://127.0.0.1:8500";
/// Where etcd is.
const ETCD: &str = "http://127.0.0.1:2379";
const PREFIX: &str = "/services";
/// The shortest and the longest time that an answer of DNS is kept for.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
const STUCK_AFTER: Duration = Duration::from_secs(15);

/// A registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namer {
    /// What it is mounted as: `etcd` for `/#/etcd`.
    pub name: String,
    /// What it is.
    pub kind: NamerKind,
    /// Which removals are held back.
    pub hold: Hold,
    /// A session that says nothing for so long is begun anew.
    pub stuck_after: Duration,
}

/// What a registry is, and how it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamerKind {
    /// A folder of files.
    Files {
        /// The folder.
        dir: PathBuf,
    },
    /// etcd, version 3.
    Etcd {
        /// Its servers, as URLs without a path: `http://127.0.0.1:2379`.
        endpoints: Vec<String>,
        /// Members are at `PREFIX/SERVICE/MEMBER`.
        prefix: String,
        /// Who asks, and what proves it.
        login: Option<Login>,
        /// Certificates of who may sign the servers' ones; what the system trusts when absent.
        ca: Option<PathBuf>,
    },
    /// ZooKeeper.
    ZooKeeper {
        /// Its servers: `host:port`.
        servers: Vec<String>,
        /// Members are at `PREFIX/SERVICE/MEMBER`.
        prefix: String,
        /// Who asks, and what proves it (`digest`).
        login: Option<Login>,
    },
    /// Consul.
    Consul {
        /// A server or agent, as a URL without a path.
        address: String,
        /// The datacenter that is asked; the server's own when absent.
        datacenter: Option<String>,
        /// What proves who asks.
        token: Option<Secret>,
        /// Only instances with this tag.
        tag: Option<String>,
        /// Certificates of who may sign the server's one; what the system trusts when absent.
        ca: Option<PathBuf>,
    },
    /// Kubernetes.
    Kubernetes {
        /// The API server, as a URL without a path; that of the cluster this process runs in when absent.
        address: Option<String>,
        /// Only services of this namespace; of all when absent.
        namespace: Option<String>,
        /// What proves who asks; the service account's token when absent.
        token: Option<Secret>,
        /// Certificates of who may sign the server's one; the service account's when absent.
        ca: Option<PathBuf>,
    },
    /// DNS, asked for what somebody wants.
    Dns {
        /// The servers that are asked; those of the system when empty.
        servers: Vec<SocketAddr>,
        /// An answer is kept at least so long, and at most so long, whatever its time to live.
        ttl: (Duration, Duration),
    },
}

/// A name, and a secret that proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Who.
    pub user: String,
    /// Where the secret is.
    pub password: Secret,
}

/// Which removals are held back: mass removal looks like the registry's own failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// More than this share of a set at once, in millionths, is mass removal; a million: never.
    pub share_ppm: u32,
    /// Only of a set of so many endpoints, or more.
    pub min: usize,
    /// What counts as at once.
    pub window: Duration,
    /// How long endpoints are held.
    pub keep: Duration,
}

impl Default for Hold {
    fn default() -> Hold {
        Hold {
            share_ppm: 500_000,
            min: 4,
            window: Duration::from_secs(2),
            keep: Duration::from_secs(600),
        }
    }
}

impl NamerKind {
    /// Its word in the configuration.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            NamerKind::Files { .. } => "files",
            NamerKind::Etcd { .. } => "etcd",
            NamerKind::ZooKeeper { .. } => "zookeeper",
            NamerKind::Consul { .. } => "consul",
            NamerKind::Kubernetes { .. } => "kubernetes",
            NamerKind::Dns { .. } => "dns",
        }
    }
}

impl Namer {
    /// Which registry this is, in one line without secrets: what a snapshot of it is known by. Not by its addresses, which
    /// change while it stays the same one.
    #[must_use]
    pub fn source(&self) -> String {
        let or = |text: &Option<String>| text.clone().unwrap_or_default();
        let what = match &self.kind {
            NamerKind::Files { dir } => dir.display().to_string(),
            NamerKind::Etcd { prefix, .. } | NamerKind::ZooKeeper { prefix, .. } => prefix.clone(),
            NamerKind::Consul { datacenter, tag, .. } => {
                format!("datacenter={} tag={}", or(datacenter), or(tag))
            }
            NamerKind::Kubernetes { namespace, .. } => format!("namespace={}", or(namespace)),
            NamerKind::Dns { .. } => String::new(),
        };
        format!("{} {what}", self.kind.word()).trim_end().to_owned()
    }
}

/// A namer as it was read.
#[derive(Clone, Debug)]
pub(crate) struct ReadNamer {
    /// Where its name is.
    pub(crate) place: Place,
    pub(crate) namer: Namer,
}

/// The settings that namers of one kind or another have.
#[derive(Default)]
struct Settings {
    dir: Option<At<PathBuf>>,
    endpoints: Option<Vec<String>>,
    servers: Option<At<Vec<String>>>,
    address: Option<At<String>>,
    prefix: Option<String>,
    user: Option<At<String>>,
    password: Option<At<Secret>>,
    token: Option<Secret>,
    ca: Option<PathBuf>,
    datacenter: Option<String>,
    tag: Option<String>,
    namespace: Option<String>,
    ttl: Option<(Duration, Duration)>,
}

/// Reads one `[namer.NAME]`; nothing when it can't be used.
pub(crate) fn read(def: &'static Def, entry: &Entry, findings: &mut Findings) -> Option<ReadNamer> {
    let Value::Table(table) = &entry.node.value else { return None };
    let name = &entry.key;
    let place = &entry.key_place;
    if !is_label(name) || name == STATIC {
        let error = Diagnostic::error(place, format!("`{name}` can't be the name of a namer"));
        findings.push(match name.as_str() {
            STATIC => {
                error.label("`/#/static` is where clusters with `endpoints` of their own are")
            }
            _ => error.label("expected letters, digits, `-`, `_` and `.`"),
        });
        return None;
    }
    let mut r = Reader::new(def, table, &entry.node.place, Some(name), findings);
    let kind = r.choice("kind");
    r.only_for(kind.as_ref());
    let settings = settings(&mut r);
    let hold = hold(&mut r);
    let stuck_after = r.duration("stuck_after").map_or(STUCK_AFTER, |at| at.value);
    let kind = kind?;
    let kind = made(&mut r, name, &kind, &entry.node.place, settings);
    r.done();
    let namer = Namer { name: name.clone(), kind: kind?, hold, stuck_after };
    Some(ReadNamer { place: place.clone(), namer })
}

fn settings(r: &mut Reader<'_, '_>) -> Settings {
    Settings {
        dir: path(r, "dir"),
        endpoints: each(r, "endpoints", url).map(|at| at.value),
        servers: each(r, "servers", server),
        address: r.text("address", url),
        prefix: r.text("prefix", prefix).map(|at| at.value),
        user: r.text("user", |text| word(text, "a name")),
        password: secret(r, "password"),
        token: secret(r, "token").map(|at| at.value),
        ca: path(r, "ca").map(|at| at.value),
        datacenter: r.text("datacenter", |text| word(text, "a name")).map(|at| at.value),
        tag: r.text("tag", |text| word(text, "a tag")).map(|at| at.value),
        namespace: r.text("namespace", |text| word(text, "a namespace")).map(|at| at.value),
        ttl: r.duration_range("ttl").map(|at| at.value),
    }
}

/// What kind it is, with its settings; what is missing or too much is said.
fn made(
    r: &mut Reader<'_, '_>,
    name: &str,
    kind: &At<&'static str>,
    header: &Place,
    s: Settings,
) -> Option<NamerKind> {
    let missing = |r: &mut Reader<'_, '_>, key: &str| {
        if !r.has(key) {
            let error =
                Diagnostic::error(header, format!("`{key}` is missing in `[namer.{name}]`"));
            r.findings.push(
                error
                    .label(format!("expected `{key}` in here"))
                    .related(&kind.place, "of this kind"),
            );
        }
    };
    let ca = s.ca;
    Some(match kind.value {
        "files" => {
            if s.dir.is_none() {
                missing(r, "dir");
            }
            NamerKind::Files { dir: s.dir?.value }
        }
        "etcd" => NamerKind::Etcd {
            endpoints: s.endpoints.unwrap_or_else(|| vec![ETCD.to_owned()]),
            prefix: s.prefix.unwrap_or_else(|| PREFIX.to_owned()),
            login: login(r, s.user, s.password),
            ca,
        },
        "zookeeper" => {
            if s.servers.as_ref().is_none_or(|at| at.value.is_empty()) {
                missing(r, "servers");
            }
            NamerKind::ZooKeeper {
                servers: s.servers?.value,
                prefix: s.prefix.unwrap_or_else(|| PREFIX.to_owned()),
                login: login(r, s.user, s.password),
            }
        }
        "consul" => NamerKind::Consul {
            address: s.address.map_or(CONSUL.to_owned(), |at| at.value),
            datacenter: s.datacenter,
            token: s.token,
            tag: s.tag,
            ca,
        },
        "kubernetes" => NamerKind::Kubernetes {
            address: s.address.map(|at| at.value),
            namespace: s.namespace,
            token: s.token,
            ca,
        },
        _ => NamerKind::Dns { servers: addresses(r, s.servers)?, ttl: s.ttl.unwrap_or(TTL) },
    })
}

/// The servers of DNS: nothing could look up their names.
fn addresses(r: &mut Reader<'_, '_>, servers: Option<At<Vec<String>>>) -> Option<Vec<SocketAddr>> {
    let Some(servers) = servers else { return Some(Vec::new()) };
    let mut found = Vec::new();
    for text in &servers.value {
        match value::address(text) {
            Ok(addr) => found.push(addr),
            Err(wrong) => {
                r.wrong("servers", &servers.place, wrong);
                return None;
            }
        }
    }
    Some(found)
}

/// Who asks: a name and a secret, or neither.
fn login(
    r: &mut Reader<'_, '_>,
    user: Option<At<String>>,
    password: Option<At<Secret>>,
) -> Option<Login> {
    let alone = match (user, password) {
        (Some(user), Some(password)) => {
            return Some(Login { user: user.value, password: password.value });
        }
        (Some(user), None) if !r.has("password") => (user.place, "`user` without `password`"),
        (None, Some(password)) if !r.has("user") => (password.place, "`password` without `user`"),
        _ => return None,
    };
    r.findings.push(Diagnostic::error(&alone.0, alone.1).label("they go together"));
    None
}

fn hold(r: &mut Reader<'_, '_>) -> Hold {
    let mut hold = Hold::default();
    match r.table_or_word("hold") {
        Some((_, TableOrWord::Word(_))) => hold.share_ppm = 1_000_000,
        Some((def, TableOrWord::Table(table, place))) => {
            let mut inner = Reader::new(def, table, place, None, r.findings);
            hold.share_ppm = inner.share("share").map_or(hold.share_ppm, |at| at.value.ppm());
            let min = inner.integer::<i64>("min").and_then(|at| usize::try_from(at.value).ok());
            hold.min = min.unwrap_or(hold.min);
            let (window, keep) = (inner.duration("window"), inner.duration("for"));
            inner.done();
            hold.window = window.as_ref().map_or(hold.window, |at| at.value);
            hold.keep = keep.as_ref().map_or(hold.keep, |at| at.value);
            if hold.keep < hold.window
                && let Some(at) = keep.as_ref().or(window.as_ref())
            {
                let error = Diagnostic::error(&at.place, "`for` is shorter than `window`");
                let (keep, window) =
                    (value::show_duration(hold.keep), value::show_duration(hold.window));
                let label = format!("held for {keep}, while {window} counts as at once");
                r.findings.push(error.label(label));
            }
        }
        _ => {}
    }
    hold
}

/// A list of texts of a form; nothing when it is not there or one of them is wrong.
fn each<T>(
    r: &mut Reader<'_, '_>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<At<Vec<T>>> {
    let nodes = r.texts(name)?;
    if nodes.value.is_empty() {
        r.wrong(name, &nodes.place, Wrong::new("expected at least one"));
        return None;
    }
    let mut found = Vec::new();
    for node in &nodes.value {
        match parse(node.as_str().unwrap_or_default()) {
            Ok(value) => found.push(value),
            Err(wrong) => r.wrong(name, &node.place, wrong),
        }
    }
    let whole = found.len() == nodes.value.len();
    whole.then(|| At::new(found, &nodes.place))
}

fn path(r: &mut Reader<'_, '_>, name: &'static str) -> Option<At<PathBuf>> {
    let what = if name == "dir" { "a folder" } else { "a file" };
    let found = r.text(name, |text| match text {
        "" => Err(Wrong::new(format!("expected the path of {what}"))),
        text => Ok(PathBuf::from(text)),
    })?;
    let folder = found.place.source.folder().to_owned();
    Some(found.map(|path| folder.join(path)))
}

fn secret(r: &mut Reader<'_, '_>, name: &'static str) -> Option<At<Secret>> {
    let place = r.entry(name)?.node.place.clone();
    r.text(name, |text| parse_secret(text, place.source.folder()))
}

fn word(text: &str, what: &str) -> Result<String, Wrong> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '&');
    match text.is_empty() || text.contains(odd) {
        true => Err(Wrong::new(format!("expected {what}"))),
        false => Ok(text.to_owned()),
    }
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let right = |rest: &str| rest.split('/').all(|l| !l.is_empty() && !l.contains(odd));
    match text.strip_prefix('/').map(right) {
        Some(true) => Ok(text.to_owned()),
        _ => {
            let wrong = Wrong::new("expected a path such as \"/services\"");
            let bare = text.trim_matches('/');
            Err(match bare.is_empty() || bare.contains(odd) || bare.contains("//") {
                true => wrong,
                false => wrong.hint(format!("did you mean \"/{bare}\"?")),
            })
        }
    }
}

/// `http://HOST:PORT` or `https://HOST:PORT`.
fn url(text: &str) -> Result<String, Wrong> {
    let expected = || Wrong::new("expected \"http://HOST:PORT\" or \"https://HOST:PORT\"");
    let Some((scheme, rest)) = text.split_once("://") else {
        let host = is_host(text);
        let hint = format!("did you mean \"http://{text}\"?");
        return Err(if host { expected().hint(hint) } else { expected() });
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if !matches!(scheme, "http" | "https") || !is_host(host) {
        let user = rest.contains('@').then_some("a secret is never written into this file itself");
        return Err(Wrong { hint: user.map(str::to_owned), ..expected() });
    }
    Ok(format!("{scheme}://{host}"))
}

/// `host`, `host:port`, `[::1]:port`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    port && v6.map_or_else(|| is_label(host), |v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
}

/// `host:port`.
fn server(text: &str) -> Result<String, Wrong> {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    match port && is_host(text) {
        true => Ok(text.to_owned()),
        false if is_host(text) => Err(Wrong::new("the port is missing")),
        false => Err(Wrong::new("expected \"HOST:PORT\"")),
    }
}

/// What holds between namers.
pub(crate) fn check(namers: &[ReadNamer], findings: &mut Findings) {
    let files = |n: &&ReadNamer| matches!(n.namer.kind, NamerKind::Files { .. });
    let mut files = namers.iter().filter(files);
    if let (Some(first), Some(second)) = (files.next(), files.next()) {
        let error = Diagnostic::error(&second.place, "a second folder of files");
        findings.push(
            error
                .label("one namer with `kind = \"files\"` is all there can be")
                .related(&first.place, "the first")
                .hint("put the files into one folder, or make links there"),
        );
    }
}
