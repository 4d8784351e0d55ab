//! A store by its address.
//!
//! | address | store |
//! |---|---|
//! | `etcd://HOST:PORT[,HOST:PORT…]/ROOT` | etcd; with `?ca=FILE`, `&cert=FILE&key=FILE`, `&server_name=NAME` over TLS; with `?user=NAME&password_file=FILE` as a user |
//! | `zookeeper://HOST:PORT[,HOST:PORT…]/ROOT` | ZooKeeper; with `?user=NAME&password_file=FILE` as a user (its scheme `digest`) |
//! | `file:FOLDER` | a folder of this machine, which is made when it is not there |
//!
//! Not here: the stores. Tested: below, and in `tests/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::etcd::{Etcd, Login, Options, Password};
use crate::folder::Folder;
use crate::http::{Origin, Tls, TlsFiles, brief, read_bounded};
use crate::kv::{Expect, Kv, KvError, KvEvent, Value};
use crate::zookeeper::{self, ZooKeeper};

/// Where etcd listens unless said otherwise.
const ETCD_PORT: u16 = 2379;
/// Where ZooKeeper listens unless said otherwise.
const ZOOKEEPER_PORT: u16 = 2181;

/// A store of some kind.
#[derive(Debug)]
pub enum AnyKv {
    /// etcd.
    Etcd(Etcd),
    /// ZooKeeper.
    ZooKeeper(ZooKeeper),
    /// A folder.
    Folder(Folder),
}

/// A store by its address.
///
/// # Errors
///
/// In one line, for people.
pub fn open(address: &str) -> Result<AnyKv, String> {
    let shown = brief(address.as_bytes());
    let opened = match address.split_once(':') {
        Some(("etcd", rest)) => rest.strip_prefix("//").map(|rest| etcd(rest).map(AnyKv::Etcd)),
        Some(("zookeeper", rest)) => {
            rest.strip_prefix("//").map(|rest| zookeeper(rest).map(AnyKv::ZooKeeper))
        }
        Some(("file", "")) => Some(Err("a folder is named, as in file:tables".to_owned())),
        Some(("file", path)) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            let folder = Folder::open(Path::new(path)).map_err(|error| error.to_string());
            Some(folder.map(AnyKv::Folder))
        }
        _ => None,
    };
    match opened {
        Some(opened) => opened.map_err(|why| format!("`{shown}`: {why}")),
        None => Err(format!(
            "`{shown}` is no store's address: expected etcd://HOST:PORT/ROOT, \
             zookeeper://HOST:PORT/ROOT or file:FOLDER"
        )),
    }
}

/// Hosts, what all keys begin with, and settings.
struct Parts<'a> {
    hosts: Vec<&'a str>,
    root: &'a str,
    settings: BTreeMap<&'a str, &'a str>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str, known: &[&str]) -> Result<Parts<'a>, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, root) = rest.split_once('/').unwrap_or((rest, ""));
        if root.trim_end_matches('/').is_empty() {
            return Err(
                "after the addresses comes what all keys begin with, such as /services".to_owned()
            );
        }
        if hosts.contains('@') {
            return Err("a user is given as ?user=NAME&password_file=FILE".to_owned());
        }
        let mut settings = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&key) {
                return Err(format!("`{key}` is not known here: there are {}", known.join(", ")));
            }
            if value.is_empty() {
                return Err(format!("`{key}` has no value"));
            }
            if settings.insert(key, value).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        Ok(Parts { hosts: hosts.split(',').collect(), root, settings })
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.settings.get(key).map(PathBuf::from)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(|text| (*text).to_owned())
    }

    /// The user, and the file with the password.
    fn login(&self) -> Result<Option<(String, PathBuf)>, String> {
        match (self.text("user"), self.path("password_file")) {
            (None, None) => Ok(None),
            (Some(user), Some(file)) => Ok(Some((user, file))),
            _ => Err("`user` and `password_file` go together".to_owned()),
        }
    }
}

