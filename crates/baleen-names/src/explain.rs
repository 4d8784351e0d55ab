//! A delegation as a tree of lines that a person can read: each name, the entry that fired for it, and where it ends.
//!
//! Not here: the walk (`delegate.rs`). Tested: below.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{By, Delegation, Dtab, Fired, Found, Leaf, NameTree, Weight};

/// One line and what is below it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// A name, or an entry.
    pub what: String,
    /// What becomes of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Where it leads, what is tried first at the front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// A table and what it is called: `base`, `override`.
pub type Layer<'a> = (&'a str, &'a Dtab);

/// A cluster in a few words, and a line for each of its endpoints.
pub type Described = (String, Vec<String>);

/// The delegation in words. `cluster`: what is known of a cluster.
pub fn explain<C>(
    delegation: &Delegation<C>,
    layers: &[Layer<'_>],
    cluster: &dyn Fn(&Leaf<C>) -> Described,
) -> Node {
    Explainer { layers, cluster }.name(delegation, "")
}

struct Explainer<'a, C> {
    layers: &'a [Layer<'a>],
    cluster: &'a dyn Fn(&Leaf<C>) -> Described,
}

impl<C> Explainer<'_, C> {
    fn name(&self, of: &Delegation<C>, before: &str) -> Node {
        let mut node = Node { what: format!("{before}{}", of.path), ..Node::default() };
        let note = match &of.found {
            Found::Entries(fired) => {
                node.children = fired.iter().map(|fired| self.entry(fired)).collect();
                if fired.len() > 1 { "the first of these that leads somewhere:" } else { "" }
            }
            Found::Utility(next) => {
                node.children = vec![self.name(next, "")];
                "rewritten to"
            }
            Found::Namer(tree) => {
                node.children = self.tree(tree);
                "a namer says it is"
            }
            Found::Leaf(leaf) => {
                let (words, endpoints) = (self.cluster)(leaf);
                let line = |what| Node { what, ..Node::default() };
                node.children = endpoints.into_iter().map(line).collect();
                node.note = words;
                if !leaf.residual.is_root() {
                    let _ = write!(node.note, "; left over for it: {}", leaf.residual);
                }
                return node;
            }
            Found::Neg(By::Nobody) => "leads nowhere: no entry matches (~)",
            Found::Neg(By::Utility) => "leads nowhere: it is not what this utility rewrites (~)",
            Found::Neg(By::Namer) => "leads nowhere: the namer knows no such thing (~)",
            Found::Fail => "ends here, no alternative is tried (!)",
            Found::Empty(_) => "exists, and nobody is there ($)",
            Found::Pending => "not known yet: the namer was not asked before",
            Found::TooDeep => "too many names in a row: not followed",
            Found::TooLarge(over) => {
                node.note = over.to_string();
                return node;
            }
        };
        node.note = note.to_owned();
        node
    }

    fn entry(&self, fired: &Fired<C>) -> Node {
        let layer = self.layers.get(fired.layer);
        let entry = layer.and_then(|(_, dtab)| dtab.entries().get(fired.entry));
        let what = entry.map_or_else(|| "?".to_owned(), |e| format!("{} => {}", e.prefix, e.dst));
        let note = format!("{}, entry {}", layer.map_or("?", |(name, _)| *name), fired.entry + 1);
        Node { what, note, children: self.tree(&fired.tree) }
    }

    fn tree(&self, tree: &NameTree<Delegation<C>>) -> Vec<Node> {
        match tree {
            NameTree::Leaf(of) => vec![self.name(of, "")],
            NameTree::Alt(trees) => trees.iter().flat_map(|tree| self.tree(tree)).collect(),
            NameTree::Union(trees) => {
                let all: f64 = trees.iter().map(|(weight, _)| weight.get()).sum();
                trees.iter().flat_map(|(weight, tree)| self.member(*weight, all, tree)).collect()
            }
            NameTree::Neg => vec![word("~", "leads nowhere")],
            NameTree::Fail => vec![word("!", "ends here, no alternative is tried")],
            NameTree::Empty => vec![word("$", "exists, and nobody is there")],
        }
    }

    fn member(&self, weight: Weight, all: f64, tree: &NameTree<Delegation<C>>) -> Vec<Node> {
        let share = if all > 0.0 { weight.get() / all * 100.0 } else { 0.0 };
        let share = format!("{} % ", (share * 100.0).round() / 100.0);
        match tree {
            NameTree::Leaf(of) => vec![self.name(of, &share)],
            tree => vec![Node { what: share, note: String::new(), children: self.tree(tree) }],
        }
    }
}

