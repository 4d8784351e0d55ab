//! The last good sets of one namer, on disk: read at a start while the registry can't be asked.
//!
//! One file a namer, `NAME.snapshot`. Numbers are little endian, texts have their length (`u16`) before them:
//!
//! ```text
//! header   "BLNSNAP\n"  version u32  crc32 u32  length u64      the last two of the body
//! body     heard u64  source text  services u32  service*       heard: when the registry last answered, ms since 1970
//! service  name text  present u8  named u32  endpoint*  held u32  (endpoint until u64)*
//! endpoint family u8 (4 | 6)  address 4 | 16  scope u32 (6 alone)  port u16  weight u32  zone u32
//! ```
//!
//! Written to `NAME.tmp`, synced, renamed, and the folder synced: whatever ends the process, or the machine, the file is what it
//! was before or what it is now. A file that can't be read whole is refused, and moved to `NAME.bad`, where the last such one
//! stays to be looked at. One of another version is not moved: it is not used, and stays until there is something to write.
//! [`peek`] moves nothing at all, for whoever only looks.
//!
//! Two processes with one folder, as in a rolling restart: anyone reads, and one writes, the one that has `NAME.lock` locked
//! (`flock`; the kernel lets go of it when its process ends, whatever ended it). The other
//! tries again every now and then (`saver.rs`), as long as it has something to write.
//!
//! Bounds: [`BYTES_MAX`]; what is larger is not written, and said. Not here: when to write (`run.rs`). Tested: in
//! `snapshot/tests.rs`, with every place where a process can be killed, and fuzzed (`names_snapshot`).

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use baleen_config::{ENDPOINTS_MAX, Endpoint, WEIGHT_MAX};

use super::hold::{HELD_MAX, NAME_BYTES_MAX};
use crate::registry::SERVICES_MAX;

pub mod fuzz;
#[cfg(test)]
mod tests;

/// Most bytes of a snapshot.
pub const BYTES_MAX: usize = 64 << 20;
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"BLNSNAP\n";
const HEADER_BYTES: usize = 24;

/// What is kept of a namer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Which registry this was, so that another one's services are not taken for this one's.
    pub source: String,
    /// When the registry last answered, in milliseconds since 1970.
    pub heard_ms: u64,
    /// What it named.
    pub services: Vec<Service>,
}

/// A service of a snapshot.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The registry named it; else it is only held.
    pub present: bool,
    /// What the registry named.
    pub named: Vec<Endpoint>,
    /// What was held, and until when, in milliseconds since 1970.
    pub held: Vec<(Endpoint, u64)>,
}

/// Why a snapshot can't be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It begins with something else.
    #[error("it is no snapshot")]
    NotOne,
    /// Another version wrote it.
    #[error("it has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// Not as many bytes as it says.
    #[error("it says that it has {says} bytes, and has {has}")]
    Length {
        /// What it says.
        says: u64,
        /// What it has.
        has: u64,
    },
    /// The bytes are others than those that were written.
    #[error("its checksum does not match what it holds")]
    Checksum,
    /// The bytes are what was written, and make no sense.
    #[error("{what} at byte {at} makes no sense")]
    Content {
        /// What does not.
        what: &'static str,
        /// Where, counted from the body's begin.
        at: usize,
    },
}

/// The bytes of a snapshot.
#[must_use]
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 64 * snapshot.services.len());
    out.extend([0; HEADER_BYTES]);
    out.extend(snapshot.heard_ms.to_le_bytes());
    put_text(&mut out, &snapshot.source);
    put_len(&mut out, snapshot.services.len());
    for service in &snapshot.services {
        put_text(&mut out, &service.name);
        out.push(u8::from(service.present));
        put_len(&mut out, service.named.len());
        service.named.iter().for_each(|e| put_endpoint(&mut out, e));
        put_len(&mut out, service.held.len());
        for (endpoint, until) in &service.held {
            put_endpoint(&mut out, endpoint);
            out.extend(until.to_le_bytes());
        }
    }
    let (header, body) = out.split_at_mut(HEADER_BYTES);
    let version = VERSION.to_le_bytes();
    let crc = crc32fast::hash(body).to_le_bytes();
    let length = (body.len() as u64).to_le_bytes();
    let fields = MAGIC.iter().chain(&version).chain(&crc).chain(&length);
    header.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
    out
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// At most as much as its length can say, cut between characters.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.floor_char_boundary(usize::from(u16::MAX))).unwrap_or("");
    out.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint) {
    match endpoint.addr {
        SocketAddr::V4(addr) => {
            out.push(4);
            out.extend(addr.ip().octets());
        }
        SocketAddr::V6(addr) => {
            out.push(6);
            out.extend(addr.ip().octets());
            out.extend(addr.scope_id().to_le_bytes());
        }
    }
    out.extend(endpoint.addr.port().to_le_bytes());
    out.extend(endpoint.weight.to_le_bytes());
    out.extend(endpoint.zone.to_le_bytes());
}

