//! The list of settings, the parser, the reference page and the schema say the same.

use baleen_config::keys::ROOT;
use baleen_config::table::{Def, Kind};
use baleen_config::{Look, defaults_toml, parse_str, reference_markdown, render, schema_json};
use baleen_policy::params::{ClientParams, ClusterParams, RouteParams};

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
            let table = matches!(key.kind, Kind::Table(_) | Kind::Tables(..));
            assert!(
                table || page.contains(&format!("| `{}` | ", key.name)),
                "{}.{}",
                def.path,
                key.name
            );
            assert!(schema.contains(&format!("\"{}\": {{", key.name)), "{}.{}", def.path, key.name);
            assert!(table || !key.doc.is_empty(), "{}.{} has no meaning", def.path, key.name);
        }
        assert!(def.path.is_empty() || page.contains(&format!("[{}]", def.path)), "{}", def.path);
    });
}

/// The page in the repository is what the code prints. `BALEEN_UPDATE=1` writes it anew.
#[test]
fn the_page_in_the_repository_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    let page = reference_markdown();
    if std::env::var_os("BALEEN_UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == page,
        "docs/reference/configuration.md is old: run this test with BALEEN_UPDATE=1"
    );
}

/// The cells of a Markdown table are separated by bars, so no text may have one.
#[test]
fn the_reference_is_a_valid_table() {
    for line in reference_markdown().lines().filter(|l| l.starts_with("| `")) {
        assert_eq!(line.matches(" | ").count(), 4, "{line}");
    }
}
