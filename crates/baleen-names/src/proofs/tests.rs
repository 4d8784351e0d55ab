//! One table of tables and what is found in them.

use super::*;

/// Below `/#/files` there are `web` and `api`; what is below `/#/etcd` is not known.
struct Some2;

impl Facts for Some2 {
    fn known(&self, path: &Path, open: bool) -> Known {
        let text = path.to_string();
        match (path.label(1), path.label(2)) {
            (Some(b"etcd"), _) => Known::Maybe,
            (Some(b"files"), None) if open => Known::Maybe,
            (Some(b"files"), Some(b"web" | b"api")) => Known::Cluster,
            (Some(b"files"), _) => Known::Neg,
            _ => {
                assert!(text.starts_with("/#"), "{text}");
                Known::NoMount
            }
        }
    }
}

fn found(by_health: bool, dtab: &str) -> Vec<String> {
    let dtab = Dtab::parse(dtab).unwrap();
    let asked = [Prefix::parse("/svc/*").unwrap()];
    let question = Question { dtab: &dtab, asked: &asked, facts: &Some2, by_health };
    let say = |f: Finding| {
        let what = match f.what {
            What::Loop { entries, .. } => format!("loop {entries:?}"),
            What::MayLoop { entries } => format!("may loop {entries:?}"),
            What::Unreached => "unreached".to_owned(),
            What::Shadowed { by } => format!("shadowed by {by}"),
            What::NoMount { leaf, path } => format!("no mount {leaf} {path}"),
            What::Nowhere { leaf } => format!("nowhere {leaf}"),
            What::NeverTried { alternative, before } => format!("{alternative} after {before}"),
        };
        format!("{}: {what}", f.entry)
    };
    prove(&question).into_iter().map(say).collect()
}

fn check(dtab: &str, expect: &[&str]) {
    assert_eq!(found(true, dtab), expect, "{dtab}");
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    for dtab in [
        "",
        "/svc => /#/files",
        "/svc => /#/etcd ; /svc => /#/files ; /svc/web => 9 * /#/files/web & /#/files/api",
        "/s => /#/files ; /svc => /s ; /svc/x => /s/web | /#/etcd/x | !",
        "/http => /#/files ; /svc => /$/io.buoyant.http.domainToPathPfx/http",
        "/svc => /$/inet/127.1/80",
        "/svc/* => /#/etcd",
    ] {
        check(dtab, &[]);
    }
}

#[test]
fn loops() {
    check("/svc => /svc/prod", &["0: loop [0]"]);
    check("/a => /b ; /b => /a ; /svc => /a", &["0: loop [0, 1]"]);
    check("/svc => /a ; /a => /svc", &["0: loop [0, 1]"]);
    // For `/svc/x/y/web` it goes on, for the witness it does not.
    check("/svc => /a ; /a/*/x => /svc", &["0: may loop [0, 1]"]);
    // Not reached from any name that is asked for: no loop that matters, but useless.
    check("/svc => /#/files ; /a => /a/b", &["1: unreached"]);
}

#[test]
fn the_way_round_is_told() {
    let dtab = Dtab::parse("/svc => /svc/prod").unwrap();
    let asked = [Prefix::parse("/svc/*").unwrap()];
    let found = prove(&Question { dtab: &dtab, asked: &asked, facts: &Some2, by_health: true });
    let [Finding { what: What::Loop { way, .. }, .. }] = &found[..] else { panic!("{found:?}") };
    assert!(way.contains("/svc/prod") && !way.contains("\\x"), "{way}");
}

#[test]
fn entries_that_never_match() {
    check("/svc => /#/files ; /zk => /#/etcd", &["1: unreached"]);
    // Deeper than any name that requests have.
    check("/svc => /#/files ; /svc/web/deep => /#/etcd/x", &["1: unreached"]);
    check("/svc/web => /#/files/web ; /svc => !", &["0: shadowed by 1"]);
    check("/svc/web => /#/files/web ; /svc/* => $", &["0: shadowed by 1"]);
    check("/svc/web => /#/files/web ; /svc/api => !", &[]);
}

#[test]
fn by_name_a_cluster_that_is_there_has_the_last_word() {
    let dtab = "/svc/web => /#/etcd/web ; /svc/web => /#/files/web | /#/etcd/standby";
    assert_eq!(found(false, dtab), ["0: shadowed by 1", "1: /#/etcd/standby after /#/files/web"]);
    check(dtab, &[]);
    // What may not be there has not.
    assert_eq!(found(false, "/svc/web => /#/files/web ; /svc/web => /#/etcd/web"), [""; 0]);
}

#[test]
fn leaves_that_lead_nowhere() {
    check("/svc => /#/fiels", &["0: no mount /#/fiels /#/fiels"]);
    check("/svc/x => /#/files/xyz", &["0: nowhere /#/files/xyz"]);
    check("/svc/x => /#/files/xyz | /#/files/web", &["0: nowhere /#/files/xyz"]);
    check("/svc => /nothing/here", &["0: nowhere /nothing/here"]);
}

#[test]
fn alternatives_that_are_never_tried() {
    check("/svc/x => /#/files/web | ! | /#/files/api", &["0: /#/files/api after !"]);
    check("/svc/x => /#/etcd/x | $ | /#/files/api", &["0: /#/files/api after $"]);
    check("/svc/x => ~ | /#/files/api", &[]);
}

#[test]
fn literal_names_are_prefixes_without_stars() {
    let a = Dtab::parse("/svc/a => ! ; /svc/* => ! ; /svc/b/c => !").unwrap();
    let b = Dtab::parse("/svc/a => $ ; / => !").unwrap();
    let names: Vec<String> = literal_names(&[&a, &b]).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["/svc/a", "/svc/b/c"]);
}
