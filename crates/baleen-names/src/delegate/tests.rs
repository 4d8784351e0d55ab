//! What is told at each step.

use super::*;
use crate::Weight;

struct Toy;

impl Namers for Toy {
    type Cluster = String;

    fn lookup(&self, path: &Path) -> Named<String> {
        match path.label(2) {
            Some(b"pending") => Named::Pending,
            Some(b"empty") => Named::Empty,
            Some(b"tree") => Named::Tree(NameTree::parse("/s/x").expect("a tree")),
            Some(b"neg") | None => Named::Neg,
            Some(label) => {
                Named::Cluster { cluster: String::from_utf8_lossy(label).into(), labels: 3 }
            }
        }
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).expect(text)
}

/// Everything in one line.
fn tell(delegation: &Delegation<String>) -> String {
    let tree = |tree: &NameTree<Delegation<String>>| match tree {
        NameTree::Leaf(leaf) => tell(leaf),
        tree => format!("({})", tree.clone().map(&mut |leaf| tell(&leaf))),
    };
    let found = match &delegation.found {
        Found::Entries(fired) => {
            let each = fired
                .iter()
                .map(|fired| format!("{}.{}:{}", fired.layer, fired.entry, tree(&fired.tree)));
            format!("<{}>", each.collect::<Vec<_>>().join(", "))
        }
        Found::Utility(to) => format!("utility {}", tell(to)),
        Found::Namer(to) => format!("namer {}", tree(to)),
        Found::Leaf(leaf) => format!("={}[{}]", leaf.id, leaf.residual),
        other => format!("{other:?}"),
    };
    format!("{} {found}", delegation.path)
}

fn check(layers: &[&str], name: &str, expect: &str) {
    let layers: Vec<_> = layers.iter().map(|text| Dtab::parse(text).expect(text)).collect();
    let layers: Vec<_> = layers.iter().collect();
    assert_eq!(tell(&delegate(&layers, &path(name), &Toy)), expect);
}

#[test]
fn tells_entries_and_clusters() {
    check(&["/s => /#/n"], "/s/web/a", "/s/web/a <0.0:/#/n/web/a =/#/n/web[/a]>");
    check(
        &["/s => /#/n; /s/web => ! | /#/n/b", "/s/web => /#/n/c & 2 * /#/n/neg"],
        "/s/web",
        "/s/web <1.0:(/#/n/c =/#/n/c[/] & 2 * /#/n/neg Neg(Namer)), \
         0.1:(! | /#/n/b =/#/n/b[/]), 0.0:/#/n/web =/#/n/web[/]>",
    );
    check(&["/s => ~"], "/s/web", "/s/web <0.0:(~)>");
}

#[test]
fn tells_utilities_and_namers() {
    check(
        &["/p => /#/n"],
        "/$/io.buoyant.http.anyMethodPfx/p/GET/a",
        "/$/io.buoyant.http.anyMethodPfx/p/GET/a utility /p/a <0.0:/#/n/a =/#/n/a[/]>",
    );
    check(&[], "/$/io.buoyant.http.anyMethod/x", "/$/io.buoyant.http.anyMethod/x Neg(Utility)");
    check(&[], "/$/nil/x", "/$/nil/x Empty(Utility)");
    check(&[], "/$/fail/x", "/$/fail/x Fail");
    check(&[], "/#/n/empty", "/#/n/empty Empty(Namer)");
    check(&[], "/#/n/pending", "/#/n/pending Pending");
    check(&[], "/s/web", "/s/web Neg(Nobody)");
    check(&["/s => /#/n"], "/#/n/tree", "/#/n/tree namer /s/x <0.0:/#/n/x =/#/n/x[/]>");
}

#[test]
fn tells_where_it_was_not_followed() {
    let table = Dtab::parse("/s => /s").expect("a dtab");
    let mut at = &delegate(&[&table], &path("/s"), &Toy);
    let mut depth = 0;
    while let Found::Entries(fired) = &at.found {
        let NameTree::Leaf(next) = &fired[0].tree else { panic!("{at:?}") };
        (at, depth) = (next, depth + 1);
    }
    assert_eq!((&at.found, depth), (&Found::TooDeep, DEPTH_MAX));

    let table = Dtab::parse("/s => /s & /s").expect("a dtab");
    let all = delegate(&[&table], &path("/s"), &Toy);
    let mut names = 0;
    let mut not_followed = 0;
    let mut left = vec![&all];
    while let Some(at) = left.pop() {
        names += 1;
        not_followed += usize::from(matches!(at.found, Found::TooLarge(_)));
        if let Found::Entries(fired) = &at.found {
            fired[0].tree.for_each_leaf(&mut |leaf| left.push(leaf));
        }
    }
    assert!(names > NODES_MAX && names < NODES_MAX + 200, "{names}");
    assert!(not_followed > 0);
    assert_eq!(Weight::ONE, Weight::default());
}
