//! What a configuration becomes, and what changes of services files change.

use baleen_config::parse_str;
use baleen_discovery::files::{Change, Update};
use baleen_policy::Target;

use super::*;

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
    let plan = wiring.plan(2, 0, 0);
    let binding = plan.directory.lookup("/svc/web").expect("bound");
    assert_eq!(plan.directory.route(binding.route), "/svc/web");
    let (cluster, set) = &plan.clusters[0];
    assert_eq!(plan.directory.cluster(*cluster), "web");
    assert_eq!(set.endpoints.iter().map(|e| e.weight).collect::<Vec<_>>(), [1, 3]);
    let (target, tree) = &plan.targets[0];
    assert_eq!((*target, &**tree), (binding.target, &Target::Cluster(*cluster)));
    assert_eq!((plan.params.routes.len(), plan.params.clusters.len()), (1, 1));
}

#[test]
fn a_union_leads_to_its_clusters_by_weight() {
    let wiring = wiring(
        "[route.\"/svc/web\"]\nto = [{ cluster = \"a\", weight = 9 }, { cluster = \"b\", weight = 1 }]\n\
         [cluster.a]\nendpoints = [\"127.0.0.1:1\"]\n[cluster.b]\nendpoints = [\"127.0.0.1:2\"]\n",
    );
    let plan = wiring.plan(1, 0, 0);
    let binding = plan.directory.lookup("/svc/web").expect("bound");
    let tree = plan.targets.iter().find(|(id, _)| *id == binding.target).map(|(_, tree)| &**tree);
    let Some(Target::Union(items)) = tree else { panic!("{tree:?}") };
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
    assert!(wiring.plan(1, 0, 0).directory.lookup("/svc/late").is_none());
    let came = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let directory = came.directory.expect("a new directory");
    assert!(directory.lookup("/svc/late").is_some());
    assert_eq!((came.sets.len(), came.targets.len()), (1, 1));
    assert_eq!(came.params.expect("settings").routes[0].1.name, "/svc/late");
    let again = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(again.sets.is_empty() && again.targets.is_empty() && again.params.is_none());
    let went = wiring.update(update("late", Change::Removed));
    assert!(went.directory.expect("a new directory").lookup("/svc/late").is_none());
    assert!(went.sets[0].1.endpoints.is_empty());
    let back = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(back.directory.expect("a new directory").lookup("/svc/late").is_some());
    assert_eq!(back.sets[0].1.endpoints[0].id, came.sets[0].1.endpoints[0].id);
}

#[test]
fn a_name_that_the_configuration_knows_stays() {
    let mut wiring = wiring(
        "[route.\"/svc/web\"]\ntry_timeout = \"1s\"\n[namer.files]\nkind = \"files\"\ndir = \"s\"\n",
    );
    wiring.update(update("web", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let went = wiring.update(update("web", Change::Removed));
    assert!(went.directory.is_none());
    assert!(wiring.plan(1, 0, 0).directory.lookup("/svc/web").is_some());
}

#[test]
fn endpoints_in_the_configuration_win_over_a_file() {
    let mut wiring = wiring("[cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n");
    let changes = wiring.update(update("web", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    assert!(changes.sets.is_empty() && changes.directory.is_none());
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
        let plan = wiring.plan(1, 0, 0);
        let (web, spare) = (plan.directory.lookup("/svc/web"), plan.directory.lookup("/svc/spare"));
        let (web, spare) = (web.expect("bound"), spare.expect("bound"));
        let of = |binding: Binding| {
            let (id, params) = &plan.params.routes[binding.route.index()];
            assert_eq!(*id, binding.route);
            params.fallback.map(|to| (to.route, to.target))
        };
        assert_eq!(of(web), Some((spare.route, spare.target)), "{routes}");
        assert_eq!(of(spare), None, "{routes}");
        assert!(plan.targets.iter().any(|(id, _)| *id == spare.target), "{routes}");
    }
}

#[test]
fn a_name_that_a_file_brings_falls_back_too() {
    let spare = "[cluster.spare]\nendpoints = [\"127.0.0.1:2\"]\n";
    let mut wiring = wiring(&format!("[route]\nfallback = \"/svc/spare\"\n{FILES}{spare}"));
    let came = wiring.update(update("late", Change::Endpoints(vec![endpoint("127.0.0.1:5")])));
    let directory = came.directory.expect("a new directory");
    let [late, spare] =
        ["/svc/late", "/svc/spare"].map(|name| directory.lookup(name).expect("bound"));
    let params = came.params.expect("settings");
    let to = params.routes[late.route.index()].1.fallback.expect("somewhere to fall back to");
    assert_eq!((to.route, to.target), (spare.route, spare.target));
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
    let plan = Wiring::new(config, None).expect("it fits").plan(1, 0, 0);
    let zone = baleen_config::zone_hash("a");
    assert_eq!(plan.params.worker.zone, zone);
    assert_eq!(plan.params.worker.peer.map(|peer| (peer.index, peer.count)), Some((2, 10)));
    let listener = &plan.listeners[0];
    assert!(listener.callers[0].contains("10.1.2.3".parse().expect("an address")));
    assert_eq!(listener.deadline_skew, std::time::Duration::from_millis(20));
    let web = plan.directory.lookup("/svc/web").expect("bound");
    let shell = plan.directory.route_shell(web.route).expect("settings of its own");
    assert_eq!((shell.priority, &shell.key), (Some(6), &baleen_config::KeySource::Address));
    assert!(plan.params.routes[web.route.index()].1.rate.is_some());
    let plain = plan.directory.lookup("/svc/plain").expect("bound");
    assert!(plan.directory.route_shell(plain.route).is_none(), "ordinary routes cost nothing");
    let path_and_zones = plan.clusters.iter().map(|(id, set)| {
        let zones: Vec<u32> = set.endpoints.iter().map(|e| e.zone).collect();
        (plan.directory.cluster_shell(*id).probe_path.as_str(), zones)
    });
    let want = [("/.well-known/baleen-load", vec![0]), ("/load", vec![zone, 0])];
    assert!(path_and_zones.eq(want), "{:?}", plan.clusters);
}
