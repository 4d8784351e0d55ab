//! `bind` and `delegate` against an evaluator that is written straight from the rules: it asks every entry of every table, last to
//! first, knows no index and no layers, and stops at the first alternative that is not negative, as Finagle does. What `bind` gives must
//! choose the same, also when some clusters are down, which to the evaluator means that their namer does not know them.

use std::cell::Cell;

use baleen_names::{
    Bound, Delegation, Dentry, Dtab, Elem, Found, Leaf, NameTree, Named, Namers, Path, bind,
    delegate,
};
use proptest::prelude::*;

/// Below `/#/n`: `a` to `d` are clusters, but for the dead; the others are what their names say.
struct Toy {
    dead: Vec<String>,
}

impl Namers for Toy {
    type Cluster = String;

    fn lookup(&self, path: &Path) -> Named<String> {
        let labels: Vec<_> =
            path.labels().map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            ["#", "n", name, ..] if self.dead.iter().any(|dead| dead == name) => Named::Neg,
            ["#", "n", name @ ("a" | "b" | "c" | "d"), ..] => {
                Named::Cluster { cluster: (*name).to_owned(), labels: 3 }
            }
            ["#", "n", "pending", ..] => Named::Pending,
            ["#", "n", "empty", ..] => Named::Empty,
            ["#", "n", "tree", ..] => {
                Named::Tree(NameTree::parse("/v/x | /#/n/d").expect("a tree"))
            }
            _ => Named::Neg,
        }
    }
}

/// What is chosen: clusters with residuals, by weight.
#[derive(Clone, Debug, PartialEq)]
enum Choice {
    Neg,
    Fail,
    Empty,
    Leaf(String, Path),
    Union(Vec<(f64, Choice)>),
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Known(Choice),
    Pending,
    /// Too deep.
    Wrong,
}

const KNOWN_NEG: State = State::Known(Choice::Neg);

/// Cases in which the evaluator takes longer are left out.
const STEPS_MAX: usize = 1000;

/// Nor how deep it nests: `bind` has a bound.
const LEVELS_MAX: usize = 256;

struct Naive<'a> {
    entries: &'a [Dentry],
    namers: &'a Toy,
    steps: Cell<usize>,
    /// Something went wrong somewhere on the way.
    wrong: Cell<bool>,
}

impl Naive<'_> {
    fn name(&self, path: &Path, depth: usize, levels: usize) -> State {
        self.steps.set(self.steps.get() + if levels > LEVELS_MAX { STEPS_MAX } else { 1 });
        // It takes too long; the case is left out.
        if self.steps.get() > STEPS_MAX || depth == 100 {
            self.wrong.set(true);
            return State::Wrong;
        }
        let labels: Vec<&[u8]> = path.labels().collect();
        let mut found: Vec<NameTree<Path>> = Vec::new();
        for entry in self.entries.iter().rev() {
            let elems: Vec<_> = entry.prefix.elems().collect();
            let fits = elems.len() <= labels.len()
                && (0..elems.len())
                    .all(|i| elems[i] == Elem::Any || elems[i] == Elem::Label(labels[i]));
            if fits {
                let rest = path.drop(elems.len());
                found.push(entry.dst.clone().map(&mut |dst| dst.join(&rest)));
            }
        }
        let tree = match found.len() {
            0 => NameTree::Neg,
            1 => found.remove(0),
            _ => NameTree::Alt(found),
        };
        if tree != NameTree::Neg {
            return self.tree(&tree, depth + 1, levels + 1);
        }
        let known = |choice| State::Known(choice);
        match labels.as_slice() {
            [b"$", b"nil", ..] => return known(Choice::Empty),
            [b"$", b"fail", ..] => return known(Choice::Fail),
            _ => {}
        }
        if labels.first() == Some(&b"$".as_slice()) {
            return match labels.as_slice() {
                [_, b"io.buoyant.http.anyMethodPfx", prefix, method, rest @ ..]
                    if method.iter().all(u8::is_ascii_uppercase) =>
                {
                    let prefix = Path::from_labels([prefix]).expect("one label");
                    self.name(
                        &prefix.join(&path.drop(path.len() - rest.len())),
                        depth + 1,
                        levels + 1,
                    )
                }
                _ => KNOWN_NEG,
            };
        }
        match self.namers.lookup(path) {
            Named::Neg => KNOWN_NEG,
            Named::Pending => State::Pending,
            Named::Empty => known(Choice::Empty),
            Named::Cluster { cluster, labels } => known(Choice::Leaf(cluster, path.drop(labels))),
            Named::Tree(tree) => self.tree(&tree, depth + 1, levels + 1),
        }
    }

    fn tree(&self, tree: &NameTree<Path>, depth: usize, levels: usize) -> State {
        match tree {
            NameTree::Leaf(path) => self.name(path, depth, levels),
            NameTree::Neg => KNOWN_NEG,
            NameTree::Fail => State::Known(Choice::Fail),
            NameTree::Empty => State::Known(Choice::Empty),
            NameTree::Alt(trees) => {
                first(trees.iter().map(|tree| self.tree(tree, depth, levels + 1)))
            }
            NameTree::Union(trees) => all(trees
                .iter()
                .map(|(weight, tree)| (weight.get(), self.tree(tree, depth, levels + 1)))),
        }
    }
}

