//! Settings of registries.
//!
//! Not here: names as a whole (`names.rs`). Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use super::{DAY, HOUR, MS};
use crate::table::{Def, Key, Kind};

/// Most registries.
pub(super) const NAMERS_MAX: usize = 32;
/// Most servers of one.
const SERVERS_MAX: usize = 16;
/// What namers can be.
pub(crate) const KINDS: [&str; 6] = ["files", "etcd", "zookeeper", "consul", "kubernetes", "dns"];

/// Namers.
pub static NAMER: Def = Def {
    path: "namer",
    doc: "Where clusters come from that have no `endpoints` of their own. NAME is what it is mounted as: `/#/NAME/web` is its service \
          `web`. With `kind = \"files\"` it is a folder of files: a file's name is a cluster's name; each line is `host:port [weight] \
          [zone=NAME]`; `#` starts a comment. The folder is watched: replace a file by renaming another onto it. A file with a \
          mistake is refused whole and the endpoints it had before stay; an empty file is a cluster without endpoints.",
    keys: &[
        Key::new("kind", Kind::Choice(&KINDS), "", "What kind of namer this is.").required(),
        Key::new(
            "dir",
            Kind::Text("path"),
            "",
            "The folder, relative to the file it is written in. It must be there.",
        )
        .of(&["files"]),
        Key::new(
            "endpoints",
            Kind::Texts("\"http://HOST:PORT\" or \"https://HOST:PORT\"", SERVERS_MAX),
            "[\"http://127.0.0.1:2379\"]",
            "etcd's servers; any of them is asked.",
        )
        .of(&["etcd"]),
        Key::new(
            "servers",
            Kind::Texts("\"HOST:PORT\"", SERVERS_MAX),
            "",
            "The servers; any of them is asked. Of DNS they are addresses, and left out those of the system; ZooKeeper needs one.",
        )
        .of(&["zookeeper", "dns"]),
        Key::new(
            "address",
            Kind::Text("\"http://HOST:PORT\" or \"https://HOST:PORT\""),
            "",
            "The server. Left out: `http://127.0.0.1:8500` for Consul, and for Kubernetes the one of the cluster that this process \
             runs in.",
        )
        .of(&["consul", "kubernetes"]),
        Key::new(
            "prefix",
            Kind::Text("path"),
            "\"/services\"",
            "What keys begin with: members are at `PREFIX/SERVICE/MEMBER`.",
        )
        .of(&["etcd", "zookeeper"]),
        Key::new("user", Kind::Text("name"), "", "Who asks.").of(&["etcd", "zookeeper"]),
        Key::new(
            "password",
            Kind::Text("\"env:NAME\" or \"file:PATH\""),
            "",
            "Where the password of `user` is.",
        )
        .of(&["etcd", "zookeeper"]),
        Key::new(
            "token",
            Kind::Text("\"env:NAME\" or \"file:PATH\""),
            "",
            "Where the token is that proves who asks. Left out: none for Consul, the service account's for Kubernetes.",
        )
        .of(&["consul", "kubernetes"]),
        Key::new(
            "ca",
            Kind::Text("path"),
            "",
            "A file with certificates of those who may sign the server's one, for `https`. Left out: those that the system trusts, \
             and for Kubernetes the service account's.",
        )
        .of(&["etcd", "consul", "kubernetes"]),
        Key::new(
            "datacenter",
            Kind::Text("name"),
            "",
            "Which datacenter is asked for. Left out: that of the server.",
        )
        .of(&["consul"]),
        Key::new("tag", Kind::Text("tag"), "", "Only instances with this tag. Left out: all.")
            .of(&["consul"]),
        Key::new(
            "namespace",
            Kind::Text("namespace"),
            "",
            "Only services of this namespace. Left out: of all.",
        )
        .of(&["kubernetes"]),
        Key::new(
            "ttl",
            Kind::DurationRange(MS, DAY),
            "\"1s..5m\"",
            "An answer is kept for as long as it says, but not shorter and not longer than this.",
        )
        .of(&["dns"]),
        Key::new(
            "hold",
            Kind::TableOr(&HOLD, &["off"]),
            "",
            "Which removals are held back; `\"off\"` for none.",
        )
        .of(&["etcd", "zookeeper", "consul", "kubernetes", "dns"]),
        Key::new(
            "stuck_after",
            Kind::Duration(Duration::from_secs(6), HOUR),
            "\"15s\"",
            "A session in which nothing is heard for so long is ended, and another one begun. Registries are asked for a sign of \
             life every 5 s.",
        )
        .of(&["etcd", "zookeeper", "consul", "kubernetes", "dns"]),
    ],
    named: None,
};

/// What is held.
pub static HOLD: Def = Def {
    path: "namer.hold",
    doc: "A registry that lost its memory says the same as an operator who takes everything away. So removals of many endpoints at once \
          are not believed for a while: they are still used, except where their address turns up in another service of the same \
          namer, and as long as no new ones come in their place. Single removals count at once.",
    keys: &[
        Key::new(
            "share",
            Kind::Share,
            "\"50%\"",
            "More than this share of a service's endpoints at once is held; also of all services of the namer taken together.",
        ),
        Key::new(
            "min",
            Kind::Integer(1, 4096),
            "4",
            "Only if there were so many endpoints, or more.",
        ),
        Key::new(
            "window",
            Kind::Duration(Duration::from_millis(100), HOUR),
            "\"2s\"",
            "What counts as at once.",
        ),
        Key::new(
            "for",
            Kind::Duration(Duration::from_secs(1), DAY),
            "\"10m\"",
            "How long they are held; then the registry is believed.",
        ),
    ],
    named: None,
};
