//! The reference page of settings, and the file of all defaults, printed from the list of settings.
//!
//! Not here: the list (`keys`), the page of policies (`policies.rs`). Tested: in `tests/it/reference.rs`.

use std::fmt::Write;

use crate::keys::ROOT;
use crate::table::{Def, Key, Kind, Stands};

const INTRO: &str = "# Configuration

This page is printed from the list of settings that the parser uses.

```toml
[[listener]]
listen = \"127.0.0.1:8080\"
name   = \"/svc/{host}\"                # what a request is called when no rule says otherwise

[[listener.rule]]
path = \"/images\"
name = \"/svc/images\"

[namer.files]                         # a file for each cluster, with lines host:port [weight] [zone=NAME]
kind = \"files\"
dir  = \"services\"

[namer.etcd]                          # services of a registry, which are called /#/etcd/NAME
kind      = \"etcd\"
endpoints = [\"http://127.0.0.1:2379\"]

[names]                               # where names lead; without it /svc/NAME leads to the cluster NAME
dtab = '''
  /svc     => /#/etcd ;
  /svc     => /#/files ;              # a later entry goes before an earlier one
  /svc/pay => 9 * /#/etcd/pay-v1 & 1 * /#/etcd/pay-v2 | /#/files/pay ;
'''

[route]                               # defaults for every name
total_timeout = \"5s\"
try_timeout   = \"2s\"
retry         = { tries = 3, budget = \"20%\" }

[route.\"/svc/images\"]               # what differs for one name
try_timeout = \"1500ms\"
to          = [{ cluster = \"images-v1\", weight = 9 }, { cluster = \"images-v2\", weight = 1 }]

[cluster]                             # defaults for every destination
balance = { kind = \"peak-ewma\", decay = \"10s\" }
eject   = { consecutive_failures = 5, backoff = \"5s..300s\" }

[cluster.images-v2]                   # one destination, with addresses of its own
endpoints   = [\"127.0.0.1:9001\", \"127.0.0.1:9002 2\"]
concurrency = 64
```

`baleen check FILE` reports every mistake at once, with line, caret and the nearest valid spelling, and what is legal but
dangerous. A wrong configuration starts nothing.

| type | written |
|---|---|
| duration | `\"300ms\"`, `\"1.5s\"`, `\"1m\"`, `\"1h\"`, `\"1d\"`; `us` is known, too |
| range of durations | `\"5s..300s\"` |
| number | `1.9`, `2`, `\"2.0\"`: at most three places after the point |
| range of numbers | `\"0.5..2\"` |
| share | `\"20%\"`, `\"0.5%\"` |
| percentage | `\"140%\"`: whole, may be above 100 |
| size | `\"240B\"`, `\"64KiB\"`, `\"1MiB\"`, `\"1GiB\"` |
| rate | `\"240B/s\"` |
| how often | `\"100/s\"`, `\"5/m\"`, `\"1/h\"` |
| address and port | `\"127.0.0.1:8080\"`, `\"[::1]:8080\"`, `\"localhost:8080\"` (which is 127.0.0.1); host names are not looked up |
| name template | a logical name such as `\"/svc/images\"`, in which `{host}`, `{path:N}`, `{method}` and `{header:NAME}` may stand |

A policy that is off is turned on by its table, be it empty (`hedge = {}`), and turned off by `\"off\"`; what is said for one name
goes before what is said for all. A table with a required setting (`rate` excepted) replaces the one for all names as a whole. What
each policy does, where it comes from and when not to use it: [policies](policies.md).

Scope says over what a number counts: one request, one connection, each worker for itself, or the whole process with all its
workers.
";

/// The whole reference as Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    reference_of(&ROOT, INTRO)
}

/// The same of another file, after an introduction.
#[must_use]
pub fn reference_of(root: &Def, intro: &str) -> String {
    let mut out = String::from(intro);
    let _ = writeln!(out, "\n## The file\n\n{}", root.doc);
    keys(root, &mut out);
    for key in root.keys {
        if let Some(def) = key.kind.inner() {
            section(key, def, 2, &mut out);
        }
    }
    out
}

