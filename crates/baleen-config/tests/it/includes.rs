//! Several files as one configuration.

use std::collections::BTreeMap;
use std::path::Path;

use baleen_config::{Loaded, Look, Memory, load, load_from, render};

fn read(files: &[(&str, &str)]) -> Loaded {
    let files = files.iter().map(|(name, text)| ((*name).into(), (*text).to_owned()));
    load_from(&Memory(files.collect::<BTreeMap<_, _>>()), Path::new("etc/a.toml"))
}

fn errors(files: &[(&str, &str)]) -> String {
    render(&read(files).expect_err("it is wrong"), Look::Plain)
}

const LISTENER: &str = "[[listener]]\nlisten = \"127.0.0.1:1\"\n";
const NAMER: &str = "[namer.files]\nkind = \"files\"\ndir = \"services\"\n";

#[test]
fn tables_are_put_together_and_lists_appended() {
    let a = format!(
        "include = [\"sub/b.toml\", \"./c.toml\"]\n{LISTENER}[route]\ntotal_timeout = \"9s\"\n"
    );
    let b = format!(
        "{NAMER}[route]\ntry_timeout = \"8s\"\n[route.\"/svc/x\"]\nidle_timeout = \"7s\"\n"
    );
    let c = "[[listener]]\nlisten = \"127.0.0.1:2\"\n";
    let (config, warnings) =
        read(&[("etc/a.toml", &a), ("etc/sub/b.toml", &b), ("etc/c.toml", c)]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.listeners.len(), 2);
    let r = config.route_params("/svc/x");
    assert_eq!([r.total_timeout, r.try_timeout, r.idle_timeout].map(|d| d.as_secs()), [9, 8, 7]);
    assert_eq!(config.services_dir.as_deref(), Some(Path::new("etc/sub/services")));
    assert_eq!(config.files.len(), 3);
}

#[test]
fn a_setting_in_two_files_is_an_error_that_shows_both() {
    let a = format!("include = [\"b.toml\"]\n{LISTENER}{NAMER}[route]\ntry_timeout = \"1s\"\n");
    let text = errors(&[("etc/a.toml", &a), ("etc/b.toml", "[route]\ntry_timeout = \"2s\"\n")]);
    assert!(text.contains("`try_timeout` is set in two files"), "{text}");
    assert!(text.contains("etc/b.toml:2:1") && text.contains("etc/a.toml:8:1"), "{text}");
}

#[test]
fn cycles_and_repeats_are_refused() {
    let text = errors(&[("etc/a.toml", "include = [\"a.toml\"]")]);
    assert!(text.contains("etc/a.toml includes itself") && text.contains("a.toml:1:12"), "{text}");
    let text = errors(&[
        ("etc/a.toml", "include = [\"b.toml\"]"),
        ("etc/b.toml", "include = [\"../etc/a.toml\"]"),
    ]);
    assert!(text.contains("includes itself") && text.contains("etc/b.toml:1:12"), "{text}");
    let text =
        errors(&[("etc/a.toml", "include = [\"b.toml\", \"x/../b.toml\"]"), ("etc/b.toml", "")]);
    assert!(text.contains("is included twice"), "{text}");
}

#[test]
fn depth_and_number_are_bounded() {
    let names: Vec<String> = (0..12).map(|i| format!("etc/{i}.toml")).collect();
    let texts: Vec<String> = (0..12).map(|i| format!("include = [\"{}.toml\"]", i + 1)).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    files.push(("etc/a.toml", "include = [\"0.toml\"]"));
    assert!(errors(&files).contains("more than 8 deep"));
    let many: Vec<String> = (0..40).map(|i| format!("\"{i}.toml\"")).collect();
    let text = errors(&[("etc/a.toml", &format!("include = [{}]", many.join(",")))]);
    assert!(text.contains("at most 32 are allowed"), "{text}");
}

#[test]
fn what_can_not_be_read_is_said_with_its_place() {
    let text = errors(&[("etc/a.toml", "\ninclude = [\"nope.toml\"]")]);
    assert!(
        text.contains("can not read etc/nope.toml") && text.contains("etc/a.toml:2:12"),
        "{text}"
    );
    let text = render(&read(&[]).unwrap_err(), Look::Plain);
    assert!(text.contains("can not read etc/a.toml"), "{text}");
}

#[test]
fn on_disk() {
    let dir = std::env::temp_dir().join(format!("baleen-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    write("good.toml", format!("{LISTENER}{NAMER}").as_bytes());
    write("latin.toml", b"# caf\xe9\n");
    write("large.toml", &vec![b'#'; (4 << 20) + 1]);
    assert!(load(&dir.join("good.toml")).is_ok());
    let error = |name: &str| load(&dir.join(name)).unwrap_err().remove(0);
    let latin = error("latin.toml");
    assert_eq!((latin.title.as_str(), latin.line_column()), ("this is not UTF-8 text", (1, 6)));
    assert!(error("large.toml").title.ends_with("is larger than 4 MiB"));
    assert!(error("").title.ends_with("it is not a regular file"));
    assert!(error("none.toml").title.contains("can not read"));
    std::fs::remove_dir_all(&dir).unwrap();
}