fn word(what: &str, note: &str) -> Node {
    Node { what: what.to_owned(), note: note.to_owned(), children: Vec::new() }
}

impl Node {
    /// The tree as text, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "", "");
        out
    }

    fn write(&self, out: &mut String, first: &str, rest: &str) {
        let _ = write!(out, "{first}{}", self.what);
        if !self.note.is_empty() {
            let _ = write!(out, "   ({})", self.note);
        }
        out.push('\n');
        let last = self.children.len().saturating_sub(1);
        for (i, child) in self.children.iter().enumerate() {
            let (branch, below) = if i == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.write(out, &format!("{rest}{branch}"), &format!("{rest}{below}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Named, Namers, Path, delegate};

    struct Toy;

    impl Namers for Toy {
        type Cluster = usize;

        fn lookup(&self, path: &Path) -> Named<usize> {
            match path.label(2) {
                Some(label) if label.starts_with(b"web") => {
                    Named::Cluster { cluster: 2, labels: 3 }
                }
                Some(_) => Named::Neg,
                None => Named::Pending,
            }
        }
    }

    fn check(base: &str, over: &str, name: &str, expect: &str) {
        let (base, over) = (Dtab::parse(base).unwrap(), Dtab::parse(over).unwrap());
        let of = delegate(&[&base, &over], &Path::parse(name).unwrap(), &Toy);
        let cluster = |leaf: &Leaf<usize>| {
            (format!("{} endpoints", leaf.cluster), vec!["10.0.0.1:80".to_owned()])
        };
        let node = explain(&of, &[("base", &base), ("override", &over)], &cluster);
        assert_eq!(node.text(), expect);
        let json = serde_json::to_string(&node).unwrap();
        assert_eq!(serde_json::from_str::<Node>(&json).unwrap(), node);
    }

    #[test]
    fn each_step_and_the_entry_that_fired() {
        check(
            "/svc => /#/files ; /svc/web => 9 * /#/files/web-1 & 1 * /#/files/other",
            "",
            "/svc/web",
            "/svc/web   (the first of these that leads somewhere:)
├─ /svc/web => 9 * /#/files/web-1 & /#/files/other   (base, entry 2)
│  ├─ 90 % /#/files/web-1   (2 endpoints)
│  │  └─ 10.0.0.1:80
│  └─ 10 % /#/files/other   (leads nowhere: the namer knows no such thing (~))
└─ /svc => /#/files   (base, entry 1)
   └─ /#/files/web   (2 endpoints)
      └─ 10.0.0.1:80
",
        );
    }

    #[test]
    fn overrides_residuals_and_ends() {
        check(
            "/svc => /#/files",
            "/svc/x => /svc/web/svc/x | ! ",
            "/svc/x",
            "/svc/x   (the first of these that leads somewhere:)
├─ /svc/x => /svc/web/svc/x | !   (override, entry 1)
│  ├─ /svc/web/svc/x
│  │  └─ /svc => /#/files   (base, entry 1)
│  │     └─ /#/files/web/svc/x   (2 endpoints; left over for it: /svc/x)
│  │        └─ 10.0.0.1:80
│  └─ !   (ends here, no alternative is tried)
└─ /svc => /#/files   (base, entry 1)
   └─ /#/files/x   (leads nowhere: the namer knows no such thing (~))
",
        );
        check("", "", "/svc/x", "/svc/x   (leads nowhere: no entry matches (~))\n");
        check(
            "/svc => /$/io.buoyant.hostportPfx/h ; /h => /#/files",
            "",
            "/svc/web:80",
            "/svc/web:80
└─ /svc => /$/io.buoyant.hostportPfx/h   (base, entry 1)
   └─ /$/io.buoyant.hostportPfx/h/web:80   (rewritten to)
      └─ /h/web/80
         └─ /h => /#/files   (base, entry 2)
            └─ /#/files/web/80   (2 endpoints; left over for it: /80)
               └─ 10.0.0.1:80
",
        );
    }
}
