//! What dead drills left behind: found and removed.
//!
//! Each drill has a folder `baleen-drill-UID/PID-STARTTIME` where files of running programs belong, and its processes carry that
//! last part in their environment. A drill is dead when nobody holds the lock of the file [`ALIVE`] in its folder, whatever numbers
//! its processes have where we look from (containers may share a folder); without that file, when no process has that number and
//! start time. Then every process with its mark is killed (through a handle of the kernel, so that never another one is hit that
//! got its number) and its folder removed. A [`Watcher`] does that the moment a drill dies, in whatever way; [`cleanup`] does it
//! for those whose watcher died with them.
//!
//! Only folders of this user are looked at, and those processes whose environment this user may read: his own, or as root all
//! that have the mark, whoever put it there. A program that clears its environment *and* detaches from its parent is not found;
//! nothing finds that. A private network ends with its last process.
//! Folders are in XDG_RUNTIME_DIR if that belongs to this user, else where temporary files are. The former is often in memory,
//! and with it the logs of a drill: whoever has long ones unsets it.
//! Bounds: [`SCANS_MAX`] looks at all processes. Not here: ports and rules, which end with their processes.
//! Tested: `leftover/tests.rs`, and in `crates/baleen/tests/it/drill.rs`.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The environment variable that all processes of a drill have; its value says of which.
pub const MARKER: &str = "BALEEN_DRILL";
/// Looks at all processes until none is left.
const SCANS_MAX: u32 = 200;
/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);
/// Names that are tried for a folder.
const FOLDERS_MAX: u32 = 1000;
/// The file in the folder of a drill that is locked for as long as the drill lives.
const ALIVE: &str = "alive";
/// How folders begin in which there are folders of drills.
const BASE: &str = "baleen-drill-";
/// What the watcher says when it watches.
const READY: &[u8] = b"ready\n";
/// What the watcher is told when the drill ended by itself.
const DONE: &[u8] = b"done\n";

/// The folder of a drill. Gone when dropped, unless it is kept, and with it what is left of the drill's processes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    id: String,
    kept: bool,
    /// Locked. The kernel lets go of it when this process ends, in whatever way.
    _alive: File,
}

impl Folder {
    /// A new one, of this process.
    ///
    /// # Errors
    /// It can't be made, or somebody else's is in its place.
    pub fn new() -> io::Result<Folder> {
        Folder::within(&base()?)
    }

