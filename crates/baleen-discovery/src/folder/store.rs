//! What is done with the files: read, write, delete, look at all. All of it may wait for the disk.
//!
//! Not here: when (`follow.rs`, `hold.rs`). Tested: in `tests/folder.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::format::{self, FILE_BYTES_MAX, Stored};
use super::{LOCK_MAX, names};
use crate::kv::{Expect, KEY_BYTES_MAX, KEYS_MAX, KvError, LIST_BYTES_MAX, Value};

/// Its end says to those who follow that something may have changed.
pub(super) const LOCK: &str = ".lock";
const VERSION: &str = ".version";
/// What is being written; only who has the lock writes it.
const DRAFT: &str = ".new";
/// How often the lock is tried while another has it.
const LOCK_EVERY: Duration = Duration::from_millis(2);
/// Entries of all folders that are looked at.
const ENTRIES_MAX: usize = 4 * KEYS_MAX;

/// What an error of the file system means.
pub(super) fn broke(what: &str, path: &Path, error: &io::Error) -> KvError {
    let why = format!("can not {what} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename => KvError::Refused(why),
        _ => KvError::Unreachable(why),
    }
}

/// The files.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) root: PathBuf,
}

/// A key as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) value: Value,
    signature: Signature,
    ttl: Option<Duration>,
}

/// Keys as they were seen.
pub(super) type Keys = BTreeMap<String, Seen>;

/// What tells one version of a file from another.
type Signature = (u64, u64, i64, i64, i64, i64);

fn signature(m: &fs::Metadata) -> Signature {
    (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
}

/// Whether a held file's time is over.
fn expired(m: &fs::Metadata, ttl: Option<Duration>) -> bool {
    let age = m.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    matches!((age, ttl), (Some(age), Some(ttl)) if age > ttl)
}

/// The lock, until it is dropped.
pub(super) struct Locked<'a> {
    store: &'a Store,
    _file: File,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Store {
        Store { root }
    }

    /// What a key's file says; nothing when it is not there or not any more.
    pub(super) fn get(&self, key: &str) -> Result<Option<Stored>, KvError> {
        self.there()?;
        let path = self.root.join(names::file(key)?);
        Ok(read(&path)?.map(|(stored, _)| stored))
    }

    pub(super) fn put(&self, key: &str, bytes: &[u8], expect: Expect) -> Result<u64, KvError> {
        let path = self.root.join(names::file(key)?);
        let locked = self.lock()?;
        allowed(&path, expect)?;
        locked.write(&path, bytes, None)
    }

    pub(super) fn delete(&self, key: &str, expect: Expect) -> Result<(), KvError> {
        let path = self.root.join(names::file(key)?);
        let locked = self.lock()?;
        allowed(&path, expect)?;
        locked.remove(&path)
    }

    /// Whether the folder is there at all: one that is gone is not an empty one.
    fn there(&self) -> Result<(), KvError> {
        match fs::metadata(&self.root) {
            Ok(_) => Ok(()),
            Err(error) => Err(broke("look at", &self.root, &error)),
        }
    }

    /// Waits for the lock within its bound.
    pub(super) fn lock(&self) -> Result<Locked<'_>, KvError> {
        let path = self.root.join(LOCK);
        let end = Instant::now() + LOCK_MAX;
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(|e| broke("open", &path, &e))?;
            // SAFETY: the descriptor is open as long as `file` lives; no pointers are passed.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                // Somebody may have taken the file away, and others lock another one of this name.
                let ours = file.metadata().map(|m| m.ino()).ok();
                if ours.is_some() && ours == fs::metadata(&path).map(|m| m.ino()).ok() {
                    return Ok(Locked { store: self, _file: file });
                }
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted if Instant::now() < end => {
                    std::thread::sleep(LOCK_EVERY);
                }
                ErrorKind::WouldBlock => {
                    let why = format!(
                        "another process has had the lock {} for {LOCK_MAX:?}",
                        path.display()
                    );
                    return Err(KvError::Unreachable(why));
                }
                _ => return Err(broke("lock", &path, &error)),
            }
        }
    }

    /// All keys below a prefix. What looks as it did `before` is not read again.
    pub(super) fn scan(&self, prefix: &str, before: &Keys) -> Result<Keys, KvError> {
        self.there()?;
        let mut scan = Scan { before, found: Keys::new(), bytes: 0, entries: 0 };
        let mut open = vec![(self.root.join(names::folder(prefix)?), prefix.to_owned())];
        while let Some((folder, prefix)) = open.pop() {
            scan.folder(&folder, &prefix, &mut open)?;
        }
        Ok(scan.found)
    }
}

