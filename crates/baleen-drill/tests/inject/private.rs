//! Networks of their own: what is there, what rates and losses come to, and that nothing is left.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use baleen_drill::net::{Machine, Rate, Redirect, Rules, Way, What, Wish, is_private};

use crate::support::{
    Server, again, can, connect, connect_error, exchange, inside, inside_as, is_inside,
};

#[test]
fn what_is_there_was_tried() {
    let machine = Machine::probe(Wish::Auto);
    println!("{machine}");
    assert!(!is_private());
    let refused =
        Rules::new(&machine, Vec::new()).err().expect("the host's network is not touched");
    assert!(refused.contains("not a network"), "{refused}");
    let machine = Machine::probe(Wish::User);
    assert!(machine.rules().is_err_and(|why| why.contains("not to be used")));
}

#[test]
fn somebody_without_rights_has_one_too() {
    inside_as("private::somebody_without_rights_has_one_too", Some(65_534), |machine| {
        let server = Server::start();
        let mut rules = Rules::new(machine, vec![Redirect { door: 7001, to: server.addr.port() }])
            .expect("rules");
        let door = ([127, 0, 0, 1], 7001).into();
        assert_eq!(exchange(&mut connect(door)).expect("through the door"), "200");
        rules.add("a", &[(vec![7001], What::Refuse)]).expect("a rule");
        assert!(connect_error(door, Duration::from_secs(1)).is_some());
        assert_eq!(exchange(&mut connect(server.addr)).expect("not through the door"), "200");
    });
}

#[test]
fn names_are_of_one() {
    inside("private::names_are_of_one", |machine| {
        let mut rules = Rules::new(machine, Vec::new()).expect("rules");
        assert!(rules.add("a\" drop", &[(vec![1], What::Refuse)]).is_err());
        rules.add("a", &[(vec![7001], What::Refuse)]).expect("a rule");
        assert!(rules.add("a", &[(vec![7001], What::Refuse)]).is_err());
        assert!(rules.asker().has("a").expect("asked"));
        assert!(!rules.asker().has("b").expect("asked"));
        rules.remove("a").expect("gone");
        rules.remove("a").expect("gone already");
        rules.clear().expect("all gone");
        assert!(!rules.asker().has("a").expect("asked"));
    });
}

/// How long so many bytes take from a client to a server at this rate.
fn takes(rules: &mut Rules, bytes: usize, rate: u64) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let addr = listener.local_addr().expect("an address");
    let what = What::Slow(Way::There, Rate { bytes_per_second: rate });
    rules.add("slow", &[(vec![addr.port()], what)]).expect("a rate");
    let sender = std::thread::spawn(move || connect(addr).write_all(&vec![1; bytes]));
    let (mut s, _) = listener.accept().expect("accept");
    let (start, mut got) = (Instant::now(), Vec::new());
    s.read_to_end(&mut got).expect("read");
    sender.join().expect("a thread").expect("sent");
    assert_eq!(got.len(), bytes);
    rules.remove("slow").expect("gone");
    start.elapsed()
}

#[test]
fn rates_are_what_was_asked_for() {
    inside("private::rates_are_what_was_asked_for", |machine| {
        let mut rules = Rules::new(machine, Vec::new()).expect("rules");
        for (bytes, rate) in [(1_000_000, 1_000_000), (100_000, 100_000), (20_000_000, 20_000_000)]
        {
            let took = takes(&mut rules, bytes, rate).as_secs_f64();
            println!("{bytes} bytes at {rate}/s took {took:.3} s");
            assert!((0.8..1.2).contains(&took), "{bytes} bytes at {rate}/s took {took} s");
        }
    });
}

#[test]
fn losses_are_about_what_was_asked_for() {
    inside("private::losses_are_about_what_was_asked_for", |machine| {
        let server = Server::start();
        let mut rules = Rules::new(machine, Vec::new()).expect("rules");
        let port = server.addr.port();
        let mut late = |ppm: u32| {
            rules.add("loss", &[(vec![port], What::Loss(ppm))]).expect("a rule");
            // One exchange is a packet there and one back; who asks anew is not slowed by acknowledgements that were lost.
            let late: usize = std::thread::scope(|scope| {
                let one = || {
                    let mut s = connect(([127, 0, 0, 1], port).into());
                    let slow = |s: &mut _| {
                        let start = Instant::now();
                        exchange(s).expect("an answer");
                        start.elapsed() > Duration::from_millis(150)
                    };
                    (0..25).filter(|_| slow(&mut s)).count()
                };
                let all: Vec<_> = (0..16).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|t| t.join().expect("a thread")).sum()
            });
            rules.remove("loss").expect("gone");
            late
        };
        // 400 exchanges, 1 - 0.95^2 of them late: 39, give or take 6.
        let found = late(50_000);
        println!("{found} of 400 exchanges were late");
        assert!((15..70).contains(&found), "{found} of 400");
        assert_eq!(late(0), 0);
    });
}

/// Network namespaces that some process is in.
fn namespaces() -> BTreeSet<u64> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let of = |p: std::fs::DirEntry| std::fs::metadata(p.path().join("ns/net")).ok();
    processes.filter_map(of).map(|m| m.ino()).collect()
}

#[test]
fn nothing_is_left_of_who_is_killed() {
    let name = "private::nothing_is_left_of_who_is_killed";
    if is_inside(name) {
        let machine = Machine::probe(Wish::Kernel);
        let mut rules = Rules::new(&machine, Vec::new()).expect("rules");
        rules.add("a", &[(vec![7001], What::Drop(Way::Both))]).expect("a rule");
        let inode = std::fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
        println!("\nnamespace {inode}");
        // Until it is killed.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    if !can() {
        return;
    }
    let mut holder = again(name);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
    let mut out = BufReader::new(holder.stdout.take().expect("a pipe")).lines();
    let inode = out
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("namespace ").and_then(|n| n.parse::<u64>().ok()));
    let inode = inode.expect("it told its namespace");
    assert!(namespaces().contains(&inode));
    holder.kill().expect("kill -9");
    holder.wait().expect("its end");
    assert!(!namespaces().contains(&inode));
}
