//! The list of settings, the parser, the reference page and the schema say the same.

use std::collections::BTreeSet;

use baleen_config::keys::policies::POLICIES;
use baleen_config::keys::{BALANCE, CLUSTER, LISTENER, ROOT, ROUTE, RULE};
use baleen_config::table::{Def, Kind};
use baleen_config::{
    ClusterShell, Config, KeySource, Look, RouteShell, Stale, defaults_of, defaults_toml,
    parse_str, policies_markdown, reference_markdown, render, schema_json,
};
use baleen_policy::params::{
    Adaptive, Admission, Aimd, Aperture, Balance, ClientParams, ClusterParams, Gradient2, Hedge,
    LatencyOutlier, Maglev, Prequal, RouteParams, SlowStart, SuccessRate, Throttle, Zone,
};

/// The printed defaults with what has no default filled in.
fn filled() -> String {
    let rule = "[[listener]]\nlisten = \"127.0.0.1:8080\"\n";
    let namer = "[namer.files]\nkind = \"files\"\ndir = \"services\"\n";
    format!("{}\n{rule}{namer}", defaults_toml())
}

#[test]
fn the_defaults_that_are_printed_are_the_defaults_in_force() {
    let (config, warnings) = match parse_str("baleen.toml", &filled()) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{}\n{}", filled(), render(&errors, Look::Plain)),
    };
    assert_eq!(warnings, []);
    assert_eq!(config.route_params(""), RouteParams::default());
    assert_eq!(config.cluster_params(""), ClusterParams::default());
    assert_eq!(*config.route_shell(""), RouteShell::default());
    assert_eq!(*config.cluster_shell(""), ClusterShell::default());
    assert_eq!((config.zone(), config.peers()), (0, None));
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9990");
}

#[test]
fn the_defaults_of_a_listener() {
    let text = defaults_toml();
    let start = text.find("# [[listener]]").unwrap();
    let end = text[start..].find("# [[listener.rule]]").unwrap();
    let own: String = text[start..start + end]
        .lines()
        .map(|l| l.strip_prefix("# ").unwrap_or(l).to_owned() + "\n")
        .map(
            |l| if l.starts_with("listen = ...") { "listen = \"127.0.0.1:1\"\n".into() } else { l },
        )
        .collect();
    let text = format!("{own}[namer.files]\nkind = \"files\"\ndir = \"services\"\n");
    let (config, warnings) =
        parse_str("a.toml", &text).unwrap_or_else(|e| panic!("{text}{}", render(&e, Look::Plain)));
    assert_eq!(warnings, []);
    assert_eq!(config.listeners[0].client, ClientParams::default());
    assert_eq!(config.listeners[0].limits, baleen_config::HeadLimits::default());
    assert_eq!(config.listeners[0].name.as_str(), "/svc/{host}");
    assert_eq!(config.listeners[0].trusted_callers, []);
    assert_eq!(config.listeners[0].deadline_skew.as_millis(), 100);
}

/// A file with the table of this path, as its defaults are printed. `required` stands for what has none.
fn turned_on(def: &Def, kind: &str, required: &str) -> Config {
    let mut table = format!("[{}]\n{required}\n{}", def.path, defaults_of(def, kind));
    // A kind among peers, and a zone to be preferred, are said at the top.
    if kind == "aperture" {
        table = format!("peers = {{ index = 0, count = 2 }}\n{table}");
    }
    if def.path == "cluster.zone" {
        table = format!("zone = \"a\"\n{table}");
    }
    let rest =
        "[[listener]]\nlisten = \"127.0.0.1:8080\"\n[namer.files]\nkind = \"files\"\ndir = \"d\"\n";
    match parse_str("a.toml", &format!("{table}\n{rest}")) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", render(&errors, Look::Plain)),
    }
}

