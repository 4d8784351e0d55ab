//! `baleen demo`: three servers, Baleen in front, load that does not care; one server is killed, another turns slow.
//!
//! Everything is this same program as child processes on free loopback ports, in a folder of its own, and gone at the end.
//! Exit 0 when no request failed, 1 when one did, 3 when this machine could not do it.
//!
//! Not here: what happens when (`story.rs`), how it looks (`table.rs`), processes (`children.rs`), numbers from the admin
//! pages (`look.rs`). Tested: in `tests/cli.rs`.

mod children;
mod look;
mod story;
mod table;

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use baleen_drill::load::{Load, Pacing, Stop, Summary, Url};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};
use crate::out::{self, Unwritten};
use crate::run::signals;
use children::Cast;
use look::Seen;
use story::{Board, Story};
use table::Screen;

/// Requests per second.
const RATE: f64 = 300.0;
/// Longest wait for a response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks.
const TICK: Duration = Duration::from_secs(1);

/// See Baleen carry load while one of three servers is killed and another turns slow.
///
/// Starts three servers and a Baleen on free loopback ports, sends 300 requests per second, kills one server after a third
/// of the time (kill -9) and makes another 300 ms slower after two thirds. Exit code 0 when no request failed, else 1.
#[derive(clap::Args)]
pub struct Args {
    /// How long it takes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(3..=600))]
    seconds: u64,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let stopped = signals::stop_on_signal()?;
    let mut cast = Cast::start()?;
    let intro = table::intro(&cast, args.seconds, RATE);
    if let Err(unwritten) = out::show(&intro) {
        return unwritten.end();
    }
    let load = Load {
        pacing: Pacing::poisson(RATE),
        duration: Duration::from_secs(args.seconds),
        connections_max: 512,
        timeout: TIMEOUT,
        tag: Some("x-backend".to_owned()),
        ..Load::new(Url::to(cast.proxy, "/").with_host("web"))
    };
    let board = Mutex::new(Board::default());
    let (summary, shown) = perform(&load, &mut cast, &board, &stopped)?;
    let interrupted = *stopped.borrow();
    let seen = look::look(cast.admin);
    drop(cast);
    if let Err(unwritten) = shown {
        return unwritten.end();
    }
    let board = board.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    out::data(&table::closing(&summary, &board, &seen, interrupted))?;
    Ok(if summary.ok == summary.due { Exit::Fine } else { Exit::Broke })
}

/// Send the load, and meanwhile let the story happen and show it.
fn perform(
    load: &Load,
    cast: &mut Cast,
    board: &Mutex<Board>,
    stopped: &watch::Receiver<bool>,
) -> Result<(Summary, Result<(), Unwritten>), Failure> {
    let stop = Stop::new();
    let (done, is_done) = sync_channel(1);
    let start = Instant::now();
    let mut story = Story::new(load.duration);
    let mut screen = Screen::new(cast);
    let mut shown = Ok(());
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let summary = load.run_with(&stop, |record| story::count(board, record));
            let _ = done.send(());
            summary
        });
        let mut next = start + TICK;
        let mut failed = None;
        loop {
            let until = story.next(start).map_or(next, |at| at.min(next));
            match is_done.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            for happened in story.due(start.elapsed(), cast) {
                shown = shown.and_then(|()| screen.event(start.elapsed(), &happened));
            }
            if Instant::now() >= next {
                next += TICK;
                let seen = look::look(cast.admin);
                shown = shown.and_then(|()| screen.tick(start.elapsed(), board, &seen, cast));
            }
            if shown.is_err() || *stopped.borrow() {
                stop.stop();
            }
            if let Err(e) = cast.check() {
                stop.stop();
                failed.get_or_insert(e);
            }
        }
        let summary = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match failed {
            Some(failure) => Err(failure),
            None => summary
                .map(|summary| (summary, shown))
                .map_err(|e| Failure::environment(format!("the load could not run: {e}"))),
        }
    })
}

/// What the last look at the admin pages saw of a server.
fn state_of<'a>(seen: &'a Seen, address: &str) -> Option<&'a look::State> {
    seen.states.get(address)
}
