//! A scenario file to the model, with every mistake at its place.
//!
//! The text becomes a tree that knows places; what the command line sets is put into it (`set`); names are gathered (`names`);
//! each table is read by the list of settings (`keys`), one module for each; then what contradicts what is said (`checks`).
//! The mesh is read by `baleen-config` (`mesh`). Nothing is run, and nothing is given out when there is one mistake.
//!
//! Not here: what is legal but dangerous (`lint`). Tested: in `tests/it/`.

mod call;
mod checks;
mod deploy;
mod effect;
mod expect;
mod fault;
mod get;
mod mesh;
mod names;
mod on;
mod proxy;
mod service;
mod set;
mod size;
mod values;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baleen_config::reading::{Entry, Findings, Reader, Table, read_alone};
use baleen_config::table::Def;
use baleen_config::{At, Diagnostic, Disk, Files, Memory, Place, Source, reference_of, schema_of};

use crate::keys::{DURATION, ROOT};
use crate::model::Scenario;

pub use get::written;

/// A scenario with its warnings, or everything that is wrong with it.
pub type Loaded = Result<(Scenario, Vec<Diagnostic>), Vec<Diagnostic>>;

/// `key=value` of the command line: replaces or adds one value of the file before it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// A path into the file, such as `service.web.replicas`, `workload.web.rate`, `mesh.route.retry.tries` or `link.0.latency`.
    /// Lists are entered by number or by name; of a list of one, the key alone is enough (`workload.rate`).
    pub key: String,
    /// As it would be written in the file; what is no TOML is a string. A number alone keeps the unit of the value it replaces.
    pub value: String,
}

/// Reads a scenario, and the files of Baleen that it names, from disk.
///
/// # Errors
/// Everything that is wrong, and what is dangerous beside it.
pub fn load(path: &Path, set: &[Override]) -> Loaded {
    load_from(&Disk, path, set)
}

/// Reads a scenario from its text. It can not name other files.
///
/// # Errors
/// Everything that is wrong, and what is dangerous beside it.
pub fn parse_str(name: &str, text: &str, set: &[Override]) -> Loaded {
    let files = Memory(BTreeMap::from([(PathBuf::from(name), text.to_owned())]));
    load_from(&files, Path::new(name), set)
}

/// Reads a scenario, and the files of Baleen that it names.
///
/// # Errors
/// Everything that is wrong, and what is dangerous beside it.
pub fn load_from(files: &dyn Files, path: &Path, set: &[Override]) -> Loaded {
    let mut findings = Findings::default();
    let read = read_alone(files, path, &mut findings);
    let root = match read.sources.first() {
        Some(source) => Place { source: Arc::clone(source), span: 0..0 },
        None => return Err(findings.finish(&[])),
    };
    let mut sources = read.sources;
    let mut table = read.table;
    set::all(&mut table, set, &mut sources, &mut findings);
    if read.broken {
        // What is missing may stand in the broken part.
        return Err(findings.finish(&sources));
    }
    let scenario = scenario(files, &table, &root, &mut sources, &mut findings);
    let failed = findings.has_errors();
    let diagnostics = findings.finish(&sources);
    match scenario {
        Some(scenario) if !failed => Ok((scenario, diagnostics)),
        _ => Err(diagnostics),
    }
}

/// What `[scenario]` says.
struct Head {
    title: String,
    seed: u64,
    duration: Duration,
    warmup: Duration,
    drain: Duration,
    mesh: Option<At<String>>,
}

/// Makes a scenario of a tree. What is wrong is said and stands for something that makes nothing else wrong; `None`: it could not.
fn scenario(
    files: &dyn Files,
    table: &Table,
    root: &Place,
    sources: &mut Vec<Arc<Source>>,
    findings: &mut Findings,
) -> Option<Scenario> {
    let names = names::gather(table, findings);
    let mut r = Reader::new(&ROOT, table, root, None, findings);
    let head = head(r.table("scenario"), root, r.findings);
    let inline = r.elsewhere("mesh");
    let proxies = r.table("proxy");
    let workloads = r.tables("workload");
    let services = r.tables_by_name("service");
    let links = r.tables("link");
    let registry = r.table("registry");
    let (deploys, faults) = (r.tables("deploy"), r.tables("fault"));
    let (expects, guards) = (r.tables("expect"), r.tables("guard"));
    r.done();

    let mut meshes = mesh::Meshes::new(files, head.mesh.as_ref(), inline, root);
    let groups = proxy::groups(proxies, &names, &mut meshes, findings);
    sources.append(&mut meshes.sources);
    let mut calls = call::Calls::default();
    let services = service::all(&services, &names, &mut calls, findings);
    let workloads = workload::all(&workloads, &names, head.duration, &mut calls, findings);
    let links = proxy::links(&links, &names, findings);
    let registry = proxy::registry(registry, findings);
    let deploys = deploy::all(&deploys, &names, &services, head.duration, findings);
    let world = on::World {
        names: &names,
        services: &services,
        groups: &groups,
        workloads: &workloads,
        deploys: &deploys,
    };
    let faults = fault::all(&faults, &world, head.duration, findings);
    let expects = expect::all(&expects, &names, &faults, &head, findings);
    let guards = expect::guards(&guards, &names, findings);
    let draft = checks::Draft {
        table,
        root,
        names: &names,
        groups: &groups,
        calls: &calls,
        workloads: &workloads,
        services: &services,
    };
    checks::all(&draft, findings);
    Some(Scenario {
        title: head.title,
        seed: head.seed,
        duration: head.duration,
        warmup: head.warmup,
        drain: head.drain,
        workloads,
        services,
        proxies: groups.into_iter().collect::<Option<_>>()?,
        links,
        registry,
        deploys,
        faults: faults.list.into_iter().map(|(fault, _)| fault).collect(),
        expects,
        guards,
        file: root.source.name.clone(),
    })
}

