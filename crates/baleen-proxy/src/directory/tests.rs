//! Tests of the directory: ids that stay, snapshots that do not change, sets that grow in version, and the bounds.

use baleen_names::{Named, Namers as _};

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
    assert_eq!((registry.target(), registry.target()), (Ok(TargetId(0)), Ok(TargetId(1))));
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

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

#[test]
fn snapshots_do_not_change() {
    let mut registry = Registry::new();
    let [web, new] = ["web", "new"].map(|name| registry.cluster(name).unwrap());
    registry.place(&path("/#/files/web"), Some(web)).unwrap();
    let before = registry.directory();
    registry.place(&path("/#/files/web"), Some(web)).unwrap();
    let generation = |directory: &Directory| directory.places().generation();
    assert_eq!(generation(&registry.directory()), generation(&before), "nothing changed");
    registry.place(&path("/#/files/web"), None).unwrap();
    registry.place(&path("/#/files/new"), Some(new)).unwrap();
    let at = |directory: &Directory, at| directory.places().cluster_at(&path(at));
    assert_eq!(at(&before, "/#/files/web"), Some(web));
    assert_eq!(at(&before, "/#/files/new"), None);
    let after = registry.directory();
    assert_eq!(at(&after, "/#/files/web"), None);
    assert!(after.places().is_decided(&path("/#/files/web")));
    assert!(registry.forget_place(&path("/#/files/new")));
    assert!(!registry.forget_place(&path("/#/files/new")));
    assert!(!registry.directory().places().is_decided(&path("/#/files/new")));
    let halfway = registry.directory().with_places_of(&before);
    assert_eq!((at(&halfway, "/#/files/web"), halfway.cluster(new)), (Some(web), "new"));
}

#[test]
fn what_is_below_a_mount() {
    let mut registry = Registry::new();
    let [web, deep] = ["web", "deep"].map(|name| registry.cluster(name).unwrap());
    registry.place(&path("/#/k8s/web"), Some(web)).unwrap();
    registry.place(&path("/#/k8s/ns/http/deep"), Some(deep)).unwrap();
    registry.place(&path("/$/inet/127.0.0.1/1"), None).unwrap();
    registry.mount(&path("/#/k8s"), MountKind::Listed);
    registry.mount(&path("/#/slow"), MountKind::Listing);
    registry.mount(&path("/$/inet"), MountKind::Asked);
    let directory = registry.directory();
    let cluster = |id, labels| Named::Cluster { cluster: Spot::Cluster(id), labels };
    let undecided = |labels| Named::Cluster { cluster: Spot::Undecided, labels };
    for (at, want) in [
        ("/#/k8s/web", cluster(web, 3)),
        ("/#/k8s/web/and/more", cluster(web, 3)),
        ("/#/k8s/ns/http/deep/x", cluster(deep, 5)),
        ("/#/k8s/ns/http", Named::Neg),
        ("/#/k8s/webs", Named::Neg),
        ("/#/k8s", Named::Neg),
        ("/#/slow/web/x", undecided(4)),
        ("/#/slow", Named::Neg),
        ("/#/none/web", Named::Neg),
        ("/$/inet/127.0.0.1/1/x", Named::Neg),
        ("/$/inet/127.0.0.1/2/x", undecided(4)),
        ("/$/inet/127.0.0.1", Named::Neg),
        ("/$/inet/127.0.0.1/http", Named::Neg),
    ] {
        assert_eq!(directory.places().lookup(&path(at)), want, "{at}");
    }
    registry.mount(&path("/#/slow"), MountKind::Listed);
    let directory = registry.directory();
    assert_eq!(directory.places().lookup(&path("/#/slow/web")), Named::Neg);
}

#[test]
fn below_a_mount_that_is_asked_the_form_says_what_a_place_is() {
    let mut registry = Registry::new();
    registry.mount(&path("/#/dns"), MountKind::Asked);
    registry.mount(&path("/$/inet"), MountKind::Asked);
    let web = registry.cluster("web").unwrap();
    // What is shorter than a place decides nothing of what is below it.
    registry.place(&path("/#/dns/api.example"), None).unwrap();
    registry.place(&path("/#/dns/web.example/80"), Some(web)).unwrap();
    let undecided = |labels| Named::Cluster { cluster: Spot::Undecided, labels };
    let web = Named::Cluster { cluster: Spot::Cluster(web), labels: 4 };
    let directory = registry.directory();
    for (at, want) in [
        ("/#/dns/api.example", Named::Neg),
        ("/#/dns/api.example/http", Named::Neg),
        ("/#/dns/api.example/0", Named::Neg),
        ("/#/dns/api.example/80", undecided(4)),
        ("/#/dns/api.example/80/and/more", undecided(4)),
        ("/#/dns/_http._tcp.api.example", undecided(3)),
        ("/#/dns/_http._tcp.api.example/and/more", undecided(3)),
        ("/#/dns/web.example/80/and/more", web),
        ("/#/dns", Named::Neg),
        ("/$/inet", Named::Neg),
    ] {
        assert_eq!(directory.places().lookup(&path(at)), want, "{at}");
    }
}

#[test]
fn it_is_known_what_is_used_of_what_has_to_be_asked_for() {
    let mut registry = Registry::new();
    registry.mount(&path("/#/dns"), MountKind::Asked);
    let [web, api] = ["web", "api"].map(|name| registry.cluster(name).unwrap());
    let [at, other] = ["/#/dns/web.example/80", "/#/dns/api.example/80"].map(path);
    registry.place(&at, Some(web)).unwrap();
    registry.place(&other, Some(api)).unwrap();
    // A worker has what was known before other things changed.
    let before = registry.directory();
    registry.renew_places();
    assert_ne!(registry.places().generation(), before.places().generation());
    assert!(!registry.places().take_used(&at), "nobody has asked");
    before.places().lookup(&path("/#/dns/web.example/80/rest"));
    assert!(registry.places().take_used(&at));
    assert!(!registry.places().take_used(&at), "not since");
    assert!(!registry.places().take_used(&other));
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
    let before = registry.directory();
    assert_eq!(before.refused(), []);
    let full = registry.cluster("one more").unwrap_err();
    assert_eq!(registry.cluster("another"), Err(full));
    assert_eq!(before.refused(), [full], "said once, whatever snapshot is asked");
    assert_eq!(
        full.to_string(),
        format!("this process can't hold more than {CLUSTERS_MAX} clusters")
    );
    assert_eq!(registry.cluster("c7"), Ok(ClusterId(7)));
    for i in 0..PLACES_MAX {
        registry.place(&path(&format!("/#/files/{i}")), None).unwrap();
    }
    let more = path("/#/files/more");
    assert!(registry.place(&more, None).is_err());
    registry.place(&path("/#/files/5"), Some(ClusterId(5))).unwrap();
    assert!(registry.forget_place(&path("/#/files/6")));
    registry.place(&more, None).unwrap();
    let directory = registry.directory();
    assert_eq!(directory.places().cluster_at(&path("/#/files/5")), Some(ClusterId(5)));
    for i in 0..CONTROL_TARGETS_MAX {
        assert_eq!(registry.target(), Ok(TargetId(i as u32)));
    }
    assert!(registry.target().is_err());
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
