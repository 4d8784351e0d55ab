//! The thread that starts everything, because the kernel kills a child when the thread that started it ends.
//!
//! Not here: what becomes of children (`troupe`). Tested: below.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::MARKER;

/// Programs that wait to be started.
const WAITING_MAX: usize = 64;

/// What is started.
#[derive(Clone, Debug)]
pub struct Program {
    /// For people: `web/3`.
    pub name: String,
    /// Program and arguments. Not empty.
    pub command: Vec<OsString>,
    /// Further arguments, when it has lived before.
    pub again: Vec<OsString>,
    /// Where it runs.
    pub folder: PathBuf,
    /// The drill it belongs to.
    pub drill: String,
    /// To the end of this file it talks.
    pub log: PathBuf,
    /// Its standard output is a pipe; otherwise it goes to the log, too.
    pub tells: bool,
}

impl Program {
    fn command(&self) -> io::Result<Command> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no program");
        let mut command = Command::new(self.command.first().ok_or_else(none)?);
        let log = File::options().append(true).create(true).open(&self.log)?;
        command.args(&self.command[1..]).current_dir(&self.folder).env(MARKER, &self.drill);
        command.stdin(Stdio::null()).process_group(0);
        if self.tells {
            command.stdout(Stdio::piped());
        } else {
            command.stdout(log.try_clone()?);
        }
        command.stderr(log);
        let parent = std::process::id();
        // SAFETY: between fork and exec only these two system calls are made; both are async-signal-safe and touch no memory.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                // Had the parent died before that call, nobody would tell us.
                if libc::getppid().unsigned_abs() != parent {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Ok(())
            });
        }
        Ok(command)
    }
}

struct Wish {
    program: Program,
    answer: SyncSender<io::Result<Child>>,
}

/// Starts programs, from any thread. When it is dropped its thread ends, and the kernel kills what it started.
#[derive(Debug)]
pub struct Spawner {
    wishes: Option<SyncSender<Wish>>,
    thread: Option<JoinHandle<()>>,
}

impl Spawner {
    /// A thread that starts programs.
    ///
    /// # Errors
    /// There are no threads.
    pub fn new() -> io::Result<Spawner> {
        let (wishes, come) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("spawner".to_owned());
        let thread = thread.spawn(move || serve(&come))?;
        Ok(Spawner { wishes: Some(wishes), thread: Some(thread) })
    }

    /// Starts one.
    ///
    /// # Errors
    /// It is not there, or can't be run.
    pub fn start(&self, program: &Program) -> io::Result<Child> {
        let gone = || io::Error::other("nobody starts programs any more");
        let (answer, answered) = sync_channel(1);
        let wish = Wish { program: program.clone(), answer };
        self.wishes.as_ref().ok_or_else(gone)?.send(wish).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(wishes: &Receiver<Wish>) {
    while let Ok(Wish { program, answer }) = wishes.recv() {
        let started = program.command().and_then(|mut command| command.spawn());
        if let Err(std::sync::mpsc::SendError(Ok(mut child))) = answer.send(started) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn program(command: &[&str], folder: &std::path::Path) -> Program {
        Program {
            name: "x".to_owned(),
            command: command.iter().map(OsString::from).collect(),
            folder: folder.to_owned(),
            again: Vec::new(),
            drill: "1-1".to_owned(),
            log: folder.join("x.log"),
            tells: true,
        }
    }

    #[test]
    fn children_are_marked_and_die_with_the_spawner() {
        let dir = tempfile::tempdir().expect("a folder");
        let spawner = Spawner::new().expect("a thread");
        let script = "echo $BALEEN_DRILL; echo talk >&2; exec sleep 1000";
        let mut child =
            spawner.start(&program(&["sh", "-c", script], dir.path())).expect("a child");
        drop(spawner);
        let mut said = String::new();
        // Its end closes the pipe.
        child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
        let status = child.wait().expect("a status");
        assert!(!status.success(), "{status}");
        // Whether it spoke before the end is the scheduler's choice.
        assert!(said.is_empty() || said == "1-1\n", "{said}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        let spawner = Spawner::new().expect("a thread");
        let missing = spawner.start(&program(&["/nowhere/at/all"], dir.path()));
        assert_eq!(missing.expect_err("missing").kind(), io::ErrorKind::NotFound);
        let mut again = program(&["sh", "-c", "echo $BALEEN_DRILL"], dir.path());
        again.tells = false;
        let mut child = spawner.start(&again).expect("a child");
        assert!(child.wait().expect("a status").success());
        assert_eq!(std::fs::read_to_string(dir.path().join("x.log")).expect("a log"), "1-1\n");
    }
}
