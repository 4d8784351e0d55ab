//! Tests of names: what trees become, what workers keep and let go, and tables that come with requests.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use baleen_base::WorkerId;
use baleen_names::{Dtab, Namers as _};
use baleen_policy::{Engine, Ledger, RecorderParams, Target};
use baleen_telemetry::WorkerCells;

use super::carried::{CARRIED_BYTES_MAX, CARRIED_ENTRIES_MAX, Onward};
use super::*;
use crate::clock::Clock;
use crate::directory::{Directory, Registry, Spot};
use crate::driver::Parts;
use crate::edits::Edits;
use crate::head::FieldView as _;
use crate::head::tests::request;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn dtab(text: &str) -> Dtab {
    Dtab::parse(text).unwrap()
}

/// Clusters `a`, `b`, `c` below `/#/static`, in this order; names below `/svc` are clusters.
fn registry(base: &str) -> Registry {
    let mut registry = Registry::new();
    registry.set_base(&dtab(base));
    registry.mount(&path("/#/static"), MountKind::Listed);
    registry.mount(&path("/#/slow"), MountKind::Listing);
    registry.mount(&path("/$/inet"), MountKind::Asked);
    for name in ["a", "b", "c"] {
        let cluster = registry.cluster(name).unwrap();
        registry.place(&path(&format!("/#/static/{name}")), Some(cluster)).unwrap();
    }
    let rest = registry.route("*").unwrap();
    registry.set_rest_route(rest);
    registry
}

const BASE: &str = "/svc => /#/static";

fn c(n: u32) -> Target {
    Target::Cluster(ClusterId(n))
}

fn leads(base: &str, own: Option<&str>, name: &str) -> Result<Target, Nowhere> {
    let registry = registry(base);
    let own = own.map(dtab);
    resolve(registry.places(), own.as_ref(), name).map(|found| found.target)
}

#[test]
fn trees_become_targets() {
    for (tree, want) in [
        ("/#/static/a", c(0)),
        ("/#/static/a | /#/static/b", Target::Alt(vec![c(0), c(1)])),
        ("(/#/static/a | /#/static/b) | /#/static/c", Target::Alt(vec![c(0), c(1), c(2)])),
        ("/#/static/a | /#/static/b | /#/static/a", Target::Alt(vec![c(0), c(1)])),
        ("/#/static/none | /#/static/b", c(1)),
        ("/#/static/a | ! | /#/static/b", c(0)),
        ("/#/static/a | $ | /#/static/b", c(0)),
        ("/#/static/a | /#/slow/x | /#/static/b", Target::Alt(vec![c(0), c(1)])),
        ("9 * /#/static/a & 1 * /#/static/b", Target::Union(vec![(9, c(0)), (1, c(1))])),
        ("1 * /#/static/a & 0 * /#/static/b", c(0)),
        ("1 * /#/static/a & 2 * ~ & 3 * $", c(0)),
        (
            "0.5 * /#/static/a & 0.25 * /#/static/b",
            Target::Union(vec![(1_000_000_000, c(0)), (500_000_000, c(1))]),
        ),
    ] {
        assert_eq!(leads(&format!("/svc/x => {tree}"), None, "/svc/x"), Ok(want), "{tree}");
    }
}

