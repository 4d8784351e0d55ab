//! `[control]`: where faults are asked for, and who may.
//!
//! Not here: what is asked (`baleen-admin`), reading the token (`baleen`). Tested: in `tests/it/control.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Findings};
use crate::reader::Reader;
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::Table;
use crate::value::{self, Wrong};

/// The control interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Where it listens.
    pub listen: ControlListen,
    /// What whoever asks has to know; nothing when absent.
    pub token: Option<Secret>,
}

/// Where the control interface listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlListen {
    /// An address and port.
    Address(SocketAddr),
    /// A socket in the file system, for this user alone.
    Unix(PathBuf),
}

/// Where a secret is; never the secret itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secret {
    /// A variable of the environment.
    Env(String),
    /// A file; white space around the secret does not count.
    File(PathBuf),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadControl {
    pub(crate) listen: Option<At<Option<ControlListen>>>,
    pub(crate) token: Option<At<Secret>>,
}

impl ReadControl {
    /// The interface, if it is on.
    pub(crate) fn control(&self) -> Option<Control> {
        let listen = self.listen.as_ref()?.value.clone()?;
        Some(Control { listen, token: self.token.as_ref().map(|at| at.value.clone()) })
    }
}

pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> ReadControl {
    let mut r = Reader::new(def, table, place, None, findings);
    let folder = place.source.folder();
    let listen = r.text("listen", |text| match text.strip_prefix("unix:") {
        _ if text == "off" => Ok(None),
        Some("") => Err(Wrong::new("expected a path after `unix:`")),
        Some(path) => Ok(Some(ControlListen::Unix(folder.join(path)))),
        None => value::address(text).map(|a| Some(ControlListen::Address(a))).map_err(|wrong| {
            let label = "expected an address such as \"127.0.0.1:9991\", \"unix:PATH\" or \"off\"";
            Wrong { label: label.to_owned(), ..wrong }
        }),
    });
    let token = r.text("token", |text| parse_secret(text, folder));
    r.done();
    ReadControl { listen, token }
}

/// Where a secret is: `env:NAME` or `file:PATH`, relative to a folder.
pub(crate) fn parse_secret(text: &str, folder: &std::path::Path) -> Result<Secret, Wrong> {
    match text.split_once(':') {
        Some(("env", name)) if is_variable(name) => Ok(Secret::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Secret::File(folder.join(path))),
        _ => Err(Wrong {
            label: "expected `env:NAME` or `file:PATH`".to_owned(),
            hint: Some("a secret is never written into this file itself".to_owned()),
        }),
    }
}

fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

/// Whoever reaches it can break every request, so who is not on this machine has to know a secret.
pub(crate) fn check(control: &ReadControl, findings: &mut Findings) {
    match &control.listen {
        Some(At { value: Some(ControlListen::Address(address)), place })
            if !address.ip().is_loopback() && control.token.is_none() =>
        {
            let error = Diagnostic::error(place, "anyone could inject faults");
            findings.push(
                error
                    .label("not a loopback address, and there is no `token`")
                    .hint("add token = \"env:NAME\", or listen on 127.0.0.1 or \"unix:PATH\""),
            );
        }
        Some(At { value: Some(_), .. }) => {}
        Some(At { value: None, .. }) | None => {
            if let Some(token) = &control.token {
                let warning = Diagnostic::warning(&token.place, "`token` has no effect");
                findings.push(warning.label("the control interface is off"));
            }
        }
    }
}