struct Scan<'a> {
    before: &'a Keys,
    found: Keys,
    bytes: usize,
    entries: usize,
}

impl Scan<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        open: &mut Vec<(PathBuf, String)>,
    ) -> Result<(), KvError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(broke("read", folder, &e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| broke("read", folder, &e))?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(too_many(folder));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let below = name.strip_suffix(names::FOLDER);
            let Some(label) = names::decode(below.unwrap_or(name)) else { continue };
            let key = if prefix.is_empty() { label } else { format!("{prefix}/{label}") };
            if key.len() > KEY_BYTES_MAX {
                continue;
            }
            match below {
                Some(_) => open.push((entry.path(), key)),
                None => self.file(&entry.path(), key)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, key: String) -> Result<(), KvError> {
        let looks = fs::metadata(path).ok().filter(fs::Metadata::is_file);
        let Some(looks) = looks else { return Ok(()) };
        let same = self.before.get(&key).filter(|seen| seen.signature == signature(&looks));
        let seen = match same {
            Some(seen) if expired(&looks, seen.ttl) => return Ok(()),
            Some(seen) => seen.clone(),
            None => match read(path)? {
                Some((Stored { value, ttl }, signature)) => Seen { value, signature, ttl },
                None => return Ok(()),
            },
        };
        self.bytes += seen.value.bytes.len();
        self.found.insert(key, seen);
        if self.found.len() > KEYS_MAX || self.bytes > LIST_BYTES_MAX {
            return Err(too_many(path));
        }
        Ok(())
    }
}

fn too_many(at: &Path) -> KvError {
    let mib = LIST_BYTES_MAX >> 20;
    KvError::Refused(format!("more than {KEYS_MAX} keys or {mib} MiB, found at {}", at.display()))
}

/// A key's file; `None` when it is not there, or held and not renewed in time.
fn read(path: &Path) -> Result<Option<(Stored, Signature)>, KvError> {
    // A pipe under that name must not block us.
    let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(broke("read", path, &e)),
    };
    let looks = file.metadata().map_err(|e| broke("read", path, &e))?;
    if !looks.is_file() {
        return Err(KvError::Refused(format!("{} is no regular file", path.display())));
    }
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    (&mut file).take(most).read_to_end(&mut bytes).map_err(|e| broke("read", path, &e))?;
    let stored = format::parse(&bytes).map_err(|why| {
        KvError::Refused(format!("{} is no value of a store: {why}", path.display()))
    })?;
    Ok((!expired(&looks, stored.ttl)).then(|| (stored, signature(&looks))))
}

/// Whether the condition holds. Only who has the lock can trust it.
fn allowed(path: &Path, expect: Expect) -> Result<(), KvError> {
    let now = || Ok(read(path)?.map(|(stored, _)| stored.value.version));
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => now()?.is_none(),
        Expect::Version(version) => now()? == Some(version),
    };
    if holds { Ok(()) } else { Err(KvError::Conflict) }
}