/// Reads a snapshot.
///
/// # Errors
///
/// Why it is none, or not whole.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, Refused> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(Refused::NotOne)?;
    if *magic != MAGIC {
        return Err(Refused::NotOne);
    }
    let short = || Refused::Length { says: HEADER_BYTES as u64, has: bytes.len() as u64 };
    let (version, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Refused::Version(version));
    }
    let (crc, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (says, body) = rest.split_first_chunk().ok_or_else(short)?;
    let (says, has) = (u64::from_le_bytes(*says), body.len() as u64);
    if says != has {
        return Err(Refused::Length { says, has });
    }
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(Refused::Checksum);
    }
    Body { rest: body, len: body.len() }.snapshot()
}

/// Reads from the begin of what is left.
struct Body<'a> {
    rest: &'a [u8],
    len: usize,
}

impl Body<'_> {
    fn snapshot(mut self) -> Result<Snapshot, Refused> {
        let heard_ms = self.u64()?;
        let source = self.text("the registry's name", usize::from(u16::MAX))?;
        // Those that the registry names, and those that are only held.
        let count = self.count("the number of services", SERVICES_MAX + HELD_MAX)?;
        let mut services = Vec::new();
        for _ in 0..count {
            services.push(self.service()?);
        }
        match self.rest.is_empty() {
            true => Ok(Snapshot { source, heard_ms, services }),
            false => Err(self.wrong("what follows the last service")),
        }
    }

    fn service(&mut self) -> Result<Service, Refused> {
        let name = self.text("a service's name", NAME_BYTES_MAX)?;
        let present = match self.array()? {
            [0] => false,
            [1] => true,
            [_] => return Err(self.wrong("whether a service is present")),
        };
        let mut service = Service { name, present, ..Service::default() };
        for _ in 0..self.count("the number of endpoints", ENDPOINTS_MAX)? {
            service.named.push(self.endpoint()?);
        }
        for _ in 0..self.count("the number of held endpoints", ENDPOINTS_MAX)? {
            service.held.push((self.endpoint()?, self.u64()?));
        }
        Ok(service)
    }

    fn endpoint(&mut self) -> Result<Endpoint, Refused> {
        let (ip, scope) = match self.array()? {
            [4] => (IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)), 0),
            [6] => (IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)), self.u32()?),
            [_] => return Err(self.wrong("the family of an address")),
        };
        let port = u16::from_le_bytes(self.array()?);
        let addr = match ip {
            IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
        };
        let (weight, zone) = (self.u32()?, self.u32()?);
        if port == 0 || ip.is_unspecified() {
            return Err(self.wrong("an address"));
        }
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(self.wrong("a weight"));
        }
        Ok(Endpoint { addr, weight, zone })
    }

    fn wrong(&self, what: &'static str) -> Refused {
        Refused::Content { what, at: self.len - self.rest.len() }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (array, rest) =
            self.rest.split_first_chunk().ok_or_else(|| self.wrong("an end too soon"))?;
        self.rest = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, Refused> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Refused> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &'static str, max: usize) -> Result<usize, Refused> {
        let count = usize::try_from(self.u32()?).ok();
        count.filter(|n| *n <= max).ok_or_else(|| self.wrong(what))
    }

    fn text(&mut self, what: &'static str, max: usize) -> Result<String, Refused> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        let text = self.rest.split_at_checked(len).filter(|_| len <= max);
        let (text, rest) = text.ok_or_else(|| self.wrong(what))?;
        let text = std::str::from_utf8(text).map_err(|_| self.wrong(what))?.to_owned();
        self.rest = rest;
        Ok(text)
    }
}

/// The folder's part that a namer has.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    name: String,
    lock: Option<File>,
}

/// What came of an attempt to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// It is written.
    Done,
    /// Another process writes this file.
    NotOurs,
}

impl Store {
    /// A namer's snapshots in a folder, which is made when there is none.
    ///
    /// # Errors
    ///
    /// The folder can't be made, or the name is none of a file.
    pub fn open(dir: &Path, name: &str) -> io::Result<Store> {
        if !baleen_config::is_label(name) {
            let why = format!("{name:?} can't be the name of a file");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        fs::create_dir_all(dir)?;
        Ok(Store { dir: dir.to_owned(), name: name.to_owned(), lock: None })
    }

    /// Where the snapshot is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_in(&self.dir, &self.name)
    }

