//! The grammar as tables: what is read, as what, and what is not, with the byte at which that shows.

use super::*;
use crate::Dtab;

/// Reads a tree and prints it.
fn tree(source: &str) -> String {
    NameTree::parse(source).map_or_else(|e| format!("{}: {e}", e.at()), |tree| tree.to_string())
}

fn dtab(source: &str) -> String {
    Dtab::parse(source).map_or_else(|e| format!("{}: {e}", e.at()), |dtab| dtab.to_string())
}

/// The place and both halves of the error a path gives.
fn refused(source: &str, at: usize, expected: &str, found: &str) {
    let e = Path::parse(source).expect_err(source);
    assert_eq!((e.at(), e.what_was_found().as_str()), (at, found), "{source:?}: {e}");
    assert!(e.what_was_expected().contains(expected), "{source:?}: {e}");
}

#[test]
fn paths() {
    for (source, printed) in [
        ("/", "/"),
        ("  /foo/bar  ", "/foo/bar"),
        ("/\\x66\\x6f\\x6F", "/foo"),
        ("/#/a:1/$/%/_-.", "/#/a:1/$/%/_-."),
        ("# before\n/a # after", "/a"),
        ("/ # the root", "/"),
        ("/a\u{2003}", "/a"),
        ("/\\x00\\x2a", "/\\x00\\x2a"),
    ] {
        assert_eq!(
            Path::parse(source).map(|path| path.to_string()).as_deref(),
            Ok(printed),
            "{source:?}"
        );
    }
}

#[test]
fn what_is_no_path() {
    refused("", 0, "'/'", "the end");
    refused("foo", 0, "'/'", "'f'");
    refused("/foo/bar/", 9, "a label", "the end");
    refused("/foo//bar", 5, "a label", "'/'");
    refused("/foo^bar", 4, "the end", "'^'");
    refused("/{}", 1, "the end", "'{'");
    refused("/a/{}", 3, "a label", "'{'");
    refused("/\\?", 2, "'x'", "'?'");
    refused("/\\x?", 3, "hex", "'?'");
    refused("/\\x0?", 4, "hex", "'?'");
    refused("/\\x0", 4, "hex", "the end");
    refused("/a /b", 3, "the end", "'/'");
    refused("/a\u{a0}", 2, "the end", "'\\u{a0}'");
    refused("/é", 1, "the end", "'é'");
    refused("/a/*", 3, "a label", "'*'");
    refused(&format!("/{}", "a/".repeat(300)), 513, "256 labels", "more");
    refused(&format!("/{}", "a".repeat(5000)), 1, "4096 bytes", "more");
    refused(&" ".repeat(40_000), 32_768, "32 KiB", "more");
}

#[test]
fn trees() {
    for (source, printed) in [
        ("/foo/bar", "/foo/bar"),
        ("!|~|$", "! | ~ | $"),
        ("  /foo & /bar  ", "/foo & /bar"),
        ("/foo & /bar | /baz | $", "/foo & /bar | /baz | $"),
        ("/a | /b & /c", "/a | /b & /c"),
        ("(/a | /b) & /c", "(/a | /b) & /c"),
        ("(/a & /b) & /c", "(/a & /b) & /c"),
        ("(/a | /b) | /c", "(/a | /b) | /c"),
        ("((/a)) | ((/b & /c))", "/a | /b & /c"),
        (
            "1 * /foo & 2 * /bar | .5 * /bar & .50 * /baz",
            "/foo & 2 * /bar | 0.5 * /bar & 0.5 * /baz",
        ),
        ("3*/a", "/a"),
        ("3*(/a|/b)", "/a | /b"),
        ("5.*/a&0*/b&007*/c", "5 * /a & 0 * /b & 7 * /c"),
        ("2 *\n# comment\n/a&/b", "2 * /a & /b"),
        ("!#comment", "!"),
        ("$ # comment\n| /a", "$ | /a"),
        ("/a#b | /c", "/a#b | /c"),
        ("/a |# comment\n/b", "/a | /b"),
        ("0.1*~&0.30000000000000004*/b", "0.1 * ~ & 0.30000000000000004 * /b"),
    ] {
        assert_eq!(tree(source), printed, "{source:?}");
        assert_eq!(tree(printed), printed);
    }
}