fn section(key: &Key, def: &Def, level: usize, out: &mut String) {
    let heading = match key.kind {
        Kind::Tables(..) => format!("[[{}]]", def.path),
        Kind::TablesByName(..) => format!("[{}.NAME]", def.path),
        _ => format!("[{}]", def.path),
    };
    let _ = writeln!(out, "\n{} `{heading}`\n\n{}", "#".repeat(level), def.doc);
    keys(def, out);
    if let Some(named) = &def.named {
        let _ = writeln!(out, "\n`{}`: {}", named.example, named.doc);
    }
    for key in def.keys {
        if let Some(inner) = key.kind.inner() {
            section(key, inner, (level + 1).min(4), out);
        }
    }
}

fn keys(def: &Def, out: &mut String) {
    let plain: Vec<&Key> = def.keys.iter().filter(|k| !is_section(k)).collect();
    if plain.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n| key | type | default | scope | meaning |\n|---|---|---|---|---|");
    for key in plain {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, "") => String::new(),
            (false, text) => format!("`{text}`"),
        };
        let only = if key.stands == Stands::Named { " Only for one name." } else { "" };
        let of: Vec<String> = key.kinds.iter().map(|k| format!("`{k}`")).collect();
        let of = if of.is_empty() { String::new() } else { format!("For {}. ", of.join(" and ")) };
        let line = format!(
            "| `{}` | {} | {default} | {} | {of}{}{only} |",
            key.name,
            key.kind.describe(),
            key.scope.as_str(),
            key.doc
        );
        let _ = writeln!(out, "{line}");
    }
}

fn is_list(key: &Key) -> bool {
    matches!(key.kind, Kind::Tables(..))
}

/// Whether it is described under a heading of its own.
fn is_section(key: &Key) -> bool {
    matches!(key.kind, Kind::Table(_) | Kind::Tables(..) | Kind::TablesByName(..))
}

/// Every setting with its default, as TOML with comments; it parses once an address and a cluster are filled in. Tables of
/// policies that are off are comments.
#[must_use]
pub fn defaults_toml() -> String {
    let mut out = String::new();
    table(&ROOT, "", &mut out);
    out
}

/// The settings of one table with their defaults, as TOML without a heading; what has none is a comment. Of a table with kinds:
/// those of `kind`.
#[must_use]
pub fn defaults_of(def: &Def, kind: &str) -> String {
    let mut out = String::new();
    plain(def, kind, &mut out);
    out
}

fn plain(def: &Def, kind: &str, out: &mut String) {
    for key in def.keys {
        if key.kind.inner().is_some() && key.default.is_empty() {
            continue;
        }
        let default = if key.name == "kind" && !kind.is_empty() {
            format!("\"{kind}\"")
        } else {
            key.default.into()
        };
        let note = if key.stands == Stands::Named { ", only for one name" } else { "" };
        if default.is_empty() {
            let what = if key.required { "required" } else { "no default" };
            let _ = writeln!(out, "# {} = ...  # {}, {what}{note}", key.name, key.kind.describe());
        } else if is_off(key) {
            let _ = writeln!(out, "{} = {default}", key.name);
        } else if key.kind.inner().is_some() {
            let _ = writeln!(out, "# {} = {default}  # short form of the table below", key.name);
        } else if !key.kinds.is_empty() && !key.kinds.contains(&kind) {
            let _ = writeln!(out, "# {} = {default}  # for {}", key.name, key.kinds.join(" and "));
        } else {
            let _ = writeln!(out, "{} = {default}", key.name);
        }
    }
}

fn table(def: &Def, kind: &str, out: &mut String) {
    plain(def, kind, out);
    for key in def.keys {
        let Some(inner) = key.kind.inner() else { continue };
        let heading =
            if is_list(key) { format!("[[{}]]", inner.path) } else { format!("[{}]", inner.path) };
        let mut body = String::new();
        table(inner, default_kind(inner), &mut body);
        // Lists, what has settings that must be there, and what is off.
        let comment = is_list(key)
            || is_off(key)
            || inner.keys.iter().any(|k| k.required)
            || inner.path == "namer";
        if comment {
            body = commented(&body);
        }
        let mark = if comment { "# " } else { "" };
        let _ = write!(out, "\n{mark}{heading}\n{body}");
    }
}

/// Whether it is a policy that is off unless turned on.
fn is_off(key: &Key) -> bool {
    key.kind.inner().is_some() && key.default == "\"off\""
}

fn default_kind(def: &Def) -> &'static str {
    def.key("kind").map_or("", |k| k.default.trim_matches('"'))
}

fn commented(text: &str) -> String {
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        line if line.starts_with('#') => format!("{line}\n"),
        line => format!("# {line}\n"),
    };
    text.lines().map(line).collect()
}
