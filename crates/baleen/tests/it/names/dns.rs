//! Names that can't be listed: DNS, through the real program and a real dnsmasq; and what a request does while its name is not known.

#[path = "../../../../baleen-discovery/tests/common/dnsmasq.rs"]
mod dnsmasq;

use std::net::UdpSocket;
use std::time::Instant;

use baleen_discovery::kv::{Expect, Kv as _};

use super::*;
use crate::registry::etcd;
use dnsmasq::Dnsmasq;

/// With a namer that asks this server, and what else there is.
fn config(server: SocketAddr, names: &str, rest: &str) -> String {
    format!(
        "{LISTENER}{TRUSTED}[names]\n{names}\n[namer.dns]\nkind = \"dns\"\nservers = [\"{server}\"]\n{rest}"
    )
}

fn to(path: &str) -> String {
    format!("baleen-dtab: /svc/x => {path}")
}

#[test]
fn a_host_is_found_out_when_it_is_asked_for_and_kept_over_a_restart() {
    let known = ["--host-record=web.test,127.0.0.1"];
    let Some(dnsmasq) = Dnsmasq::start(&known) else { return };
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let state = tempfile::tempdir().expect("a folder");
    let names = format!("state_dir = \"{}\"", state.path().display());
    let config = config(dnsmasq.address, &names, &endpoints(&[("b", b.address)]));
    let baleen = Baleen::start(&config);
    let web = format!("/#/dns/web.test/{}", a.address.port());
    assert_eq!(ask(baleen.addr, "x", &to(&web)), (200, "a".to_owned()), "the first one waits");
    assert_eq!(ask(baleen.addr, "x", &to(&web)), (200, "a".to_owned()));
    // Nobody is there; twice, since the second one is told what the first one found out.
    for _ in 0..2 {
        let (status, text) = ask(baleen.addr, "x", &to("/#/dns/nobody.test/80"));
        assert_eq!(status, 404, "{text}");
        let other = to("/#/dns/nobody.test/80 | /#/static/b");
        assert_eq!(ask(baleen.addr, "x", &other), (200, "b".to_owned()));
        let other = to("/#/dns/nobody2.test/80 | /#/static/b");
        assert_eq!(ask(baleen.addr, "x", &other), (200, "b".to_owned()));
    }
    baleen.stop_and_replay();

    // Nobody answers, and what was known is served at once.
    drop(dnsmasq);
    let again = Baleen::start(&config);
    assert_eq!(ask(again.addr, "x", &to(&web)), (200, "a".to_owned()));
    again.stop_and_replay();
}

#[test]
fn a_host_below_inet_is_found_out_when_it_is_asked_for() {
    let way = Way::default();
    let a = Service::named("a", None, &way);
    let baleen = start(&endpoints(&[("a", a.address)]));
    // The system's hosts file knows it.
    let local = format!("/$/inet/localhost/{}", a.address.port());
    assert_eq!(ask(baleen.addr, "x", &to(&local)), (200, "a".to_owned()));
    assert_eq!(ask(baleen.addr, "x", &to(&local)), (200, "a".to_owned()));
    // What can be no name is not asked for, and nobody waits for it.
    for wrong in ["/$/inet/a..b/80", "/$/inet/localhost/0", "/$/inet/1.2.3.400/80"] {
        let (status, text) = ask(baleen.addr, "x", &to(wrong));
        assert_eq!(status, 404, "{wrong}: {text}");
        let other = to(&format!("{wrong} | /#/static/a"));
        assert_eq!(ask(baleen.addr, "x", &other), (200, "a".to_owned()), "{wrong}");
    }
    baleen.stop_and_replay();
}

#[test]
fn a_name_that_nobody_answers_for_is_waited_for_and_no_longer() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    silent.set_read_timeout(Some(LONG)).expect("a timeout");
    let server = silent.local_addr().expect("an address");
    let way = Way::default();
    let b = Service::named("b", None, &way);
    let rest = endpoints(&[("b", b.address)]);
    let baleen = Baleen::start(&config(server, "bind_timeout = \"500ms\"", &rest));
    let begun = Instant::now();
    let (status, text) = ask(baleen.addr, "x", &to("/#/dns/web.test/80"));
    assert_eq!(status, 503, "{text}");
    assert!(begun.elapsed().as_millis() >= 500, "it waited for an answer");
    // Whether it is there is not known, so its alternative is not taken.
    assert_eq!(ask(baleen.addr, "x", &to("/#/dns/web.test/80 | /#/static/b")).0, 503);
    assert_eq!(ask(baleen.addr, "b", ""), (200, "b".to_owned()));
    baleen.stop_and_replay();
}

#[test]
fn whoever_leaves_while_a_name_is_waited_for_does_no_harm() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    silent.set_read_timeout(Some(LONG)).expect("a timeout");
    let server = silent.local_addr().expect("an address");
    let way = Way::default();
    let b = Service::named("b", None, &way);
    let rest = endpoints(&[("b", b.address)]);
    let baleen = Baleen::start(&config(server, "bind_timeout = \"60s\"", &rest));
    for i in 0..20 {
        let mut s = connect(baleen.addr);
        let table = to(&format!("/#/dns/web{i}.test/80"));
        write!(s, "GET / HTTP/1.1\r\nHost: x\r\n{table}\r\n\r\n").expect("send");
        // It is asked for: the request waits.
        let mut question = [0; 512];
        let asked = format!("\u{4}web{i}");
        until(|| {
            let n = silent.recv(&mut question).expect("a question");
            let name = if i < 10 { asked.as_bytes() } else { &asked.as_bytes()[1..] };
            crate::support::contains(&question[..n], name)
        });
        drop(s);
    }
    assert_eq!(ask(baleen.addr, "b", ""), (200, "b".to_owned()));
    baleen.stop_and_replay();
}

#[test]
fn a_service_that_only_a_registry_knows_can_be_named_at_once() {
    let Some(etcd) = etcd::Server::start() else { return };
    let way = Way::default();
    let (a, b) = (Service::named("a", None, &way), Service::named("b", None, &way));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let put = async {
        let value = a.address.to_string();
        let store = etcd.store("/services");
        store.put("only/one", value.as_bytes(), Expect::Any).await.expect("written");
    };
    runtime.expect("a runtime").block_on(put);
    let baleen = start(&format!(
        "{}[namer.registry]\nkind = \"etcd\"\nendpoints = [\"http://{}\"]\nprefix = \"/services\"\n",
        endpoints(&[("b", b.address)]),
        etcd.client
    ));
    assert_eq!(ask(baleen.addr, "x", &to("/#/registry/only")), (200, "a".to_owned()));
    let other = to("/#/registry/nobody | /#/static/b");
    assert_eq!(ask(baleen.addr, "x", &other), (200, "b".to_owned()));
    assert_eq!(ask(baleen.addr, "x", &to("/#/registry/nobody")).0, 404);
    baleen.stop_and_replay();
}
