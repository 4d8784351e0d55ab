//! Finagle's rules one by one, what is not known yet, loops and bounds, and which entries are spent.

use super::*;
use crate::Weight;

/// Below `/#/n` every label is a cluster, but for those named after what they are; below `/$/inet` every host and port is.
struct Toy;

impl Namers for Toy {
    type Cluster = String;

    fn lookup(&self, path: &Path) -> Named<String> {
        let labels: Vec<_> =
            path.labels().map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            ["#", "n", "neg", ..] => Named::Neg,
            ["#", "n", "pending", ..] => Named::Pending,
            ["#", "n", "empty", ..] => Named::Empty,
            ["#", "n", "tree", ..] => {
                Named::Tree(NameTree::parse("/#/n/neg | /s/x").expect("a tree"))
            }
            ["#", "n", name, ..] => Named::Cluster { cluster: (*name).to_owned(), labels: 3 },
            ["$", "inet", host, port, ..] => {
                Named::Cluster { cluster: format!("{host}:{port}"), labels: 4 }
            }
            _ => Named::Neg,
        }
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).expect(text)
}

fn bound(layers: &[&str], name: &str) -> Result<Bound<String>, BindError> {
    let layers: Vec<_> = layers.iter().map(|text| Dtab::parse(text).expect(text)).collect();
    let layers: Vec<_> = layers.iter().collect();
    bind(&layers, &path(name), &Toy)
}

/// Clusters, each with its residual in brackets where there is one.
fn show(bound: Result<Bound<String>, BindError>) -> String {
    match bound {
        Ok(bound) => bound
            .tree
            .map(&mut |leaf| match leaf.residual.is_root() {
                true => leaf.cluster,
                false => format!("{}[{}]", leaf.cluster, leaf.residual),
            })
            .to_string(),
        Err(e) => e.to_string(),
    }
}

fn check(layers: &[&str], name: &str, expect: &str) {
    assert_eq!(show(bound(layers, name)), expect, "{name} in {layers:?}");
}

#[test]
fn prefixes_are_replaced_and_the_rest_is_kept() {
    check(&["/s => /#/n"], "/s/web", "web");
    check(&["/s => /#/n"], "/s/web/a/b", "web[/a/b]");
    check(&["/s => /#/n"], "/t/web", "~");
    check(&["/s => /#/n"], "/s", "~");
    check(&["/s => /#/n/x"], "/s", "x");
    check(&["/a/*/c => /#/n"], "/a/b/c/d/e", "d[/e]");
    check(&[""], "/#/n/web", "web");
    check(&[], "/$/inet/1.2.3.4/80/rest", "1.2.3.4:80[/rest]");
}

#[test]
fn later_entries_win_and_earlier_ones_are_the_fallback() {
    check(&["/s => /#/n; /s/web => /#/n/new"], "/s/web", "new | web");
    check(&["/s => /#/n; /s/web => /#/n/neg"], "/s/web", "web");
    check(&["/s => /#/n", "/s/web => /#/n/new"], "/s/web", "new | web");
    check(
        &["/s/web => /#/n/base", "/s/web => /#/n/ctx", "/s/web => /#/n/user; /s/web => /#/n/last"],
        "/s/web",
        "last | user | ctx | base",
    );
    check(
        &["/zk# => /#/n; /zk => /zk#; /s## => /zk; /s# => /s##; /s => /s#; /s# => /s##/staging"],
        "/s/c",
        "staging[/c] | c",
    );
}

#[test]
fn alternatives_end_at_fail_and_empty() {
    check(&["/s => /#/n; /s/web => !"], "/s/web", "!");
    check(&["/s => /#/n; /s/web => ~"], "/s/web", "web");
    check(&["/s => /#/n; /s/web => $"], "/s/web", "$");
    check(&["/s => /#/n/a | ! | /#/n/b"], "/s", "a | !");
    check(&["/s => /#/n/a | $ | /#/n/b"], "/s", "a | $");
    check(&["/s => /#/n/neg | /#/n/empty | /#/n/b"], "/s", "$");
    check(&["/s => /$/nil | /#/n/b"], "/s", "$");
    check(&["/s => /$/fail/x | /#/n/b"], "/s", "!");
    check(&["/s => /#/n/a | /t | /#/n/z; /t => /#/n/b | ! | /#/n/c"], "/s", "a | b | !");
}

