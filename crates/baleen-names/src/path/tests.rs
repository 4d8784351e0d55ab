//! Cutting, joining, order and printing.

use super::*;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn is_cut_and_joined_by_labels() {
    let all = path("/svc/web/v1");
    assert_eq!(all.take(2), path("/svc/web"));
    assert_eq!(all.drop(1), path("/web/v1"));
    assert_eq!(all.drop(1).take(1).to_string(), "/web");
    assert_eq!(all.drop(1).drop(1), path("/v1"));
    assert_eq!(all.take(0), Path::root());
    assert_eq!(all.take(9), all);
    assert_eq!(all.drop(3), Path::root());
    assert_eq!(all.drop(9), Path::root());
    assert_eq!(all.take(1).join(&all.drop(1)), all);
    assert_eq!(Path::root().join(&all), all);
    assert_eq!(all.join(&Path::root()), all);
    assert_eq!(all.drop(2).join(&all.take(1)).to_string(), "/v1/svc");
    assert_eq!((all.len(), all.bytes()), (3, 11));
    assert_eq!(all.labels().collect::<Vec<_>>(), [b"svc".as_slice(), b"web", b"v1"]);
    assert_eq!(all.label(1), Some(b"web".as_slice()));
    assert_eq!(all.label(3), None);
    assert_eq!(all.drop(1).label(1), Some(b"v1".as_slice()));
}

#[test]
fn starts_with_whole_labels() {
    assert!(path("/s/crawler").starts_with(&path("/s")));
    assert!(path("/s/crawler").starts_with(&Path::root()));
    assert!(path("/s").starts_with(&path("/s")));
    assert!(!path("/s#/foo").starts_with(&path("/s")));
    assert!(!path("/s").starts_with(&path("/s/crawler")));
    assert!(!path("/crawler").starts_with(&path("/c")));
}

#[test]
fn order_is_by_label() {
    let mut paths: Vec<_> = ["/b", "/a/z", "/a", "/", "/aa", "/a.b/c"].map(path).into();
    paths.sort();
    let shown: Vec<_> = paths.iter().map(Path::to_string).collect();
    assert_eq!(shown, ["/", "/a", "/a/z", "/a.b/c", "/aa", "/b"]);
    assert!(path("/a/b").drop(1) == path("/b") && path("/a/b").drop(1) <= path("/b"));
}

#[test]
fn prints_what_is_no_label_character_escaped() {
    assert_eq!(path("/\\x66\\x6F\\x6f").to_string(), "/foo");
    let odd = Path::from_labels([b"a b".as_slice(), b"\xff/", b"_:.#$%-Z9"]).expect("in bounds");
    assert_eq!(odd.to_string(), "/a\\x20b/\\xff\\x2f/_:.#$%-Z9");
    assert_eq!(path(&odd.to_string()), odd);
    assert_eq!(Path::root().to_string(), "/");
}

#[test]
fn bounds_of_labels() {
    assert_eq!(Path::from_labels(["a", ""]), None);
    assert!(Path::from_labels(vec!["a"; LABELS_MAX]).is_some());
    assert_eq!(Path::from_labels(vec!["a"; LABELS_MAX + 1]), None);
    assert_eq!(
        Path::from_labels([vec![b'a'; PATH_BYTES_MAX - 1]]).map(|p| p.bytes()),
        Some(PATH_BYTES_MAX)
    );
    assert_eq!(Path::from_labels([vec![b'a'; PATH_BYTES_MAX]]), None);
    assert_eq!(Path::from_labels([vec![b'a'; 70_000]]), None);
    // The longest path there is, all of it escaped, is read again.
    let long = Path::from_labels([vec![0xff; PATH_BYTES_MAX - 1]]).expect("in bounds");
    assert_eq!(path(&long.to_string()), long);
}
