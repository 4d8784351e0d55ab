//! `baleen load`: requests to something that runs, at a rate or as fast as it answers; what became of them; whether that is enough.
//!
//! | file | part |
//! |---|---|
//! | `args.rs`, `spell.rs` | what can be asked, and how it is written |
//! | `scenario.rs` | the workloads of a scenario |
//! | `expect.rs` | thresholds |
//! | `show.rs`, `page.rs`, `progress.rs` | what people and programs get |
//!
//! Not here: sending (`baleen_drill::load`). Tested: in the files and in `tests/it/load.rs`.

mod args;
mod expect;
mod page;
mod progress;
mod scenario;
mod show;
mod spell;

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use baleen_drill::load::{Behind, Follow, Live, SoFar, Stop, Summary, write_log};

pub use args::Args;
use args::{Format, Task};
use expect::Verdict;
use progress::Progress;

use crate::exit::{Exit, Failure};
use crate::out;
use crate::run::signals;
use crate::sim::page::Page;

/// Descriptors that are needed for anything else.
const SPARE: u64 = 64;
/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What came of a load.
struct Came<'a> {
    task: &'a Task,
    /// Of each load.
    sums: Vec<Summary>,
    /// Of all together.
    all: Summary,
    verdicts: Vec<Verdict>,
    behind: Option<Behind>,
}

impl Came<'_> {
    fn held(&self) -> bool {
        self.behind.is_none() && self.verdicts.iter().all(|v| v.held)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let task = args.task()?;
    let html = open(args.html.as_deref())?;
    let log = open(args.hdr.as_deref())?;
    descriptors(&task)?;
    let began = SystemTime::now();
    let sums = send(&task, args.progress)?;
    let mut all = Summary::default();
    sums.iter().for_each(|sum| all.merge(sum));
    let verdicts = expect::judge(&args.expect, &all, task.duration);
    let behind = all.kept_up(args.late_max).err();
    let came = Came { task: &task, sums, all, verdicts, behind };
    out::data(&match args.format {
        Format::Text => show::text(&came),
        Format::Json => format!("{}\n", show::json(&came)),
    })?;
    if let Some(page) = html {
        page.write(&page::html(&came))?;
    }
    if let Some(page) = log {
        page.write(&text_log(began, &came.all)?)?;
    }
    if let Some(behind) = &came.behind {
        return Err(unbelievable(behind));
    }
    Ok(if came.held() { Exit::Fine } else { Exit::Broke })
}

/// Files are tried before anything is sent.
fn open(path: Option<&Path>) -> Result<Option<Page<'_>>, Failure> {
    path.map(Page::open).transpose()
}

fn text_log(began: SystemTime, sum: &Summary) -> Result<String, Failure> {
    let mut text = Vec::new();
    write_log(&mut text, began, sum.elapsed, &sum.intervals)
        .map_err(|e| Failure::environment(format!("the log can't be written: {e}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn unbelievable(behind: &Behind) -> Failure {
    let failure = Failure::environment(format!("{behind}. Nothing above is a result"));
    if behind.local > 0 {
        failure.hint(
            "raise `ulimit -n` or the range of local ports, or lower the rate or --connections",
        )
    } else if behind.lacked_connections() {
        failure.hint(
            "all connections were busy: the other side is slower than the rate; raise --connections, lower the rate, \
             or ask what it can do with --closed",
        )
    } else {
        failure.hint("this machine was too busy to send on time: lower the rate, give it --threads, or another machine")
    }
}

/// Each connection is a descriptor; what the system allows is raised as far as it goes.
fn descriptors(task: &Task) -> Result<(), Failure> {
    let wanted: usize = task.loads.iter().map(|(_, load)| load.connections_max).sum();
    let wanted = wanted as u64 + SPARE;
    let Some(allowed) = baleen_drill::descriptors::raise() else { return Ok(()) };
    if allowed >= wanted {
        return Ok(());
    }
    let message = format!(
        "{} connections need {wanted} open files, and {allowed} are allowed",
        wanted - SPARE
    );
    Err(Failure::environment(message).hint("raise it with `ulimit -n`, or lower --connections"))
}

/// Sends all loads, from the same moment on, and tells how far they are.
fn send(task: &Task, progress: bool) -> Result<Vec<Summary>, Failure> {
    let stopped = signals::stop_on_signal()?;
    let (stop, live, progress) = (Stop::new(), Live::new(), Progress::new(progress));
    let shown = (progress != Progress::Silent).then_some(&live);
    let start = Instant::now();
    let (done, is_done) = sync_channel::<()>(task.loads.len().max(1));
    let sums: std::io::Result<Vec<Summary>> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (_, load) in &task.loads {
            let (done, stop) = (done.clone(), &stop);
            running.push(scope.spawn(move || {
                let follow = Follow { start: Some(start), live: shown, ..Follow::default() };
                let sum = load.follow(stop, follow);
                drop(done);
                sum
            }));
        }
        drop(done);
        let (mut next, mut before) = (start + progress::EVERY, SoFar::default());
        // Nothing is ever sent there: it ends when all loads have.
        while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if *stopped.borrow() {
                stop.stop();
            }
            if Instant::now() >= next {
                next += progress::EVERY;
                if progress != Progress::Silent {
                    let seen = live.look();
                    progress.tell(start.elapsed(), task.duration, &seen, &before);
                    before = seen;
                }
            }
        }
        progress.done();
        let join = |thread: std::thread::ScopedJoinHandle<'_, std::io::Result<Summary>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    });
    sums.map_err(|e| Failure::environment(format!("the load could not run: {e}")))
}
