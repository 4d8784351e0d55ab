//! `baleen load` against real servers: what it counts, what it refuses, and when it says that it is no result.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use serde_json::Value;

use crate::support::{Backend, program};

fn load(args: &[&str]) -> Output {
    program().arg("load").args(args).output().expect("run baleen load")
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/")
}

/// Runs it, with JSON as output.
fn json(args: &[&str]) -> (Option<i32>, Value) {
    let output = load(&[args, &["--format", "json"]].concat());
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), value)
}

fn number(value: &Value, path: &str) -> f64 {
    let found = path.split('/').try_fold(value, |v, key| match key.parse::<usize>() {
        Ok(nth) => v.get(nth),
        Err(_) => v.get(key),
    });
    found.and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {value}"))
}

/// What must hold of any load.
fn adds_up(value: &Value) {
    let of = |path: &str| number(value, path);
    let sum = of("requests/done") + of("requests/failed") + of("requests/skipped");
    assert_eq!(of("requests/due"), sum, "{value}");
}

/// Answers every request on a connection with these bytes, as long as it has heads.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    addr
}

/// Latency of a server that takes 20 ms (and up to 1 ms more, for its timer), from sending and from due.
#[test]
fn a_known_delay_is_measured() {
    let backend = Backend::start(&["--time", "20ms"]);
    let args = [&url(backend.addr)[..], "--rate", "200/s", "--arrivals", "constant", "-d", "2s"];
    let (code, value) = json(&[&args[..], &["--late-max", "100%"]].concat());
    assert_eq!(code, Some(0), "{value}");
    adds_up(&value);
    assert_eq!(number(&value, "requests/due"), 400.0);
    assert_eq!(number(&value, "figures/success"), 1.0);
    let (due, sent) = ("figures/latency_s", "figures/service_s");
    assert!(number(&value, &format!("{sent}/min")) >= 0.02, "{value}");
    let (felt, measured) =
        (number(&value, &format!("{due}/p50")), number(&value, &format!("{sent}/p50")));
    assert!(felt >= measured * 0.999, "{value}");
    assert_eq!(number(&value, &format!("{due}/count")), 400.0);
}

/// 100 a second, from 1 s on a ramp to 300 over 1 s: 100, 200 and then 300 in each second, to the request.
#[test]
fn ramps_are_exact_and_phases_are_counted() {
    let backend = Backend::start(&[]);
    let (code, value) = json(&[
        &url(backend.addr),
        "--rate",
        "100/s",
        "--rate",
        "1s:300/s~1s",
        "--arrivals",
        "constant",
        "-d",
        "3s",
        "--phase",
        "ramp=1s..2s",
        "--phase",
        "top=2s..3s",
        "--expect",
        "ramp:success>=50%",
        "--late-max",
        "100%",
    ]);
    assert_eq!(code, Some(0), "{value}");
    let windows: Vec<f64> = (0..3).map(|n| number(&value, &format!("windows/{n}/due"))).collect();
    assert_eq!(windows, [100.0, 200.0, 300.0]);
    assert_eq!(number(&value, "phases/0/figures/due"), 200.0);
    assert_eq!(number(&value, "phases/1/figures/due"), 300.0);
}

/// One connection and a server that takes 50 ms: 20 a second can be sent, not 200. That is no result, whatever was expected.
#[test]
fn who_can_not_keep_up_has_no_result() {
    let backend = Backend::start(&["--time", "50ms"]);
    let target = url(backend.addr);
    let args = [&target[..], "--rate", "200/s", "-d", "1s", "--connections", "1"];
    let output = load(&[&args[..], &["--expect", "success>=0%"]].concat());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{out}{err}");
    assert!(out.contains("NOT A RESULT: the generator could not keep up"), "{out}");
    assert!(
        err.contains("the generator could not keep up") && err.contains("--connections"),
        "{err}"
    );
    let (code, value) = json(&args);
    assert_eq!(
        (code, value["valid"].as_bool(), value["held"].as_bool()),
        (Some(3), Some(false), Some(false))
    );
    adds_up(&value);
    assert!(number(&value, "requests/late") > 0.0 && number(&value, "requests/skipped") > 0.0);
    // Whoever lets that pass says so.
    let (code, value) = json(&[&args[..], &["--late-max", "100%"]].concat());
    assert_eq!((code, value["valid"].as_bool()), (Some(0), Some(true)));
}