/// The first that is not negative; whatever is not known or wrong before it comes instead.
fn first(states: impl Iterator<Item = State>) -> State {
    let mut states = states;
    states.find(|state| *state != KNOWN_NEG).unwrap_or(KNOWN_NEG)
}

/// Those that are known; if none is, the first that is wrong, or else pending.
fn all(states: impl Iterator<Item = (f64, State)>) -> State {
    let states: Vec<_> = states.collect();
    let known: Vec<_> = states
        .iter()
        .filter_map(|(weight, state)| match state {
            State::Known(choice) => Some((*weight, choice.clone())),
            _ => None,
        })
        .collect();
    match () {
        () if !known.is_empty() => State::Known(union(known)),
        () if states.iter().any(|(_, state)| *state == State::Wrong) => State::Wrong,
        () => State::Pending,
    }
}

fn union(members: Vec<(f64, Choice)>) -> Choice {
    let mut members: Vec<_> = members
        .into_iter()
        .filter(|(_, choice)| !matches!(choice, Choice::Neg | Choice::Fail))
        .collect();
    match members.len() {
        0 => Choice::Neg,
        1 => members.remove(0).1,
        _ if members.iter().all(|(_, choice)| *choice == Choice::Empty) => Choice::Empty,
        _ => Choice::Union(members),
    }
}

/// What is chosen from what `bind` gives, when some clusters are down.
fn choose(tree: &NameTree<Leaf<String>>, dead: &[String]) -> Choice {
    match tree {
        NameTree::Leaf(leaf) if dead.contains(&leaf.cluster) => Choice::Neg,
        NameTree::Leaf(leaf) => Choice::Leaf(leaf.cluster.clone(), leaf.residual.clone()),
        NameTree::Neg => Choice::Neg,
        NameTree::Fail => Choice::Fail,
        NameTree::Empty => Choice::Empty,
        NameTree::Alt(trees) => trees
            .iter()
            .map(|tree| choose(tree, dead))
            .find(|choice| *choice != Choice::Neg)
            .unwrap_or(Choice::Neg),
        NameTree::Union(trees) => {
            union(trees.iter().map(|(weight, tree)| (weight.get(), choose(tree, dead))).collect())
        }
    }
}

/// What is chosen along the way that `delegate` tells.
fn told(delegation: &Delegation<String>) -> State {
    match &delegation.found {
        Found::Entries(fired) if fired.len() == 1 => told_tree(&fired[0].tree),
        Found::Entries(fired) => first(fired.iter().map(|fired| told_tree(&fired.tree))),
        Found::Utility(to) => told(to),
        Found::Namer(tree) => told_tree(tree),
        Found::Leaf(leaf) => {
            State::Known(Choice::Leaf(leaf.cluster.clone(), leaf.residual.clone()))
        }
        Found::Neg(_) => KNOWN_NEG,
        Found::Fail => State::Known(Choice::Fail),
        Found::Empty(_) => State::Known(Choice::Empty),
        Found::Pending => State::Pending,
        Found::TooDeep | Found::TooLarge(_) => State::Wrong,
    }
}