#[test]
fn unions_keep_what_is_not_negative() {
    check(&["/s => /#/n/a & 3 * /#/n/b"], "/s", "a & 3 * b");
    check(&["/s => 9 * /#/n/a & 3 * /#/n/neg"], "/s", "a");
    check(&["/s => /#/n/a & ! & 2 * /#/n/b"], "/s", "a & 2 * b");
    check(&["/s => ! & ~ | /#/n/c"], "/s", "c");
    check(&["/s => $ & /#/n/a"], "/s", "$ & a");
    check(&["/s => $ & $ | /#/n/a"], "/s", "$");
    check(&["/s => (/#/n/a | !) & ~ | /#/n/b"], "/s", "a | b");
    check(
        &["/s => (/#/n/a & /#/n/b) & 2 * (/#/n/c | /#/n/d)"],
        "/s/x",
        "(a[/x] & b[/x]) & 2 * (c[/x] | d[/x])",
    );
}

#[test]
fn unions_of_one_are_what_is_in_them() {
    let dst = NameTree::Union(vec![(Weight::ONE, NameTree::Fail)]);
    let fail = crate::Dentry { prefix: path("/s").into(), dst };
    let layer = Dtab::from_entries(vec![fail]).expect("one entry");
    assert_eq!(show(bind(&[&layer], &path("/s"), &Toy)), "!");
}

#[test]
fn alternatives_are_flat_and_each_there_once() {
    check(&["/s => /t | /#/n/c; /t => /#/n/a | /#/n/b | /#/n/a"], "/s", "a | b | c");
    check(&["/s => /#/n; /s => /#/n"], "/s/web", "web");
    check(&["/s => /#/n/a/x | /#/n/a/y"], "/s", "a[/x] | a[/y]");
}

#[test]
fn entries_apply_to_system_paths_and_hide_namers() {
    check(&["/#/n/a => /#/n/b"], "/#/n/a", "b");
    check(&["/#/n/a => /#/n/neg"], "/#/n/a", "~");
    check(&["/#/n/a => !"], "/#/n/a", "!");
    check(&["/$/inet/h => /#/n/b"], "/$/inet/h/80", "b[/80]");
    check(&["/$/nil => /#/n/b"], "/$/nil", "b");
    // A match that is just negative is as none, two of them are not.
    check(&["/#/n/a => ~"], "/#/n/a", "a");
    check(&["/#/n/a => ~; /#/n/a => ~"], "/#/n/a", "~");
    check(&["/#/n/a => ~ | ~"], "/#/n/a", "~");
    // linkerd asks no entry about what it makes of this, and about what the others make of a path it does.
    check(&["/$/inet/h => /#/n/b"], "/$/io.buoyant.rinet/80/h/x", "h:80[/x]");
    check(&["/p/h => /#/n/b"], "/$/io.buoyant.hostportPfx/p/h:80", "b[/80]");
}

#[test]
fn namers_may_answer_with_names() {
    check(&["/s => /#/n"], "/#/n/tree", "x");
    check(&["/s => /#/n; /s/x => /#/n/y | !"], "/#/n/tree", "y | !");
}

#[test]
fn what_is_pending_counts_as_negative_and_is_told() {
    let all = |tree: &str| {
        let bound = bound(&[&format!("/s => {tree}")], "/s").expect("it ends");
        let pending: Vec<_> = bound.pending.iter().map(Path::to_string).collect();
        (pending.join(" "), bound.undecided, show(Ok(bound)))
    };
    let some =
        |pending: &str, undecided, tree: &str| (pending.to_owned(), undecided, tree.to_owned());
    let one = "/#/n/pending";
    assert_eq!(all("/#/n/pending"), some(one, true, "~"));
    assert_eq!(all("/#/n/pending | /#/n/a"), some(one, true, "a"));
    assert_eq!(all("/#/n/neg | /#/n/pending | /#/n/a"), some(one, true, "a"));
    assert_eq!(all("/#/n/a | /#/n/pending"), some(one, false, "a"));
    assert_eq!(all("/#/n/a | /#/n/pending | /#/n/b"), some(one, false, "a | b"));
    assert_eq!(all("! | /#/n/pending"), some("", false, "!"));
    // One known member is enough to go on, also a negative one.
    assert_eq!(all("/#/n/a & /#/n/pending"), some(one, false, "a"));
    assert_eq!(all("/#/n/neg & /#/n/pending | /#/n/b"), some(one, false, "b"));
    assert_eq!(all("(/#/n/pending | /#/n/a) & /#/n/b"), some(one, false, "b"));
    assert_eq!(
        all("(/#/n/pending | /#/n/a) & 2 * /#/n/pending/x"),
        some("/#/n/pending /#/n/pending/x", true, "a")
    );
    assert_eq!(all("/#/n/pending & /#/n/pending"), some(one, true, "~"));
}