#[test]
fn names_that_lead_nowhere_say_why() {
    for (tree, want) in [
        ("~", Nowhere::Unknown),
        ("! | /#/static/a", Nowhere::Unknown),
        ("/#/static/none", Nowhere::Unknown),
        ("$ | /#/static/a", Nowhere::Empty),
        ("1 * $ & 1 * ~", Nowhere::Empty),
        ("0 * /#/static/a & 0 * /#/static/b", Nowhere::Empty),
        ("/#/slow/x | /#/static/a", Nowhere::Undecided(vec![path("/#/slow/x")])),
        ("1 * /#/slow/x & 9 * /#/static/a", Nowhere::Undecided(vec![path("/#/slow/x")])),
    ] {
        assert_eq!(leads(&format!("/svc/x => {tree}"), None, "/svc/x"), Err(want), "{tree}");
    }
    let circle = leads("/svc/x => /svc/y; /svc/y => /svc/x", None, "/svc/x");
    let Err(Nowhere::Failed(why)) = circle else { panic!("{circle:?}") };
    assert!(why.contains("/svc/x -> /svc/y"), "{why}");
    let many: Vec<_> = (0..200).map(|i| format!("1 * /$/inet/127.0.0.1/{}", i + 1)).collect();
    let many = format!("/svc/x => {}", many.join(" & "));
    let mut wide = registry(BASE);
    for i in 0..200 {
        let cluster = wide.cluster(&format!("n{i}")).unwrap();
        wide.place(&path(&format!("/$/inet/127.0.0.1/{}", i + 1)), Some(cluster)).unwrap();
    }
    let found = resolve(wide.places(), Some(&dtab(&many)), "/svc/x");
    assert!(
        matches!(&found, Err(Nowhere::Failed(why)) if why.contains("more than 128")),
        "{found:?}"
    );
    wide.set_base(&dtab(&many));
    assert!(resolve(wide.places(), None, "/svc/x").is_ok(), "the base table may be larger");
}

#[test]
fn what_is_left_over_goes_with_its_cluster() {
    let registry = registry("/svc => /#/static; /svc/E => /svc/a");
    let own = dtab("/svc/E => /svc/b/svc/E");
    let found = resolve(registry.places(), Some(&own), "/svc/E").unwrap();
    assert_eq!(found.target, Target::Alt(vec![c(1), c(0)]));
    assert_eq!(found.residuals, [(ClusterId(1), "/svc/E".into())]);
    assert_eq!(found.spent, [0], "it would lead to b again");
    assert_eq!(
        registry.places().lookup(&path("/#/static/b/svc/E")),
        baleen_names::Named::Cluster { cluster: Spot::Cluster(ClusterId(1)), labels: 3 }
    );
}

fn driver() -> Driver {
    let (control, _) = sync_channel(1);
    Driver::new(Parts {
        engine: Engine::new(WorkerId(0), 1, 1, RecorderParams { entries: 0 }),
        clock: Clock::start(),
        ledger: Arc::new(Ledger::new(16, 16, 16)),
        control,
        peers: Arc::new([]),
        me: WorkerId(0),
        reports_dropped: Arc::default(),
        cells: Rc::new(WorkerCells::new()),
    })
}

fn binder() -> (Binder, mpsc::Receiver<Ask>) {
    let (asks, asked) = asks();
    (Binder::new(Some(asks), BIND_TIMEOUT), asked)
}

fn own(text: &str) -> Carried {
    let dtab = dtab(text);
    let text = dtab.to_string().into();
    Carried { dtab, text, l5d: false }
}

#[test]
fn a_name_is_evaluated_once_for_each_directory() {
    let (driver, (binder, mut asked)) = (driver(), binder());
    let mut registry = registry(BASE);
    let before = registry.directory();
    let bind = |directory: &Directory, name: &str| {
        binder.bind(directory.places(), &driver, name, None).map(|bound| bound.binding)
    };
    let a = bind(&before, "/svc/a").unwrap();
    assert_eq!(bind(&before, "/svc/a"), Ok(a));
    assert_eq!(asked.try_recv(), Ok(Ask::Route("/svc/a".into())));
    assert!(asked.try_recv().is_err(), "asked once");
    assert_eq!(bind(&before, "/svc/none"), Err(Nowhere::Unknown));
    assert_eq!(binder.count(), (1, 0, (1, 1)), "what leads nowhere is not kept");

    let own_route = registry.route("/svc/a").unwrap();
    registry.set_own_route("/svc/a", own_route).unwrap();
    let after = registry.directory();
    let again = bind(&after, "/svc/a").unwrap();
    assert_eq!((again.route, again.target), (own_route, a.target), "the tree is the same");
    registry.set_base(&dtab("/svc => /#/static/b"));
    let moved = bind(&registry.directory(), "/svc/a").unwrap();
    assert_ne!(moved.target, a.target);
    registry.set_base(&dtab("/svc => ~"));
    assert_eq!(bind(&registry.directory(), "/svc/a"), Err(Nowhere::Unknown));
    assert_eq!(binder.count().0, 0);
}

