//! From the registry's own notice to every worker.
//!
//! A real etcd; Baleen follows it; a service has one endpoint, and a change gives it another. A watch of our own tells when etcd
//! gives notice of the change (t0). Meanwhile each of several connections asks every millisecond, and the servers write down when the
//! first request of each connection arrived at the new endpoint (t1). A connection stays with one worker, and workers share out
//! connections, so the slowest connection is no faster than the slowest worker. A request is due every millisecond of a connection;
//! it is sent when the one before was answered, at the latest.
//!
//! Baleen may hear etcd before our own watch does, so that a time below 0 is possible. Tested: below, and by running it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::peers::{PORT, Tools};
use super::super::process::start;
use super::super::{sys, verify};
use super::etcd::Etcd;
use crate::repo;

/// Connections for each worker.
const PER_WORKER: usize = 4;
/// Between two requests of a connection.
const EVERY: Duration = Duration::from_millis(1);
/// Between the end of one change and the next, at least; up to twice as long, so that no timer is met.
const REST: Duration = Duration::from_millis(40);
/// Far more than a change takes.
const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &str = "/services/web/member";

/// What was measured, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    pub workers: usize,
    pub connections: usize,
    /// For each change, for each connection: from the notice to the first request at the new endpoint.
    pub delays_us: Vec<Vec<i64>>,
    pub answered: u64,
    pub failed: u64,
}

impl Delays {
    /// The longest of all.
    pub fn most_us(&self) -> i64 {
        self.delays_us.iter().flatten().copied().max().unwrap_or_default()
    }

    /// A section of the page.
    pub fn section(&self) -> String {
        let Delays { workers, connections, delays_us, answered, failed } = self;
        let each = delays_us.iter().flatten().copied().collect();
        let slowest = delays_us.iter().filter_map(|all| all.iter().copied().max()).collect();
        let row = |what: &str, mut of: Vec<i64>| {
            of.sort_unstable();
            let at = |share: f64| {
                let i = ((of.len().max(1) - 1) as f64 * share).round() as usize;
                of.get(i).copied().unwrap_or_default() as f64 / 1000.0
            };
            format!("| {what} | {:.1} | {:.1} | {:.1} |\n", at(0.5), at(0.99), at(1.0))
        };
        format!(
            "\n## From the registry's notice to every worker\n\n\
             Milliseconds from etcd's notice of a change, as a watch beside Baleen hears it, to the first request that reaches the new \
             endpoint. {} changes, {workers} workers, {connections} connections that each ask every millisecond, which is in the \
             figures. {answered} requests were answered meanwhile, {failed} failed.\n\n\
             | | median | 99 % | longest |\n|---|---|---|---|\n{}{}",
            delays_us.len(),
            row("each connection", each),
            row("the slowest connection of a change", slowest),
        )
    }
}

/// What all threads share.
struct Scene {
    started: Instant,
    stop: AtomicBool,
    /// The server that the change in progress leads to: 0 or 1.
    wanted: AtomicU64,
    /// When the first request of each connection reached it; 0 is not yet.
    arrived: Vec<AtomicU64>,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Revisions, and when they were noticed.
    noticed: Mutex<Vec<(u64, u64)>>,
}