/// Whether all of it was too much.
fn is_cut(delegation: &Delegation<String>) -> bool {
    meets(delegation, &|found| matches!(found, Found::TooLarge(_)))
}

/// Whether a name somewhere on the way could not be followed.
fn is_wrong(delegation: &Delegation<String>) -> bool {
    meets(delegation, &|found| matches!(found, Found::TooLarge(_) | Found::TooDeep))
}

fn meets(of: &Delegation<String>, what: &dyn Fn(&Found<String>) -> bool) -> bool {
    let any = |tree: &NameTree<Delegation<String>>| {
        let mut met = false;
        tree.for_each_leaf(&mut |leaf| met = met || meets(leaf, what));
        met
    };
    what(&of.found)
        || match &of.found {
            Found::Entries(fired) => fired.iter().any(|fired| any(&fired.tree)),
            Found::Utility(to) => meets(to, what),
            Found::Namer(tree) => any(tree),
            _ => false,
        }
}

fn told_tree(tree: &NameTree<Delegation<String>>) -> State {
    match tree {
        NameTree::Leaf(leaf) => told(leaf),
        NameTree::Neg => KNOWN_NEG,
        NameTree::Fail => State::Known(Choice::Fail),
        NameTree::Empty => State::Known(Choice::Empty),
        NameTree::Alt(trees) => first(trees.iter().map(told_tree)),
        NameTree::Union(trees) => {
            all(trees.iter().map(|(weight, tree)| (weight.get(), told_tree(tree))))
        }
    }
}

/// No wrapping that says nothing, nothing behind what ends alternatives.
fn assert_simplified(tree: &NameTree<Leaf<String>>, inside: bool) {
    match tree {
        NameTree::Alt(trees) => {
            assert!(trees.len() > 1);
            let (_, before) = trees.split_last().expect("two or more");
            assert!(
                !before.iter().any(|tree| matches!(tree, NameTree::Fail | NameTree::Empty)),
                "{tree}"
            );
            assert!(
                !trees.iter().any(|tree| matches!(tree, NameTree::Alt(_) | NameTree::Neg)),
                "{tree}"
            );
            trees
                .iter()
                .filter(|tree| **tree != NameTree::Fail)
                .for_each(|tree| assert_simplified(tree, true));
        }
        NameTree::Union(trees) => {
            assert!(trees.len() > 1);
            trees.iter().for_each(|(_, tree)| assert_simplified(tree, true));
        }
        NameTree::Neg | NameTree::Fail => assert!(!inside, "{tree}"),
        NameTree::Leaf(_) | NameTree::Empty => {}
    }
}

const NAMESPACES: [&str; 5] = ["s", "t", "u", "v", "w"];

/// A tree whose names mostly are in a later namespace, so that most tables end somewhere.
fn tree_from(namespace: usize, pending: bool, back: bool) -> impl Strategy<Value = String> {
    let further = (namespace + 1..=NAMESPACES.len())
        .prop_map(|i| NAMESPACES.get(i).copied().unwrap_or("#/n"));
    let inner = prop::sample::select(vec!["", "/x", "/y", "/a"]);
    let cluster = prop::sample::select(vec!["a", "b", "c", "d", "neg", "empty", "tree", "pending"]);
    let leaf = prop_oneof![
        10 => (further, inner.clone()).prop_map(|(first, rest)| format!("/{first}{rest}")),
        6 => (cluster, inner).prop_map(move |(name, rest)| match name {
            "pending" if !pending => "~".to_owned(),
            _ => format!("/#/n/{name}{rest}"),
        }),
        u32::from(back) => prop::sample::select(NAMESPACES.to_vec()).prop_map(|first| format!("/{first}")),
        3 => prop::sample::select(vec!["!", "~", "$", "/$/nil", "/$/fail", "/$/io.buoyant.http.anyMethodPfx/v"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" | "))),
            prop::collection::vec((1..5u8, inner), 2..4).prop_map(|all| {
                let members: Vec<_> =
                    all.iter().map(|(weight, tree)| format!("{weight} * {tree}")).collect();
                format!("({})", members.join(" & "))
            }),
        ]
    })
}