/// A table of the file: what it may hold, what it holds, where it begins.
type Found<'a> = (&'static Def, &'a Table, &'a Place);
/// A table whose name people chose.
type Named<'a> = (&'static Def, &'a Entry);

fn head(found: Option<Found<'_>>, root: &Place, findings: &mut Findings) -> Head {
    let (def, table, place) = match found {
        Some(found) => found,
        // That it is missing, or no table, was said.
        None => {
            let duration = DURATION.1 * 2;
            let (title, seed, mesh) = (String::new(), 1, None);
            return Head { title, seed, duration, warmup: Duration::ZERO, drain: duration, mesh };
        }
    };
    let mut r = Reader::new(def, table, place, None, findings);
    let title = r.text("title", |text| Ok(text.to_owned())).map(|at| at.value);
    let file = root.source.name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let seed = r.integer("seed").map_or(1, |at| at.value);
    let duration = r.duration("duration");
    let warmup = r.duration("warmup");
    let drain = r.duration("drain").map_or(Duration::from_secs(60), |at| at.value);
    let mesh = r.text("mesh", |text| Ok(text.to_owned()));
    r.done();
    if let (Some(warmup), Some(duration)) = (&warmup, &duration)
        && warmup.value >= duration.value
    {
        let error = Diagnostic::error(&warmup.place, "the warm-up is as long as the run");
        findings.push(
            error
                .label("nothing would be measured")
                .related(&duration.place, "so long does it last"),
        );
    }
    Head {
        title: title.unwrap_or(file),
        seed,
        // When it is wrong, nothing else is too late because of that.
        duration: duration.map_or(DURATION.1 * 2, |at| at.value),
        warmup: warmup.map_or(Duration::ZERO, |at| at.value),
        drain,
        mesh,
    }
}

const INTRO: &str = "# Scenarios

This page is printed from the list of settings that the reader uses.

```toml
[scenario]
title    = \"one replica turns slow\"
seed     = 7
duration = \"120s\"
warmup   = \"5s\"

[mesh.route]                          # anything of baleen.toml; or mesh = \"baleen.toml\" in [scenario]
try_timeout = \"1500ms\"

[[workload]]
to      = \"/svc/web\"                  # through Baleen; \"web\" is the service itself
rate    = \"400/s\"
timeout = \"2s\"

[service.web]
replicas    = 8
concurrency = 16
queue       = 64
time        = \"20ms + exp(100ms)\"
calls       = [\"db\"]

[service.db]
replicas = 3
time     = \"exp(2ms)\"

[[link]]
latency = \"500us\"

[[fault]]
at   = \"30s\"
for  = \"60s\"
on   = \"web/3\"
kind = \"latency\"
add  = \"1s\"

[[expect]]
during  = \"fault\"
success = \">= 99.9%\"
p99     = \"<= 600ms\"

[[expect]]
after           = \"fault\"
recovers_within = \"5s\"
```

`baleen check --schema scenario` prints the JSON schema of these files, for editors.

Every mistake is reported at once, with line, caret and the nearest valid spelling, and nothing is run: an unknown name, a fault on
a replica that is not there, an expectation that can not be measured.

`--set key=value` replaces or adds one value before the file is read: `service.web.replicas=4`, `workload.web.rate=800/s`,
`mesh.route.retry.tries=1`, `link.0.latency=5ms`. Lists are entered by number or by name; of a list of one, the key alone is enough
(`workload.rate`). A number alone keeps the unit of the value that it replaces: where the file says `\"400/s\"`, `500` is `\"500/s\"`.

| type | written |
|---|---|
| time, drawn | `\"20ms\"`, `\"exp(100ms)\"`, `\"20ms + exp(100ms)\"`: drawn anew for each use |
| duration | `\"300ms\"`, `\"1.5s\"`, `\"1m\"`, `\"1h\"`, `\"1d\"` |
| how often | `\"400/s\"`, `\"9.3/s\"`, `\"30/m\"`, `\"1/h\"` |
| share | `\"20%\"`, `\"0.5%\"` |
| comparison | `\">= 99.9%\"`, `\"<= 600ms\"`, `\"< 1.2\"` |
| size | `\"240B\"`, `\"64KiB\"`, `\"1MiB\"` |
| rate | `\"100MB/s\"` (1 MB is 1000000 bytes), `\"10MiB/s\"` |

Names are letters, digits, `-`, `_` and `.`. A service can not be called `rack` or `registry`, a fault not `fault` or `all`.
";

/// The reference page of scenario files, as Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    reference_of(&ROOT, INTRO)
}

/// The JSON schema of scenario files, for editors: draft 2020-12, indented.
#[must_use]
pub fn schema_json() -> String {
    schema_of(&ROOT, "scenario")
}