    /// Reads the snapshot; nothing when there is none.
    ///
    /// # Errors
    ///
    /// It can't be read, for the reason given; when that is what it holds, it was moved aside. One of another version stays where
    /// it is, for the program that wrote it.
    pub fn load(&self) -> Result<Option<Snapshot>, String> {
        let path = self.path();
        let refused = match look(&path)? {
            Found::Nothing => return Ok(None),
            Found::Snapshot(snapshot) => return Ok(Some(snapshot)),
            Found::Refused(Some(Refused::Version(n))) => return Err(unread(&path, n)),
            Found::Refused(refused) => why(refused),
        };
        let (shown, aside) = (path.display(), self.file("bad"));
        Err(match fs::rename(&path, &aside) {
            Ok(()) => format!("{shown} is refused: {refused}; it was moved to {}", aside.display()),
            Err(error) => format!("{shown} is refused: {refused}; can not move it: {error}"),
        })
    }

    /// Whether this process may write; tries to get the right to when it has not.
    ///
    /// # Errors
    ///
    /// The folder does not let us.
    pub fn may_write(&mut self) -> io::Result<bool> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let path = self.file("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes a snapshot, if this process may.
    ///
    /// # Errors
    ///
    /// It is too large, or the folder does not let us. What was there before still is.
    pub fn save(&mut self, snapshot: &Snapshot) -> Result<Saved, String> {
        let fail = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        if !self.may_write().map_err(|e| fail(&self.dir, e))? {
            return Ok(Saved::NotOurs);
        }
        let bytes = encode(snapshot);
        if bytes.len() > BYTES_MAX {
            return Err(format!("{} bytes are too many for a snapshot", bytes.len()));
        }
        let mut disk = Folder(&self.dir);
        let (from, to) = (format!("{}.tmp", self.name), format!("{}.snapshot", self.name));
        replace(&mut disk, &from, &to, &bytes).map_err(|e| fail(&self.path(), e))?;
        Ok(Saved::Done)
    }

    fn file(&self, end: &str) -> PathBuf {
        self.dir.join(format!("{}.{end}", self.name))
    }
}

/// Where a namer's snapshot is in a folder.
#[must_use]
pub fn path_in(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.snapshot"))
}

/// Reads a snapshot by its path, and changes nothing on the disk whatever it finds; nothing when there is none.
///
/// # Errors
///
/// It can't be read, for the reason given.
pub fn peek(path: &Path) -> Result<Option<Snapshot>, String> {
    match look(path)? {
        Found::Nothing => Ok(None),
        Found::Snapshot(snapshot) => Ok(Some(snapshot)),
        Found::Refused(Some(Refused::Version(n))) => Err(unread(path, n)),
        Found::Refused(refused) => Err(format!("{} is refused: {}", path.display(), why(refused))),
    }
}

/// What a path leads to.
enum Found {
    Nothing,
    Snapshot(Snapshot),
    /// Without a reason: it is too large.
    Refused(Option<Refused>),
}

fn look(path: &Path) -> Result<Found, String> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(format!("can not read {}: {error}", path.display())),
    };
    Ok(match bytes.len() > BYTES_MAX {
        true => Found::Refused(None),
        false => decode(&bytes).map_or_else(|why| Found::Refused(Some(why)), Found::Snapshot),
    })
}

fn why(refused: Option<Refused>) -> String {
    refused.map_or_else(|| "it is too large".to_owned(), |refused| refused.to_string())
}

fn unread(path: &Path, version: u32) -> String {
    let (shown, why) = (path.display(), Refused::Version(version));
    format!("{shown} is not used, and stays as it is: {why}")
}

/// A byte more than is allowed, at most.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What replacing a file asks of a folder; the tests have one that can be stopped anywhere.
trait Disk {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self, name: &str) -> io::Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// Puts new content into a file: all of it, or none.
fn replace(disk: &mut impl Disk, from: &str, to: &str, bytes: &[u8]) -> io::Result<()> {
    disk.write(from, bytes)?;
    disk.sync(from)?;
    disk.rename(from, to)?;
    disk.sync_folder()
}

struct Folder<'a>(&'a Path);

impl Disk for Folder<'_> {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        File::create(self.0.join(name))?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        File::open(self.0)?.sync_all()
    }
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Saved::Done => "written",
            Saved::NotOurs => "another process writes it",
        })
    }
}
