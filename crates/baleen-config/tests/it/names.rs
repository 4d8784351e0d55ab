//! Names and namers: what a file means, and what its mistakes look like.

use std::time::Duration;

use baleen_config::{
    Config, Hold, Login, Look, Namer, NamerKind, Secret, Store, TargetSpec, parse_str, render,
};
use baleen_policy::params::{FallbackBy, Share};

use crate::mistakes::{start, whole};

const LISTENER: &str = "[[listener]]\nlisten = \"127.0.0.1:8080\"\n";

fn config(text: &str) -> Config {
    match parse_str("etc/baleen.toml", &format!("{LISTENER}{text}")) {
        Ok((config, warnings)) => {
            assert_eq!(warnings, [], "{}", render(&warnings, Look::Plain));
            config
        }
        Err(errors) => panic!("{}", render(&errors, Look::Plain)),
    }
}

fn one(cluster: &str) -> TargetSpec {
    TargetSpec::Cluster(cluster.to_owned())
}

#[test]
fn without_a_table_names_lead_to_whichever_namer_has_them() {
    let c = config(
        "[namer.zoo]\nkind = \"zookeeper\"\nservers = [\"h1:2181\", \"h2:2181\"]\n\
         [namer.folder]\nkind = \"files\"\ndir = \"services\"\n\
         [namer.dns]\nkind = \"dns\"\n\
         [namer.etcd]\nkind = \"etcd\"\n[cluster.own]\nendpoints = [\"127.0.0.1:1\"]\n\
         [route.\"/svc/a\"]\nto = \"own\"\n\
         [route.\"/svc/b\"]\nto = [{ cluster = \"own\", weight = 9 }, { cluster = \"/#/etcd/b-2\" }]\n\
         [route.\"/svc/c\"]\nto = { first = [\"own\", \"x\"] }\n",
    );
    assert_eq!(
        format!("{:#}", c.names.dtab),
        "/svc => /#/etcd;\n\
         /svc => /#/zoo;\n\
         /svc => /#/folder;\n\
         /svc => /#/static;\n\
         /svc/a => /#/static/own | !;\n\
         /svc/b => 9 * /#/static/own & /#/etcd/b-2 | !;\n\
         /svc/c => /#/static/own | (/#/folder/x | /#/zoo/x | /#/etcd/x) | !;\n"
    );
    assert!(!c.names.own && c.names.store.is_none());
    assert_eq!(c.names.namespace, "default");
    assert_eq!(c.names.bind_timeout, Duration::from_secs(10));
    assert_eq!(c.names.state_dir.as_deref(), Some("etc/state".as_ref()));
    assert_eq!(c.services_dir.as_deref(), Some("etc/services".as_ref()));
    let names: Vec<&str> = c.namers.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["dns", "etcd", "folder", "zoo"]);
    assert_eq!(c.target_of("/svc/web"), Some(one("web")));
    assert_eq!(c.target_of("/svc/a"), Some(one("own")));
    let two = vec![(9, one("own")), (1, one("/#/etcd/b-2"))];
    assert_eq!(c.target_of("/svc/b"), Some(TargetSpec::Union(two)));
}

#[test]
fn a_folder_of_files_alone_keeps_nothing_on_disk() {
    let c = config("[namer.files]\nkind = \"files\"\ndir = \"services\"\n");
    assert_eq!(c.names.state_dir, None);
    assert_eq!(c.names.dtab.to_string(), "/svc => /#/files; /svc => /#/static");
    assert_eq!(c.target_of("/svc/web"), Some(one("web")));
    let c = config("[namer.etcd]\nkind = \"etcd\"\n");
    assert_eq!(c.target_of("/svc/web"), Some(one("/#/etcd/web")));
}

