//! The reference page of policies, printed from the lists of settings and of policies.
//!
//! Not here: the lists (`keys`, `keys::policies`). Tested: in `tests/it/reference.rs`.

use std::fmt::Write;

use crate::keys::policies::{POLICIES, Part, Policy};
use crate::table::{Def, Key};

const INTRO: &str = "# Policies

This page is printed from the lists of settings and policies that the parser uses. How each setting is written and what bounds it
has: [configuration](configuration.md).

A policy that says \"the default\" is on when the file says nothing. The defaults are chosen so that nothing has to be turned on for
safety: retries have a budget, queues have bounds, endpoints that fail are taken out, deadlines are kept.

How to read the tables:

- **unit** is what the number counts; **scope** is over what it counts: one request, each worker for itself, or the process with
  all its workers. What counts for a process counts again for each further process.
- **source** is where the setting or its default comes from. \"Baleen\" means: ours, without a model.
- **when not to** is what goes wrong when the value is changed without need, or used where it does not belong.
";

/// The whole page as Markdown.
#[must_use]
pub fn policies_markdown() -> String {
    let mut out = String::from(INTRO);
    let _ = writeln!(out, "\n| policy | turned on by |\n|---|---|");
    for policy in POLICIES {
        let _ = writeln!(out, "| [{}](#{}) | {} |", policy.title, anchor(policy.title), policy.on);
    }
    let mut chapter = "";
    for policy in POLICIES {
        if policy.chapter != chapter {
            chapter = policy.chapter;
            let _ = writeln!(out, "\n## {chapter}");
        }
        one(policy, &mut out);
    }
    out
}

fn one(policy: &Policy, out: &mut String) {
    let _ = writeln!(
        out,
        "\n### {}\n\n{}\n\n**Turned on by** {}.\n",
        policy.title, policy.does, policy.on
    );
    let _ = writeln!(out, "**When not to use it.** {}\n", policy.avoid);
    let _ = writeln!(
        out,
        "| parameter | default | unit | scope | source | what it does | when not to |\n|---|---|---|---|---|---|---|"
    );
    for part in policy.parts {
        for name in part.keys {
            if let Some(key) = part.def.key(name) {
                row(part, key, out);
            }
        }
    }
}

fn row(part: &Part, key: &Key, out: &mut String) {
    let default = match (key.required, key.default) {
        (true, _) => "required".to_owned(),
        (false, "") => "none".to_owned(),
        (false, text) => format!("`{text}`"),
    };
    let _ = writeln!(
        out,
        "| `{}` | {default} | {} | {} | {} | {} | {} |",
        path(part.def, key),
        key.kind.unit(),
        key.scope.as_str(),
        part.source,
        key.doc,
        key.care,
    );
}

fn path(def: &Def, key: &Key) -> String {
    if def.path.is_empty() { key.name.into() } else { format!("{}.{}", def.path, key.name) }
}

/// The anchor that Markdown gives a heading.
fn anchor(title: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-');
    title
        .to_ascii_lowercase()
        .chars()
        .filter(|c| keep(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