#[test]
fn a_hundred_names_in_a_row_and_no_more() {
    let chain = |names: usize| -> String {
        let links = (1..names).map(|i| format!("/s{} => /s{i};", i - 1));
        links.chain([format!("/s{} => /#/n/end", names - 1)]).collect()
    };
    // The last of the hundred is the cluster's.
    check(&[&chain(99)], "/s0", "end");
    let e = bound(&[&chain(100)], "/s0").expect_err("one too many");
    assert!(matches!(&e, BindError::TooDeep { way } if way.len() == 101), "{e:?}");
    assert_eq!(e.way().first().map(Path::to_string).as_deref(), Some("/s0"));
    assert_eq!(e.way().last().map(Path::to_string).as_deref(), Some("/#/n/end"));
}

#[test]
fn loops_are_told_with_the_way() {
    let shown = "more than 100 names in a row: /s/web -> /t/web -> /s/web -> /t/web -> /s/web -> /t/web -> … -> /s/web -> /t/web -> /s/web";
    check(&["/s => /t; /t => /s"], "/s/web", shown);
    let grows = show(bound(&["/s => /s/prefix"], "/s/web"));
    assert!(
        grows.starts_with("more than 100 names in a row: /s/web -> /s/prefix/web -> "),
        "{grows}"
    );
    // Finagle comes to the loop only where nothing before it is there.
    check(&["/s => /#/n/a | /s"], "/s", "a | !");
    check(
        &["/s => /#/n/neg | /s"],
        "/s",
        "more than 100 names in a row: /s -> /s -> /s -> /s -> /s -> /s -> … -> /s -> /s -> /#/n/neg",
    );
    // So does an entry for everything: it is also for what it leads to.
    let all = show(bound(&["/ => /#/n"], "/web"));
    assert!(
        all.contains(" -> /#/n/#/n/#/n/web -> /#/n/#/n/#/n/#/n/… -> /#/n/#/n/#/n/#/n/… -> … -> "),
        "{all}"
    );
    check(&["/s => /t & /#/n/a | /#/n/b; /t => /t"], "/s", "a | b");
    assert!(bound(&["/s => /t & /u | /#/n/b; /t => /t; /u => /u"], "/s").is_err());
    assert_eq!(bound(&["/s => /#/n/pending | /t; /t => /t"], "/s").map(|b| b.undecided), Ok(true));
}

#[test]
fn what_grows_without_end_is_ended() {
    for table in [
        "/a => /a/x & /a/y",
        "/a => /b | /b; /b => /c | /c; /c => /d | /d; /d => /e | /e; /e => /f | /f; /f => /g | /g; /g => /h | /h; \
         /h => /i | /i; /i => /j | /j; /j => /k | /k; /k => /l | /l; /l => /m | /m; /m => /n | /n; /n => /o | /o",
    ] {
        let e = bound(&[table], "/a").expect_err(table);
        assert!(matches!(&e, BindError::TooLarge { over: Over::Nodes(NODES_MAX), .. }), "{e}");
        assert!(
            e.to_string().starts_with("leads to more than 10000 names and trees: /a -> "),
            "{e}"
        );
    }
    // All alternatives would be too many, the first are not.
    check(&["/a => /#/n/x | /a & /a & /a"], "/a", "x");
    check(&["/a => /b | /b; /b => /c | /c; /c => /#/n/x | (/c/1 & /c/2 & /c/3)"], "/a", "x");
    let long = format!("/a => /a/{}", "x".repeat(1000));
    let e = bound(&[&long], "/a").expect_err("it grows");
    assert!(matches!(&e, BindError::TooLarge { over: Over::Path, way } if way.len() == 5), "{e}");
}

