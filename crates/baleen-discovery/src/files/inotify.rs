//! Linux inotify for one folder, through libc.
//!
//! Told: a file was closed after writing, moved in or out, or deleted; the folder itself went away; events were lost.
//! Not here: what to do about it (`watch.rs`). Tested: below and in `tests/files.rs`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of one event before its name.
const HEADER: usize = 16;
/// Names kept of one reading; more count as lost events.
const NAMES_MAX: usize = 1024;

const FILES: u32 = libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_MOVED_FROM | libc::IN_DELETE;
const FOLDER: u32 = libc::IN_DELETE_SELF | libc::IN_MOVE_SELF;

/// What happened in the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Names of files that changed.
    pub(crate) names: BTreeSet<String>,
    /// Something else changed, or events were lost: look at everything.
    pub(crate) all: bool,
    /// The folder is not this one any more.
    pub(crate) folder: bool,
}

impl Events {
    pub(crate) fn merge(&mut self, other: Events) {
        self.names.extend(other.names);
        self.all |= other.all;
        self.folder |= other.folder;
        if self.names.len() > NAMES_MAX {
            self.names.clear();
            self.all = true;
        }
    }

    /// Reads events as the kernel writes them. What does not look like one ends the reading and counts as lost.
    fn parse(mut bytes: &[u8]) -> Events {
        let mut events = Events::default();
        while !bytes.is_empty() {
            let word = |at: usize| {
                let word: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
                word.map(u32::from_ne_bytes)
            };
            let (Some(mask), Some(len)) = (word(4), word(12)) else {
                events.all = true;
                break;
            };
            let end = HEADER.saturating_add(len as usize);
            let Some(name) = bytes.get(HEADER..end) else {
                events.all = true;
                break;
            };
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            events.one(mask, name);
            bytes = bytes.get(end..).unwrap_or_default();
        }
        events
    }

    fn one(&mut self, mask: u32, name: &[u8]) {
        if mask & libc::IN_Q_OVERFLOW != 0 {
            self.all = true;
        }
        if mask & (FOLDER | libc::IN_IGNORED | libc::IN_UNMOUNT) != 0 {
            self.folder = true;
        }
        if mask & FILES != 0 {
            // A mounted ConfigMap swaps the link `..data`, behind which all files change at once.
            self.all |= name.starts_with(b"..");
            self.names.extend(std::str::from_utf8(name).map(str::to_owned));
        }
    }
}

/// A watch on one folder.
#[derive(Debug)]
pub(crate) struct Inotify {
    fd: AsyncFd<File>,
}

impl Inotify {
    /// Starts to watch. Must be called within a tokio runtime.
    pub(crate) fn new(dir: &Path) -> io::Result<Inotify> {
        // SAFETY: no pointers are passed.
        let raw = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above made this descriptor, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let path = CString::new(dir.as_os_str().as_bytes())?;
        let mask = FILES | FOLDER | libc::IN_ONLYDIR;
        // SAFETY: `path` is a C string that lives through the call.
        if unsafe { libc::inotify_add_watch(raw, path.as_ptr(), mask) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a `File` keeps its descriptor open and the same until it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(File::from(fd), Interest::READABLE)? };
        Ok(Inotify { fd })
    }

    /// Waits until something happened, and says what. Nothing is lost when the future is dropped.
    pub(crate) async fn events(&self) -> io::Result<Events> {
        loop {
            let mut ready = self.fd.readable().await?;
            let mut buffer = [0u8; 16 * 1024];
            match ready.try_io(|fd| fd.get_ref().read(&mut buffer)) {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(n)) => return Ok(Events::parse(buffer.get(..n).unwrap_or_default())),
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Err(e),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(mask: u32, name: &[u8], padding: usize) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend(mask.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(((name.len() + padding) as u32).to_ne_bytes());
        bytes.extend(name);
        bytes.extend(vec![0; padding]);
        bytes
    }

    #[test]
    fn events_are_read_as_the_kernel_writes_them() {
        let bytes = [
            event(libc::IN_MOVED_TO, b"web", 13),
            event(libc::IN_DELETE, b"api", 1),
            event(libc::IN_CLOSE_WRITE, b"\xff", 3),
        ];
        let events = Events::parse(&bytes.concat());
        assert_eq!(events.names, BTreeSet::from(["web".to_owned(), "api".to_owned()]));
        assert!(!events.all && !events.folder);
        assert!(Events::parse(&event(libc::IN_Q_OVERFLOW, b"", 0)).all);
        assert!(Events::parse(&event(libc::IN_MOVE_SELF, b"", 0)).folder);
        assert!(Events::parse(&event(libc::IN_MOVED_TO, b"..data", 2)).all);
    }

    #[test]
    fn a_torn_event_counts_as_lost() {
        let bytes = event(libc::IN_MOVED_TO, b"web", 13);
        for n in 1..bytes.len() {
            let events = Events::parse(&bytes[..n]);
            assert!(events.all && events.names.is_empty(), "{n}");
        }
    }
}
