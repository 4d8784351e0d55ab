//! What is said of names before a request comes: `baleen explain` from files and from a running proxy, what `baleen check` proves
//! of a table, and `baleen dtab diff`. With the real program.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Baleen, program};

/// A folder with a configuration of two services, and `rest`.
struct Place(tempfile::TempDir);

const LISTENER: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\n";
const CLUSTERS: &str = "[cluster.a]\nendpoints = [\"127.0.0.1:9001\", \"127.0.0.1:9002 3\"]\n\
                        [cluster.b]\nendpoints = [\"127.0.0.1:9003\"]\n";

impl Place {
    fn new(rest: &str) -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        place.file("baleen.toml", &format!("{LISTENER}{rest}\n{CLUSTERS}"));
        place
    }

    /// With a table of its own.
    fn with(dtab: &str) -> Place {
        Place::new(&format!("[names]\ndtab = '''\n{dtab}\n'''\n"))
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its exit code, and what it said where.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = program().current_dir(self.path()).args(args).output();
        let Output { status, stdout, stderr } = output.expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (status.code(), text(stdout), text(stderr))
    }

    fn explain(&self, args: &[&str]) -> (Option<i32>, String, String) {
        self.run(&[&["explain"], args].concat())
    }
}

#[test]
fn a_name_is_explained_down_to_its_endpoints() {
    let place = Place::with("/svc => /#/static ;\n/svc/web => 9 * /svc/a & 1 * /svc/b | /svc/c ;");
    let (code, out, err) = place.explain(&["/svc/web"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(
        out,
        "/svc/web   (the first of these that leads somewhere:)
├─ /svc/web => 9 * /svc/a & /svc/b | /svc/c   (base, entry 2)
│  ├─ 90 % /svc/a
│  │  └─ /svc => /#/static   (base, entry 1)
│  │     └─ /#/static/a   (a cluster of 2 endpoints, in the configuration)
│  │        ├─ 127.0.0.1:9001
│  │        └─ 127.0.0.1:9002 weight 3
│  ├─ 10 % /svc/b
│  │  └─ /svc => /#/static   (base, entry 1)
│  │     └─ /#/static/b   (a cluster of 1 endpoint, in the configuration)
│  │        └─ 127.0.0.1:9003
│  └─ /svc/c
│     └─ /svc => /#/static   (base, entry 1)
│        └─ /#/static/c   (leads nowhere: the namer knows no such thing (~))
└─ /svc => /#/static   (base, entry 1)
   └─ /#/static/web   (leads nowhere: the namer knows no such thing (~))

leads to: 9 * /#/static/a & /#/static/b
"
    );
}

#[test]
fn what_leads_nowhere_is_1_and_what_is_wrong_2() {
    let place = Place::new("");
    assert_eq!(place.explain(&["/svc/a"]).0, Some(0));
    let (code, out, _) = place.explain(&["/svc/none"]);
    assert!(code == Some(1) && out.ends_with("leads to: ~\n"), "{out}");
    let (code, out, _) = place.explain(&["/svc/a", "--dtab", "/svc/a => !"]);
    assert!(code == Some(1) && out.contains("!   (ends here, no alternative is tried)"), "{out}");
    let (code, out, _) = place.explain(&["/svc/a", "--dtab", "/svc/a => /svc/a"]);
    assert!(code == Some(1) && out.contains("too many names in a row"), "{out}");
    let (code, _, err) = place.explain(&["svc"]);
    assert!(
        code == Some(2) && err.contains("this is no name") && err.contains("\nsvc\n^"),
        "{err}"
    );
    let (code, _, err) = place.explain(&["/svc/a", "--dtab", "/svc/a -> /svc/b"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("\n/svc/a -> /svc/b\n       ^"), "{err}");
    assert_eq!(place.explain(&["/svc/a", "--config", "none.toml"]).0, Some(2));
    place.file("bad.toml", "[[listener]]\nlisten = 7\n");
    let (code, _, err) = place.explain(&["/svc/a", "--config", "bad.toml"]);
    assert!(code == Some(2) && err.contains("bad.toml:2:"), "{err}");
    let (code, _, err) = place.explain(&["/svc/a", "--live", "http://127.0.0.1:1"]);
    assert!(code == Some(3) && err.contains("hint: "), "{err}");
}

#[test]
fn an_override_comes_first_and_leaves_something_over() {
    let place = Place::new("");
    let over = ["/svc/a", "--dtab", "/svc/a => /svc/b/svc/a"];
    let (code, out, _) = place.explain(&over);
    assert_eq!(code, Some(0), "{out}");
    let line = "/#/static/b/svc/a   (a cluster of 1 endpoint, in the configuration; left over for it: /svc/a)";
    assert!(out.contains(line) && out.contains("(override, entry 1)"), "{out}");
    assert!(out.ends_with("leads to: /#/static/b | /#/static/a\n"), "{out}");

    let (code, out, _) = place.explain(&[&over[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["leads"]), (Some(0), &Value::Bool(true)));
    assert_eq!(json["bound"], "/#/static/b | /#/static/a");
    let fired = &json["delegation"]["children"][0];
    assert_eq!(fired["what"], "/svc/a => /svc/b/svc/a");
    assert_eq!(fired["note"], "override, entry 1");
    assert_eq!(fired["children"][0]["children"][0]["note"], "base, entry 1");
}

#[test]
fn a_running_proxy_explains_as_it_sees_it() {
    let config = format!("workers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n{LISTENER}{CLUSTERS}");
    let baleen = Baleen::start(&config);
    let admin = format!("http://{}", baleen.admin.expect("it is on"));
    let place = Place::new("");
    let live = |rest: &[&str]| place.explain(&[rest, &["--live", &admin]].concat());
    let (code, out, err) = live(&["/svc/a", "--dtab", "/svc/a => /svc/none | /svc/b"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("/#/static/b   (cluster b, 1 endpoint)"), "{out}");
    assert!(out.contains("/#/static/none   (leads nowhere"), "{out}");
    assert!(out.ends_with("leads to: /#/static/b | /#/static/a\n"), "{out}");
    assert_eq!(live(&["/svc/none"]).0, Some(1));
    let (code, out, _) = live(&["/svc/a", "--format", "json"]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["bound"]), (Some(0), &Value::from("/#/static/a")));
    // Its own idea of what is wrong, with the place.
    let (code, _, err) = place.run(&["explain", "/svc/a", "--live", &admin, "--dtab", "/svc/a =>"]);
    assert!(code == Some(2) && err.contains('^'), "{err}");
}

/// What `baleen check` says of a table, from its first line on, less the configuration's own lines before it.
fn checked(dtab: &str, says: &[&str]) {
    let place = Place::with(dtab);
    let (code, out, err) = place.run(&["check", "baleen.toml"]);
    assert_eq!(code, Some(0), "{dtab}: {err}");
    let all = format!("{out}{err}");
    assert_eq!(all.matches("warning: ").count(), says.len(), "{dtab}: {all}");
    for text in says {
        assert!(all.contains(text), "{dtab}: {all}\nlacks\n{text}");
    }
}

#[test]
fn a_table_is_proved_before_it_serves() {
    checked("/svc => /#/static ;\n/svc/web => /svc/a ;", &[]);
    checked(
        "/svc => /#/static ;\n/svc/x => /svc/y ;\n/svc/y => /svc/x ;",
        &["names go round in a circle
 --> baleen.toml:7:1
  |
7 | /svc/x => /svc/y ;
  | ^^^^^^^^^^^^^^^^ more than 100 names in a row: /svc/x"],
    );
    checked(
        "/svc => /#/static ;\n/old => /svc ;",
        &["this entry never matches
 --> baleen.toml:7:1
  |
7 | /old => /svc ;
  | ^^^^^^^^^^^^ no request here has a name that begins like this"],
    );
    checked(
        "/svc => /#/static ;\n/svc/web => /#/statik/web ;",
        &["nothing is mounted at /#/statik
 --> baleen.toml:7:1
  |
7 | /svc/web => /#/statik/web ;
  | ^^^^^^^^^^^^^^^^^^^^^^^^^ leads nowhere
  |
  = hint: did you mean `/#/static`?"],
    );
    checked(
        "/svc => /#/static ;\n/svc/web => /#/static/web ;",
        &["/#/static/web leads nowhere
 --> baleen.toml:7:1
  |
7 | /svc/web => /#/static/web ;
  | ^^^^^^^^^^^^^^^^^^^^^^^^^ there is no such thing now"],
    );
    checked(
        "/svc => /#/static ;\n/svc/web => /svc/a | ! | /svc/b ;",
        &["/svc/b is never tried
 --> baleen.toml:7:1
  |
7 | /svc/web => /svc/a | ! | /svc/b ;
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `!` before it always has the last word"],
    );
    checked(
        "/svc/web => /#/static/a ;\n/svc => ! ;\n/svc/b => /#/static/b ;",
        &["this entry is never tried
 --> baleen.toml:6:1
  |
6 | /svc/web => /#/static/a ;
  | ^^^^^^^^^^^^^^^^^^^^^^^ `/svc => !`, which is later, always has the last word"],
    );
}

#[test]
fn a_table_that_can_not_be_read_is_shown_at_the_byte() {
    let place = Place::with("/svc => /#/static ;\n/svc/web -> /svc/a ;");
    let (code, _, err) = place.run(&["check", "baleen.toml"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("7 | /svc/web -> /svc/a ;\n  |          ^ expected '=>', found '-'"),
        "{err}"
    );
}

const OLD: &str = "/svc => /#/static ;\n/svc/web => /#/static/a ;\n";

/// Runs `dtab diff` on two tables.
fn diffed(place: &Place, new: &str, rest: &[&str]) -> (Option<i32>, String, String) {
    place.file("old.dtab", OLD);
    place.file("new.dtab", new);
    place.run(&[&["dtab", "diff", "old.dtab", "new.dtab"], rest].concat())
}

#[test]
fn what_a_change_changes_is_told_name_by_name() {
    let place = Place::new("[route.\"/svc/a\"]\ntry_timeout = \"1s\"");
    let (code, out, err) = diffed(&place, &format!("{OLD}# nothing else\n"), &[]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "", "nothing changes for 4 known names\n")
    );
    // Nobody asks who is there.
    let split = "/svc => /#/static ;\n/svc/web => 99 * /#/static/a & 1 * /#/static/b ;\n";
    let (code, out, err) = diffed(&place, split, &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "/svc/web\n  - /#/static/a | /#/static/web\n  + 99 * /#/static/a & /#/static/b | /#/static/web\n"
    );
    // The configuration knows who is there.
    let (code, out, err) = diffed(&place, split, &["--config", "baleen.toml"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "/svc/web\n  - /#/static/a\n  + 99 * /#/static/a & /#/static/b\n");
    // Its names, and those that are given.
    let only_b = "/svc/b => /#/static/b ;\n";
    let (code, out, err) = diffed(&place, only_b, &["--config", "baleen.toml", "--name", "/svc/b"]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(
        out,
        "/svc/a   (lost)\n  - /#/static/a\n  + ~\n/svc/web   (lost)\n  - /#/static/a\n  + ~\n"
    );
    assert!(err.ends_with("2 would lead elsewhere, 2 of them nowhere\n"), "{err}");
    // A namer of another name moves everything.
    let (code, out, _) = diffed(&place, "/svc => /#/etcd ;\n/svc/web => /#/static/a ;\n", &[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("/svc/anything\n  - /#/static/anything\n  + /#/etcd/anything\n"), "{out}");
    let (code, out, _) = diffed(&place, "/svc => ! ;\n", &["--format", "json"]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["lost"]), (Some(1), &Value::from(2)));
    assert_eq!(json["changes"][0]["name"], "/svc/anything");
    assert_eq!(
        json["changes"][1],
        serde_json::json!({
            "name": "/svc/web", "before": "/#/static/a | /#/static/web", "after": "!", "lost": true,
        })
    );
}

#[test]
fn what_can_not_be_compared_is_2() {
    let place = Place::new("");
    let (code, _, err) = diffed(&place, "/svc => /#/static ;\n/svc/web = /x ;\n", &[]);
    assert!(code == Some(2) && err.contains("new.dtab:2: ") && err.contains('^'), "{err}");
    for rest in [&["--name", "svc"][..], &["--config", "none.toml"]] {
        let (code, _, err) = diffed(&place, OLD, rest);
        assert!(code == Some(2) && err.contains("error: "), "{rest:?}: {err}");
    }
    assert_eq!(place.run(&["dtab", "diff", "old.dtab", "none.dtab"]).0, Some(2));
    let (code, _, err) = place.run(&["dtab", "diff", "-", "-"]);
    assert!(code == Some(2) && err.contains("hint: "), "{err}");
}