#[test]
fn a_store_that_may_die_is_remembered() {
    let c = config("[names]\nstore = \"etcd://127.0.0.1:2379/baleen/dtabs\"\n");
    assert_eq!(c.names.state_dir.as_deref(), Some("etc/state".as_ref()));
    let c = config("[names]\nstore = \"file:dtabs\"\n");
    assert_eq!(c.names.state_dir, None);
}

#[test]
fn a_table_of_its_own_leads_names() {
    let c = config(
        "[names]\nstate_dir = \"/var/lib/baleen\"\nbind_timeout = \"3s\"\ndtab = '''\n\
         # everything\n\
         /svc => /#/etcd ;\n\
         /svc => /#/files ;\n\
         /svc/pay => 9 * /#/etcd/pay-v1 & 1 * /#/static/own | /svc/pay-old ;\n\
         /http/1.1/GET => /svc ;\n\
         /svc/down => ! ;\n\
         /svc/loop => /svc/loop ;\n\
         /k8s => /#/k8s ;\n\
         /out => /$/inet ;\n\
         '''\n\
         [namer.etcd]\nkind = \"etcd\"\n[namer.k8s]\nkind = \"kubernetes\"\n\
         [namer.files]\nkind = \"files\"\ndir = \"d\"\n\
         [cluster.own]\nendpoints = [\"127.0.0.1:1\"]\n\
         [cluster.\"/#/etcd/web\"]\nconcurrency = 7\n\
         [route.\"/svc/x\"]\nto = \"own\"\n",
    );
    assert!(c.names.own);
    assert_eq!(c.names.state_dir.as_deref(), Some("/var/lib/baleen".as_ref()));
    assert_eq!(c.names.bind_timeout, Duration::from_secs(3));
    assert_eq!(c.names.dtab.len(), 9);
    let web = TargetSpec::Alt(vec![one("web"), one("/#/etcd/web")]);
    assert_eq!(c.target_of("/svc/web"), Some(web.clone()));
    assert_eq!(c.target_of("/http/1.1/GET/web"), Some(web));
    let pay = TargetSpec::Union(vec![(9, one("/#/etcd/pay-v1")), (1, one("own"))]);
    let Some(TargetSpec::Alt(parts)) = c.target_of("/svc/pay") else { panic!() };
    assert_eq!(parts[..2], [pay, one("pay-old")]);
    assert_eq!(c.target_of("/svc/x"), Some(one("own")));
    for nowhere in ["/svc/down", "/svc/loop", "/other", "web", ""] {
        assert_eq!(c.target_of(nowhere), None, "{nowhere}");
    }
    // What of a path a namer takes, and what is left of it.
    assert_eq!(c.target_of("/k8s/default/http/web"), Some(one("/#/k8s/default/http/web")));
    assert_eq!(c.target_of("/k8s/default/http/web/rest"), Some(one("/#/k8s/default/http/web")));
    assert_eq!(c.target_of("/k8s/default/http"), None);
    assert_eq!(c.target_of("/out/127.0.0.1/80"), Some(one("/$/inet/127.0.0.1/80")));
    assert_eq!(c.cluster_params("/#/etcd/web").concurrency, 7);
    assert_eq!(c.cluster_params("/#/etcd/other").concurrency, 1024);
}

#[test]
fn a_table_in_a_store() {
    let c = config(
        "[names]\nstore = \"file:dtabs\"\nnamespace = \"web\"\n\
         [namer.files]\nkind = \"files\"\ndir = \"d\"\n\
         [route.\"/svc/x\"]\nto = \"own\"\n",
    );
    assert_eq!(c.names.store, Some(Store::Folder("etc/dtabs".into())));
    assert_eq!(c.names.namespace, "web");
    // What the store has comes before this.
    assert_eq!(c.names.dtab.to_string(), "/svc/x => /#/files/own | !");
    let url = "zookeeper://h1:2181,h2:2181/baleen/dtabs";
    let c = config(&format!("[names]\nstore = \"{url}\"\n[namer.etcd]\nkind = \"etcd\"\n"));
    assert_eq!(c.names.store, Some(Store::Url(url.into())));
    assert!(c.names.dtab.is_empty());
}