/// A policy that is off: what its table says is what policy takes for its default, kind by kind.
type Off = (&'static str, &'static str, &'static str, fn(&Config) -> bool);

const OFF: &[Off] = &[
    ("route.hedge", "", "", |c| c.route_params("").hedge == Some(Hedge::default())),
    ("route.rate", "", "limit = \"7/s\"", |c| {
        let rate = c.route_params("").rate.unwrap();
        let key = c.route_shell("").key.clone();
        (rate.per_kilosecond, rate.burst, key) == (7_000, 100, KeySource::Route)
    }),
    ("route.sticky", "", "by = \"address\"", |c| {
        c.route_shell("").sticky.clone().unwrap().ttl.is_none()
    }),
    ("route.stale", "", "", |c| c.route_shell("").stale == Some(Stale::default())),
    ("route.answer", "", "status = 503", |c| {
        let answer = c.route_shell("").answer.clone().unwrap();
        (answer.status, answer.content_type.as_str(), answer.body.len())
            == (503, "text/plain; charset=utf-8", 0)
    }),
    ("cluster.zone", "", "", |c| c.cluster_params("").zone == Some(Zone::default())),
    ("cluster.slow_start", "", "", |c| {
        c.cluster_params("").slow_start == Some(SlowStart::default())
    }),
    ("cluster.adaptive", "aimd", "", |c| {
        c.cluster_params("").adaptive == Some(Adaptive::Aimd(Aimd::default()))
    }),
    ("cluster.adaptive", "gradient2", "", |c| {
        c.cluster_params("").adaptive == Some(Adaptive::Gradient2(Gradient2::default()))
    }),
    ("cluster.admission", "", "", |c| c.cluster_params("").admission == Some(Admission::default())),
    ("cluster.throttle", "", "", |c| c.cluster_params("").throttle == Some(Throttle::default())),
    ("cluster.eject.success_rate", "", "", |c| {
        c.cluster_params("").eject.success_rate == Some(SuccessRate::default())
    }),
    ("cluster.eject.latency", "", "", |c| {
        c.cluster_params("").eject.latency_outlier == Some(LatencyOutlier::default())
    }),
];

#[test]
fn the_defaults_of_what_is_off_are_those_of_policy() {
    let mut left: BTreeSet<&str> = BTreeSet::new();
    each(&ROOT, &mut |def| {
        let off = def.keys.iter().filter(|k| k.default == "\"off\"");
        left.extend(off.filter_map(|k| k.kind.inner()).map(|inner| inner.path));
    });
    for (path, kind, required, holds) in OFF {
        each(&ROOT, &mut |def| {
            if def.path == *path {
                let required = required.to_owned();
                assert!(holds(&turned_on(def, kind, required)), "{path} {kind}");
            }
        });
        left.remove(path);
    }
    assert_eq!(left, BTreeSet::new(), "a policy whose defaults are not looked at");
}

#[test]
fn the_defaults_of_each_balancer_are_those_of_policy() {
    let kinds = [
        ("round-robin", Balance::RoundRobin),
        ("random", Balance::Random),
        ("least-loaded", Balance::LeastLoaded),
        ("least-loaded-of-all", Balance::LeastLoadedOfAll),
        ("peak-ewma", ClusterParams::default().balance),
        ("aperture", Balance::Aperture(Aperture::default())),
        ("maglev", Balance::Maglev(Maglev::default())),
        ("prequal", Balance::Prequal(Prequal::default())),
    ];
    for (kind, balance) in kinds {
        let config = turned_on(&BALANCE, kind, "");
        assert_eq!(config.cluster_params("").balance, balance, "{kind}");
        assert_eq!(*config.cluster_shell(""), ClusterShell::default(), "{kind}");
    }
    let Some(Kind::Choice(words)) = BALANCE.key("kind").map(|k| &k.kind) else { panic!() };
    assert_eq!(**words, kinds.map(|(kind, _)| kind));
}

fn each(def: &'static Def, f: &mut impl FnMut(&'static Def)) {
    f(def);
    for key in def.keys {
        if let Some(inner) = key.kind.inner() {
            each(inner, f);
        }
    }
}

#[test]
fn the_schema_is_json_and_knows_only_these_keys() {
    let schema: serde_json::Value = serde_json::from_str(&schema_json()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["listener"]["items"]["required"][0], "listen");
    let web = &schema["properties"]["cluster"]["additionalProperties"];
    assert_eq!(web["properties"]["endpoints"]["type"], "array");
}

