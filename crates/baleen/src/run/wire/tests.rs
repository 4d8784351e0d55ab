//! What a configuration becomes, and what changes of services files change.

use baleen_config::parse_str;
use baleen_discovery::files::{Change, Update};
use baleen_policy::Target;

use super::*;

/// What a name leads to: its settings, and its clusters.
fn bound(directory: &Directory, name: &str) -> Option<(RouteId, Target)> {
    let found = baleen_proxy::names::resolve(directory.places(), None, name).ok()?;
    let places = directory.places();
    Some((places.own_route(name).or(places.rest_route())?, found.target))
}

const FILES: &str = "[namer.files]\nkind = \"files\"\ndir = \"s\"\n";
const LISTENER: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\n";

fn wiring(text: &str) -> Wiring {
    let (config, _) =
        parse_str("baleen.toml", &format!("{LISTENER}{text}")).expect("a configuration");
    Wiring::new(config, None).expect("it fits")
}

fn endpoint(text: &str) -> Endpoint {
    baleen_config::parse_endpoint(text).expect("an endpoint")
}

fn update(cluster: &str, change: Change) -> Update {
    Update { cluster: cluster.to_owned(), change }
}

#[test]
fn a_static_cluster_is_there_at_start() {
    let wiring = wiring("[cluster.web]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:2 3\"]\n");
    let plan = wiring.plan(2, 0, 0, None);
    let (route, target) = bound(&plan.directory, "/svc/web").expect("bound");
    assert_eq!(plan.directory.route(route), "/svc/web");
    let (cluster, set) = &plan.clusters[0];
    assert_eq!(plan.directory.cluster(*cluster), "web");
    assert_eq!(set.endpoints.iter().map(|e| e.weight).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(target, Target::Cluster(*cluster));
    assert_eq!((plan.params.routes.len(), plan.params.clusters.len()), (2, 1), "the rest's, too");
}

#[test]
fn a_union_leads_to_its_clusters_by_weight() {
    let wiring = wiring(
        "[route.\"/svc/web\"]\nto = [{ cluster = \"a\", weight = 9 }, { cluster = \"b\", weight = 1 }]\n\
         [cluster.a]\nendpoints = [\"127.0.0.1:1\"]\n[cluster.b]\nendpoints = [\"127.0.0.1:2\"]\n",
    );
    let plan = wiring.plan(1, 0, 0, None);
    let (_, tree) = bound(&plan.directory, "/svc/web").expect("bound");
    let Target::Union(items) = &tree else { panic!("{tree:?}") };
    let items: Vec<(u32, &str)> = items
        .iter()
        .map(|(weight, target)| match target {
            Target::Cluster(id) => (*weight, plan.directory.cluster(*id)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(items, [(9, "a"), (1, "b")]);
}

#[test]
fn a_file_brings_its_name_and_takes_it_away() {
    let mut wiring = wiring(FILES);
    assert!(bound(&wiring.plan(1, 0, 0, None).directory, "/svc/late").is_none());
    let came = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let before = came.addresses.expect("new addresses");
    assert!(bound(&before, "/svc/late").is_none(), "it leads there last of all");
    let address = came.sets[0].1.endpoints[0].id;
    assert!(before.address(address).is_some());
    let directory = came.names.expect("a new name");
    assert!(bound(&directory, "/svc/late").is_some());
    assert_eq!(came.sets.len(), 1);
    let params = came.params.expect("settings");
    let names: Vec<&str> = params.routes.iter().map(|(_, p)| p.name.as_str()).collect();
    assert_eq!((names, params.clusters.len()), (vec!["/svc/late"], 1), "what is new only");
    let again = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(again.sets.is_empty() && again.params.is_none() && again.names.is_none());
    let went = wiring.update(update("late", Change::Removed));
    assert!(bound(&went.names.expect("names change"), "/svc/late").is_none());
    assert!(went.sets[0].1.endpoints.is_empty());
    let back = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(bound(&back.names.expect("names change"), "/svc/late").is_some());
    assert_eq!(back.sets[0].1.endpoints[0].id, address);
}

#[test]
fn a_name_that_the_configuration_knows_stays() {
    let mut wiring = wiring(
        "[route.\"/svc/web\"]\ntry_timeout = \"1s\"\n[namer.files]\nkind = \"files\"\ndir = \"s\"\n",
    );
    wiring.update(update("web", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let went = wiring.update(update("web", Change::Removed));
    assert!(went.names.is_none());
    assert!(bound(&wiring.plan(1, 0, 0, None).directory, "/svc/web").is_some());
}

#[test]
fn workers_get_what_they_ask_for() {
    let mut wiring = wiring("[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n");
    let path = |text: &str| Path::parse(text).expect("a path");
    let inet = path("/$/inet/127.0.0.1/80/and/more");
    let mut asked = Vec::new();
    let mut want = |path: &Path| {
        asked.push(path.to_string());
        path.label(2) == Some(b"example.com")
    };
    let asks = [
        Ask::Route("/svc/web/deeper".into()),
        Ask::Wanted(inet.clone()),
        Ask::Wanted(inet),
        Ask::Wanted(path("/$/inet/example.com/80")),
        Ask::Wanted(path("/$/inet/nobody/80")),
    ];
    let changes = wiring.asked(&asks, &mut want);
    assert_eq!(asked, ["/$/inet/example.com/80", "/$/inet/nobody/80"], "addresses are known");
    let directory = changes.names.expect("names change");
    let (route, _) = bound(&directory, "/svc/web/deeper").expect("what is left over is fine");
    assert_eq!(directory.route(route), "/svc/web/deeper");
    let place = path("/$/inet/127.0.0.1/80");
    let cluster = directory.places().cluster_at(&place).expect("a cluster");
    assert_eq!(directory.cluster(cluster), "/$/inet/127.0.0.1/80");
    assert_eq!(changes.sets.len(), 1);
    assert!(!directory.places().is_decided(&path("/$/inet/example.com/80")), "it was asked for");
    assert!(directory.places().is_decided(&path("/$/inet/nobody/80")), "nobody could be asked");
}

#[test]
fn endpoints_in_the_configuration_win_over_a_file() {
    let mut wiring = wiring("[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n");
    let changes = wiring.update(update("web", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(changes.sets.is_empty() && changes.names.is_none());
    assert!(changes.talk[0].contains("not used"), "{:?}", changes.talk);
}

#[test]
fn who_falls_back_knows_where_to() {
    let two = "[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n[cluster.spare]\nendpoints = [\"127.0.0.1:2\"]\n";
    for routes in [
        "[route.\"/svc/web\"]\nfallback = \"/svc/spare\"\n",
        // Of all names; the spare itself has none.
        "[route]\nfallback = \"/svc/spare\"\n",
    ] {
        let wiring = wiring(&format!("{routes}{two}"));
        let plan = wiring.plan(1, 0, 0, None);
        let of = |name: &str| {
            let (route, target) = bound(&plan.directory, name).expect("bound");
            let (id, params) = &plan.params.routes[route.index()];
            assert_eq!(*id, route);
            (route, target, params.fallback)
        };
        let ((_, _, to), (spare, leads, none)) = (of("/svc/web"), of("/svc/spare"));
        let to = to.expect("somewhere to fall back to");
        assert_eq!((to.route, none), (spare, None), "{routes}");
        let target = plan.targets.iter().find(|(id, _)| *id == to.target).map(|(_, tree)| &**tree);
        assert_eq!(target, Some(&leads), "{routes}");
    }
}

#[test]
fn a_name_that_a_file_brings_falls_back_too() {
    let spare = "[cluster.spare]\nendpoints = [\"127.0.0.1:2\"]\n";
    let mut wiring = wiring(&format!("[route]\nfallback = \"/svc/spare\"\n{FILES}{spare}"));
    let came = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let directory = came.names.expect("names change");
    let (spare, _) = bound(&directory, "/svc/spare").expect("bound");
    let to = came.params.expect("settings").routes[0].1.fallback;
    assert_eq!(to.map(|to| to.route), Some(spare));
}

#[test]
fn settings_reach_where_they_are_used() {
    let (config, _) = parse_str(
        "baleen.toml",
        "zone = \"a\"\npeers = { index = 2, count = 10 }\n\
         [[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\n\
         trusted_callers = [\"10.0.0.0/8\"]\ndeadline_skew = \"20ms\"\n\
         [[listener.rule]]\npath = \"/pay\"\nname = \"/svc/web\"\npriority = 0\n\
         [route.\"/svc/web\"]\npriority = 6\nrate = { limit = \"10/s\", key = \"address\" }\n\
         [cluster.web]\nendpoints = [\"127.0.0.1:1 zone=a\", \"127.0.0.1:2\"]\n\
         balance = { kind = \"prequal\", probe_path = \"/load\" }\n\
         [cluster.plain]\nendpoints = [\"127.0.0.1:3\"]\n",
    )
    .expect("a configuration");
    let plan = Wiring::new(config, None).expect("it fits").plan(1, 0, 0, None);
    let zone = baleen_config::zone_hash("a");
    assert_eq!(plan.params.worker.zone, zone);
    assert_eq!(plan.params.worker.peer.map(|peer| (peer.index, peer.count)), Some((2, 10)));
    let listener = &plan.listeners[0];
    assert!(listener.callers[0].contains("10.1.2.3".parse().expect("an address")));
    assert_eq!(listener.deadline_skew, std::time::Duration::from_millis(20));
    let (web, _) = bound(&plan.directory, "/svc/web").expect("bound");
    let shell = plan.directory.route_shell(web).expect("settings of its own");
    assert_eq!((shell.priority, &shell.key), (Some(6), &baleen_config::KeySource::Address));
    assert!(plan.params.routes[web.index()].1.rate.is_some());
    let (plain, _) = bound(&plan.directory, "/svc/plain").expect("bound");
    assert!(plan.directory.route_shell(plain).is_none(), "ordinary routes cost nothing");
    let path_and_zones = plan.clusters.iter().map(|(id, set)| {
        let zones: Vec<u32> = set.endpoints.iter().map(|e| e.zone).collect();
        (plan.directory.cluster_shell(*id).probe_path.as_str(), zones)
    });
    let want = [("/.well-known/baleen-load", vec![0]), ("/load", vec![zone, 0])];
    assert!(path_and_zones.eq(want), "{:?}", plan.clusters);
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a path")
}

/// What a registry says of a service.
fn says(place: &str, endpoints: Option<&[&str]>) -> News {
    let endpoints = endpoints.map(|all| all.iter().map(|text| endpoint(text)).collect());
    let service = path(place).drop(2).to_string().trim_start_matches('/').to_owned();
    let update = baleen_discovery::keeper::Update { namer: "etcd".into(), service, endpoints };
    News::Service(path(place), update)
}

const ETCD: &str = "[namer.etcd]\nkind = \"etcd\"\n";

#[test]
fn an_address_that_moves_is_taken_away_first() {
    let mut wiring = wiring(ETCD);
    let (api, web) = ("/#/etcd/api", "/#/etcd/web");
    wiring.news(vec![
        says(api, Some(&["10.0.0.2:80"])),
        says(web, Some(&["10.0.0.1:80", "10.0.0.3:80"])),
    ]);
    let changes = wiring.news(vec![
        says(api, Some(&["10.0.0.2:80", "10.0.0.4:80"])),
        says("/#/etcd/new", Some(&["10.0.0.5:80"])),
        says(api, Some(&["10.0.0.1:80", "10.0.0.2:80"])),
        says(web, Some(&["10.0.0.3:80"])),
    ]);
    let directory = changes.names.expect("there is a new name");
    let sets: Vec<(&str, usize)> = changes
        .sets
        .iter()
        .map(|(id, set)| (directory.cluster(*id), set.endpoints.len()))
        .collect();
    assert_eq!(sets, [(web, 1), (api, 2), ("/#/etcd/new", 1)], "each once");
}

#[test]
fn what_was_asked_for_in_vain_is_not_remembered_without_bound() {
    let mut wiring = wiring("[namer.dns]\nkind = \"dns\"\n");
    let place = |i: usize| path(&format!("/#/dns/host{i}/80"));
    let asks: Vec<Ask> = (0..NEGATIVES_MAX).map(|i| Ask::Wanted(place(i))).collect();
    wiring.asked(&asks, &mut |_| false);
    let decided = |wiring: &Wiring, i| wiring.registry.places().is_decided(&place(i));
    assert!(decided(&wiring, 0) && decided(&wiring, NEGATIVES_MAX - 1));
    // What DNS says counts as well.
    wiring.news(vec![says("/#/dns/more/80", None)]);
    assert!(!decided(&wiring, 0) && decided(&wiring, 1), "the oldest is forgotten");
    assert!(wiring.registry.places().is_decided(&path("/#/dns/more/80")));
    wiring.news(vec![News::Forget((0..NEGATIVES_MAX).map(place).collect())]);
    assert_eq!(wiring.negatives.len(), 1);
    // What is there is not forgotten for it.
    wiring.news(vec![says("/#/dns/more/80", Some(&["10.0.0.1:80"]))]);
    wiring.asked(&asks, &mut |_| false);
    assert!(wiring.registry.places().cluster_at(&path("/#/dns/more/80")).is_some());
}

#[test]
fn a_name_may_be_known_to_a_registry_that_was_never_heard() {
    use baleen_proxy::names::{Nowhere, resolve};
    let mut wiring = wiring(&format!(
        "{ETCD}[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n[route.\"/svc/x\"]\nto = \"x\"\n"
    ));
    let leads = |wiring: &Wiring, name| resolve(wiring.registry.places(), None, name).err();
    assert!(matches!(leads(&wiring, "/svc/api"), Some(Nowhere::Undecided(_))));
    wiring.news(vec![News::Unheard("etcd".to_owned())]);
    assert_eq!(leads(&wiring, "/svc/api"), Some(Nowhere::Unheard));
    assert_eq!(leads(&wiring, "/svc/x"), Some(Nowhere::Unheard));
    assert_eq!(leads(&wiring, "/svc/web"), None);
    assert_eq!(leads(&wiring, "/other"), Some(Nowhere::Unknown), "no registry was missed");
    wiring.news(vec![News::Settled("etcd".to_owned())]);
    assert_eq!(leads(&wiring, "/svc/api"), Some(Nowhere::Unknown));
}