#[test]
fn every_kind_with_its_settings() {
    let c = config(
        "[namer.a]\nkind = \"etcd\"\nendpoints = [\"https://e1:2379/\", \"http://[::1]:2379\"]\n\
         prefix = \"/x/y\"\nuser = \"root\"\npassword = \"file:secret\"\nca = \"ca.pem\"\n\
         hold = { share = \"90%\", min = 10, window = \"5s\", for = \"1h\" }\nstuck_after = \"30s\"\n\
         [namer.b]\nkind = \"zookeeper\"\nservers = [\"h:1\"]\nhold = \"off\"\n\
         [namer.c]\nkind = \"consul\"\ntoken = \"env:CONSUL\"\ndatacenter = \"dc1\"\ntag = \"v2\"\n\
         [namer.d]\nkind = \"kubernetes\"\naddress = \"https://k:6443\"\nnamespace = \"default\"\n\
         [namer.e]\nkind = \"dns\"\nservers = [\"127.0.0.1:53\"]\nttl = \"2s..1m\"\n\
         [namer.f]\nkind = \"dns\"\n",
    );
    let [a, b, c, d, e, f] = &c.namers[..] else { panic!() };
    let etcd = NamerKind::Etcd {
        endpoints: vec!["https://e1:2379".into(), "http://[::1]:2379".into()],
        prefix: "/x/y".into(),
        login: Some(Login { user: "root".into(), password: Secret::File("etc/secret".into()) }),
        ca: Some("etc/ca.pem".into()),
    };
    assert_eq!(a.kind, etcd);
    let (window, keep) = (Duration::from_secs(5), Duration::from_secs(3600));
    assert_eq!(a.hold, Hold { share_ppm: 900_000, min: 10, window, keep });
    assert_eq!(a.stuck_after, Duration::from_secs(30));
    // Its addresses may change, and what was kept of it is still its own.
    assert_eq!(a.source(), "etcd /x/y");
    assert_eq!([b, c].map(Namer::source), ["zookeeper /services", "consul datacenter=dc1 tag=v2"]);
    assert_eq!([d, e].map(Namer::source), ["kubernetes namespace=default", "dns"]);
    let zoo = NamerKind::ZooKeeper {
        servers: vec!["h:1".into()],
        prefix: "/services".into(),
        login: None,
    };
    assert_eq!(b.kind, zoo);
    assert_eq!(b.hold.share_ppm, 1_000_000);
    let consul = NamerKind::Consul {
        address: "http://127.0.0.1:8500".into(),
        datacenter: Some("dc1".into()),
        token: Some(Secret::Env("CONSUL".into())),
        tag: Some("v2".into()),
        ca: None,
    };
    assert_eq!(c.kind, consul);
    assert_eq!((c.hold, c.stuck_after), (Hold::default(), Duration::from_secs(15)));
    let kubernetes = NamerKind::Kubernetes {
        address: Some("https://k:6443".into()),
        namespace: Some("default".into()),
        token: None,
        ca: None,
    };
    assert_eq!(d.kind, kubernetes);
    let ttl = (Duration::from_secs(2), Duration::from_secs(60));
    assert_eq!(e.kind, NamerKind::Dns { servers: vec!["127.0.0.1:53".parse().unwrap()], ttl });
    let ttl = (Duration::from_secs(1), Duration::from_secs(300));
    assert_eq!(f.kind, NamerKind::Dns { servers: Vec::new(), ttl });
}

