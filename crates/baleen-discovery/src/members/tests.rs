//! Forms of members, and what is refused.

use super::*;

fn read(label: &str, value: &str) -> String {
    match parse(label, value.as_bytes()) {
        Ok(Some(e)) => format!("{}*{}@{}", e.addr, e.weight, e.zone),
        Ok(None) => "no traffic".to_owned(),
        Err(why) => format!("refused: {why}"),
    }
}

#[test]
fn every_form_is_read() {
    let zone = baleen_config::zone_hash("a");
    let serverset = r#"{"serviceEndpoint":{"host":"10.0.0.1","port":80},"additionalEndpoints":{"admin":{"host":"10.0.0.1","port":9990}},"status":"ALIVE","shard":3}"#;
    for (label, value, expected) in [
        ("10.0.0.1:80", "", "10.0.0.1:80*1@0".to_owned()),
        ("10.0.0.1:80", " \n", "10.0.0.1:80*1@0".to_owned()),
        ("x", "10.0.0.1:80", "10.0.0.1:80*1@0".to_owned()),
        ("x", "10.0.0.1:80 3 zone=a\n", format!("10.0.0.1:80*3@{zone}")),
        ("x", "[::1]:80 3", "[::1]:80*3@0".to_owned()),
        (
            "x",
            r#"{"host":"10.0.0.1","port":80,"weight":2,"zone":"a"}"#,
            format!("10.0.0.1:80*2@{zone}"),
        ),
        ("x", r#"{"host":"::1","port":80}"#, "[::1]:80*1@0".to_owned()),
        ("x", r#"{"address":"10.0.0.1:80","more":[1]}"#, "10.0.0.1:80*1@0".to_owned()),
        ("x", r#"{"address":"10.0.0.1:80","weight":7}"#, "10.0.0.1:80*7@0".to_owned()),
        ("member_0000000001", serverset, "10.0.0.1:80*1@0".to_owned()),
        ("x", &serverset.replace("ALIVE", "STOPPING"), "no traffic".to_owned()),
    ] {
        assert_eq!(read(label, value), expected, "{value}");
    }
}

#[test]
fn what_is_no_member_is_refused_with_the_reason() {
    for (label, value, why) in [
        ("web-1", "", "`web-1` is no IP address"),
        ("x", "db1.local:80", "`db1.local` is no IP address"),
        ("x", "localhost:80", "another machine"),
        ("x", r#"{"address":"10.0.0.1:80 3"}"#, "nothing else"),
        ("x", "db1", "`db1` is no IP address"),
        ("x", r#"{"host":"db1","port":80}"#, "namer of kind \"dns\""),
        ("x", "10.0.0.1", "not an endpoint"),
        ("x", "10.0.0.1:0", "port 0"),
        ("x", "10.0.0.1:80 0", "not a weight"),
        ("x", "10.0.0.1:80 1 zone=", "not a zone"),
        ("x", "10.0.0.1:80\n10.0.0.2:80", "one line"),
        ("x", "{", "no JSON of a member"),
        ("x", "{}", "none of"),
        ("x", r#"{"host":"10.0.0.1"}"#, "no `port`"),
        ("x", r#"{"port":1}"#, "no `host`"),
        ("x", r#"{"host":"10.0.0.1","port":65536}"#, "1 to 65535"),
        ("x", r#"{"host":"10.0.0.1","port":-1}"#, "no JSON of a member"),
        ("x", r#"{"host":"10.0.0.1:80 3","port":1}"#, "no IP address"),
        ("x", r#"{"address":"10.0.0.1:80","host":"10.0.0.1","port":80}"#, "more than one"),
        ("x", r#"{"address":"10.0.0.1:80","zone":"a zone=b"}"#, "is no zone"),
        ("x", r#"{"serviceEndpoint":{"host":"10.0.0.1","port":80}}"#, "`status`"),
        (
            "x",
            r#"{"serviceEndpoint":{"host":"10.0.0.1","port":80},"status":"SLEEPY"}"#,
            "no status",
        ),
        ("x", "0.0.0.0:80", "listened on"),
    ] {
        let read = read(label, value);
        assert!(read.starts_with("refused: ") && read.contains(why), "{value}: {read}");
        assert!(!read.contains('\n'), "{read:?}");
    }
    let long = "1".repeat(MEMBER_BYTES_MAX + 1);
    assert!(read("x", &long).contains("more than a member has"));
    assert!(parse("x", b"\xff").unwrap_err().contains("no text"));
    let deep = format!("{{\"x\":{}", "[".repeat(10_000));
    assert!(read("x", &deep).contains("no JSON"));
}