fn entry(pending: bool, back: bool) -> impl Strategy<Value = String> {
    (0..NAMESPACES.len()).prop_flat_map(move |namespace| {
        let first = prop_oneof![
            20 => Just(NAMESPACES[namespace]),
            u32::from(back) => Just("*"),
            u32::from(back) => Just("#"),
            u32::from(back) => Just("#/n/a"),
            1 => Just("$/nil"),
        ];
        let rest =
            prop::collection::vec(prop::sample::select(vec!["x", "y", "a", "GET", "*"]), 0..3);
        (first, rest, tree_from(namespace, pending, back)).prop_map(|(first, rest, tree)| {
            let rest: String = rest.iter().map(|label| format!("/{label}")).collect();
            format!("/{first}{rest} => {tree}")
        })
    })
}

/// Tables in layers, and a name. Names may lead back to where they come from in one case of four.
fn case(pending: bool) -> impl Strategy<Value = (Vec<Dtab>, Path)> {
    prop::bool::weighted(0.25).prop_flat_map(move |back| case_that(pending, back))
}

fn case_that(pending: bool, back: bool) -> impl Strategy<Value = (Vec<Dtab>, Path)> {
    let layer = prop_oneof![2 => 0..4usize, 1 => 8..20usize]
        .prop_flat_map(move |size| prop::collection::vec(entry(pending, back), size))
        .prop_map(|entries| Dtab::parse(&entries.join(";\n")).expect("right"));
    let rest = prop::collection::vec(prop::sample::select(vec!["x", "y", "a", "b", "GET"]), 0..4);
    let name = (prop::sample::select(vec!["s", "s", "t", "u"]), rest).prop_map(|(first, rest)| {
        Path::from_labels([first].into_iter().chain(rest)).expect("short")
    });
    (prop::collection::vec(layer, 1..4), name)
}

fn bound(layers: &[Dtab], name: &Path, namers: &Toy) -> Option<Bound<String>> {
    let layers: Vec<_> = layers.iter().collect();
    bind(&layers, name, namers).ok()
}

/// What the evaluator says, unless it took too long, and whether anything was wrong on its way.
fn naive(layers: &[Dtab], name: &Path, namers: &Toy) -> Option<(State, bool)> {
    let entries: Vec<_> = layers.iter().flat_map(Dtab::entries).cloned().collect();
    let naive = Naive { entries: &entries, namers, steps: Cell::new(0), wrong: Cell::new(false) };
    let state = naive.name(name, 0, 0);
    (naive.steps.get() <= STEPS_MAX).then(|| (state, naive.wrong.get()))
}

