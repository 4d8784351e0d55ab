//! A wrong file, a wrong services file or a wrong command line: file, line, caret, reason, hint, exit 2, nothing started.

use crate::support::program;

struct Out {
    code: Option<i32>,
    err: String,
    out: String,
}

fn run(verb: &str, config: &str, services: &[(&str, &str)]) -> Out {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("services")).expect("a folder");
    for (name, text) in services {
        std::fs::write(dir.path().join("services").join(name), text).expect("write");
    }
    let path = dir.path().join("baleen.toml");
    std::fs::write(&path, config).expect("write");
    let o = program().arg(verb).arg(&path).output().expect("run baleen");
    Out {
        code: o.status.code(),
        err: String::from_utf8_lossy(&o.stderr).into_owned(),
        out: String::from_utf8_lossy(&o.stdout).into_owned(),
    }
}

fn check(config: &str, services: &[(&str, &str)], wants: &[&str]) {
    for verb in ["check", "run"] {
        let o = run(verb, config, services);
        let all = format!("{}{}", o.err, o.out);
        assert_eq!(o.code, Some(2), "{verb}: {all}");
        for want in wants {
            assert!(all.contains(want), "{verb} does not say {want:?}:\n{all}");
        }
        assert!(!o.out.contains("listening"), "{verb} started something:\n{all}");
    }
}

const LISTENER: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n";

#[test]
fn misspelt_key() {
    let config = format!("{LISTENER}[cluster.web]\nendpoint = [\"127.0.0.1:1\"]\n");
    check(&config, &[], &["baleen.toml", "5", "^", "endpoints"]);
}

#[test]
fn misspelt_value() {
    let config = format!(
        "{LISTENER}[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\nbalance = \"peak-ewna\"\n"
    );
    check(&config, &[], &["baleen.toml", "^", "peak-ewma", "hint"]);
}

#[test]
fn not_toml() {
    check("[[listener]\n", &[], &["baleen.toml", "^"]);
}

#[test]
fn wrong_duration() {
    let config = format!(
        "{LISTENER}[route]\ntry_timeout = 300\n[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n"
    );
    check(&config, &[], &["baleen.toml", "^", "300"]);
}

#[test]
fn several_mistakes_at_once() {
    let config = format!(
        "{LISTENER}[route]\ntry_timeot = \"3s\"\n[cluster.web]\nendpoints = [\"nowhere\"]\n"
    );
    check(&config, &[], &["try_timeout", "nowhere"]);
}

#[test]
fn wrong_services_file() {
    let config = format!("{LISTENER}[namer.files]\nkind = \"files\"\ndir = \"services\"\n");
    check(&config, &[("web", "127.0.0.1:1\n127.0.0.1:port\n")], &["web", "2", "^", "port"]);
}

#[test]
fn missing_file() {
    let o = program().args(["run", "/nonexistent/baleen.toml"]).output().expect("run");
    assert_eq!(o.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&o.stderr).contains("/nonexistent/baleen.toml"));
}

#[test]
fn wrong_command_line() {
    for args in [
        vec!["rum"],
        vec!["run"],
        vec!["check", "--format", "yaml", "x"],
        vec!["backend", "--time", "fast"],
    ] {
        let o = program().args(&args).output().expect("run");
        assert_eq!(o.status.code(), Some(2), "{args:?}");
        assert!(!o.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn one_listener_that_cannot_bind_stops_everything() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = taken.local_addr().expect("address");
    let config = format!(
        "{LISTENER}[[listener]]\nlisten = \"{addr}\"\nname = \"/svc/web\"\n[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n"
    );
    let o = run("run", &config, &[]);
    assert_eq!(o.code, Some(3), "{}{}", o.err, o.out);
    assert!(o.err.contains(&addr.to_string()), "{}", o.err);
    assert!(!o.out.contains("listening"), "{}", o.out);
}