    fn within(base: &Path) -> io::Result<Folder> {
        let pid = std::process::id();
        let since = start_time(pid).ok_or_else(|| io::Error::other("there is no /proc"))?;
        let id = format!("{pid}-{since}");
        // Nobody looks between the making of the folder and the lock.
        let _guard = guard(base)?;
        for nth in 0..FOLDERS_MAX {
            let name = if nth == 0 { id.clone() } else { format!("{id}.{nth}") };
            let path = base.join(&name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let alive = File::create_new(path.join(ALIVE))?;
                    alive.lock()?;
                    return Ok(Folder { path, id: name, kept: false, _alive: alive });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other(format!("{}: too many folders", base.display())))
    }

    /// Where.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mark of its processes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Kills what is left of the drill's processes: what they had started, and was in no group of theirs any more.
    pub fn kill_left(&self) {
        kill_marked(&self.id);
    }

    /// It stays.
    pub fn keep(&mut self) {
        self.kept = true;
        let _ = fs::remove_file(self.path.join(ALIVE));
        // What has another name is no longer taken for what a dead drill left.
        let to = self.path.with_file_name(format!("kept-{}", self.id));
        if fs::rename(&self.path, &to).is_ok() {
            self.path = to;
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After a panic nobody else did it, and without the folder nobody would look for them.
        kill_marked(&self.id);
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn uid() -> u32 {
    // SAFETY: it can't fail and touches nothing.
    unsafe { libc::getuid() }
}

/// Where folders of drills are: of this user alone. It stays the same when the process becomes another user of a namespace.
fn base() -> io::Result<PathBuf> {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    if let Some(base) = BASE.get() {
        return Ok(base.clone());
    }
    let base = make_base()?;
    Ok(BASE.get_or_init(|| base).clone())
}

fn make_base() -> io::Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = place(runtime, &std::env::temp_dir()).join(format!("{BASE}{}", uid()));
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display())));
        }
        _ => {}
    }
    if !is_own(&path, uid()) {
        let why = format!("{}: it is not a folder of this user alone", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(path)
}

/// The runtime folder if it belongs to this user, else the one for temporary files if nobody but this user and root can exchange
/// what is in it, else the system's. After `su` the variables may still name somebody else's, who could put links in our place.
fn place(runtime: Option<PathBuf>, temporary: &Path) -> PathBuf {
    let belongs = |dir: &PathBuf| {
        let is = fs::symlink_metadata(dir);
        dir.is_absolute() && is.is_ok_and(|is| is.is_dir() && is.uid() == uid())
    };
    let safe = |dir: &Path| {
        let is = fs::symlink_metadata(dir);
        is.is_ok_and(|is| is.is_dir() && is_safe(is.uid(), is.mode(), uid()))
    };
    let temporary = || {
        let temporary = fs::canonicalize(temporary).ok();
        temporary.filter(|dir| dir.ancestors().all(safe)).unwrap_or_else(|| PathBuf::from("/tmp"))
    };
    runtime.filter(belongs).unwrap_or_else(temporary)
}

/// Whether nobody but its owner `owner`, who is `user` or root, can exchange what others have in a folder.
fn is_safe(owner: u32, mode: u32, user: u32) -> bool {
    let (others_write, sticky) = (mode & 0o022 != 0, mode & 0o1000 != 0);
    (owner == user || owner == 0) && (!others_write || sticky)
}

/// Whether it is a folder of this user alone.
fn is_own(path: &Path, user: u32) -> bool {
    let is = fs::symlink_metadata(path);
    is.is_ok_and(|is| is.is_dir() && is.uid() == user && is.mode() & 0o022 == 0)
}

/// As long as this is there, no other process makes folders of drills there, or looks which are dead. Where the file system
/// has no locks for folders, it does nothing.
fn guard(base: &Path) -> io::Result<File> {
    let folder = File::open(base)?;
    let _ = folder.lock();
    Ok(folder)
}

/// When a process was started, in the kernel's ticks since boot.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Number and start time of the drill that a folder is called after, if it is one of a drill.
fn drill_of(folder: &Path) -> Option<(u32, u64)> {
    let name = folder.file_name()?.to_str()?;
    let (pid, since) = name.split('.').next()?.split_once('-')?;
    Some((pid.parse().ok()?, since.parse().ok()?))
}

/// Whether the drill of a folder is dead; `None`: it is no folder of a drill.
fn is_dead(folder: &Path) -> Option<bool> {
    let (pid, since) = drill_of(folder)?;
    match File::options().write(true).open(folder.join(ALIVE)) {
        // Opened for this look only, so the lock ends with it.
        Ok(alive) => Some(alive.try_lock().is_ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some(start_time(pid) != Some(since)),
        Err(_) => Some(false),
    }
}

/// What was left of a dead drill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cleaned {
    /// Its folder.
    pub folder: PathBuf,
    /// Processes that were killed.
    pub killed: usize,
}

/// Removes what dead drills of this user left.
#[must_use]
pub fn cleanup() -> Vec<Cleaned> {
    base().map_or_else(|_| Vec::new(), |base| cleanup_within(&base))
}

fn cleanup_within(base: &Path) -> Vec<Cleaned> {
    let dead = || -> io::Result<Vec<PathBuf>> {
        let _guard = guard(base)?;
        let all = fs::read_dir(base)?.flatten().map(|folder| folder.path());
        Ok(all.filter(|folder| is_dead(folder) == Some(true)).collect())
    };
    let clean = |folder: PathBuf| {
        let killed = kill_marked(folder.file_name()?.to_str()?);
        let _ = fs::remove_dir_all(&folder);
        Some(Cleaned { folder, killed })
    };
    dead().unwrap_or_default().into_iter().filter_map(clean).collect()
}

/// Kills every process with this mark, until there is none. How many there were.
fn kill_marked(id: &str) -> usize {
    let mark = format!("{MARKER}={id}");
    let mut killed = 0;
    for _ in 0..SCANS_MAX {
        let found = marked(mark.as_bytes());
        if found.is_empty() {
            break;
        }
        killed += found.into_iter().filter(|pid| kill(*pid, mark.as_bytes())).count();
        std::thread::sleep(EVERY);
    }
    killed
}

/// Processes with this mark.
fn marked(mark: &[u8]) -> Vec<i32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let number = |e: fs::DirEntry| e.file_name().to_str()?.parse::<i32>().ok();
    all.flatten().filter_map(number).filter(|pid| is_marked(*pid, mark)).collect()
}