fn alive() -> Toy {
    Toy { dead: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn chooses_what_the_rules_say((layers, name) in case(true)) {
        let namers = alive();
        let Some((expect, _)) = naive(&layers, &name, &namers) else { return Ok(()) };
        let state = match bound(&layers, &name, &namers) {
            None => State::Wrong,
            Some(bound) => {
                assert_simplified(&bound.tree, false);
                prop_assert!(!bound.undecided || !bound.pending.is_empty());
                if bound.undecided { State::Pending } else { State::Known(choose(&bound.tree, &[])) }
            }
        };
        prop_assert_eq!(state, expect);
    }

    #[test]
    fn chooses_what_the_rules_say_when_clusters_are_down(
        (layers, name) in case(false),
        dead in prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..4),
    ) {
        let dead: Vec<_> = dead.into_iter().map(str::to_owned).collect();
        let Some(bound) = bound(&layers, &name, &alive()) else { return Ok(()) };
        // Where all alternatives are too many, there is nothing to fall back on.
        prop_assume!(!bound.first_only);
        let namers = Toy { dead: dead.clone() };
        // What is wrong where one comes only because clusters are down ends the alternatives in `bind`.
        if let Some((State::Known(expect), false)) = naive(&layers, &name, &namers) {
            prop_assert_eq!(choose(&bound.tree, &dead), expect);
        }
    }

    #[test]
    fn what_is_told_ends_where_it_is_bound((layers, name) in case(true)) {
        let namers = alive();
        let Some((expect, _)) = naive(&layers, &name, &namers) else { return Ok(()) };
        let layers: Vec<_> = layers.iter().collect();
        let way = delegate(&layers, &name, &namers);
        // All alternatives may be too many where the first are not.
        if !is_cut(&way) {
            prop_assert_eq!(told(&way), expect);
        }
    }

    #[test]
    fn layers_are_one_table_behind_the_other((layers, name) in case(true)) {
        let joined = layers.iter().skip(1).fold(layers[0].clone(), |all, next| all.concat(next).expect("small"));
        let (many, one) = (bound(&layers, &name, &alive()), bound(&[joined], &name, &alive()));
        // What entries of later layers cost may be what makes it too much.
        prop_assume!(naive(&layers, &name, &alive()).is_some());
        prop_assert_eq!(many.is_some(), one.is_some());
        if let (Some(many), Some(one)) = (many, one) {
            prop_assume!(many.first_only == one.first_only);
            prop_assert_eq!((many.tree, many.pending, many.undecided), (one.tree, one.pending, one.undecided));
        }
    }

    #[test]
    fn what_is_spent_is_of_overrides_and_breaks_the_circle((layers, name) in circles()) {
        let Some(bound) = bound(&layers, &name, &alive()) else { return Ok(()) };
        for &(layer, entry) in &bound.spent {
            prop_assert!(layer > 0 && entry < layers[layer].len());
        }
        prop_assert!(bound.spent.is_sorted_by(|a, b| a < b));
        // Where some names can't be followed, `bind` leaves ways out that `delegate` tells; they have their turn at the next hop.
        let refs: Vec<_> = layers.iter().collect();
        let wrong = |name: &Path| is_wrong(&delegate(&refs, name, &alive()));
        if wrong(&name) {
            return Ok(());
        }
        for middle in middles(&layers, &name, &bound) {
            let again = leads_back(&layers, &bound.spent, &middle);
            prop_assert_eq!(again, None, "from {:?} with {:?} spent", middle, bound.spent);
        }
        // An entry that is spent stands in a circle: without any, some middle leads back by it. Unless that took too long to find out.
        let middles = middles(&layers, &name, &bound);
        if middles.iter().any(|middle| wrong(&middle.residual)) {
            return Ok(());
        }
        for by in &bound.spent {
            let circles = |middle: &Middle| leads_back_by(&layers, &[], middle).contains(by);
            prop_assert!(middles.iter().any(circles), "{by:?} is spent for nothing");
        }
    }
}

/// A cluster with a residual, and the entries of overrides on the way to it.
#[derive(Clone, Debug)]
struct Middle {
    id: Path,
    residual: Path,
    fired: Vec<(usize, usize)>,
}

/// The ends of a delegation, each with the entries on the way to it.
fn ends(of: &Delegation<String>, way: &mut Vec<(usize, usize)>, found: &mut Vec<Middle>) {
    let mut all = |tree: &NameTree<Delegation<String>>, way: &mut Vec<(usize, usize)>| {
        tree.for_each_leaf(&mut |next| ends(next, way, found));
    };
    match &of.found {
        Found::Entries(fired) => {
            for fired in fired {
                way.push((fired.layer, fired.entry));
                all(&fired.tree, way);
                way.pop();
            }
        }
        Found::Namer(tree) => all(tree, way),
        Found::Utility(next) => ends(next, way, found),
        Found::Leaf(leaf) => found.push(Middle {
            id: leaf.id.clone(),
            residual: leaf.residual.clone(),
            fired: way.clone(),
        }),
        _ => {}
    }
}

fn all_ends(layers: &[Dtab], name: &Path) -> Vec<Middle> {
    let layers: Vec<_> = layers.iter().collect();
    let mut found = Vec::new();
    ends(&delegate(&layers, name, &alive()), &mut Vec::new(), &mut found);
    found
}

/// The middles that are in the tree that was bound.
fn middles(layers: &[Dtab], name: &Path, bound: &Bound<String>) -> Vec<Middle> {
    let mut middles = all_ends(layers, name);
    middles.retain(|middle| {
        let mut there = false;
        bound.tree.for_each_leaf(&mut |leaf| {
            there |= leaf.id == middle.id && leaf.residual == middle.residual;
        });
        there && !middle.residual.is_root()
    });
    middles
}