impl Scene {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Measures so many changes.
pub fn measure(tools: &Tools, workers: usize, changes: u32) -> Result<Delays> {
    let dir = repo::target().join("bench/run/notice");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir)?;
    let connections = workers * PER_WORKER;
    let scene = Arc::new(Scene {
        started: Instant::now(),
        stop: AtomicBool::new(false),
        wanted: AtomicU64::new(0),
        arrived: (0..connections).map(|_| AtomicU64::new(0)).collect(),
        answered: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        noticed: Mutex::default(),
    });
    let servers = [server(&scene, 0)?, server(&scene, 1)?];
    let etcd = Etcd::start(&dir)?;
    let mut asker = etcd.asker()?;
    asker.put(KEY, &servers[0].to_string())?;
    let config = format!(
        "workers = {workers}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nlisten = \"127.0.0.1:{PORT}\"\nname = \"/svc/{{host}}\"\naccess_log = \"off\"\n\
         [namer.etcd]\nkind = \"etcd\"\nendpoints = [\"http://{}\"]\nprefix = \"/services\"\n",
        etcd.client
    );
    fs::write(dir.join("baleen.toml"), config)?;
    let log = File::create(dir.join("log"))?;
    let mut command = Command::new(&tools.baleen);
    command.arg("run").arg(dir.join("baleen.toml"));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut proxy = start(command, None).context("baleen")?;
    verify::wait_ready(&mut proxy, PORT)?;
    let mut watch = etcd.watch(KEY)?;
    let ours = Arc::clone(&scene);
    std::thread::spawn(move || {
        // Ends with etcd.
        while let Ok(revision) = watch.next() {
            let at = ours.now_ns();
            if let Ok(mut noticed) = ours.noticed.lock() {
                noticed.push((revision, at));
            }
        }
    });
    let (ended, ends) = mpsc::channel();
    for connection in 0..connections {
        let (scene, ended) = (Arc::clone(&scene), ended.clone());
        std::thread::spawn(move || {
            sys::exact_timers();
            let done = ask_all_the_time(&scene, connection);
            // Nobody listens when the measurement is over.
            ended.send(done.with_context(|| format!("connection {connection}"))).ok();
        });
    }
    let mut delays_us = Vec::new();
    wait_for_all(&scene, &ends).context("the first endpoint")?;
    for change in 0..changes {
        std::thread::sleep(REST + REST * (change * 37 % 100) / 100);
        delays_us.push(one_change(&scene, &ends, &mut asker, change, &servers)?);
    }
    scene.stop.store(true, Ordering::Relaxed);
    let (answered, failed) = (&scene.answered, &scene.failed);
    let (answered, failed) = (answered.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    Ok(Delays { workers, connections, delays_us, answered, failed })
}

/// Moves the service to the other server and waits until all connections have reached it.
fn one_change(
    scene: &Scene,
    ends: &mpsc::Receiver<Result<()>>,
    asker: &mut super::etcd::Asker,
    change: u32,
    servers: &[SocketAddr; 2],
) -> Result<Vec<i64>> {
    let wanted = (change + 1) % 2;
    scene.arrived.iter().for_each(|at| at.store(0, Ordering::Relaxed));
    scene.wanted.store(u64::from(wanted), Ordering::SeqCst);
    let revision = asker.put(KEY, &servers[wanted as usize].to_string())?;
    wait_for_all(scene, ends).with_context(|| format!("change {change}"))?;
    let asked = Instant::now();
    let noticed = loop {
        let noticed = scene.noticed.lock().ok();
        let found = noticed.and_then(|all| all.iter().find(|(r, _)| *r == revision).map(|n| n.1));
        if let Some(at) = found {
            break at;
        }
        if asked.elapsed() > PATIENCE {
            bail!("our own watch missed revision {revision}");
        }
        std::thread::sleep(EVERY);
    };
    let delay = |at: &AtomicU64| (at.load(Ordering::Relaxed) as i64 - noticed as i64) / 1000;
    Ok(scene.arrived.iter().map(delay).collect())
}

fn wait_for_all(scene: &Scene, ends: &mpsc::Receiver<Result<()>>) -> Result<()> {
    let asked = Instant::now();
    while scene.arrived.iter().any(|at| at.load(Ordering::SeqCst) == 0) {
        if let Ok(end) = ends.try_recv() {
            return end.and_then(|()| bail!("a connection ended"));
        }
        if asked.elapsed() > PATIENCE {
            bail!("not all connections reached the new endpoint within {PATIENCE:?}");
        }
        std::thread::sleep(EVERY);
    }
    Ok(())
}

/// A server that says which it is, and when the request arrived.
fn server(scene: &Arc<Scene>, which: u64) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let scene = Arc::clone(scene);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let scene = Arc::clone(&scene);
            std::thread::spawn(move || serve(&scene, stream, which));
        }
    });
    Ok(address)
}

fn serve(scene: &Scene, mut stream: TcpStream, which: u64) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(buffer.get_mut(filled..)?) {
            Ok(n) if n > 0 => filled += n,
            _ => return None,
        }
        if buffer.get(..filled)?.ends_with(b"\r\n\r\n") {
            let body = format!("{which} {}", scene.now_ns());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok()?;
            filled = 0;
        }
    }
}

fn ask_all_the_time(scene: &Scene, connection: usize) -> Result<()> {
    let connect = || -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", PORT))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    };
    let mut stream = connect()?;
    let slot = scene.arrived.get(connection).context("a slot")?;
    // Connections take turns within the millisecond.
    let mut due = Instant::now() + EVERY * connection as u32 / scene.arrived.len() as u32;
    while !scene.stop.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + EVERY).max(Instant::now());
        stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let (status, close, body) = answer(&mut stream)?;
        let parts = body.split_once(' ');
        let parts = parts.and_then(|(which, at)| Some((which.parse().ok()?, at.parse().ok()?)));
        match parts.filter(|_| status == 200) {
            Some((which, at)) => {
                let which: u64 = which;
                scene.answered.fetch_add(1, Ordering::Relaxed);
                if which == scene.wanted.load(Ordering::SeqCst) {
                    // Only the first counts.
                    slot.compare_exchange(0, at, Ordering::SeqCst, Ordering::Relaxed).ok();
                }
            }
            // At the start nothing may be known yet.
            None if slot.load(Ordering::Relaxed) == 0
                && scene.answered.load(Ordering::Relaxed) == 0 => {}
            None => drop(scene.failed.fetch_add(1, Ordering::Relaxed)),
        }
        if close {
            stream = connect()?;
        }
    }
    Ok(())
}

/// Status, whether the connection ends, and body.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, bool, String)> {
    let (mut status, mut length, mut close) = (0, 0, false);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            bail!("the proxy closed the connection");
        }
        let text = line.trim().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if text.starts_with("http/1.1 ") {
            status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).context("a status")?;
        } else if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().context("a length")?;
        } else if text == "connection: close" {
            close = true;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, close, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_longest() {
        let delays = Delays {
            workers: 2,
            connections: 2,
            delays_us: vec![vec![1000, 2000], vec![-100, 9000], vec![3000, 1000]],
            answered: 9,
            failed: 0,
        };
        assert_eq!(delays.most_us(), 9000);
        let text = delays.section();
        assert!(
            text.contains("| the slowest connection of a change | 3.0 | 9.0 | 9.0 |"),
            "{text}"
        );
        assert!(text.contains("| each connection | 2.0 | 9.0 | 9.0 |"), "{text}");
        assert!(text.contains("3 changes, 2 workers, 2 connections"), "{text}");
    }
}
