//! A target as a flat list, for recordings: read back without recursion that the bytes could drive as deep as they like.
//!
//! Not here: walking it (`route.rs`). Tested: below.

use alloc::vec::Vec;

use baleen_base::ClusterId;
use serde::{Deserialize, Serialize};

use crate::Target;

/// Deepest tree that is read back.
const DEPTH_MAX: usize = 128;

/// Nodes in order, each before its children.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Flat(Vec<Node>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Node {
    Cluster(ClusterId),
    /// With so many children, each after its weight.
    Union(u32),
    Weight(u32),
    /// With so many children.
    Alt(u32),
}

impl From<Target> for Flat {
    fn from(target: Target) -> Flat {
        fn add(out: &mut Vec<Node>, target: &Target) {
            match target {
                Target::Cluster(c) => out.push(Node::Cluster(*c)),
                Target::Union(children) => {
                    out.push(Node::Union(children.len() as u32));
                    for (weight, child) in children {
                        out.push(Node::Weight(*weight));
                        add(out, child);
                    }
                }
                Target::Alt(children) => {
                    out.push(Node::Alt(children.len() as u32));
                    children.iter().for_each(|child| add(out, child));
                }
            }
        }
        let mut out = Vec::new();
        add(&mut out, &target);
        Flat(out)
    }
}

impl TryFrom<Flat> for Target {
    type Error = &'static str;

    fn try_from(flat: Flat) -> Result<Target, &'static str> {
        fn read(nodes: &mut impl Iterator<Item = Node>, depth: usize) -> Option<Target> {
            if depth > DEPTH_MAX {
                return None;
            }
            Some(match nodes.next()? {
                Node::Cluster(c) => Target::Cluster(c),
                Node::Weight(_) => return None,
                Node::Union(n) => {
                    let mut children = Vec::new();
                    for _ in 0..n {
                        let Node::Weight(weight) = nodes.next()? else { return None };
                        children.push((weight, read(nodes, depth + 1)?));
                    }
                    Target::Union(children)
                }
                Node::Alt(n) => {
                    let mut children = Vec::new();
                    for _ in 0..n {
                        children.push(read(nodes, depth + 1)?);
                    }
                    Target::Alt(children)
                }
            })
        }
        let mut nodes = flat.0.into_iter();
        let target = read(&mut nodes, 0).ok_or("no tree of targets")?;
        if nodes.next().is_some() { Err("more than one tree of targets") } else { Ok(target) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let c = |n| Target::Cluster(ClusterId(n));
        let t = Target::Alt(alloc::vec![
            Target::Union(alloc::vec![(9, c(1)), (1, Target::Alt(alloc::vec![]))]),
            c(2),
        ]);
        let bytes = postcard::to_allocvec(&t).unwrap();
        assert_eq!(postcard::from_bytes::<Target>(&bytes), Ok(t));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let deep = Flat(alloc::vec![Node::Alt(1); 100_000]);
        let bytes = postcard::to_allocvec(&deep).unwrap();
        assert!(postcard::from_bytes::<Target>(&bytes).is_err());
        for nodes in [
            alloc::vec![],
            alloc::vec![Node::Weight(1)],
            alloc::vec![Node::Union(1), Node::Cluster(ClusterId(1))],
            alloc::vec![Node::Alt(u32::MAX)],
            alloc::vec![Node::Cluster(ClusterId(1)); 2],
        ] {
            assert!(Target::try_from(Flat(nodes)).is_err());
        }
    }
}
