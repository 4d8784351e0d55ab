//! Tests of the directory: ids that stay, snapshots that do not change, sets that grow in version, and the bounds.

use super::*;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn found(all: &[(SocketAddr, u32)]) -> Vec<Found> {
    all.iter().map(|one| Found::from(*one)).collect()
}

fn ids(discovered: &Discovered) -> Vec<(u32, u32)> {
    let set = discovered.set.as_ref().expect("the set changed");
    set.endpoints.iter().map(|e| (e.id.0, e.weight)).collect()
}

#[test]
fn ids_are_dense_and_stay() {
    let mut registry = Registry::new();
    let web = registry.cluster("web").unwrap();
    let api = registry.cluster("api").unwrap();
    assert_eq!((web, api), (ClusterId(0), ClusterId(1)));
    assert_eq!(registry.cluster("web"), Ok(web));
    assert_eq!(registry.route("web"), Ok(RouteId(0)));
    assert_eq!(registry.listener("127.0.0.1:8080"), Ok(ListenerId(0)));
    let one = registry.target(&Target::Cluster(web)).unwrap();
    let both = Target::Union(vec![(9, Target::Cluster(web)), (1, Target::Cluster(api))]);
    assert_eq!(registry.target(&both), Ok(TargetId(1)));
    assert_eq!(registry.target(&Target::Cluster(web)), Ok(one));
    let directory = registry.directory();
    assert_eq!((directory.cluster(api), directory.route(RouteId(0))), ("api", "web"));
    assert_eq!(directory.listener(ListenerId(0)), "127.0.0.1:8080");
    assert_eq!((directory.cluster(ClusterId(9)), directory.endpoint(EndpointId(0))), ("?", "?"));
}

#[test]
fn endpoints_keep_their_ids_when_they_leave_and_return() {
    let mut registry = Registry::new();
    let (web, api) = (registry.cluster("web").unwrap(), registry.cluster("api").unwrap());
    let first = registry.discovered(web, &found(&[(addr(1), 1), (addr(2), 3)]));
    assert_eq!(ids(&first), [(0, 1), (1, 3)]);
    assert_eq!(
        ids(&registry.discovered(api, &found(&[(addr(1), 1)]))),
        [(2, 1)],
        "another cluster, another id"
    );
    assert_eq!(
        registry.discovered(web, &found(&[(addr(2), 3), (addr(1), 1)])),
        Discovered::default(),
        "the same set"
    );
    assert_eq!(ids(&registry.discovered(web, &found(&[(addr(2), 3)]))), [(1, 3)]);
    assert_eq!(
        ids(&registry.discovered(web, &found(&[(addr(3), 1), (addr(2), 3)]))),
        [(1, 3), (3, 1)]
    );
    let back =
        registry.discovered(web, &found(&[(addr(1), 1), (addr(2), 4), (addr(2), 5), (addr(4), 0)]));
    assert_eq!(ids(&back), [(0, 1), (1, 9)], "twice: both weights; weight 0: not there");
    assert_eq!(back.set.map(|s| s.version), Some(4));
    let none = registry.discovered(web, &found(&[]));
    assert_eq!(none.set.map(|s| (s.version, s.endpoints.len())), Some((5, 0)));
    let directory = registry.directory();
    assert_eq!(directory.address(EndpointId(3)), Some(addr(3)), "who left is still known");
    assert_eq!(directory.endpoint(EndpointId(1)), "127.0.0.1:2");
    assert_eq!(directory.address(EndpointId(4)), None);
    assert_eq!(registry.set(api).map(|s| s.version), Some(1));
}

#[test]
fn a_new_cluster_without_endpoints_has_a_set() {
    let mut registry = Registry::new();
    let web = registry.cluster("web").unwrap();
    assert!(registry.discovered(web, &found(&[])).set.is_some());
    assert!(registry.discovered(web, &found(&[])).set.is_none());
}

#[test]
fn snapshots_do_not_change() {
    let mut registry = Registry::new();
    let route = registry.route("/svc/web").unwrap();
    let binding = |n| Binding { route, target: TargetId(n) };
    registry.bind("/svc/web", binding(0)).unwrap();
    let before = registry.directory();
    registry.bind("/svc/web", binding(1)).unwrap();
    registry.bind("/svc/new", binding(2)).unwrap();
    assert_eq!(before.lookup("/svc/web"), Some(binding(0)));
    assert_eq!(before.lookup("/svc/new"), None);
    assert!(registry.unbind("/svc/web") && !registry.unbind("/svc/web"));
    let after = registry.directory();
    assert_eq!((after.lookup("/svc/web"), after.names().count()), (None, 1));
}

