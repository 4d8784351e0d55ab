//! The stage of a drill: addresses, files and configurations, before anybody is started.
//!
//! Everything is in the drill's folder:
//!
//! | file | what |
//! |---|---|
//! | `cast.json` | who is where, for built-in servers |
//! | `baleen-GROUP-N.toml` | what a Baleen process is started with |
//! | `services-GROUP-N/` | its registry: a file for each service |
//! | `access-GROUP-N.log` | its access log, which says how many attempts a call took |
//! | `NAME-N.log` | what a process says |
//! | `data-SERVICE-N/` | a real program's `{dir}` |
//!
//! Bounds: those of the scenario (replicas, processes), and ports (`ports`). Not here: starting (`process`), what doors are made
//! of (`inject`). Tested: `stage/tests.rs`.

mod config;
mod ports;
mod registry;
#[cfg(test)]
mod tests;

pub use ports::Ports;
pub use registry::{Reader, Registry};

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use baleen_scenario::model::{Program as Runs, ProxyId, Scenario, ServiceId, Side};

use crate::cast::{Cast, door_key, entry_key};
use crate::means::Plan;
use crate::process::{Player, Program, Ready, Who};

/// What the stage is made for.
pub struct Wanted<'a> {
    /// What is played.
    pub scenario: &'a Scenario,
    /// What is set over its file.
    pub set: &'a [(String, String)],
    /// With this seed.
    pub seed: u64,
    /// The `baleen` program.
    pub baleen: &'a Path,
    /// The drill's folder.
    pub folder: &'a Path,
    /// Its mark.
    pub drill: &'a str,
    /// Which sides reach whom by doors of their own.
    pub plan: &'a Plan,
}

/// A process of Baleen, to be looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Of this group.
    pub group: ProxyId,
    /// This one.
    pub nth: u32,
    /// Its admin pages.
    pub admin: SocketAddr,
    /// Its access log.
    pub log: PathBuf,
    /// Replicas by the addresses at which it reaches them.
    pub replicas: BTreeMap<String, String>,
}

/// Everything that is needed to begin.
pub struct Stage {
    /// Who is where.
    pub cast: Cast,
    /// Who is to be started.
    pub players: Vec<Player>,
    /// Processes of Baleen.
    pub looked: Vec<Looked>,
    /// Who is listed.
    pub registry: Registry,
    /// Kept until all is over.
    pub ports: Ports,
}

impl Stage {
    /// Addresses and files.
    ///
    /// # Errors
    /// There are no ports, or a file can't be written.
    pub fn new(wanted: &Wanted<'_>, mut ports: Ports) -> io::Result<Stage> {
        let cast = cast(wanted, &mut ports)?;
        let text = serde_json::to_string_pretty(&cast).map_err(io::Error::other)?;
        fs::write(wanted.folder.join("cast.json"), text)?;
        let services = &wanted.scenario.services;
        let listed: Vec<_> = services.iter().map(|s| (s.name.clone(), s.replicas)).collect();
        let lag = wanted.scenario.registry.lag.clone();
        let mut registry = Registry::new(&listed, lag, wanted.seed ^ 0x5e9);
        let mut players = Vec::new();
        for (service, id) in services.iter().zip(0..) {
            for nth in 0..service.replicas {
                players.push(replica(wanted, &cast, ServiceId(id), nth)?);
            }
        }
        let mut looked = Vec::new();
        for (group, id) in wanted.scenario.proxies.iter().zip(0..) {
            for nth in 0..group.count {
                let admin = ports.take()?;
                let (player, look, reader) = process(wanted, &cast, ProxyId(id), nth, admin)?;
                registry.add(reader)?;
                players.push(player);
                looked.push(look);
            }
        }
        Ok(Stage { cast, players, looked, registry, ports })
    }
}

fn cast(wanted: &Wanted<'_>, ports: &mut Ports) -> io::Result<Cast> {
    let scenario = wanted.scenario;
    let mut take = |count: u32| (0..count).map(|_| ports.take()).collect::<io::Result<Vec<_>>>();
    let replicas = scenario.services.iter().map(|s| take(s.replicas)).collect::<io::Result<_>>()?;
    let proxies = scenario.proxies.iter().map(|g| take(g.count)).collect::<io::Result<_>>()?;
    let mut doors = BTreeMap::new();
    for door in &wanted.plan.doors {
        let count = scenario.services[door.to.index()].replicas;
        doors.insert(door_key(scenario, door.from, door.to), take(count)?);
    }
    for entry in &wanted.plan.entries {
        let count = scenario.proxies[entry.to.index()].count;
        doors.insert(entry_key(scenario, entry.from, entry.to), take(count)?);
    }
    Ok(Cast {
        scenario: fs::canonicalize(&scenario.file)?,
        set: wanted.set.to_vec(),
        seed: wanted.seed,
        epoch: 0,
        replicas,
        proxies,
        doors,
    })
}

