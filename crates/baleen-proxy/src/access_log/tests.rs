//! Tests of the access log: lines are JSON whatever is in them, and what a slow disk does.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;

use super::*;

fn entry() -> Entry<'static> {
    Entry {
        unix_ms: 1_795_237_204_123,
        listener: "127.0.0.1:8080",
        client: IpAddr::from([192, 0, 2, 1]),
        method: b"GET",
        host: b"web",
        path: b"/x?y=1",
        status: 200,
        bytes_in: 0,
        bytes_out: 128,
        duration_us: 1234,
        ttfb_us: Some(1200),
        route: "/svc/web",
        cluster: "web",
        endpoint: "127.0.0.1:9001",
        attempts: 1,
        request_id: b"abc",
        outcome: "ok",
    }
}

fn line(entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    entry.push(&mut out);
    String::from_utf8(out).expect("lines are UTF-8")
}

#[test]
fn a_line_is_json() {
    assert_eq!(
        line(&entry()),
        "{\"time\":\"2026-11-21T05:00:04.123Z\",\"listener\":\"127.0.0.1:8080\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\
         \"host\":\"web\",\"path\":\"/x?y=1\",\"status\":200,\"bytes_in\":0,\"bytes_out\":128,\"duration_us\":1234,\
         \"ttfb_us\":1200,\"route\":\"/svc/web\",\"cluster\":\"web\",\"endpoint\":\"127.0.0.1:9001\",\"attempts\":1,\
         \"request_id\":\"abc\",\"outcome\":\"ok\"}\n"
    );
    let refused =
        Entry { ttfb_us: None, cluster: "", endpoint: "", host: b"", status: 404, ..entry() };
    let text = line(&refused);
    assert!(!text.contains("ttfb_us") && !text.contains("cluster") && !text.contains("\"host\""));
    assert!(text.contains("\"status\":404"));
}

#[test]
fn what_came_is_escaped_and_cut() {
    for (path, want) in [
        (&b"/\"\\"[..], r#""path":"/\"\\""#),
        (b"/a\r\nb\0\x7f", r#""path":"/a\u000d\u000ab\u0000\u007f""#),
        ("/é\u{2028}\u{85}".as_bytes(), r#""path":"/é\u2028\u0085""#),
        (b"/\xff\xc3x", "\"path\":\"/\u{fffd}\u{fffd}x\""),
    ] {
        let text = line(&Entry { path, ..entry() });
        assert!(text.contains(want), "{text} {want}");
        assert_eq!(text.matches('\n').count(), 1);
    }
    let long = vec![b'a'; 100_000];
    let text = line(&Entry { path: &long, host: &long, method: &long, ..entry() });
    assert!(text.len() < 4096 && text.contains("a…\""));
}

proptest! {
    #[test]
    fn any_bytes_make_one_line(
        path in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\PC{0,50}[\"\\\\\u{0}-\u{9f}\u{2028}]{0,50}".prop_map(String::into_bytes),
        ],
        host in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let text = line(&Entry { path: &path, host: &host, method: &host, request_id: &path, ..entry() });
        prop_assert!(text.len() < 40 << 10);
        prop_assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).expect("a line is JSON");
        prop_assert!(path.is_empty() || read["path"] == String::from_utf8_lossy(&path).as_ref());
        prop_assert!(host.is_empty() || read["host"] == String::from_utf8_lossy(&host).as_ref());
    }

    #[test]
    fn dates_go_forward(a in 0u64..253_402_300_799_000, step in 1u64..10_000_000_000) {
        let text = |ms| {
            let mut out = Vec::new();
            push_time(&mut out, ms);
            out
        };
        prop_assert!(text(a) < text(a + step) || a + step > 253_402_300_799_000);
        prop_assert_eq!(text(a).len(), 24);
    }
}

#[test]
fn dates() {
    for (ms, time, date) in [
        (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
        (784_111_777_000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
    ] {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        push_time(&mut a, ms);
        push_http_date(&mut b, ms);
        assert_eq!((a.as_slice(), b.as_slice()), (time.as_bytes(), date.as_bytes()));
    }
}

#[test]
fn off_by_default() {
    assert!(AccessLog::open(&Destination::default()).unwrap().is_none());
}

#[test]
fn lines_reach_the_file_and_rotation_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    let log = AccessLog::open(&Destination::File(path.clone())).unwrap().unwrap();
    let mut writers = [log.writer(), log.writer()];
    for writer in &mut writers {
        for _ in 0..1000 {
            writer.write(&entry());
        }
        writer.flush();
        writer.flush();
    }
    let moved = dir.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    log.reopen();
    writers[0].write(&entry());
    drop(writers);
    assert_eq!(log.dropped(), 0);
    drop(log);
    let old = std::fs::read_to_string(&moved).unwrap();
    let new = std::fs::read_to_string(&path).unwrap();
    assert!(old.starts_with("before\n"));
    let lines =
        |text: &str| text.lines().filter(|l| l.starts_with('{') && l.ends_with('}')).count();
    assert_eq!(lines(&old) + lines(&new), 2001);
    assert!(lines(&new) > 0, "the last line was handed over after the file was to be opened anew");
}

#[test]
fn a_file_that_can_not_be_opened_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(AccessLog::open(&Destination::File(dir.path().join("no/such/dir"))).is_err());
}

#[test]
fn a_disk_that_does_not_keep_up_costs_lines_and_no_time() {
    // A pipe that nobody reads, as the slowest disk there is: its buffer fills, then the log's thread waits.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is a string that ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Both ends, so that opening does not wait.
    let mut pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let log = AccessLog::open(&Destination::File(path)).unwrap().unwrap();
    let mut writer = log.writer();
    let mut written = 0u64;
    while log.dropped() == 0 {
        writer.write(&entry());
        written += 1;
        assert!(written < 1_000_000, "lines are dropped at a bound");
    }
    let dropped = log.dropped();
    assert!(dropped < written);
    // Now read, until what was not dropped is there.
    let kept = written - dropped;
    drop(writer);
    let reader = std::thread::spawn(move || {
        let (mut lines, mut buf) = (0u64, vec![0; 1 << 16]);
        while lines < kept {
            let n = pipe.read(&mut buf).unwrap();
            lines += buf[..n].iter().filter(|b| **b == b'\n').count() as u64;
        }
        pipe.flush().unwrap();
        lines
    });
    drop(log);
    assert_eq!(reader.join().unwrap(), kept);
}

#[test]
fn a_failed_write_is_counted() {
    let log = AccessLog::open(&Destination::File("/dev/full".into())).unwrap().unwrap();
    let mut writer = log.writer();
    writer.write(&entry());
    drop(writer);
    let common = Arc::clone(&log.common);
    drop(log);
    assert_eq!(common.dropped.load(Ordering::Relaxed), 1);
}