#[test]
fn thresholds_decide_the_exit_code() {
    let backend = Backend::start(&["--error", "50%", "--seed", "3"]);
    let target = url(backend.addr);
    let args = [&target[..], "--rate", "300/s", "-d", "1s", "--late-max", "100%"];
    let with = |expect: &[&str]| load(&[&args[..], expect].concat());
    let fine = with(&["--expect", "success>=20%", "--expect", "max<=1h"]);
    assert_eq!(fine.status.code(), Some(0), "{}", String::from_utf8_lossy(&fine.stdout));
    let broke = with(&["--expect", "success>=90%"]);
    assert_eq!(broke.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broke.stdout).contains("expect    success>=90%: broke"));
    // What counts as good can be said.
    let errors = with(&["--expect", "success>=100%", "--status", "2xx,500"]);
    assert_eq!(errors.status.code(), Some(0), "{}", String::from_utf8_lossy(&errors.stdout));
}

#[test]
fn a_refusing_target_is_a_result() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    for how in [&["--rate", "50/s"][..], &["--closed", "4"]] {
        let target = url(nobody);
        let (code, value) =
            json(&[&[&target[..], "-d", "300ms", "--late-max", "100%"], how].concat());
        assert_eq!(code, Some(0), "{value}");
        assert_eq!(number(&value, "figures/success"), 0.0);
        assert_eq!(number(&value, "requests/failures/connect"), number(&value, "requests/due"));
    }
}

#[test]
fn bodies_are_checked() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n";
    let target = url(answering(answer));
    let args = [&target[..], "--rate", "100/s", "-d", "300ms", "--late-max", "100%"];
    let (_, value) = json(&[&args[..], &["--contains", "is well"]].concat());
    assert_eq!(number(&value, "figures/success"), 1.0, "{value}");
    let (_, value) = json(&[&args[..], &["--contains", "wells"]].concat());
    assert_eq!(number(&value, "figures/success"), 0.0);
    assert_eq!(number(&value, "requests/wrong_body"), number(&value, "requests/due"));
}