#[test]
fn alternatives_by_name_or_health() {
    let text = "[namer.files]\nkind = \"files\"\ndir = \"d\"\n[route]\nnames = { standby = \"1%\" }\n\
                [route.\"/svc/x\"]\nnames = { fallback = \"name\", standby = \"0%\" }\n";
    let c = config(text);
    let (all, x) = (c.route_params("/svc/y"), c.route_params("/svc/x"));
    assert_eq!((all.fallback_by, all.standby), (FallbackBy::Health, Share::percent(1)));
    assert_eq!((x.fallback_by, x.standby), (FallbackBy::Name, Share::percent(0)));
}

#[test]
fn mistake_in_a_table() {
    insta::assert_snapshot!(start(r##"[names]
dtab = "/svc => /#/files ; /svc/x = /#/files/y""##), @r##"
    error: invalid value for `dtab`
     --> baleen.toml:2:36
      |
    2 | dtab = "/svc => /#/files ; /svc/x = /#/files/y"
      |                                    ^ expected '>' after '=', found ' '
    "##);
}

#[test]
fn mistake_in_a_table_of_many_lines() {
    insta::assert_snapshot!(start(r##"[names]
dtab = '''
  /svc   => /#/files ;
  /svc/a => 2 * /x & /y |
  /svc/b => /z ;
'''"##), @r##"
    error: invalid value for `dtab`
     --> baleen.toml:5:10
      |
    5 |   /svc/b => /z ;
      |          ^ expected '|', '&', ';' or the end, found '='
    "##);
}

#[test]
fn mistake_at_the_end_of_a_table() {
    insta::assert_snapshot!(start(r##"[names]
dtab = '/svc =>'"##), @r##"
    error: invalid value for `dtab`
     --> baleen.toml:2:16
      |
    2 | dtab = '/svc =>'
      |                ^ expected a path, '!', '~', '$' or '(', found the end
    "##);
}

#[test]
fn mistake_in_a_table_with_escapes() {
    insta::assert_snapshot!(start(r##"[names]
dtab = "/svc => \\\\ ;""##), @r##"
    error: invalid value for `dtab`
     --> baleen.toml:2:8
      |
    2 | dtab = "/svc => \\\\ ;"
      |        ^^^^^^^^^^^^^^^^ expected a path, '!', '~', '$' or '(', found '\\'
    "##);
}

#[test]
fn table_and_store() {
    insta::assert_snapshot!(start(r##"[names]
dtab = "/svc => /#/files"
store = "file:dtabs""##), @r##"
    error: names are in two places
     --> baleen.toml:3:9
      |
    3 | store = "file:dtabs"
      |         ^^^^^^^^^^^^ the table is kept here
      |
     ::: baleen.toml:2:8
      |
    2 | dtab = "/svc => /#/files"
      |        ------------------ and written here
      |
      = hint: leave one of them out; `baleen dtab set` puts a table into a store
    "##);
}

#[test]
fn store_of_another_kind() {
    insta::assert_snapshot!(start(r##"[names]
store = "redis://127.0.0.1/x""##), @r##"
    error: invalid value for `store`
     --> baleen.toml:2:9
      |
    2 | store = "redis://127.0.0.1/x"
      |         ^^^^^^^^^^^^^^^^^^^^^ expected "file:PATH", "etcd://HOST:PORT/PREFIX" or "zookeeper://HOST:PORT,.../PREFIX"
    "##);
}

#[test]
fn store_that_is_a_path() {
    insta::assert_snapshot!(start(r##"[names]
store = "./dtabs""##), @r##"
    error: invalid value for `store`
     --> baleen.toml:2:9
      |
    2 | store = "./dtabs"
      |         ^^^^^^^^^ expected "file:PATH", "etcd://HOST:PORT/PREFIX" or "zookeeper://HOST:PORT,.../PREFIX"
      |
      = hint: did you mean "file:./dtabs"?
    "##);
}

#[test]
fn namespace_without_a_store() {
    insta::assert_snapshot!(start(r##"[names]
namespace = "web""##), @r##"
    warning: `namespace` has no effect
     --> baleen.toml:2:13
      |
    2 | namespace = "web"
      |             ^^^^^ there is no `store`
    "##);
}

#[test]
fn state_that_nobody_writes() {
    insta::assert_snapshot!(start(r##"[names]
state_dir = "state""##), @r##"
    warning: `state_dir` has no effect
     --> baleen.toml:2:13
      |
    2 | state_dir = "state"
      |             ^^^^^^^ no registry and no store is asked
    "##);
}

#[test]
fn namer_of_no_known_kind() {
    insta::assert_snapshot!(start(r##"[namer.eureka]
kind = "eureka""##), @r##"
    error: invalid value for `kind`
     --> baleen.toml:2:8
      |
    2 | kind = "eureka"
      |        ^^^^^^^^ expected "files", "etcd", "zookeeper", "consul", "kubernetes" or "dns"
    "##);
}

#[test]
fn namer_that_can_not_be_called_so() {
    insta::assert_snapshot!(start(r##"[namer.static]
kind = "etcd"
[namer."a/b"]
kind = "etcd""##), @r##"
    error: `static` can't be the name of a namer
     --> baleen.toml:1:8
      |
    1 | [namer.static]
      |        ^^^^^^ `/#/static` is where clusters with `endpoints` of their own are

    error: `a/b` can't be the name of a namer
     --> baleen.toml:3:8
      |
    3 | [namer."a/b"]
      |        ^^^^^ expected letters, digits, `-`, `_` and `.`
    "##);
}

#[test]
fn namer_that_is_no_table() {
    insta::assert_snapshot!(start(r##"[namer]
kind = "etcd""##), @r##"
    error: unknown key `kind` in `[namer]`
     --> baleen.toml:2:1
      |
    2 | kind = "etcd"
      | ^^^^ expected tables with names: [namer.NAME]
    "##);
}

#[test]
fn settings_of_another_kind() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
dir = "services"
datacenter = "dc1""##), @r##"
    warning: `dir` has no effect
     --> baleen.toml:3:7
      |
    3 | dir = "services"
      |       ^^^^^^^^^^ only `files` has it
      |
     ::: baleen.toml:2:8
      |
    2 | kind = "etcd"
      |        ------ this kind has not

    warning: `datacenter` has no effect
     --> baleen.toml:4:14
      |
    4 | datacenter = "dc1"
      |              ^^^^^ only `consul` has it
      |
     ::: baleen.toml:2:8
      |
    2 | kind = "etcd"
      |        ------ this kind has not
    "##);
}

#[test]
fn servers_that_are_none() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
endpoints = ["127.0.0.1:2379", "http://u:p@h:1", "ftp://h:1"]
[namer.zoo]
kind = "zookeeper"
servers = ["h1", "h2:x", "h3:2181/x"]
[namer.dns]
kind = "dns"
servers = ["ns1.example.com:53"]
[namer.consul]
kind = "consul"
address = "localhost:8500""##), @r##"
    error: invalid value for `endpoints`
     --> baleen.toml:3:14
      |
    3 | endpoints = ["127.0.0.1:2379", "http://u:p@h:1", "ftp://h:1"]
      |              ^^^^^^^^^^^^^^^^ expected "http://HOST:PORT" or "https://HOST:PORT"
      |
      = hint: did you mean "http://127.0.0.1:2379"?

    error: invalid value for `endpoints`
     --> baleen.toml:3:32
      |
    3 | endpoints = ["127.0.0.1:2379", "http://u:p@h:1", "ftp://h:1"]
      |                                ^^^^^^^^^^^^^^^^ expected "http://HOST:PORT" or "https://HOST:PORT"
      |
      = hint: a secret is never written into this file itself

    error: invalid value for `endpoints`
     --> baleen.toml:3:50
      |
    3 | endpoints = ["127.0.0.1:2379", "http://u:p@h:1", "ftp://h:1"]
      |                                                  ^^^^^^^^^^^ expected "http://HOST:PORT" or "https://HOST:PORT"

    error: invalid value for `servers`
     --> baleen.toml:6:12
      |
    6 | servers = ["h1", "h2:x", "h3:2181/x"]
      |            ^^^^ the port is missing

    error: invalid value for `servers`
     --> baleen.toml:6:18
      |
    6 | servers = ["h1", "h2:x", "h3:2181/x"]
      |                  ^^^^^^ expected "HOST:PORT"

    error: invalid value for `servers`
     --> baleen.toml:6:26
      |
    6 | servers = ["h1", "h2:x", "h3:2181/x"]
      |                          ^^^^^^^^^^^ expected "HOST:PORT"

    error: invalid value for `servers`
     --> baleen.toml:9:11
      |
    9 | servers = ["ns1.example.com:53"]
      |           ^^^^^^^^^^^^^^^^^^^^^^ expected an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
      |
      = hint: host names are not looked up: write the address

    error: invalid value for `address`
      --> baleen.toml:12:11
       |
    12 | address = "localhost:8500"
       |           ^^^^^^^^^^^^^^^^ expected "http://HOST:PORT" or "https://HOST:PORT"
       |
       = hint: did you mean "http://localhost:8500"?
    "##);
}

#[test]
fn zookeeper_without_servers() {
    insta::assert_snapshot!(start(r##"[namer.zoo]
kind = "zookeeper""##), @r##"
    error: `servers` is missing in `[namer.zoo]`
     --> baleen.toml:1:1
      |
    1 | [namer.zoo]
      | ^^^^^^^^^^^ expected `servers` in here
      |
     ::: baleen.toml:2:8
      |
    2 | kind = "zookeeper"
      |        ----------- of this kind
    "##);
}

#[test]
fn secrets_in_the_file() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
user = "root"
password = "hunter2"
[namer.consul]
kind = "consul"
token = "hunter2""##), @r##"
    error: invalid value for `password`
     --> baleen.toml:4:12
      |
    4 | password = "hunter2"
      |            ^^^^^^^^^ expected `env:NAME` or `file:PATH`
      |
      = hint: a secret is never written into this file itself

    error: invalid value for `token`
     --> baleen.toml:7:9
      |
    7 | token = "hunter2"
      |         ^^^^^^^^^ expected `env:NAME` or `file:PATH`
      |
      = hint: a secret is never written into this file itself
    "##);
}

#[test]
fn user_without_a_password() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
user = "root"
[namer.zoo]
kind = "zookeeper"
servers = ["h:1"]
password = "env:ZOO""##), @r##"
    error: `user` without `password`
     --> baleen.toml:3:8
      |
    3 | user = "root"
      |        ^^^^^^ they go together

    error: `password` without `user`
     --> baleen.toml:7:12
      |
    7 | password = "env:ZOO"
      |            ^^^^^^^^^ they go together
    "##);
}

#[test]
fn prefix_that_is_no_path() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
prefix = "services/"
[namer.etcd2]
kind = "etcd"
prefix = "/a//b""##), @r##"
    error: invalid value for `prefix`
     --> baleen.toml:3:10
      |
    3 | prefix = "services/"
      |          ^^^^^^^^^^^ expected a path such as "/services"
      |
      = hint: did you mean "/services"?

    error: invalid value for `prefix`
     --> baleen.toml:6:10
      |
    6 | prefix = "/a//b"
      |          ^^^^^^^ expected a path such as "/services"
    "##);
}

#[test]
fn hold_that_can_not_be() {
    insta::assert_snapshot!(start(r##"[namer.etcd]
kind = "etcd"
hold = { share = "0.5", min = 0 }
stuck_after = "1s"
[namer.etcd2]
kind = "etcd"
hold = { window = "1m", for = "10s" }
[namer.etcd3]
kind = "etcd"
hold = true"##), @r##"
    error: invalid value for `share`
     --> baleen.toml:3:18
      |
    3 | hold = { share = "0.5", min = 0 }
      |                  ^^^^^ expected a share within "0%" and "100%"
      |
      = hint: did you mean "50%"?

    error: invalid value for `min`
     --> baleen.toml:3:31
      |
    3 | hold = { share = "0.5", min = 0 }
      |                               ^ expected a whole number from 1 to 4096

    error: invalid value for `stuck_after`
     --> baleen.toml:4:15
      |
    4 | stuck_after = "1s"
      |               ^^^^ expected 6s to 1h

    error: `for` is shorter than `window`
     --> baleen.toml:7:31
      |
    7 | hold = { window = "1m", for = "10s" }
      |                               ^^^^^ held for 10s, while 1m counts as at once

    error: invalid value for `hold`
      --> baleen.toml:10:8
       |
    10 | hold = true
       |        ^^^^ expected a table, or "off", found true or false
    "##);
}

#[test]
fn cluster_of_a_namer_that_is_no_path() {
    insta::assert_snapshot!(start(r##"[cluster."/#/etcd"]
concurrency = 1
[cluster."/svc/web"]
concurrency = 1"##), @r##"
    error: unknown key `/#/etcd` in `[cluster]`
     --> baleen.toml:1:10
      |
    1 | [cluster."/#/etcd"]
      |          ^^^^^^^^^ expected the path of a cluster, such as "/#/etcd/web"

    error: unknown key `/svc/web` in `[cluster]`
     --> baleen.toml:3:10
      |
    3 | [cluster."/svc/web"]
      |          ^^^^^^^^^^ expected the name of a cluster
      |
      = hint: did you mean "web"?
    "##);
}

#[test]
fn standby_without_health() {
    insta::assert_snapshot!(start(r##"[route]
names = { fallback = "name", standby = "5%" }"##), @r##"
    warning: `standby` has no effect
     --> baleen.toml:2:40
      |
    2 | names = { fallback = "name", standby = "5%" }
      |                      ------            ^^^^ the first alternative takes all
      |                      |
      |                      by name alone
    "##);
}

#[test]
fn names_that_lead_nowhere() {
    insta::assert_snapshot!(whole(r##"[[listener]]
listen = "127.0.0.1:80"
name = "/svc/web"
[[listener.rule]]
path = "/loop"
name = "/svc/loop"
[names]
dtab = '''
/s => /#/files ;
/svc/loop => /svc/loop ;
'''
[namer.files]
kind = "files"
dir = "d"
"##), @r##"
    error: the name `/svc/web` leads nowhere
     --> baleen.toml:3:8
      |
    3 | name = "/svc/web"
      |        ^^^^^^^^^^ no cluster comes of it
      |
     ::: baleen.toml:8:8
      |
    8 | dtab = '''
      |        --- by this table

    error: the name `/svc/loop` can't be followed
     --> baleen.toml:6:8
      |
    6 | name = "/svc/loop"
      |        ^^^^^^^^^^^ more than 100 names in a row: /svc/loop -> /svc/loop -> /svc/loop -> /svc/loop -> /svc/loop -> /svc/loop -> … -> /svc/loop -> /svc/loop -> /svc/loop
      |
     ::: baleen.toml:8:8
      |
    8 | dtab = '''
      |        --- by this table
    "##);
}

#[test]
fn two_folders_of_files() {
    insta::assert_snapshot!(whole(r##"[[listener]]
listen = "127.0.0.1:80"
[namer.one]
kind = "files"
dir = "d"
[namer.two]
kind = "files"
dir = "d"
"##), @r##"
    error: a second folder of files
     --> baleen.toml:6:8
      |
    6 | [namer.two]
      |        ^^^ one namer with `kind = "files"` is all there can be
      |
     ::: baleen.toml:3:8
      |
    3 | [namer.one]
      |        --- the first
      |
      = hint: put the files into one folder, or make links there
    "##);
}
