//! Carried connections over loopback.

use std::future::Future;
use std::sync::Arc;

use baleen_fault::Scope;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::super::{FaultSet, Only};
use super::*;
use crate::clock::Clock;

const LONG: Duration = Duration::from_secs(20);

fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime, async { timeout(LONG, test).await.expect("in time") })
}

/// A carried connection: the faults' keeper, the exchange's end, the upstream's end, and what tells the task.
async fn carried() -> (Rc<Faults>, TcpStream, TcpStream, Rc<Carried>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (upstream, _) = listener.accept().await.unwrap();
    let faults = Faults::new(Clock::start());
    let told = carry(&faults, &mut stream, Conn { number: 1, born: Tick::ZERO }).unwrap();
    stream.writable().await.unwrap();
    (faults, stream, upstream, told)
}

fn fault(id: u64, way: Direction, toxic: Toxic) -> Arc<Fault> {
    Arc::new(Fault {
        id,
        name: "f".into(),
        cluster: "web".into(),
        endpoint: None,
        route: None,
        path: String::new(),
        header: None,
        scope: Scope::always(Tick::ZERO),
        only: Only::All,
        first: None,
        effect: Effect::Bytes(way, toxic),
        seed: 7,
        counts: Arc::default(),
    })
}

async fn say(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
    from.write_all(text).await.unwrap();
    let mut got = vec![0; text.len()];
    to.read_exact(&mut got).await.unwrap();
    assert_eq!(got, text);
}

#[test]
fn without_faults_bytes_and_ends_pass() {
    local(async {
        let (faults, mut near, mut upstream, told) = carried().await;
        told.begin(&[], None);
        say(&mut near, &mut upstream, b"question").await;
        say(&mut upstream, &mut near, b"answer").await;
        near.shutdown().await.unwrap();
        assert_eq!(upstream.read(&mut [0; 8]).await.unwrap(), 0, "half an end passes");
        say(&mut upstream, &mut near, b"more").await;
        drop(upstream);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        while faults.carried.get() != 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn what_an_attempt_meets_ends_with_the_fault() {
    local(async {
        let (faults, mut near, mut upstream, told) = carried().await;
        let silent = fault(1, Direction::Up, Toxic::Silent { after: Duration::ZERO });
        let other = fault(2, Direction::Down, Toxic::Silent { after: Duration::ZERO });
        faults.set(FaultSet::from([Arc::clone(&silent), other]));
        told.begin(std::slice::from_ref(&silent), None);
        near.write_all(b"lost").await.unwrap();
        // The other direction works, so the task has seen all by then.
        say(&mut upstream, &mut near, b"answer").await;
        faults.set(FaultSet::from([]));
        loop {
            // What came before the task heard of it is lost, too.
            near.write_all(b"x").await.unwrap();
            let mut got = [0; 8];
            if let Ok(n) = timeout(Duration::from_millis(20), upstream.read(&mut got)).await {
                break assert!(got[..n.unwrap()].iter().all(|b| *b == b'x'));
            }
        }
        told.begin(&[], None);
        say(&mut upstream, &mut near, b"answer").await;
    });
}

#[test]
fn a_reset_is_one_for_both_sides() {
    local(async {
        let (faults, mut near, mut upstream, told) = carried().await;
        let reset = fault(1, Direction::Down, Toxic::ResetPeer { after: Duration::ZERO });
        faults.set(FaultSet::from([Arc::clone(&reset)]));
        told.begin(&[reset], None);
        upstream.write_all(b"answer").await.unwrap();
        let kind = |e: io::Error| e.kind();
        let reset = Err(io::ErrorKind::ConnectionReset);
        assert_eq!(near.read(&mut [0; 8]).await.map_err(kind), reset);
        assert_eq!(upstream.read(&mut [0; 8]).await.map_err(kind), reset);
    });
}

#[test]
fn who_lets_go_leaves_nothing_behind() {
    local(async {
        let (faults, near, mut upstream, told) = carried().await;
        let silent = [
            fault(1, Direction::Up, Toxic::Silent { after: Duration::ZERO }),
            fault(2, Direction::Down, Toxic::Silent { after: Duration::ZERO }),
        ];
        faults.set(FaultSet::from(silent.clone()));
        told.begin(&silent, None);
        drop(near);
        told.close();
        assert_eq!(upstream.read(&mut [0; 8]).await.unwrap(), 0, "the end is not swallowed");
        while faults.carried.get() != 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn one_that_never_stands_never_wakes() {
    local(async {
        let never = never().unwrap();
        assert!(!crate::exchange::connected(&never).unwrap());
        let wait = timeout(Duration::from_millis(50), never.writable()).await;
        assert!(wait.is_err() && !crate::exchange::connected(&never).unwrap());
    });
}
