//! `[control]`: what it means and what is refused.

use std::path::PathBuf;

use baleen_config::{Control, ControlListen, Secret, parse_str};

use crate::mistakes::start;

const REST: &str =
    "[[listener]]\nlisten = \"127.0.0.1:8080\"\n[namer.files]\nkind = \"files\"\ndir = \"d\"\n";

fn control(text: &str) -> Option<Control> {
    parse_str("etc/baleen.toml", &format!("{text}\n{REST}")).expect("it is right").0.control
}

#[test]
fn it_is_off_unless_it_is_turned_on() {
    assert_eq!(control(""), None);
    assert_eq!(control("[control]\nlisten = \"off\""), None);
    assert_eq!(control("[control]"), None);
}

#[test]
fn where_it_listens_and_what_is_asked_for() {
    let on = control("[control]\nlisten = \"127.0.0.1:9991\"").expect("on");
    let address = "127.0.0.1:9991".parse().expect("an address");
    assert_eq!(on, Control { listen: ControlListen::Address(address), token: None });
    let on = control("[control]\nlisten = \"unix:run/control\"\ntoken = \"file:secret\"");
    let listen = ControlListen::Unix(PathBuf::from("etc/run/control"));
    let token = Some(Secret::File(PathBuf::from("etc/secret")));
    assert_eq!(on, Some(Control { listen, token }));
    let on = control("[control]\nlisten = \"0.0.0.0:9991\"\ntoken = \"env:TOKEN\"").expect("on");
    assert_eq!(on.token, Some(Secret::Env("TOKEN".to_owned())));
}

#[test]
fn from_other_machines_only_with_a_token() {
    insta::assert_snapshot!(start("[control]\nlisten = \"0.0.0.0:9991\"\n"), @r#"
    error: anyone could inject faults
     --> baleen.toml:2:10
      |
    2 | listen = "0.0.0.0:9991"
      |          ^^^^^^^^^^^^^^ not a loopback address, and there is no `token`
      |
      = hint: add token = "env:NAME", or listen on 127.0.0.1 or "unix:PATH"
    "#);
}

#[test]
fn a_secret_is_not_written_down() {
    insta::assert_snapshot!(
        start("[control]\nlisten = \"127.0.0.1:9991\"\ntoken = \"hunter2\"\n"), @r#"
    error: invalid value for `token`
     --> baleen.toml:3:9
      |
    3 | token = "hunter2"
      |         ^^^^^^^^^ expected `env:NAME` or `file:PATH`
      |
      = hint: a secret is never written into this file itself
    "#);
}

#[test]
fn no_address() {
    insta::assert_snapshot!(start("[control]\nlisten = \"9991\"\n"), @r#"
    error: invalid value for `listen`
     --> baleen.toml:2:10
      |
    2 | listen = "9991"
      |          ^^^^^^ expected an address such as "127.0.0.1:9991", "unix:PATH" or "off"
    "#);
}

#[test]
fn a_token_for_nothing() {
    insta::assert_snapshot!(start("[control]\ntoken = \"env:TOKEN\"\n"), @r#"
    warning: `token` has no effect
     --> baleen.toml:2:9
      |
    2 | token = "env:TOKEN"
      |         ^^^^^^^^^^^ the control interface is off
    "#);
}

#[test]
fn the_same_port_as_the_admin_pages() {
    insta::assert_snapshot!(start("[admin]\nlisten = \"127.0.0.1:9991\"\n[control]\nlisten = \"127.0.0.1:9991\"\n"), @r#"
    error: 127.0.0.1:9991 is listened on twice
     --> baleen.toml:4:10
      |
    4 | listen = "127.0.0.1:9991"
      |          ^^^^^^^^^^^^^^^^ the control interface here
      |
     ::: baleen.toml:2:10
      |
    2 | listen = "127.0.0.1:9991"
      |          ---------------- the admin server here
    "#);
}