#[test]
fn every_key_is_in_the_reference_and_the_schema() {
    let (page, schema) = (reference_markdown(), schema_json());
    each(&ROOT, &mut |def| {
        for key in def.keys {
            let table =
                matches!(key.kind, Kind::Table(_) | Kind::Tables(..) | Kind::TablesByName(..));
            assert!(
                table || page.contains(&format!("| `{}` | ", key.name)),
                "{}.{}",
                def.path,
                key.name
            );
            assert!(schema.contains(&format!("\"{}\": {{", key.name)), "{}.{}", def.path, key.name);
            assert!(table || !key.doc.is_empty(), "{}.{} has no meaning", def.path, key.name);
        }
        let headings = [format!("[{}]", def.path), format!("[{}.NAME]", def.path)];
        assert!(def.path.is_empty() || headings.iter().any(|h| page.contains(h)), "{}", def.path);
    });
}

/// The pages in the repository are what the code prints. `BALEEN_UPDATE=1` writes them anew.
#[test]
fn the_pages_in_the_repository_are_up_to_date() {
    let pages = [("configuration.md", reference_markdown()), ("policies.md", policies_markdown())];
    for (name, page) in pages {
        let path = format!("{}/../../docs/reference/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BALEEN_UPDATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == page,
            "docs/reference/{name} is old: run this test with BALEEN_UPDATE=1"
        );
    }
}

/// Every setting of a route, a cluster and what they hold is part of a policy, but for where a name leads.
#[test]
fn every_setting_of_a_policy_is_on_the_page_of_policies() {
    let told: BTreeSet<(&str, &str)> = POLICIES
        .iter()
        .flat_map(|p| p.parts)
        .flat_map(|part| part.keys.iter().map(|key| (part.def.path, *key)))
        .collect();
    let mut missing = Vec::new();
    let mut look = |def: &'static Def| {
        for key in def.keys {
            let leads = matches!((def.path, key.name), ("route", "to") | ("cluster", "endpoints"));
            if key.kind.inner().is_none() && !leads && !told.contains(&(def.path, key.name)) {
                missing.push(format!("{}.{}", def.path, key.name));
            }
        }
    };
    each(&ROUTE, &mut look);
    each(&CLUSTER, &mut look);
    assert_eq!(missing, [""; 0]);
    for (def, name) in [(&LISTENER, "trusted_callers"), (&RULE, "priority"), (&ROOT, "zone")] {
        assert!(told.contains(&(def.path, name)), "{name}");
    }
    for policy in POLICIES {
        for part in policy.parts {
            for key in part.keys {
                let key = part.def.key(key).unwrap_or_else(|| panic!("{} {key}", policy.title));
                let only = key.kinds.is_empty()
                    || key
                        .kinds
                        .iter()
                        .any(|k| policy.on.contains(k) || policy.on == "the default");
                assert!(only, "{} does not have `{}`", policy.title, key.name);
            }
        }
        assert!(policy.does.ends_with('.') && policy.avoid.ends_with('.'), "{}", policy.title);
    }
}

/// Each policy's numbers say when not to change them.
#[test]
fn every_number_of_a_policy_has_a_warning() {
    for part in POLICIES.iter().flat_map(|p| p.parts) {
        for key in part.keys.iter().filter_map(|key| part.def.key(key)) {
            let number = !matches!(key.kind, Kind::Choice(_) | Kind::Text(_) | Kind::Texts(..));
            let plain = matches!((part.def.path, key.name), ("route", "tunnel_timeout"));
            assert!(!number || plain || !key.care.is_empty(), "{}.{}", part.def.path, key.name);
        }
    }
}

/// The cells of a Markdown table are separated by bars, so no text may have one.
#[test]
fn the_reference_is_a_valid_table() {
    for line in reference_markdown().lines().filter(|l| l.starts_with("| `")) {
        assert_eq!(line.matches(" | ").count(), 4, "{line}");
    }
    let page = policies_markdown();
    for line in page.lines().filter(|l| l.starts_with("| `")) {
        assert!(line.matches(" | ").count() == 6, "{line}");
    }
    for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        let heading = |l: &str| {
            let text = l.strip_prefix("### ")?.to_ascii_lowercase();
            Some(text.replace([':', ','], "").replace(' ', "-"))
        };
        assert!(page.lines().filter_map(heading).any(|h| h == link), "{link} leads nowhere");
    }
}
