//! What is written for a scenario, read back.

use super::*;
use crate::means::{Door, DoorKind};

const SCENARIO: &str = r#"
[scenario]
duration = "1s"

[mesh]
workers = 9

[mesh.route]
try_timeout = "1500ms"

[mesh.route."/svc/large"]
to = "web"

[mesh.cluster.web]
concurrency = 7

[proxy]
count = 2
workers = 1

[[workload]]
name = "shop"
to   = "/svc/web"
rate = "1/s"

[[workload]]
name = "large"
to   = "/svc/large"
rate = "1/s"

[service.web]
replicas = 2

[service.store]
run   = ["sh", "-c", "echo {port} {address} {replica} {service} {dir}"]
ready = "/healthz"
"#;

struct Set {
    dir: tempfile::TempDir,
    scenario: Scenario,
    stage: Stage,
}

fn set(doors: &[(Side, ServiceId)]) -> Set {
    let door = |(from, to): &(Side, ServiceId)| Door { from: *from, to: *to, kind: DoorKind::Rule };
    let doors = doors.iter().map(door).collect();
    let (means, entries, notes) = (Vec::new(), Vec::new(), Vec::new());
    let plan = Plan { means, private: false, doors, entries, notes };
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("a.toml");
    let text = format!("{SCENARIO}\n[[workload]]\nname = \"s\"\nto = \"store\"\nrate = \"1/s\"\n");
    fs::write(&file, text).expect("written");
    let (scenario, _) = baleen_scenario::load(&file, &[]).expect("a scenario");
    let wanted = Wanted {
        scenario: &scenario,
        set: &[],
        seed: 7,
        baleen: Path::new("/bin/baleen"),
        folder: dir.path(),
        drill: "1-1",
        plan: &plan,
    };
    let stage = Stage::new(&wanted, Ports::new()).expect("a stage");
    Set { dir, scenario, stage }
}

#[test]
fn a_real_process_reads_what_the_simulator_was_told() {
    let Set { dir, stage, .. } = set(&[]);
    let file = dir.path().join("baleen-proxy-1.toml");
    let (config, warnings) = baleen_config::load(&file).expect("a configuration");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.workers, Some(1));
    assert_eq!(config.admin, Some(stage.looked[1].admin));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].listen, stage.cast.proxies[0][1]);
    let text = fs::read_to_string(&file).expect("a file");
    assert!(text.contains("concurrency") && text.contains("1500ms"), "{text}");
    let web = fs::read_to_string(dir.path().join("services-proxy-1/web")).expect("a file");
    let at = &stage.cast.replicas[0];
    assert_eq!(web, format!("{}\n{}\n", at[0], at[1]));
}

#[test]
fn doors_are_where_callers_go() {
    let (from, to) = (Side::Proxy(ProxyId(0)), ServiceId(0));
    let Set { dir, scenario, stage } = set(&[(from, to)]);
    let doors = stage.cast.reach(&scenario, from, to);
    assert_ne!(doors, stage.cast.replicas[0]);
    let web = fs::read_to_string(dir.path().join("services-proxy-0/web")).expect("a file");
    assert_eq!(web, format!("{}\n{}\n", doors[0], doors[1]));
    assert_eq!(stage.looked[0].replicas[&doors[1].to_string()], "web/1");
    let json = fs::read_to_string(dir.path().join("cast.json")).expect("a file");
    let read: Cast = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read, stage.cast);
    assert_eq!(read.load().expect("a scenario").services.len(), 2);
}

#[test]
fn programs_are_started_with_their_addresses() {
    let Set { dir, stage, .. } = set(&[]);
    let players: BTreeMap<Who, &Player> = stage.players.iter().map(|p| (p.who, p)).collect();
    let store = players[&Who::Replica(ServiceId(1), 0)];
    let at = stage.cast.replicas[1][0];
    let data = dir.path().join("data-store-0");
    let said = format!("echo {} {at} 0 store {}", at.port(), data.display());
    assert_eq!(store.program.command[2], OsString::from(said));
    assert!(Path::new(&store.program.command[0]).is_absolute());
    assert_eq!(store.ready, Ready::Answers("/healthz".to_owned()));
    assert!(!store.program.tells && data.is_dir());
    let web = players[&Who::Replica(ServiceId(0), 1)];
    assert!(web.program.tells);
    let words: Vec<_> = web.program.command.iter().filter_map(|w| w.to_str()).collect();
    assert_eq!(words[1..3], ["part", "server"]);
    assert_eq!(words[5..], ["--service", "web", "--replica", "1"]);
    assert_eq!(players.len(), 5);
    assert_eq!(players[&Who::Process(ProxyId(0), 1)].program.name, "proxy/1");
}