#[test]
fn binding_strength_and_shape() {
    let leaf = |text: &str| NameTree::Leaf(Path::parse(text).expect("a path"));
    let one = |text: &str| (Weight::ONE, leaf(text));
    assert_eq!(
        NameTree::parse("/foo & /bar | /baz | $"),
        Ok(NameTree::Alt(vec![
            NameTree::Union(vec![one("/foo"), one("/bar")]),
            leaf("/baz"),
            NameTree::Empty
        ]))
    );
    assert_eq!(NameTree::parse("0.25 * /a"), Ok(leaf("/a")));
    let half = Weight::new(0.5).expect("a weight");
    assert_eq!(
        NameTree::parse("0.5 * (/a | !) & /b"),
        Ok(NameTree::Union(vec![
            (half, NameTree::Alt(vec![leaf("/a"), NameTree::Fail])),
            one("/b")
        ]))
    );
}

#[test]
fn what_is_no_tree() {
    let simple = "expected a path, '!', '~', '$' or '('";
    for (source, message) in [
        ("", format!("0: {simple} at byte 0, found the end")),
        ("#", format!("1: {simple} at byte 1, found the end")),
        ("/foo &", format!("6: {simple} at byte 6, found the end")),
        ("/foo | | /bar", format!("7: {simple} at byte 7, found '|'")),
        ("| /a", format!("0: {simple} at byte 0, found '|'")),
        ("*/a", format!("0: {simple} at byte 0, found '*'")),
        ("()", format!("1: {simple} at byte 1, found ')'")),
        ("-1 * /a", format!("0: {simple} at byte 0, found '-'")),
        ("/foo & 0.1.2 * /bar", "10: expected a digit at byte 10, found '.'".to_owned()),
        ("/foo & . * /bar", "8: expected a digit at byte 8, found ' '".to_owned()),
        ("2 /a", "2: expected '*' after the weight at byte 2, found '/'".to_owned()),
        ("1e3*/a", "1: expected '*' after the weight at byte 1, found 'e'".to_owned()),
        ("(/a", "3: expected '|', '&' or ')' at byte 3, found the end".to_owned()),
        ("(/a;", "3: expected '|', '&' or ')' at byte 3, found ';'".to_owned()),
        ("/a)", "2: expected '|', '&' or the end at byte 2, found ')'".to_owned()),
        ("/a;", "2: expected '|', '&' or the end at byte 2, found ';'".to_owned()),
        ("! !", "2: expected '|', '&' or the end at byte 2, found '!'".to_owned()),
    ] {
        assert_eq!(tree(source), message, "{source:?}");
    }
}

