//! Simplification by Finagle's rules, printing of trees that were not read, weights.

use super::*;

type Tree = NameTree<&'static str>;

fn leaf(text: &'static str) -> Tree {
    NameTree::Leaf(text)
}

fn alt<const N: usize>(trees: [Tree; N]) -> Tree {
    NameTree::Alt(trees.into())
}

fn all<const N: usize>(trees: [Tree; N]) -> Tree {
    NameTree::Union(trees.map(|tree| (Weight::ONE, tree)).into())
}

#[test]
fn simplifies_as_finagle_does() {
    use NameTree::{Empty, Fail, Neg};
    for (tree, simple) in [
        (leaf("a"), leaf("a")),
        (alt([]), Neg),
        (all([]), Neg),
        (alt([Neg, leaf("a")]), leaf("a")),
        (alt([leaf("a"), Neg, leaf("b")]), alt([leaf("a"), leaf("b")])),
        (alt([leaf("a"), Fail, leaf("b")]), alt([leaf("a"), Fail])),
        (alt([Fail, leaf("b")]), Fail),
        (alt([Empty, leaf("b")]), alt([Empty, leaf("b")])),
        (alt([alt([leaf("a"), Neg]), leaf("b")]), alt([leaf("a"), leaf("b")])),
        (alt([Neg, Neg]), Neg),
        (all([Fail, leaf("a")]), leaf("a")),
        (all([Fail, Neg]), Neg),
        (all([Fail]), Fail),
        (all([alt([Neg, Fail]), leaf("a"), leaf("b")]), all([leaf("a"), leaf("b")])),
        (all([Empty, leaf("a")]), all([Empty, leaf("a")])),
    ] {
        assert_eq!(tree.clone().simplify(), simple, "{tree}");
        assert_eq!(simple.clone().simplify(), simple);
    }
}

#[test]
fn prints_wrappings_of_one_and_none_as_what_they_mean() {
    assert_eq!(alt([]).to_string(), "~");
    assert_eq!(all([]).to_string(), "~");
    assert_eq!(alt([all([leaf("/a"), leaf("/b")])]).to_string(), "/a & /b");
    assert_eq!(all([alt([leaf("/a"), leaf("/b")])]).to_string(), "/a | /b");
    assert_eq!(
        all([alt([alt([leaf("/a"), leaf("/b")])]), leaf("/c")]).to_string(),
        "(/a | /b) & /c"
    );
    let two = Weight::new(2.0).expect("a weight");
    assert_eq!(NameTree::Union(vec![(two, leaf("/a"))]).to_string(), "/a");
}

#[test]
fn maps_and_visits_leaves() {
    let tree = alt([leaf("a"), all([leaf("b"), NameTree::Empty]), NameTree::Fail]);
    let mut seen = Vec::new();
    tree.for_each_leaf(&mut |leaf| seen.push(*leaf));
    assert_eq!(seen, ["a", "b"]);
    assert_eq!(tree.map(&mut |leaf| format!("/{leaf}")).to_string(), "/a | /b & $ | !");
}

#[test]
fn weights() {
    for (weight, printed) in
        [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.1, "0.1"), (1e21, "1000000000000000000000")]
    {
        assert_eq!(Weight::new(weight).map(|w| w.to_string()).as_deref(), Some(printed));
    }
    for weight in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MIN_POSITIVE] {
        assert_eq!(Weight::new(weight), None);
    }
    assert_eq!(
        Weight::new(f64::MIN_POSITIVE).map(|w| w.to_string().parse()),
        Some(Ok(f64::MIN_POSITIVE))
    );
}
