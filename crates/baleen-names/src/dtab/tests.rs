//! Prefixes, joining tables, and which entries match, small and indexed.

use super::*;
use crate::Elem;

fn path(text: &str) -> Path {
    Path::parse(text).expect(text)
}

fn dtab(text: &str) -> Dtab {
    Dtab::parse(text).expect(text)
}

fn matching(dtab: &Dtab, text: &str) -> Vec<u32> {
    let mut places = Vec::new();
    dtab.matching(&path(text), &mut |place| places.push(place));
    places.sort_unstable();
    places
}

#[test]
fn prefixes_match_by_label() {
    for (prefix, text, matches) in [
        ("/", "/", true),
        ("/", "/a/b", true),
        ("/a", "/a", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a", "/", false),
        ("/a/b", "/a", false),
        ("/*", "/", false),
        ("/*", "/a", true),
        ("/*", "/a/b", true),
        ("/a/*/c", "/a/b/c/d", true),
        ("/a/*/c", "/a/c", false),
        ("/a/*/c", "/a/b/d", false),
        ("/\\x2a", "/a", false),
        ("/\\x2a", "/\\x2a", true),
        ("/#/*", "/#/files", true),
    ] {
        let prefix = Prefix::parse(prefix).expect(prefix);
        assert_eq!(prefix.matches(&path(text)), matches, "{prefix} {text}");
    }
}

#[test]
fn prefixes_know_their_places() {
    let prefix = Prefix::parse("/a/*/\\x2a").expect("a prefix");
    let elems: Vec<_> = prefix.elems().collect();
    assert_eq!(elems, [Elem::Label(b"a"), Elem::Any, Elem::Label(b"*")]);
    assert_eq!(prefix.to_string(), "/a/*/\\x2a");
    assert_eq!(prefix.as_path(), None);
    assert_eq!(Prefix::from(path("/a/b")).as_path(), Some(&path("/a/b")));
    assert_eq!(Prefix::from(path("/a")), Prefix::parse("/a").expect("a prefix"));
    assert_ne!(Prefix::parse("/*").expect("a prefix"), Prefix::parse("/\\x2a").expect("a prefix"));
}

#[test]
fn small_and_indexed_tables_match_alike() {
    let seven = "/ => /r; /s => /1; /s/* => /2; /s/a => /3; /*/a => /4; /s/a/b => /5; /t/*/c => /6";
    let small = dtab(seven);
    let large = dtab(&format!("{seven}; /x => /y; /x/y => /z; /x/y/z => /w"));
    for (text, places) in [
        ("/", vec![0]),
        ("/s", vec![0, 1]),
        ("/s/b", vec![0, 1, 2]),
        ("/s/a", vec![0, 1, 2, 3, 4]),
        ("/s/a/b/c", vec![0, 1, 2, 3, 4, 5]),
        ("/t/a/c", vec![0, 4, 6]),
        ("/t/b", vec![0]),
    ] {
        assert_eq!(matching(&small, text), places, "{text}");
        assert_eq!(matching(&large, text), places, "{text}");
    }
    assert_eq!(matching(&Dtab::default(), "/a"), Vec::<u32>::new());
}

#[test]
fn tables_are_joined_within_bounds() {
    let (one, two) = (dtab("/a => /b"), dtab("/a => /c; /d => /e"));
    assert_eq!(
        one.concat(&two).map(|all| all.to_string()).as_deref(),
        Some("/a => /b; /a => /c; /d => /e")
    );
    assert_eq!(one.concat(&Dtab::default()), Some(one.clone()));
    assert_eq!(Dtab::default().concat(&one), Some(one.clone()));
    let entry = one.entries()[0].clone();
    assert!(Dtab::from_entries(vec![entry.clone(); ENTRIES_MAX]).is_some());
    assert_eq!(Dtab::from_entries(vec![entry; ENTRIES_MAX + 1]), None);
}

#[test]
fn prints_in_one_line_or_many() {
    let table = dtab("/a=>/b|/c;/d=>!");
    assert_eq!(table.to_string(), "/a => /b | /c; /d => !");
    assert_eq!(format!("{table:#}"), "/a => /b | /c;\n/d => !;\n");
    assert_eq!(dtab(&format!("{table:#}")), table);
    assert_eq!(format!("{:#}", Dtab::default()), "");
}