#[test]
fn names_that_lead_anywhere_alike_are_given_no_settings_of_their_own() {
    let driver = driver();
    for (base, name, gets) in [
        ("/svc => /#/static", "/svc/a", true),
        ("/svc => /#/static/a; /svc/x => /#/static/b", "/svc/x", true),
        ("/svc => /#/static; /svc/x => /#/static/a | /#/static/b", "/svc/x", true),
        // What anybody may put there leads to the same.
        ("/svc => /#/static/a", "/svc/x", false),
        ("/svc => /#/none | /#/static/a", "/svc/x", false),
        ("/svc/* => /#/static/a", "/svc/x", false),
        ("/svc => /$/io.buoyant.http.domainToPathPfx/h; /h/x => /#/static/a", "/svc/b.x", false),
        ("/svc => /host; /host/* => 9 * /#/static/a & 1 * /#/static/b", "/svc/x", false),
    ] {
        let (binder, mut asked) = binder();
        let directory = registry(base).directory();
        assert!(binder.bind(directory.places(), &driver, name, None).is_ok(), "{base}");
        let ask = gets.then(|| Ask::Route(name.into()));
        assert_eq!(asked.try_recv().ok(), ask, "{base}, {name}");
    }
}

#[test]
fn ten_thousand_overrides_take_no_more_room_than_a_thousand() {
    let (driver, (binder, _asked)) = (driver(), binder());
    let mut registry = registry(BASE);
    registry.set_base(&dtab(BASE));
    let directory = registry.directory();
    let mut most = 0;
    for i in 0..10_000u32 {
        // Each another tree.
        let text = format!("/svc/a => {} * /svc/b & 1 * /svc/c", i + 2);
        let bound = binder.bind(directory.places(), &driver, "/svc/a", Some(&own(&text)));
        assert!(bound.is_ok());
        most = most.max(binder.count().2.1);
    }
    let (plain, overridden, (live, _)) = binder.count();
    assert_eq!((plain, overridden), (0, OVERRIDDEN_KEPT));
    assert!(live <= OVERRIDDEN_KEPT + 2 && most <= OVERRIDDEN_KEPT + 2, "{live} {most}");
    // Trees that are the same share one target.
    for i in 0..2_000 {
        let text = format!("/svc/a => /svc/b; /svc/unused{i} => /svc/c");
        assert!(binder.bind(directory.places(), &driver, "/svc/a", Some(&own(&text))).is_ok());
    }
    assert!(binder.bind(directory.places(), &driver, "/svc/c", None).is_ok());
    let (_, overridden, (live, places)) = binder.count();
    assert_eq!((overridden, live), (OVERRIDDEN_KEPT, 2), "b, else a; c");
    assert!(places <= OVERRIDDEN_KEPT + 2);
}

#[test]
fn a_target_stays_while_a_call_leads_by_it() {
    let (driver, (binder, _asked)) = (driver(), binder());
    let registry = registry(BASE);
    let directory = registry.directory();
    let places = directory.places();
    let text = |i: usize| own(&format!("/svc/a => {} * /svc/b & 1 * /svc/c", i + 2));
    let kept = binder.bind(places, &driver, "/svc/a", Some(&text(0))).unwrap();
    for i in 1..2 * OVERRIDDEN_KEPT {
        let other = binder.bind(places, &driver, "/svc/a", Some(&text(i))).unwrap();
        assert_ne!(other.binding.target, kept.binding.target, "{i}");
    }
    let again = binder.bind(places, &driver, "/svc/a", Some(&text(0))).unwrap();
    assert_eq!(again.binding.target, kept.binding.target, "it was still in use");
    drop((kept, again));
}