fn etcd(rest: &str) -> Result<Etcd, String> {
    const TLS: [&str; 4] = ["ca", "cert", "key", "server_name"];
    let known = [&TLS[..], &["user", "password_file"]].concat();
    let parts = Parts::of(rest, &known)?;
    let tls = TLS.iter().any(|key| parts.settings.contains_key(key));
    let endpoints = parts.hosts.iter().map(|host| Origin::parse_authority(host, tls, ETCD_PORT));
    let options = Options::new(endpoints.collect::<Result<_, _>>()?, format!("/{}", parts.root));
    let files = TlsFiles {
        ca: parts.path("ca"),
        cert: parts.path("cert"),
        key: parts.path("key"),
        server_name: parts.text("server_name"),
    };
    let tls = if tls { Some(Tls::new(&files)?) } else { None };
    let login = parts.login()?;
    let login = login.map(|(user, file)| Login { user, password: Password::File(file) });
    Etcd::new(Options { tls, login, ..options })
}

fn zookeeper(rest: &str) -> Result<ZooKeeper, String> {
    let parts = Parts::of(rest, &["user", "password_file"])?;
    let servers = parts.hosts.iter().map(|host| {
        Origin::parse_authority(host, false, ZOOKEEPER_PORT).map(|origin| origin.authority())
    });
    let auth = parts.login()?.map(|(user, file)| {
        let bytes = read_bounded(&file)?;
        let password =
            String::from_utf8(bytes).map_err(|_| format!("{} is no text", file.display()))?;
        let password = password.trim_end_matches(['\n', '\r']);
        Ok::<_, String>(("digest".to_owned(), format!("{user}:{password}")))
    });
    let servers = servers.collect::<Result<_, _>>()?;
    let options =
        zookeeper::Options { servers, root: format!("/{}", parts.root), auth: auth.transpose()? };
    ZooKeeper::new(options).map_err(|error| error.to_string())
}

/// Does the same with whichever it is.
macro_rules! each {
    ($any:expr, $store:ident => $does:expr) => {
        match $any {
            AnyKv::Etcd($store) => $does,
            AnyKv::ZooKeeper($store) => $does,
            AnyKv::Folder($store) => $does,
        }
    };
}

impl Kv for AnyKv {
    async fn get(&self, key: &str) -> Result<Option<Value>, KvError> {
        each!(self, store => store.get(key).await)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>, KvError> {
        each!(self, store => store.list(prefix).await)
    }

    async fn put(&self, key: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        each!(self, store => store.put(key, bytes, expect).await)
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), KvError> {
        each!(self, store => store.delete(key, expect).await)
    }

    async fn follow(&self, prefix: &str, to: mpsc::Sender<KvEvent>) -> KvError {
        each!(self, store => store.follow(prefix, to).await)
    }

    async fn hold(
        &self,
        key: &str,
        bytes: &[u8],
        ttl: Duration,
        told: mpsc::Sender<bool>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), KvError> {
        each!(self, store => store.hold(key, bytes, ttl, told, stop).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_stores() {
        let dir = tempfile::tempdir().unwrap();
        let folder = format!("file:{}/new", dir.path().display());
        let folder_url = format!("file://{}/new", dir.path().display());
        for address in [
            "etcd://127.0.0.1:2379/services",
            "etcd://a,b:1,[::1]:2/services/x/",
            "zookeeper://a,b:1/services",
            &folder,
            &folder_url,
        ] {
            assert!(open(address).is_ok(), "{address}");
        }
        for (address, says) in [
            ("", "no store's address"),
            ("redis://a/b", "no store's address"),
            ("etcd:a/b", "no store's address"),
            ("etcd://a", "after the addresses"),
            ("etcd://a/", "after the addresses"),
            ("etcd:///x", "expected host:port"),
            ("etcd://a,/x", "expected host:port"),
            ("etcd://a:0/x", "a port is"),
            ("etcd://u@a/x", "?user=NAME"),
            ("etcd://a/x//y", "has the label"),
            ("etcd://a/x?tls=1", "is not known"),
            ("etcd://a/x?user=b", "go together"),
            ("etcd://a/x?user", "has no value"),
            ("etcd://a/x?ca=/nowhere", "can't read /nowhere"),
            ("etcd://a/x?ca=1&ca=2", "there twice"),
            ("zookeeper://a/x?ca=1", "is not known"),
            ("zookeeper://a/x?user=u&password_file=/nowhere", "can't read /nowhere"),
            ("file:", "a folder is named"),
            ("file:/proc/none", "/proc/none"),
        ] {
            let why = open(address).unwrap_err();
            assert!(why.contains(says) && !why.contains('\n'), "{address}: {why}");
        }
    }
}