#[test]
fn nesting_and_digits_are_bounded() {
    let nested = |depth: usize| format!("{}/a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(tree(&nested(NESTING_MAX)), "/a");
    let message = "64: expected at most 64 parentheses in each other at byte 64, found more";
    assert_eq!(tree(&nested(NESTING_MAX + 1)), message);
    assert_eq!(tree(&nested(100_000)), message);
    assert_eq!(tree(&"(".repeat(100_000)), message);
    assert!(
        tree(&format!("{}*/a&/b", "9".repeat(309)))
            .starts_with("0: expected a weight below 1.8e308")
    );
    assert!(
        tree(&format!("{}*/a&/b", "9".repeat(401))).starts_with("0: expected at most 400 digits")
    );
    assert_eq!(tree(&format!("{}*/a&/b", "1".repeat(300))).len(), 300 + " * /a & /b".len());
}

#[test]
fn dtabs() {
    for (source, printed) in [
        ("", ""),
        ("  \n # nothing\n", ""),
        ("  /=>!  ", "/ => !"),
        ("/=>!;", "/ => !"),
        ("/=>!;/foo=>/bar", "/ => !; /foo => /bar"),
        ("/a/*/c => /d;\n/* => /e ;\n", "/a/*/c => /d; /* => /e"),
        ("/foo # left\n => # right\n /bar", "/foo => /bar"),
        ("/\\x2a => /a", "/\\x2a => /a"),
        ("/a => /b;#c", "/a => /b"),
        ("/a => /b;\n/c => /d#;", "/a => /b; /c => /d#"),
    ] {
        assert_eq!(dtab(source), printed, "{source:?}");
        assert_eq!(dtab(printed), printed);
    }
    let source = "
# a comment
      /#foo => /biz  # another comment
             | ( /bliz & # yet another comment
                 /bluth ) # and one
             ; #finally
      #/ignore=>/me;
";
    assert_eq!(dtab(source), "/#foo => /biz | /bliz & /bluth");
}

#[test]
fn what_is_no_dtab() {
    for (source, message) in [
        ("/a", "2: expected '=>' at byte 2, found the end"),
        ("/a => ", "6: expected a path, '!', '~', '$' or '(' at byte 6, found the end"),
        ("/a = /b", "4: expected '>' after '=' at byte 4, found ' '"),
        ("/&!", "1: expected '=>' at byte 1, found '&'"),
        ("/foo/*bar/baz => !", "6: expected '=>' at byte 6, found 'b'"),
        ("/foo* => !", "4: expected '=>' at byte 4, found '*'"),
        (
            "/a => /b/*",
            "9: expected a label (0-9 A-Z a-z _ : . # $ % - or \\xHH) at byte 9, found '*'",
        ),
        ("/a => /b /c => /d", "9: expected '|', '&', ';' or the end at byte 9, found '/'"),
        ("/a => /b; x", "10: expected '/' at byte 10, found 'x'"),
        (";", "0: expected '/' at byte 0, found ';'"),
        ("/a=>/b;;/c=>/d", "7: expected '/' at byte 7, found ';'"),
    ] {
        assert_eq!(dtab(source), message, "{source:?}");
    }
}

#[test]
fn entries_and_bytes_are_bounded() {
    let many = |count: usize| "/a=>/b;".repeat(count);
    assert_eq!(Dtab::parse(&many(ENTRIES_MAX)).map(|dtab| dtab.len()), Ok(ENTRIES_MAX));
    let e = Dtab::parse(&many(ENTRIES_MAX + 1)).expect_err("over the bound");
    assert_eq!(
        e.to_string(),
        format!("expected at most 32768 entries at byte {}, found more", 7 * ENTRIES_MAX)
    );
    let e = Dtab::parse(&" ".repeat(DTAB_BYTES_MAX + 1)).expect_err("over the bound");
    assert_eq!(e.at(), DTAB_BYTES_MAX);
    // It fits as it is read and not as it is printed, and so could not be read again.
    let e = Dtab::parse(&format!("/=>~{}", "|~".repeat(DTAB_BYTES_MAX / 3)))
        .expect_err("over the bound");
    assert_eq!(e.what_was_expected(), OVER_TEXT);
    assert!(Dtab::parse(&format!("/=>~{}", "|~".repeat(DTAB_BYTES_MAX / 5))).is_ok());
}

#[test]
fn a_caret_points_at_the_character() {
    let caret = |source: &str| Dtab::parse(source).expect_err(source).caret(source);
    assert_eq!(caret("/a => /b;\n/c = /d;\n"), "/c = /d;\n    ^");
    assert_eq!(caret("/a => é"), "/a => é\n      ^");
    assert_eq!(caret("/é"), "/é\n ^");
    assert_eq!(caret("/a => "), "/a =>\n      ^");
    assert_eq!(caret("/a\t\r=\x1b[1m/b"), "/a  = [1m/b\n     ^");
    let long = format!("/{} => ^{}", "a".repeat(100), "b".repeat(100));
    let shown = caret(&long);
    let (line, below) = shown.split_once('\n').expect("two lines");
    assert_eq!(line.chars().nth(below.chars().count() - 1), Some('^'));
    assert!(line.starts_with('…') && line.ends_with('…') && line.chars().count() == 122, "{line}");
    // Of another text than it came from, still no panic.
    let e = Dtab::parse("/a => ééé").expect_err("no label");
    assert!(e.caret("").ends_with('^') && e.caret("ééééééé").ends_with('^'));
}

#[test]
fn where_entries_stand() {
    let check = |source: &str, expect: &[&str]| {
        let spans = super::entry_spans(source);
        let texts: Vec<&str> = spans.into_iter().map(|span| &source[span]).collect();
        assert_eq!(texts, expect, "{source:?}");
    };
    check("", &[]);
    check(" # nothing\n", &[]);
    check("/a => /b", &["/a => /b"]);
    check(
        "\n/a => /b ; # one\n  /c/* => 2 * /d & /e | ! ;\n",
        &["/a => /b", "/c/* => 2 * /d & /e | !"],
    );
    check("/a => /b ; /c", &[]);
    check("/a => /b )", &[]);
}