#[test]
fn names_past_the_bound_push_out_the_least_recently_used() {
    let (driver, (binder, _asked)) = (driver(), binder());
    let registry = registry("/svc => /#/static/a; /other => /#/static/b");
    let directory = registry.directory();
    let bind = |name: &str| binder.bind(directory.places(), &driver, name, None).map(drop);
    bind("/other/first").unwrap();
    for i in 0..NAMES_KEPT - 1 {
        bind(&format!("/svc/{i}")).unwrap();
    }
    assert_eq!(binder.count().0, NAMES_KEPT);
    // Used once more: now the second is the oldest.
    bind("/other/first").unwrap();
    bind("/svc/more").unwrap();
    assert_eq!(binder.count().0, NAMES_KEPT);
    assert!(binder.plain.borrow_mut().get("/other/first").is_some());
    assert!(binder.plain.borrow_mut().get("/svc/0").is_none());
}

#[test]
fn what_is_not_known_is_asked_for_once() {
    let (driver, (binder, mut asked)) = (driver(), binder());
    let mut registry =
        registry("/svc/x => /$/inet/127.0.0.1/80 | /#/static/a; /svc/y => /#/slow/y");
    let directory = registry.directory();
    let bind = |directory: &Directory, name| {
        binder.bind(directory.places(), &driver, name, None).map(|bound| bound.binding)
    };
    let place = path("/$/inet/127.0.0.1/80");
    for _ in 0..3 {
        assert_eq!(bind(&directory, "/svc/x"), Err(Nowhere::Undecided(vec![place.clone()])));
        assert!(matches!(bind(&directory, "/svc/y"), Err(Nowhere::Undecided(_))));
    }
    assert_eq!(asked.try_recv(), Ok(Ask::Wanted(place.clone())));
    assert!(asked.try_recv().is_err(), "once, and nothing of what comes by itself");
    registry.place(&place, None).unwrap();
    assert!(bind(&registry.directory(), "/svc/x").is_ok(), "asked for in vain");
}

fn carried_by(lines: &str) -> Result<Option<Carried>, Box<str>> {
    let mut found = Ok(None);
    request(&format!("GET / HTTP/1.1\nHost: x{lines}"), |view| found = carried::carried(&view));
    found
}

#[test]
fn tables_of_a_request_are_put_in_order() {
    let text = |lines: &str| carried_by(lines).unwrap().map(|carried| carried.text.to_string());
    assert_eq!(text(""), None);
    assert_eq!(text("\nbaleen-dst-residual: /x"), None);
    assert_eq!(text("\nbaleen-dtab:"), None);
    assert_eq!(text("\nbaleen-dtab: /a => /b"), Some("/a => /b".into()));
    // What was carried along comes first, whatever the order of fields.
    let both = text("\nBaleen-Dtab: /a=>/b\nbaleen-ctx-dtab: /c => /d;\nl5d-dtab: /e => /f");
    assert_eq!(both, Some("/c => /d; /a => /b; /e => /f".into()));
    // Both forms of the same.
    let twice = text("\nbaleen-ctx-dtab: /a => /b; /c => /d\nl5d-ctx-dtab: /a => /b; /c => /d");
    assert_eq!(twice, Some("/a => /b; /c => /d".into()));
    let l5d = |lines: &str| carried_by(lines).unwrap().unwrap().l5d;
    assert!(l5d("\nl5d-ctx-dtab: /a => /b") && l5d("\nl5d-dtab: /a => /b"));
    assert!(!l5d("\nbaleen-dtab: /a => /b"));
}

