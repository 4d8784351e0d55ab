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