fn is_marked(pid: i32, mark: &[u8]) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|b| *b == 0).any(|variable| variable == mark)
}

/// Kills it, if it still has the mark: the handle is of one process, whatever becomes of its number.
fn kill(pid: i32, mark: &[u8]) -> bool {
    // SAFETY: the call takes two numbers and gives a new descriptor or -1.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let Ok(handle) = i32::try_from(handle) else { return false };
    if handle < 0 {
        return false;
    }
    // SAFETY: the descriptor was just opened and is nobody else's.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    if !is_marked(pid, mark) {
        return false;
    }
    let (fd, none) = (handle.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: an open descriptor, a signal, and no further information.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, none, 0) == 0 }
}

/// A process that removes what a drill leaves when it dies. It is told when the drill ends by itself.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    life: Option<ChildStdin>,
}

impl Watcher {
    /// Starts `PROGRAM part watch FOLDER`: in a session of its own, so that what ends the drill does not end it. Waits until it
    /// says that it watches: a drill without a watcher must not begin.
    ///
    /// # Errors
    /// It can't be started, or ended at once.
    pub fn start(program: &Path, folder: &Folder) -> io::Result<Watcher> {
        let mut command = Command::new(program);
        command.args(["part", "watch"]).arg(folder.path()).current_dir("/").env_remove(MARKER);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: between fork and exec only this system call is made; it is async-signal-safe and touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        let life = child.stdin.take();
        let mut said = [0; READY.len()];
        let read = child.stdout.take().map(|mut out| out.read_exact(&mut said));
        if matches!(read, Some(Ok(()))) && said == READY {
            return Ok(Watcher { child, life });
        }
        let _ = child.kill();
        Err(io::Error::other(format!("it does not watch: {}", child.wait()?)))
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // In a panic it is not told that all is done: it sees the end, and removes what there is.
        if let Some(mut life) = self.life.take()
            && !std::thread::panicking()
        {
            let _ = life.write_all(DONE);
        }
        let _ = self.child.wait();
    }
}

/// The body of `baleen part watch FOLDER`: says on `told` that it watches, waits on `life` until the drill ends, and removes what
/// it left unless it said that it is done.
///
/// # Errors
/// The folder is none of a drill, or nobody listens.
pub fn watch(folder: &Path, mut life: impl Read, mut told: impl Write) -> io::Result<()> {
    // Not whether it is in `base()`: after the first of several runs we may be root of a namespace, and `base()` be root's.
    let within = |base: &Path| {
        let name = base.file_name().map(|name| name.as_encoded_bytes());
        name.is_some_and(|name| name.starts_with(BASE.as_bytes())) && is_own(base, uid())
    };
    let is_drills = folder.parent().is_some_and(within) && drill_of(folder).is_some();
    let Some(id) = folder.file_name().and_then(|n| n.to_str()).filter(|_| is_drills) else {
        let why = format!("{}: it is no folder of a drill", folder.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    };
    told.write_all(READY).and_then(|()| told.flush())?;
    let mut said = Vec::new();
    // A drill says no more than this, whatever it is.
    let _ = life.by_ref().take(64).read_to_end(&mut said);
    if said != DONE {
        kill_marked(id);
        let _ = fs::remove_dir_all(folder);
    }
    Ok(())
}