#[test]
fn a_wrong_table_is_refused_with_the_place() {
    let wrong = |lines: &str| carried_by(lines).unwrap_err();
    let text = wrong("\nbaleen-dtab: /a => /b; /c = /d");
    assert!(text.starts_with("baleen-dtab: "), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let [.., source, caret] = lines[..] else { panic!("{text}") };
    assert_eq!(source, "/a => /b; /c = /d");
    assert_eq!(
        caret.find('^'),
        source.find("= /d").map(|at| at + usize::from(caret.len() > 14)),
        "{text}"
    );
    assert!(carried_by("\nbaleen-dtab: /a => /b").is_ok());
    let many = |n: usize| (0..n).map(|i| format!("/a{i} => /b")).collect::<Vec<_>>().join(";");
    assert!(carried_by(&format!("\nbaleen-dtab: {}", many(CARRIED_ENTRIES_MAX))).is_ok());
    let text = wrong(&format!("\nbaleen-dtab: {}", many(CARRIED_ENTRIES_MAX + 1)));
    assert!(text.contains("at most 64 entries"), "{text}");
    let long = format!("/a => /{}", "x".repeat(CARRIED_BYTES_MAX / 4));
    let fields = format!("\nbaleen-dtab: {long}").repeat(5);
    assert!(wrong(&fields).contains("at most 8192 bytes"), "{}", wrong(&fields));
}

fn sent_on(lines: &str, onward: &Onward<'_>) -> String {
    let mut out = String::new();
    request(&format!("GET / HTTP/1.1\nHost: x{lines}"), |view| {
        let mut edits = Edits::new();
        carried::onward(&view, onward, &mut edits);
        for (name, value) in edits.apply(&view).skip(1) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            out.push_str(&format!("{}: {}\n", text(name), text(value)));
        }
        assert_eq!(view.field_count(), lines.lines().filter(|l| !l.is_empty()).count() + 1);
    });
    out
}

#[test]
fn what_came_goes_and_what_holds_is_sent_on() {
    const CAME: &str =
        "\nl5d-dtab: /a => /b\nbaleen-ctx-dtab: /c => /d\nl5d-dst-residual: /r\nx: y";
    let nothing = |trusted| Onward::of(None, None, trusted);
    assert_eq!(sent_on("\nx: y", &nothing(false)), "x: y\n");
    assert_eq!(sent_on(CAME, &nothing(false)), "x: y\n");
    assert_eq!(sent_on(CAME, &nothing(true)), "l5d-dst-residual: /r\nx: y\n");
    let extra = Extra {
        residuals: vec![(ClusterId(1), "/rest".into())],
        table: Some("/c => /d".into()),
        l5d: true,
        own: 1,
    };
    let to = |cluster| sent_on(CAME, &Onward::of(Some(&extra), Some(ClusterId(cluster)), true));
    assert_eq!(
        to(0),
        "l5d-dst-residual: /r\nx: y\nbaleen-ctx-dtab: /c => /d\nl5d-ctx-dtab: /c => /d\n"
    );
    assert_eq!(
        to(1),
        "x: y\nbaleen-ctx-dtab: /c => /d\nl5d-ctx-dtab: /c => /d\n\
         baleen-dst-residual: /rest\nl5d-dst-residual: /rest\n"
    );
}

#[test]
fn a_spent_entry_is_not_sent_on() {
    let (driver, (binder, _asked)) = (driver(), binder());
    let registry = registry("/svc => /#/static; /svc/E => /svc/a");
    let directory = registry.directory();
    let bind = |text: &str| {
        let bound = binder.bind(directory.places(), &driver, "/svc/E", Some(&own(text))).unwrap();
        bound.extra.and_then(|extra| extra.table.clone()).map(String::from)
    };
    assert_eq!(bind("/svc/E => /svc/b/svc/E"), None);
    let rest = "/svc/x => /svc/c";
    assert_eq!(bind(&format!("/svc/E => /svc/b/svc/E; {rest}")), Some(rest.to_owned()));
    assert_eq!(bind(rest), Some(rest.to_owned()));
}