/// Entries of overrides by which the name that is left over leads to its middle again, though they were on the way there already.
fn leads_back_by(
    layers: &[Dtab],
    spent: &[(usize, usize)],
    middle: &Middle,
) -> Vec<(usize, usize)> {
    // Without those that are spent, whose places are taken by entries that match nothing.
    let without = |(layer, dtab): (usize, &Dtab)| {
        let nothing = Dentry::parse("/gone => ~").expect("an entry");
        let entries = dtab.entries().iter().cloned().enumerate();
        let keep = |(place, entry)| match spent.contains(&(layer, place)) {
            true => nothing.clone(),
            false => entry,
        };
        Dtab::from_entries(entries.map(keep).collect()).expect("small")
    };
    let carried: Vec<_> = layers.iter().enumerate().map(without).collect();
    let back = all_ends(&carried, &middle.residual);
    let back = back.iter().filter(|end| end.id == middle.id);
    let by = back.flat_map(|end| &end.fired).filter(|by| by.0 > 0 && middle.fired.contains(by));
    by.copied().collect()
}

fn leads_back(
    layers: &[Dtab],
    spent: &[(usize, usize)],
    middle: &Middle,
) -> Option<(usize, usize)> {
    leads_back_by(layers, spent, middle).first().copied()
}

/// Overrides that put clusters in the way of names, some in the way of themselves.
fn circles() -> impl Strategy<Value = (Vec<Dtab>, Path)> {
    let name = || prop::sample::select(vec!["/s/a", "/s/a", "/s/b", "/s/b", "/t/a", "/t"]);
    let prefix = prop::sample::select(vec!["/s/a", "/s/b", "/s/b", "/t/a", "/t", "/s"]);
    let middle = vec!["", "/s/d", "/s/d", "/s/b", "/t/e", "/#/n/d"];
    let leaf =
        (prop::sample::select(middle), name()).prop_map(|(middle, rest)| format!("{middle}{rest}"));
    let tree = prop_oneof![
        4 => leaf.clone(),
        1 => prop::collection::vec(leaf.clone(), 2..4).prop_map(|all| all.join(" | ")),
        1 => prop::collection::vec(leaf, 2..4).prop_map(|all| all.join(" & ")),
    ];
    let layer =
        prop::collection::vec((prefix, tree).prop_map(|(a, b)| format!("{a} => {b}")), 0..4)
            .prop_map(|entries| Dtab::parse(&entries.join(";")).expect("right"));
    (prop::collection::vec(layer, 1..3), name()).prop_map(|(mut layers, name)| {
        layers.insert(0, Dtab::parse("/s => /#/n; /t => /s").expect("right"));
        (layers, Path::parse(name).expect("right"))
    })
}

/// Enough of these are spent, and of several kinds.
#[test]
fn circles_are_made() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut none, mut spent, mut kept) = (0, 0, 0);
    for _ in 0..300 {
        let tree = circles().new_tree(&mut runner).expect("a case");
        let (layers, name) = proptest::strategy::ValueTree::current(&tree);
        let refs: Vec<_> = layers.iter().collect();
        match bound(&layers, &name, &alive()) {
            _ if is_wrong(&delegate(&refs, &name, &alive())) => none += 1,
            Some(bound) if !bound.spent.is_empty() => spent += 1,
            Some(bound) if !middles(&layers, &name, &bound).is_empty() => kept += 1,
            _ => none += 1,
        }
    }
    assert!(spent >= 30 && kept >= 15 && none >= 15, "{spent} {kept} {none}");
}

/// The tables above lead somewhere, in many ways, or the properties say little.
#[test]
fn the_cases_are_of_all_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = [0; 8];
    for _ in 0..600 {
        let tree = case(true).new_tree(&mut runner).expect("a case");
        let (layers, name) = proptest::strategy::ValueTree::current(&tree);
        let kind = match naive(&layers, &name, &alive()) {
            None => 0,
            Some((State::Wrong, _)) => 1,
            Some((State::Pending, _)) => 2,
            Some((State::Known(Choice::Neg), _)) => 3,
            Some((State::Known(Choice::Fail), _)) => 4,
            Some((State::Known(Choice::Empty), _)) => 5,
            Some((State::Known(Choice::Leaf(..)), _)) => 6,
            Some((State::Known(Choice::Union(_)), _)) => 7,
        };
        kinds[kind] += 1;
    }
    assert!(kinds[0] < 100 && kinds[1..].iter().all(|&count| count >= 3), "{kinds:?}");
}