impl Locked<'_> {
    /// Writes a value; gives its version.
    pub(super) fn write(
        &self,
        path: &Path,
        bytes: &[u8],
        ttl: Option<Duration>,
    ) -> Result<u64, KvError> {
        let folder = path.parent().unwrap_or(&self.store.root);
        fs::create_dir_all(folder).map_err(|e| broke("make", folder, &e))?;
        self.sweep(folder);
        let version = self.next_version()?;
        let value = Value { bytes: bytes.to_vec(), version };
        self.replace(path, &format::print(&Stored { value, ttl }))?;
        Ok(version)
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), KvError> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(broke("delete", path, &e)),
        }
        let mut folder = path.parent();
        // Folders with nothing in them go, too.
        while let Some(empty) =
            folder.filter(|f| *f != self.store.root && fs::remove_dir(f).is_ok())
        {
            folder = empty.parent();
        }
        sync(folder.unwrap_or(&self.store.root))
    }

    /// Counts on; what was counted is on the disk before it is used.
    fn next_version(&self) -> Result<u64, KvError> {
        let path = self.store.root.join(VERSION);
        let counted = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u64>().ok(),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(broke("read", &path, &e)),
        };
        let counted = match counted {
            Some(counted) => counted,
            // The count was lost: from the newest that is there.
            None => {
                let seen = self.store.scan("", &Keys::new())?;
                seen.values().map(|seen| seen.value.version).max().unwrap_or(0)
            }
        };
        let next = counted
            .checked_add(1)
            .ok_or_else(|| KvError::Refused(format!("{} can't be counted on", path.display())))?;
        self.replace(&path, format!("{next}\n").as_bytes())?;
        Ok(next)
    }

    /// Puts a file in place, whole and on the disk.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), KvError> {
        let draft = self.store.root.join(DRAFT);
        let write = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        write().map_err(|e| broke("write", path, &e))?;
        // The names of new folders, too.
        let folders = path.ancestors().skip(1);
        for folder in folders.take_while(|folder| folder.starts_with(&self.store.root)) {
            sync(folder)?;
        }
        Ok(())
    }

    /// Takes files away that were held and are not any more.
    fn sweep(&self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.take(ENTRIES_MAX).flatten() {
            let name = entry.file_name();
            let key = name.to_str().filter(|name| names::decode(name).is_some());
            if key.is_some() && matches!(held(&entry.path()), Some((_, true))) {
                // Another sweep finds what this one can't take away.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Takes a key over: writes it, unless another holds it and it is not ours to take.
    pub(super) fn take(
        &self,
        path: &Path,
        bytes: &[u8],
        ttl: Duration,
        may_take: bool,
    ) -> Result<Option<u64>, KvError> {
        if !may_take && read(path)?.is_some() {
            return Ok(None);
        }
        self.write(path, bytes, Some(ttl)).map(Some)
    }

    /// Takes a key away if it has this version.
    pub(super) fn release(&self, path: &Path, version: u64) -> Result<(), KvError> {
        match read(path)? {
            Some((stored, _)) if stored.value.version == version => self.remove(path),
            _ => Ok(()),
        }
    }
}

/// A held file: its version, and whether its time is over. `None`: it is none, or can't be read.
fn held(path: &Path) -> Option<(u64, bool)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let looks = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let stored = format::parse(&bytes).ok()?;
    stored.ttl.map(|ttl| (stored.value.version, expired(&looks, Some(ttl))))
}

/// Renews a held file if it has this version. Needs no lock: one that is replaced meanwhile is renewed for nothing.
pub(super) fn renew(path: &Path, version: u64) -> Result<bool, KvError> {
    let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file = match open {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(broke("renew", path, &e)),
    };
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    (&mut file).take(most).read_to_end(&mut bytes).map_err(|e| broke("read", path, &e))?;
    if format::parse(&bytes).is_ok_and(|stored| stored.value.version == version) {
        file.set_modified(SystemTime::now()).map_err(|e| broke("renew", path, &e))?;
        return Ok(true);
    }
    Ok(false)
}

/// Makes the names in a folder last.
fn sync(folder: &Path) -> Result<(), KvError> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|e| broke("sync", folder, &e))
}
