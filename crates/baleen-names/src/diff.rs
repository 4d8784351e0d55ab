//! What a change of a table changes: for each name that is known, where it led before and where it leads after.
//!
//! Not here: which names are known (the caller knows; `literal_names` gives those that tables show). Tested: below.

use crate::{BindError, Bound, Dtab, NameTree, Namers, Path, bind};

/// A name that leads elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The name.
    pub name: Path,
    /// Where it led, as a tree of bound paths; `~` for nowhere.
    pub before: String,
    /// Where it leads.
    pub after: String,
    /// It led somewhere and leads nowhere any more.
    pub lost: bool,
}

/// Each name that leads elsewhere with `new` than with `old`, in the order of `names`.
pub fn diff<N: Namers>(old: &Dtab, new: &Dtab, names: &[Path], namers: &N) -> Vec<Change> {
    let change = |name: &Path| {
        let (before, after) = (end(old, name, namers), end(new, name, namers));
        (before != after).then(|| Change {
            name: name.clone(),
            lost: before.1 && !after.1,
            before: before.0,
            after: after.0,
        })
    };
    names.iter().filter_map(change).collect()
}

/// Where a name ends, in words, and whether that is somewhere.
fn end<N: Namers>(dtab: &Dtab, name: &Path, namers: &N) -> (String, bool) {
    match bind(&[dtab], name, namers) {
        Ok(Bound { tree, pending, .. }) => {
            let nowhere = matches!(tree, NameTree::Neg | NameTree::Fail) && pending.is_empty();
            let mut words = tree.to_string();
            if !pending.is_empty() {
                words.push_str(" (not all of it is known yet)");
            }
            (words, !nowhere)
        }
        Err(error @ (BindError::TooDeep { .. } | BindError::TooLarge { .. })) => {
            (format!("! ({error})"), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Named;

    struct Toy;

    impl Namers for Toy {
        type Cluster = ();

        fn lookup(&self, path: &Path) -> Named<()> {
            match path.label(2) {
                Some(b"gone") | None => Named::Neg,
                Some(_) => Named::Cluster { cluster: (), labels: 3 },
            }
        }
    }

    fn check(old: &str, new: &str, expect: &[&str]) {
        let (old, new) = (Dtab::parse(old).unwrap(), Dtab::parse(new).unwrap());
        let names = ["/svc/a", "/svc/b"].map(|name| Path::parse(name).unwrap());
        let say = |c: Change| {
            format!("{}: {} -> {}{}", c.name, c.before, c.after, if c.lost { " LOST" } else { "" })
        };
        let changes: Vec<String> = diff(&old, &new, &names, &Toy).into_iter().map(say).collect();
        assert_eq!(changes, expect);
    }

    #[test]
    fn changes() {
        check("/svc => /#/f", "/svc => /#/f", &[]);
        // Another way to the same place is no change.
        check("/svc => /#/f", "/svc => /x ; /x => /#/f", &[]);
        check(
            "/svc => /#/f",
            "/svc => /#/f ; /svc/b => 1 * /#/f/b & 9 * /#/f/c",
            &["/svc/b: /#/f/b -> /#/f/b & 9 * /#/f/c | /#/f/b"],
        );
        check("/svc => /#/f", "/svc => /#/f ; /svc/a => !", &["/svc/a: /#/f/a -> ! LOST"]);
        check(
            "/svc => /#/f",
            "/svc/a => /#/f/gone ; /svc/b => /svc/b",
            &[
                "/svc/a: /#/f/a -> ~ LOST",
                "/svc/b: /#/f/b -> ! (more than 100 names in a row: /svc/b -> /svc/b -> /svc/b -> /svc/b -> /svc/b -> /svc/b -> … -> /svc/b -> /svc/b -> /svc/b) LOST",
            ],
        );
    }
}