#[test]
fn a_large_set_is_cut_by_id_and_counted() {
    let mut registry = Registry::new();
    let web = registry.cluster("web").unwrap();
    let many: Vec<_> = (1..=ENDPOINTS_MAX as u16 + 10).map(|port| (addr(port), 1)).collect();
    let found = registry.discovered(web, &found(&many));
    let set = found.set.unwrap();
    assert_eq!((set.endpoints.len(), found.left_out), (ENDPOINTS_MAX, 10));
    assert_eq!(set.endpoints.last().map(|e| e.id), Some(EndpointId(ENDPOINTS_MAX as u32 - 1)));
    let directory = registry.directory();
    for e in &set.endpoints {
        assert_eq!(directory.address(e.id), Some(addr(e.id.0 as u16 + 1)));
    }
}

#[test]
fn full_tables_refuse_and_go_on() {
    let mut registry = Registry::new();
    for i in 0..CLUSTERS_MAX {
        registry.cluster(&format!("c{i}")).unwrap();
    }
    let full = registry.cluster("one more").unwrap_err();
    assert_eq!(
        full.to_string(),
        format!("this process can't hold more than {CLUSTERS_MAX} clusters")
    );
    assert_eq!(registry.cluster("c7"), Ok(ClusterId(7)));
    let binding = Binding { route: RouteId(0), target: TargetId(0) };
    for i in 0..NAMES_MAX {
        registry.bind(&format!("/svc/{i}"), binding).unwrap();
    }
    assert!(registry.bind("/svc/more", binding).is_err());
    let rebound = Binding { route: RouteId(1), ..binding };
    registry.bind("/svc/5", rebound).unwrap();
    assert!(registry.unbind("/svc/6"));
    registry.bind("/svc/more", binding).unwrap();
    assert_eq!(registry.directory().lookup("/svc/5"), Some(rebound));
}

#[test]
fn zones_and_order_come_with_endpoints() {
    let mut registry = Registry::new();
    let web = registry.cluster("web").unwrap();
    let in_zone = |port, zone| Found { addr: addr(port), weight: 1, zone };
    let set = registry.discovered(web, &[in_zone(1, 7), in_zone(2, 0), in_zone(1, 8)]).set.unwrap();
    let zones: Vec<_> = set.endpoints.iter().map(|e| (e.zone, e.weight)).collect();
    assert_eq!(zones, [(7, 2), (0, 1)], "twice: the first one's zone");
    assert_eq!(set.endpoints[0].order, stable(b"127.0.0.1:1"), "the same in every process");
    let moved = registry.discovered(web, &[in_zone(1, 9), in_zone(2, 0)]);
    assert_eq!(moved.set.map(|set| set.endpoints[0].zone), Some(9));
}

#[test]
fn settings_of_the_proxys_own() {
    let mut registry = Registry::new();
    let urgent = Arc::new(RouteShell { priority: Some(1), ..RouteShell::default() });
    for i in [0, 300, 299, 256] {
        registry.set_route_shell(RouteId(i), &urgent);
    }
    registry.set_route_shell(RouteId(5), &Arc::new(RouteShell::default()));
    let before = registry.directory();
    let of = |directory: &Directory, i| directory.route_shell(RouteId(i)).and_then(|s| s.priority);
    for (i, want) in [
        (0, Some(1)),
        (1, None),
        (5, None),
        (256, Some(1)),
        (299, Some(1)),
        (300, Some(1)),
        (301, None),
    ] {
        assert_eq!(of(&before, i), want, "{i}");
    }
    let less = Arc::new(RouteShell { priority: Some(6), ..RouteShell::default() });
    registry.set_route_shell(RouteId(0), &less);
    registry.set_route_shell(RouteId(300), &Arc::new(RouteShell::default()));
    let after = registry.directory();
    assert_eq!((of(&after, 0), of(&after, 300), of(&after, 299)), (Some(6), None, Some(1)));
    assert_eq!(
        (of(&before, 0), of(&before, 300)),
        (Some(1), Some(1)),
        "a snapshot does not change"
    );
    let shell = ClusterShell { probe_path: "/load".into(), ..ClusterShell::default() };
    registry.set_cluster_shell(ClusterId(1), &Arc::new(shell.clone()));
    let directory = registry.directory();
    assert_eq!(directory.cluster_shell(ClusterId(1)), &shell);
    assert_eq!(directory.cluster_shell(ClusterId(0)), &ClusterShell::default());
    assert_eq!(directory.cluster_shell(ClusterId(9)), &ClusterShell::default());
}