/// Methods, fields and bodies arrive as they were written, and targets as often as their weights say.
#[test]
fn targets_have_weights_methods_and_bodies() {
    let backend = Backend::start(&["--echo"]);
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("order.json"), br#"{"n":1}"#).expect("write");
    let list = dir.path().join("targets");
    let addr = backend.addr;
    let text = format!("# two\n9 http://{addr}/a\n\n1 PUT http://{addr}/b @order.json\n");
    std::fs::write(&list, text).expect("write");
    let list = list.display().to_string();
    let (code, value) = json(&[
        "--targets",
        &list,
        "-H",
        "X-Who: me",
        "--rate",
        "500/s",
        "-d",
        "2s",
        "--late-max",
        "100%",
        "--contains",
        r#"["X-Who","me"]"#,
    ]);
    assert_eq!(code, Some(0), "{value}");
    assert_eq!(number(&value, "figures/success"), 1.0, "{value}");
    let (a, b) =
        (number(&value, "workloads/0/targets/0/due"), number(&value, "workloads/0/targets/1/due"));
    // 1,000 drawn, one in ten of them the second: five deviations are 47.
    assert!((a + b) > 800.0 && (b - (a + b) / 10.0).abs() < 50.0, "{a} {b}");
    let put = format!("PUT http://{addr}/b @{}", dir.path().join("order.json").display());
    let (_, value) = json(&[
        &put,
        "--rate",
        "50/s",
        "-d",
        "200ms",
        "--contains",
        r#""method":"PUT","target":"/b""#,
        "--late-max",
        "100%",
    ]);
    assert_eq!(number(&value, "figures/success"), 1.0, "{value}");
    let digest = format!(r#""body":{{"bytes":7,"fnv1a64":"{:016x}"}}"#, fnv1a64(br#"{"n":1}"#));
    let (_, value) =
        json(&[&put, "--rate", "50/s", "-d", "200ms", "--contains", &digest, "--late-max", "100%"]);
    assert_eq!(number(&value, "figures/success"), 1.0, "{value}");
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_closed_loop_keeps_each_connection_busy() {
    let backend = Backend::start(&["--time", "10ms"]);
    let (code, value) = json(&[&url(backend.addr), "--closed", "8", "-d", "1s", "--threads", "2"]);
    assert_eq!(code, Some(0), "{value}");
    adds_up(&value);
    assert_eq!(number(&value, "requests/connections"), 8.0);
    // Eight at a time, 10 ms each and more: at most 800 a second, and those under way at the end.
    let done = number(&value, "requests/done");
    assert!(done > 8.0 && done <= 808.0, "{value}");
    assert_eq!(number(&value, "requests/late"), 0.0);
}

#[test]
fn pages_and_logs_are_written() {
    let backend = Backend::start(&[]);
    let dir = tempfile::tempdir().expect("a folder");
    let (html, hdr) = (dir.path().join("a.html"), dir.path().join("a.hlog"));
    let (html_arg, hdr_arg) = (html.display().to_string(), hdr.display().to_string());
    let target = url(backend.addr);
    let output = load(&[&target, "--rate", "200/s", "-d", "1500ms", "--phase", "<late>=1s..2s"]);
    assert_eq!(output.status.code(), Some(2), "a name that could be markup is refused");
    let output = load(&[
        &target,
        "--rate",
        "200/s",
        "-d",
        "1500ms",
        "--phase",
        "late=1s..2s",
        "--html",
        &html_arg,
        "--hdr",
        &hdr_arg,
        "--progress",
        "--expect",
        "p99<=1h",
        "--late-max",
        "100%",
    ]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("1 of 1 s"), "a line for each second: {err}");
    let page = std::fs::read_to_string(&html).expect("the page");
    assert!(
        page.starts_with("<!doctype html>")
            && page.contains("Percentiles")
            && page.contains("late")
    );
    assert!(
        !page.contains("http-equiv") && !page.contains("src=") && !page.contains("href="),
        "fetches nothing"
    );
    let log = std::fs::read_to_string(&hdr).expect("the log");
    assert!(
        log.starts_with("#[Histogram log format version 1.3]") && log.contains("HISTFAAA"),
        "{log}"
    );
    assert!(log.lines().any(|l| l.starts_with("Tag=service,1.")), "{log}");
}

#[test]
fn a_scenario_is_sent_to_what_runs() {
    let backend = Backend::start(&["--echo"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("s.toml");
    let text = r#"
        [scenario]
        duration = "3s"
        warmup = "100ms"
        [mesh.route]
        try_timeout = "1s"
        [[workload]]
        name = "users"
        to = "/svc/web"
        rate = "200/s"
        arrivals = "constant"
        timeout = "2s"
        [[workload]]
        name = "batch"
        to = "/svc/web"
        arrivals = "closed"
        clients = 2
        think = "50ms"
        [service.web]
        replicas = 2
        time = "1ms"
        [[fault]]
        at = "1s"
        for = "1s"
        on = "web/1"
        kind = "slow"
        factor = 3
    "#;
    std::fs::write(&file, text).expect("write");
    let file = file.display().to_string();
    let to = backend.addr.to_string();
    let (code, value) = json(&[
        &file,
        "--to",
        &to,
        "--contains",
        r#""Host","web"#,
        "--late-max",
        "100%",
        "--expect",
        "during:success>=100%",
    ]);
    assert_eq!(code, Some(0), "{value}");
    adds_up(&value);
    assert_eq!(number(&value, "workloads/0/requests/due"), 600.0);
    assert!(number(&value, "workloads/1/requests/due") > 10.0, "{value}");
    let names: Vec<&str> = (0..3).filter_map(|n| value["phases"][n]["name"].as_str()).collect();
    assert_eq!(names, ["before", "during", "after"]);
    assert!(number(&value, "phases/1/figures/due") >= 200.0);
}

#[test]
fn bad_input_is_told_before_anything_starts() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let target = url(listener.local_addr().expect("an address"));
    listener.set_nonblocking(true).expect("not blocking");
    let cases: [(&[&str], &str); 16] = [
        (&[], "nothing to send"),
        (&["https://127.0.0.1/"], "https is not spoken here"),
        (&["http://no.such.name.invalid/"], "has no address"),
        (&["127.0.0.1:80"], "did you mean http://127.0.0.1:80"),
        (&[&target, "--rate", "100"], "did you mean 100/s?"),
        (&[&target, "--rate", "0/s"], "sends nothing"),
        (&[&target, "--rate", "5/s", "--closed", "3"], "cannot be used with"),
        (&[&target, "-d", "0s"], "more than nothing"),
        (&[&target, "--expect", "p99"], "expected a measure"),
        (&[&target, "--expect", "x:p99<=1s"], "there is no phase `x`"),
        (&[&target, "--phase", "x=20s..30s"], "begins when the load is over"),
        (&[&target, "--phase", "x=1s..2s", "--phase", "x=2s..3s"], "two phases"),
        (&[&target, "--body-file", "/no/such/file"], "can't read /no/such/file"),
        (&[&target, "-H", "Content-Length: 3"], "written by the load itself"),
        (&[&target, "--to", "127.0.0.1:1"], "goes with a scenario"),
        (&["no-such.toml", "--to", "127.0.0.1:1"], "no-such.toml"),
    ];
    for (args, says) in cases {
        let output = load(args);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
        assert!(output.stdout.is_empty());
    }
    let none = listener.accept().expect_err("nobody connected");
    assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
    let scenario = load(&["a.toml"]);
    assert_eq!(scenario.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&scenario.stderr).contains("need --to"));
}
