//! The configuration that each Baleen process of a drill is started with: the scenario's, with what a drill replaces.
//!
//! Not here: what is in the services folder (`registry`). Tested: in `stage/tests.rs`, which reads it back.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use baleen_scenario::model::ProxyGroup;

/// Where a process is reached, and what it uses.
pub struct Own<'a> {
    /// Its one listener.
    pub listen: SocketAddr,
    /// Its admin pages.
    pub admin: SocketAddr,
    /// Its access log.
    pub log: &'a Path,
    /// Where its endpoints come from.
    pub services: &'a Path,
}

/// The text of its file.
#[must_use]
pub fn text(group: &ProxyGroup, own: &Own<'_>) -> String {
    // Each setting is one line, whatever is in it.
    let replaced = |line: &&str| line.starts_with("\"workers\" =");
    let mut text = format!("workers = {}\n", group.workers);
    for line in group.settings.lines().filter(|line| !replaced(line)) {
        let _ = writeln!(text, "{line}");
    }
    let (log, services) = (quoted(&own.log.display().to_string()), own.services.display());
    let services = quoted(&services.to_string());
    let _ = write!(
        text,
        "\n[admin]\nlisten = \"{}\"\n\n[[listener]]\nlisten = \"{}\"\nname = \"/svc/{{host}}\"\naccess_log = {log}\n\
         trusted_callers = [\"127.0.0.0/8\"]\ntrusted_hops = 1\n\n[namer.files]\nkind = \"files\"\ndir = {services}\n",
        own.admin, own.listen,
    );
    text
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