#[test]
fn a_small_budget_is_kept() {
    let within = |table: &str, name: &str, nodes| {
        let (base, own) =
            (Dtab::parse("/s => /#/n").expect("right"), Dtab::parse(table).expect(table));
        show(bind_within(&[&base, &own], &path(name), &Toy, nodes))
    };
    let over = "leads to more than 100 names and trees: ";
    let many = |what: &str, sign: &str| vec![what; 200].join(sign);
    assert_eq!(within("/a => /s/x", "/a", 100), "x");
    // All alternatives are too many, the first are not.
    assert_eq!(within(&format!("/a => {}", many("/s/x", "|")), "/a", 1000), "x");
    assert_eq!(within(&format!("/a => {}", many("/s/x", "|")), "/a", 100), "x");
    // What leads nowhere counts, and so do names that are too deep, long names, and labels that are compared.
    assert!(within(&format!("/a => {}", many("~", "|")), "/a", 100).starts_with(over));
    assert!(within(&format!("/a => /a; /b => {}", many("/a", "&")), "/b", 100).starts_with(over));
    let long = "x".repeat(3000);
    assert_eq!(within("/a => /b; /b => /c; /c => /s", &format!("/a/{long}"), 200), long);
    assert!(within("/a => /b; /b => /c; /c => /s", &format!("/a/{long}"), 100).starts_with(over));
    let stars: String = (0..9).map(|i| format!("/a{}/{i} => /s;", "/*".repeat(200))).collect();
    let labels = format!("/a{}", "/a".repeat(200));
    assert_eq!(within(&stars, &labels, 200), "~");
    assert!(within(&stars.repeat(7), &labels, 15).contains("more than 15"));
}

#[test]
fn deep_trees_over_many_names_fit_the_stack() {
    let table = |open: &str| -> String {
        let nested = |i| format!("{}/s{i}{}", open.repeat(30), ")".repeat(30));
        (0..90).map(|i| format!("/s{i} => {};", nested(i + 1))).collect()
    };
    let (alternatives, unions) = (table("~ | ("), table("~ & ("));
    let run = move || (show(bound(&[&alternatives], "/s0")), show(bound(&[&unions], "/s0")));
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread");
    let (alternatives, unions) = thread.join().expect("no overflow");
    assert!(alternatives.starts_with("trees nest deeper than 256: /s0 -> "), "{alternatives}");
    assert_eq!(unions, "~");
}

fn spent_of(layers: &[&str], name: &str) -> Vec<(usize, usize)> {
    bound(layers, name).expect("it ends").spent
}

#[test]
fn an_entry_that_put_a_proxy_in_the_middle_is_spent() {
    let base = "/s => /#/n";
    let middle = "/s/E => /s/P/s/E";
    check(&[base, middle], "/s/E", "P[/s/E] | E");
    assert_eq!(spent_of(&[base, middle], "/s/E"), [(1, 0)]);
    assert_eq!(spent_of(&[base, middle], "/s/E/rest"), [(1, 0)]);
    assert_eq!(spent_of(&[base, "/x => /y", middle], "/s/E"), [(2, 0)]);
    // Others are not, and neither is it for other names.
    assert_eq!(spent_of(&[base, middle], "/s/B"), []);
    assert_eq!(
        spent_of(&[base, "/s/B => /s/B2; /s/E => /s/P/s/E; /s/B => /s/B3"], "/s/E"),
        [(1, 1)]
    );
    // In the base table nothing is: it does not travel.
    assert_eq!(spent_of(&["/s => /#/n; /s/E => /s/P/s/E"], "/s/E"), []);
    // It grows with each round.
    assert_eq!(spent_of(&[base, "/s/E => /s/P/s/E/x"], "/s/E"), [(1, 0)]);
    assert_eq!(spent_of(&[base, "/s/E => /s/P/s/E & 2 * /s/Q/s/E"], "/s/E"), [(1, 0)]);
}

#[test]
fn an_entry_that_leads_to_the_middle_later_is_spent() {
    let base = "/s => /#/n; /s/E => /x/E";
    assert_eq!(spent_of(&[base, "/x/E => /s/P/s/E"], "/s/E"), [(1, 0)]);
    assert_eq!(spent_of(&["/s => /#/n", "/s/E => /x/E; /x/E => /s/P/s/E"], "/s/E"), [(1, 0)]);
}

#[test]
fn an_entry_that_only_matches_the_residual_stays() {
    // All of it moves to staging, and so does what P sends on.
    assert_eq!(
        spent_of(&["/s => /#/n", "/s => /t; /t/E => /#/n/E2; /t/P => /#/n/P2"], "/s/P/s/E"),
        []
    );
    assert_eq!(spent_of(&["/u => /#/n", "/s => /u; /s/E => /s/P/s/E"], "/s/E"), [(1, 1)]);
    assert_eq!(spent_of(&["/s => /#/n; /u/E => /#/n/E2", "/s/B => /u/E"], "/s/B/s/B"), [(1, 0)]);
}
