//! How a scenario can be drilled: doors, stand-ins, and everything that can not be.

use baleen_drill::means::*;
use baleen_scenario::model::{On, ProxyId, Scenario, ServiceId, Side};

const HEAD: &str = "[scenario]\nduration = \"8s\"\n";
const ONE: &str = "[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"10/s\"\n[service.web]\nreplicas = 2\nconcurrency = 4\n";
const BY_NAME: &str = "[[workload]]\nname = \"shop\"\nto = \"/svc/web\"\nrate = \"10/s\"\n[service.web]\nreplicas = 2\n";

fn scenario(text: &str) -> Scenario {
    let text = format!("{HEAD}{text}");
    match baleen_scenario::parse_str("a.toml", &text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(findings) => panic!("{findings:?}\n{text}"),
    }
}

fn user() -> Machine {
    Machine::probe(Wish::User)
}

fn planned(text: &str) -> Plan {
    plan(&scenario(text), &user()).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

/// Each of these is said, and nothing else.
fn check_obstacles(text: &str, machine: &Machine, says: &[&str]) {
    let wrong = plan(&scenario(text), machine).expect_err("it can't be drilled");
    let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), says.len(), "{all:#?}");
    for (is, says) in all.iter().zip(says) {
        assert!(is.contains(says) && is.contains("hint: "), "{is}");
    }
}

fn fault(kind: &str, on: &str, more: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\non = \"{on}\"\nat = \"1s\"\nfor = \"2s\"\n{more}\n")
}

#[test]
fn who_calls_whom() {
    let scenario = scenario(BY_NAME);
    let shop = Side::Workload(baleen_scenario::model::WorkloadId(0));
    let (proxy, web) = (Side::Proxy(ProxyId(0)), Side::Service(ServiceId(0)));
    assert_eq!(pairs(&scenario), [(shop, proxy), (proxy, web)]);
    let hit = between(&scenario, &[On::Between(web, Side::Any)]);
    assert_eq!(hit, [Hit { from: proxy, to: web, straight: false, turned: true }]);
}

#[test]
fn doors_are_where_something_lies_between() {
    assert!(planned(ONE).doors.is_empty());
    assert!(!planned(&format!("{ONE}{}", fault("crash", "web/0", ""))).has_links());
    let plan = planned(&format!("{ONE}{}", fault("silent", "web/0", "")));
    assert_eq!((plan.doors.len(), plan.private, plan.has_links()), (1, false, true));
    assert!(plan.means[0].stands_in.is_some());
    let plan = planned(&format!("{BY_NAME}{}", fault("partition", "shop->proxy", "")));
    assert_eq!((plan.doors.len(), plan.entries.len()), (0, 1));
    let link = "[[link]]\nfrom = \"*\"\nto = \"*\"\nlatency = \"1ms\"\n";
    let plan = planned(&format!("{BY_NAME}{link}"));
    assert_eq!((plan.doors.len(), plan.entries.len(), plan.notes.len()), (1, 1, 2));
}

#[test]
fn errors_are_answered_by_who_counts_them() {
    let real = ONE.replace("concurrency = 4", "run = [\"sh\", \"{port}\"]");
    let both = format!(
        "{ONE}[[workload]]\nname = \"o\"\nto = \"old\"\nrate = \"1/s\"\n[service.old]\nrun = [\"sh\", \"{{port}}\"]\n"
    );
    for (kind, more) in [("errors", "share = \"50%\""), ("fail-first", "count = 8")] {
        let plan = planned(&format!("{ONE}{}", fault(kind, "web", more)));
        assert_eq!((plan.means[0].how, plan.doors.len()), (How::Servers, 0));
        assert_eq!(plan.means[0].stands_in, None);
        let plan = planned(&format!("{real}{}", fault(kind, "web", more)));
        assert_eq!((plan.means[0].how, plan.doors.len()), (How::Links, 1));
        let at = fault(kind, "web", more).replace("on = \"web\"", "on = [\"web\", \"old\"]");
        let plan = planned(&format!("{both}{at}"));
        assert_eq!(plan.means[0].how, How::Servers);
        let doors: Vec<_> = plan.doors.iter().map(|d| (d.to, d.kind)).collect();
        assert_eq!(doors, [(ServiceId(1), DoorKind::Link)], "only where a program can't be told");
    }
}

#[test]
fn what_can_not_be_is_said_at_once() {
    let real = "[[workload]]\nto = \"web\"\nrate = \"10/s\"\n[service.web]\nrun = [\"no-such-program\", \"{port}\"]\nconcurrency = 4\n";
    let text = format!(
        "{real}{}{}",
        fault("capacity", "web", "share = \"50%\""),
        "[[expect]]\nduring = \"all\"\nof = \"web\"\nrate = \"<= 5/s\"\n"
    );
    check_obstacles(
        &text,
        &user(),
        &["no program `no-such-program`", "nobody counts", "can't be told"],
    );
    let deaf = ONE.replace("concurrency = 4", "run = [\"sh\", \"server.sh\", \"{replica}\"]");
    check_obstacles(
        &deaf,
        &user(),
        &["`run = [\"sh\", \"server.sh\", \"{replica}\", \"--port\", \"{port}\"]`"],
    );
    let told = ONE.replace("concurrency = 4", "run = [\"sh\", \"server.sh\", \"-l{address}\"]");
    planned(&told);
    let many = "[[workload]]\nto = \"web\"\nrate = \"30000/s\"\n[service.web]\nreplicas = 80\n";
    check_obstacles(many, &user(), &["80 processes", "30000 calls per second"]);
}

#[test]
fn faults_that_can_not_be() {
    for (more, says) in [
        (fault("registry-down", "registry", ""), "no call goes through a proxy"),
        (fault("bandwidth", "shop->web", "rate = \"10B/s\""), "less than a kilobyte"),
        (fault("partition", "web->web", ""), "nobody calls between"),
        (
            fault("slow", "web", "factor = 2") + &fault("slow", "web/1", "factor = 2\nramp = true"),
            "one of them grows",
        ),
        (
            "[[link]]\nfrom = \"shop\"\nto = \"web\"\nbandwidth = \"1MB/s\"\npaths = 2\n"
                .to_owned(),
            "paths of their own",
        ),
    ] {
        check_obstacles(&format!("{ONE}{more}"), &user(), &[says]);
    }
    let mut machine = user();
    machine.wish = Wish::Kernel;
    let text = format!("{ONE}{}", fault("silent", "web/0", ""));
    check_obstacles(&text, &machine, &["asked for", "fault `silent`"]);
}
