//! Printing and reading are inverse, simplifying keeps the meaning, and no text panics.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use baleen_names::{Dentry, Dtab, NameTree, ParseError, Path, Prefix, Weight};
use proptest::prelude::*;

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-zA-Z0-9_:.#$%-]{1,8}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..6),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(label(), 0..6)
        .prop_map(|labels| Path::from_labels(labels).expect("in bounds"))
}

fn weight() -> impl Strategy<Value = Weight> {
    use prop::num::f64;
    prop_oneof![
        Just(1.0),
        (0..200u8).prop_map(|tenths| std::primitive::f64::from(tenths) / 10.0),
        f64::POSITIVE | f64::SUBNORMAL | f64::ZERO,
    ]
    .prop_filter_map("a weight", Weight::new)
}

/// Trees as they are read: alternatives and unions of two or more.
fn tree(least: usize) -> impl Strategy<Value = NameTree<Path>> {
    let leaf = prop_oneof![
        4 => path().prop_map(NameTree::Leaf),
        1 => Just(NameTree::Neg),
        1 => Just(NameTree::Fail),
        1 => Just(NameTree::Empty),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), least..5).prop_map(NameTree::Alt),
            prop::collection::vec((weight(), inner), least..5).prop_map(NameTree::Union),
        ]
    })
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop::collection::vec(prop_oneof![3 => label().prop_map(Some), 1 => Just(None)], 0..5).prop_map(
        |elems| {
            let elems: String = elems
                .into_iter()
                .map(|elem| match elem {
                    Some(label) => Path::from_labels([label]).expect("in bounds").to_string(),
                    None => "/*".to_owned(),
                })
                .collect();
            Prefix::parse(if elems.is_empty() { "/" } else { &elems }).expect("a prefix")
        },
    )
}

fn dtab() -> impl Strategy<Value = Dtab> {
    let entry = (prefix(), tree(2)).prop_map(|(prefix, dst)| Dentry { prefix, dst });
    prop::collection::vec(entry, 0..14)
        .prop_map(|entries| Dtab::from_entries(entries).expect("in bounds"))
}

/// What it is, read from what it is printed as.
fn again<T: FromStr<Err = ParseError> + Display>(value: &T) -> T {
    let text = value.to_string();
    text.parse().unwrap_or_else(|e: ParseError| panic!("{e}\n{}", e.caret(&text)))
}

/// Whatever is read is printed so that it is read the same, and printed the same; else it says where.
fn no_panic<T: FromStr<Err = ParseError> + Display + PartialEq + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(again(&value), value);
            assert_eq!(again(&value).to_string(), value.to_string());
        }
        Err(e) => {
            assert!(e.at() <= text.len() && text.is_char_boundary(e.at()), "{e}");
            assert!(e.caret(text).ends_with('^'));
        }
    }
}

fn all_no_panic(text: &str) {
    no_panic::<Path>(text);
    no_panic::<Prefix>(text);
    no_panic::<NameTree<Path>>(text);
    no_panic::<Dentry>(text);
    no_panic::<Dtab>(text);
}

/// Finagle's `eval`: none where it is negative or fails (and which of them), else who is there.
fn eval(tree: &NameTree<Path>) -> Result<BTreeSet<Path>, bool> {
    match tree {
        NameTree::Leaf(path) => Ok(BTreeSet::from([path.clone()])),
        NameTree::Empty => Ok(BTreeSet::new()),
        NameTree::Fail => Err(true),
        NameTree::Neg => Err(false),
        NameTree::Alt(trees) => {
            trees.iter().map(eval).find(|found| *found != Err(false)).unwrap_or(Err(false))
        }
        NameTree::Union(trees) if trees.len() == 1 => eval(&trees[0].1),
        NameTree::Union(trees) => {
            let found: Vec<_> = trees.iter().filter_map(|(_, tree)| eval(tree).ok()).collect();
            if found.is_empty() { Err(false) } else { Ok(found.into_iter().flatten().collect()) }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn paths_are_read_as_printed(path in path()) {
        prop_assert_eq!(again(&path), path);
    }

    #[test]
    fn prefixes_are_read_as_printed(prefix in prefix()) {
        prop_assert_eq!(again(&prefix), prefix);
    }

    #[test]
    fn trees_are_read_as_printed(tree in tree(2)) {
        prop_assert_eq!(again(&tree), tree);
    }

    #[test]
    fn trees_made_by_hand_are_read_as_what_they_mean(tree in tree(0)) {
        let read = again(&tree);
        prop_assert_eq!(read.to_string(), tree.to_string());
        prop_assert_eq!(read.simplify(), tree.simplify());
    }

    #[test]
    fn parentheses_are_only_where_they_are_needed(tree in tree(2)) {
        let text = tree.to_string();
        for (open, _) in text.match_indices('(') {
            let mut depth = 0;
            let close = text[open..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            let close = open + close.expect("closed");
            let without = format!("{} {} {}", &text[..open], &text[open + 1..close], &text[close + 1..]);
            prop_assert_ne!(without.parse().ok(), Some(tree.clone()), "{}", text);
        }
    }

    #[test]
    fn weights_are_read_as_printed(weight in weight()) {
        let text = weight.to_string();
        prop_assert_eq!(text.parse().ok().and_then(Weight::new), Some(weight));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    }

    #[test]
    fn dtabs_are_read_as_printed(dtab in dtab()) {
        prop_assert_eq!(again(&dtab), dtab.clone());
        prop_assert_eq!(format!("{dtab:#}").parse::<Dtab>().ok(), Some(dtab));
    }

    #[test]
    fn simplifying_keeps_the_meaning(tree in tree(0)) {
        let simple = tree.clone().simplify();
        prop_assert_eq!(eval(&simple), eval(&tree));
        prop_assert_eq!(simple.clone().simplify(), simple);
    }

    #[test]
    fn cutting_and_joining_are_inverse(path in path(), n in 0..8usize) {
        let (head, tail) = (path.take(n), path.drop(n));
        prop_assert_eq!(head.join(&tail), path.clone());
        prop_assert!(path.starts_with(&head));
        prop_assert_eq!(head.len() + tail.len(), path.len());
        prop_assert_eq!(tail.labels().collect::<Vec<_>>(), path.labels().skip(n).collect::<Vec<_>>());
    }

    #[test]
    fn order_of_paths_is_that_of_their_labels(a in path(), b in path()) {
        let labels = |path: &Path| path.labels().map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(a.cmp(&b), labels(&a).cmp(&labels(&b)));
        prop_assert_eq!(a == b, labels(&a) == labels(&b));
        prop_assert_eq!(a.starts_with(&b), labels(&a).starts_with(&labels(&b)));
        let prefix = Prefix::from(b.clone());
        prop_assert_eq!(prefix.matches(&a), a.starts_with(&b));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        all_no_panic(&text);
    }

    #[test]
    fn no_text_of_signs_panics(text in r"([/|&!~$();#=>*\\x.01 \n]|=>|/a|/\*|\\x2f|é){0,40}") {
        all_no_panic(&text);
    }

    #[test]
    fn no_change_to_what_is_right_panics(dtab in dtab(), at in any::<prop::sample::Index>(), put in any::<char>(), cut in 0..3usize) {
        let text: Vec<char> = dtab.to_string().chars().collect();
        let at = at.index(text.len() + 1);
        let changed: String = text[..at].iter().chain([&put]).chain(text.iter().skip(at + cut)).collect();
        all_no_panic(&changed);
    }
}