/// The folder that programs run in: the scenario's.
#[must_use]
pub fn home(scenario: &Scenario) -> PathBuf {
    let file = fs::canonicalize(&scenario.file).unwrap_or_else(|_| scenario.file.clone());
    file.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Where a program is: as its words say, from the scenario's folder, or on the path.
#[must_use]
pub fn find(scenario: &Scenario, program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(home(scenario).join(program)).filter(runs);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(runs)
}

fn replica(wanted: &Wanted<'_>, cast: &Cast, id: ServiceId, nth: u32) -> io::Result<Player> {
    let service = &wanted.scenario.services[id.index()];
    let at = cast.replicas[id.index()][nth as usize];
    let base = format!("{}-{nth}", service.name);
    let (command, ready, tells) = match &service.program {
        Runs::BuiltIn(_) => {
            let file = wanted.folder.join("cast.json").into_os_string();
            let mut command = vec![wanted.baleen.into(), "part".into(), "server".into()];
            command.extend(["--cast".into(), file, "--service".into(), (&service.name).into()]);
            command.extend(["--replica".into(), nth.to_string().into()]);
            (command, Ready::Accepts, true)
        }
        Runs::Real { command, ready } => {
            let dir = wanted.folder.join(format!("data-{base}"));
            fs::create_dir_all(&dir)?;
            let dir = dir.display().to_string();
            let word = |word: &String| {
                let word = word.replace("{port}", &at.port().to_string());
                let word = word.replace("{address}", &at.to_string());
                let word = word.replace("{replica}", &nth.to_string());
                word.replace("{service}", &service.name).replace("{dir}", &dir)
            };
            let mut words: Vec<OsString> = command.iter().map(word).map(OsString::from).collect();
            let first = command.first().and_then(|first| find(wanted.scenario, first));
            if let (Some(program), Some(found)) = (words.first_mut(), first) {
                *program = found.into();
            }
            let ready = ready.clone().map_or(Ready::Accepts, Ready::Answers);
            (words, ready, false)
        }
    };
    let program = Program {
        name: format!("{}/{nth}", service.name),
        command,
        folder: home(wanted.scenario),
        drill: wanted.drill.to_owned(),
        log: wanted.folder.join(format!("{base}.log")),
        again: if tells { vec!["--anew".into()] } else { Vec::new() },
        tells,
    };
    Ok(Player { who: Who::Replica(id, nth), program, at, ready })
}

fn process(
    wanted: &Wanted<'_>,
    cast: &Cast,
    id: ProxyId,
    nth: u32,
    admin: SocketAddr,
) -> io::Result<(Player, Looked, Reader)> {
    let scenario = wanted.scenario;
    let group = &scenario.proxies[id.index()];
    let at = cast.proxies[id.index()][nth as usize];
    let base = format!("{}-{nth}", group.name);
    let within = |name: String| wanted.folder.join(name);
    let log = within(format!("access-{base}.log"));
    let services = within(format!("services-{base}"));
    let own = config::Own { listen: at, admin, log: &log, services: &services };
    let file = within(format!("baleen-{base}.toml"));
    fs::write(&file, config::text(group, &own))?;
    let from = Side::Proxy(id);
    let ids = 0..u16::try_from(scenario.services.len()).unwrap_or(u16::MAX);
    let reach = ids.map(|s| cast.reach(scenario, from, ServiceId(s)).to_vec());
    let reach: Vec<Vec<SocketAddr>> = reach.collect();
    let mut replicas = BTreeMap::new();
    for (service, at) in scenario.services.iter().zip(&reach) {
        let named = at
            .iter()
            .zip(0..)
            .map(|(a, n): (_, u32)| (a.to_string(), format!("{}/{n}", service.name)));
        replicas.extend(named);
    }
    let name = match group.count {
        1 => group.name.clone(),
        _ => format!("{}/{nth}", group.name),
    };
    let program = Program {
        name,
        command: vec![wanted.baleen.into(), "run".into(), file.into()],
        folder: home(scenario),
        drill: wanted.drill.to_owned(),
        log: within(format!("{base}.log")),
        again: Vec::new(),
        tells: false,
    };
    let player = Player { who: Who::Process(id, nth), program, at, ready: Ready::Accepts };
    let looked = Looked { group: id, nth, admin, log, replicas };
    Ok((player, looked, Reader { group: id, nth, folder: services, reach }))
}
