//! `nft` and `tc`: found, given their input, waited for, and never longer than [`TIMEOUT`].
//!
//! Input goes through a file in memory and nothing is made that outlives a call (no thread), so that it may be used before a
//! process takes to a namespace of its own. Not here: what they are told. Tested: in `tests/inject/`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Maps, unshare};

/// Longest run.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most that is read of what it prints, and of its complaints.
const PRINTED_BYTES_MAX: u64 = 16 << 20;
const SAID_BYTES_MAX: usize = 4096;

/// A program on the path, or where those of the system's keeper are.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut all = std::env::split_paths(OsStr::new(&path)).chain(system);
    all.find_map(|folder| Some(folder.join(name)).filter(|p| p.is_absolute() && p.is_file()))
}

/// Run it with this as its input, and get what it prints. `apart`: in a throw-away network namespace of its own.
///
/// # Errors
/// In its own words, or what kept it from running.
pub(super) fn run(
    program: &Path,
    args: &[&str],
    input: &str,
    apart: bool,
) -> Result<String, String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    exec(program, args, input, apart).map_err(|e| format!("`{name}`: {e}"))?.map_err(|said| {
        let said = said.trim();
        let said = if said.is_empty() { "it failed without a word" } else { said };
        format!("`{name}`: {said}")
    })
}

fn exec(
    program: &Path,
    args: &[&str],
    input: &str,
    apart: bool,
) -> io::Result<Result<String, String>> {
    let mut command = Command::new(program);
    let mut printed = memory("")?;
    command.args(args).stdin(memory(input)?).stdout(printed.try_clone()?).stderr(Stdio::piped());
    if apart {
        let maps = Maps::of_now();
        // SAFETY: between fork and exec it makes system calls only.
        unsafe { command.pre_exec(move || unshare(&maps)) };
    }
    let late = Instant::now() + TIMEOUT;
    let mut child = command.spawn()?;
    let mut said = Vec::new();
    let heard = match child.stderr.take() {
        Some(mut stderr) => hear(&mut stderr, &mut said, late),
        None => Ok(()),
    };
    let ended = heard.and_then(|()| {
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() > late => return Err(io::ErrorKind::TimedOut.into()),
                None => std::thread::yield_now(),
            }
        }
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    if !ended?.success() {
        return Ok(Err(said));
    }
    let mut out = Vec::new();
    printed.rewind()?;
    printed.take(PRINTED_BYTES_MAX).read_to_end(&mut out)?;
    Ok(Ok(String::from_utf8_lossy(&out).into_owned()))
}

/// Read until it ends.
fn hear(from: &mut (impl Read + AsRawFd), said: &mut Vec<u8>, late: Instant) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let left = late.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = libc::c_int::try_from(left.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one entry, which lives through the call.
        match unsafe { libc::poll(&raw mut poll, 1, ms) } {
            0 => return Err(io::ErrorKind::TimedOut.into()),
            1.. => {}
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
            _ => return Err(io::Error::last_os_error()),
        }
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                let room = SAID_BYTES_MAX.saturating_sub(said.len()).min(n);
                said.extend_from_slice(&buffer[..room]);
            }
        }
    }
}

/// A file in memory with this in it.
fn memory(text: &str) -> io::Result<File> {
    // SAFETY: the name ends with a zero; the descriptor that comes is nobody else's.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"rules".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
