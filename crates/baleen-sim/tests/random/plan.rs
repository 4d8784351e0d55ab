//! A random scenario: who is there, who calls whom, what lies between them.
//!
//! Services call only those that come after them, so calls have no circle; a logical name stands as far up as the first
//! service that it may lead to. Everything is small: some hundred calls, or a few thousand requests.
//!
//! Not here: what breaks and what is expected (`breaks.rs`), settings of Baleen (`mesh.rs`). Tested: by every scenario that is
//! read.

use std::collections::BTreeMap;

use baleen_config::keys::{CLUSTER, NAMER, ROOT as BALEEN, ROUTE};
use baleen_scenario::keys::{
    CACHE, CALL, DEPLOY, LINK, PROXY, REGISTRY, ROOT, SCENARIO, SERVICE, STEP, WORKLOAD,
};

use crate::breaks::Fault;
use crate::dice::Dice;
use crate::mesh::{self, Style};
use crate::tree::{Table, Used, Value, quoted};

/// Files by name; the scenario is `random.toml`.
pub type Files = BTreeMap<String, String>;

/// A service.
pub struct Service {
    pub name: String,
    pub replicas: u64,
    pub racks: u64,
    /// It has a cache that can be empty.
    pub cache: bool,
    /// It works on any number at once.
    pub endless: bool,
    /// Whom it calls first: services and groups.
    pub calls: Vec<String>,
}

/// A logical name, and the first service that it may lead to.
struct Name {
    name: String,
    level: usize,
}

/// A release: of what, and when the first replicas are new.
pub struct Deploy {
    pub service: usize,
    pub new_at: u64,
}

/// All that is drawn, with what parts need to know of each other. Times are in milliseconds.
pub struct Plan {
    pub dice: Dice,
    pub root: Table,
    pub duration: u64,
    pub warmup: u64,
    pub services: Vec<Service>,
    /// Names of workloads, and whom each calls first.
    pub workloads: Vec<(String, String)>,
    pub groups: Vec<String>,
    /// Their processes.
    pub counts: BTreeMap<String, u64>,
    pub deploys: Vec<Deploy>,
    /// Faults.
    pub broken: Vec<Fault>,
    names: Vec<Name>,
    files: Files,
    used: Used,
}

const NAMES: [&str; 10] =
    ["web", "db", "cache-2", "a.b", "x_1", "9", "auth", "Search", "mail", "very-long-name-of-one"];
const GROUPS: [&str; 3] = ["edge", "sidecar", "in.out"];

/// A scenario: its files, and what of the list of settings is in them.
pub fn draw(seed: u64) -> (Files, Used) {
    let mut dice = Dice::new(seed);
    let longest = if dice.chance(5) { 600_000 } else { 40_000 };
    let duration = dice.scale(200, longest);
    let warmup = if dice.chance(30) { dice.below(duration) } else { 0 };
    let mut plan = Plan {
        dice,
        root: Table::new(&ROOT),
        duration,
        warmup,
        services: Vec::new(),
        workloads: Vec::new(),
        groups: Vec::new(),
        counts: BTreeMap::new(),
        deploys: Vec::new(),
        broken: Vec::new(),
        names: Vec::new(),
        files: Files::new(),
        used: Used::new(),
    };
    plan.files.insert("sorry.html".into(), "<p>sorry".into());
    plan.head(seed);
    plan.who();
    plan.mesh();
    plan.proxies();
    plan.services();
    plan.workloads();
    plan.links();
    plan.registry();
    plan.deploys();
    plan.faults();
    plan.expects();
    plan.guards();
    plan.root.count(&mut plan.used);
    plan.files.insert("random.toml".into(), plan.root.file());
    (plan.files, plan.used)
}

impl Plan {
    /// Puts it in, so often of a hundred times.
    fn maybe(
        &mut self,
        table: &mut Table,
        percent: u64,
        key: &str,
        f: impl FnOnce(&mut Dice) -> String,
    ) {
        if self.dice.chance(percent) {
            let value = f(&mut self.dice);
            table.raw(key, value);
        }
    }

    fn head(&mut self, seed: u64) {
        let mut head = Table::new(&SCENARIO);
        head.text("duration", format!("{}ms", self.duration));
        self.maybe(&mut head, 30, "title", |_| quoted(&format!("number {seed} <b>&\"'")));
        self.maybe(&mut head, 50, "seed", |d| d.below(1 << 62).to_string());
        if self.warmup > 0 {
            head.text("warmup", format!("{}ms", self.warmup));
        }
        self.maybe(&mut head, 70, "drain", |d| quoted(&format!("{}ms", d.scale(0, 30_000))));
        self.root.put("scenario", Value::Section(head));
    }

    /// Services by name, and the groups of proxies.
    fn who(&mut self) {
        let count = self.dice.range(1, 5) as usize;
        for name in self.dice.shuffled(&NAMES).iter().take(count) {
            let replicas = if self.dice.chance(5) { 40 } else { self.dice.scale(1, 9) };
            let racks = if self.dice.chance(30) { self.dice.scale(0, 5) } else { 0 };
            let calls = Vec::new();
            let name = (*name).to_owned();
            self.services.push(Service {
                name,
                replicas,
                racks,
                cache: false,
                endless: false,
                calls,
            });
        }
        if self.dice.chance(80) {
            self.groups.push("proxy".into());
            for name in self.dice.shuffled(&GROUPS).iter().take(self.dice.below(3) as usize) {
                self.groups.push((*name).to_owned());
            }
        }
    }

    /// `[mesh]`, and files like it.
    fn mesh(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        let dense = self.dice.pick(&[2, 10, 25, 60]);
        let style = Style { dense, no_queue: self.dice.chance(10) };
        let mut mesh = Table::new(&BALEEN);
        self.routes(&mut mesh, style);
        if self.dice.chance(30) {
            let mut file = self.settings(style);
            if self.dice.chance(50) {
                file.raw("include", "[\"more.toml\"]");
                self.files.insert("more.toml".into(), "# nothing\n".into());
            }
            if self.dice.chance(50) {
                self.namers(&mut file);
            }
            file.count(&mut self.used);
            self.files.insert("baleen.toml".into(), file.file());
            self.root.put("mesh", Value::Section(mesh));
            if let Some(Value::Section(head)) = self.root.get_mut("scenario")
                && self.dice.chance(70)
            {
                head.text("mesh", "baleen.toml");
            }
            return;
        }
        if self.dice.chance(85) {
            let mut all = self.settings(style);
            for key in ["route", "cluster"] {
                let Some(Value::Section(mut table)) = all.get(key).cloned() else { continue };
                if let Some(Value::Section(own)) = mesh.get(key).cloned() {
                    table.named.extend(own.named);
                }
                all.put(key, Value::Section(table));
            }
            mesh = all;
        }
        self.root.put("mesh", Value::Section(mesh));
    }

    /// All of a configuration but where names lead.
    fn settings(&mut self, style: Style) -> Table {
        let mut all = mesh::table(&mut self.dice, &BALEEN, false, style);
        let route = mesh::table(&mut self.dice, &ROUTE, false, style);
        let mut cluster = mesh::table(&mut self.dice, &CLUSTER, false, style);
        for at in 0..self.services.len() {
            if self.dice.chance(30) {
                let mut own = mesh::table(&mut self.dice, &CLUSTER, true, style);
                if self.dice.chance(20) {
                    own.raw("endpoints", "[\"127.0.0.1:9001 2 zone=rack-1\", \"127.0.0.1:9002\"]");
                }
                cluster.named.push((self.services[at].name.clone(), own));
            }
        }
        all.put("route", Value::Section(route));
        all.put("cluster", Value::Section(cluster));
        all
    }

    /// Registries, of which none is asked here.
    fn namers(&mut self, mesh: &mut Table) {
        let mut files = Table::new(&NAMER);
        files.text("kind", "files");
        files.text("dir", "services");
        let mut namer = Table::new(&NAMER);
        namer.named.push(("files".into(), files));
        for name in ["one", "two", "three"] {
            let style = Style { dense: 60, no_queue: false };
            let own = mesh::table(&mut self.dice, &NAMER, true, style);
            if own.word("kind") != Some("files") {
                namer.named.push((name.into(), own));
            }
        }
        mesh.put("namer", Value::Section(namer));
    }

    /// Logical names: those of services, and some that lead to several.
    fn routes(&mut self, mesh: &mut Table, style: Style) {
        let mut routes: Vec<(String, Table)> = Vec::new();
        for level in 0..self.services.len() {
            let name = format!("/svc/{}", self.services[level].name);
            let level = match self.dice.chance(50) {
                true => {
                    let mut own = mesh::table(&mut self.dice, &ROUTE, true, style);
                    let level = self.fallback(&mut own, level);
                    self.answer_file(&mut own);
                    routes.push((name.clone(), own));
                    level
                }
                false => level,
            };
            self.names.push(Name { name, level });
        }
        for nth in 0..self.dice.below(3) {
            let name = format!("/api/{nth}");
            let mut own = mesh::table(&mut self.dice, &ROUTE, true, style);
            let (to, level) = self.target(0);
            own.raw("to", to);
            let level = self.fallback(&mut own, level);
            routes.push((name.clone(), own));
            self.names.push(Name { name, level });
        }
        if !routes.is_empty() {
            let mut route = Table::new(&ROUTE);
            route.named = routes;
            mesh.put("route", Value::Section(route));
        }
    }

    fn answer_file(&mut self, route: &mut Table) {
        if let Some(Value::Inline(answer)) = route.get_mut("answer")
            && answer.get("body").is_none()
            && self.dice.chance(50)
        {
            answer.text("file", "sorry.html");
        }
    }

    /// A name that was there before takes over. The first service that may be reached then.
    fn fallback(&mut self, route: &mut Table, level: usize) -> usize {
        if self.names.is_empty() || !self.dice.chance(40) {
            return level;
        }
        let at = self.dice.below(self.names.len() as u64) as usize;
        route.text("fallback", &self.names[at].name);
        level.min(self.names[at].level)
    }

    /// Where a name leads, and the first service of it.
    fn target(&mut self, depth: u64) -> (String, usize) {
        let at = self.dice.below(self.services.len() as u64) as usize;
        let one = (quoted(&self.services[at].name), at);
        let kind = if depth > 1 { 0 } else { self.dice.below(3) };
        let count = self.dice.range(1, 3);
        match kind {
            0 => one,
            1 => {
                let items: Vec<(String, usize)> = (0..count)
                    .map(|_| {
                        let at = self.dice.below(self.services.len() as u64) as usize;
                        let weight = self.dice.scale(0, 100);
                        let name = quoted(&self.services[at].name);
                        (format!("{{ cluster = {name}, weight = {} }}", weight + 1), at)
                    })
                    .collect();
                (listed(&items), least(&items))
            }
            _ => {
                let items: Vec<(String, usize)> =
                    (0..count).map(|_| self.target(depth + 2)).collect();
                (format!("{{ first = {} }}", listed(&items)), least(&items))
            }
        }
    }

    fn proxies(&mut self) {
        if self.groups.is_empty() || (self.groups.len() == 1 && self.dice.chance(30)) {
            return;
        }
        let mut first = self.group("proxy");
        let has_file = self.files.contains_key("baleen.toml");
        for at in 1..self.groups.len() {
            let name = self.groups[at].clone();
            let mut own = self.group(&name);
            if has_file && self.dice.chance(50) {
                own.text("mesh", "baleen.toml");
            }
            first.named.push((name, own));
        }
        self.root.put("proxy", Value::Section(first));
    }

    fn group(&mut self, name: &str) -> Table {
        let mut group = Table::new(&PROXY);
        self.maybe(&mut group, 50, "count", |d| d.scale(1, 12).to_string());
        let count = group.word("count").and_then(|count| count.parse().ok()).unwrap_or(1);
        self.counts.insert(name.to_owned(), count);
        self.maybe(&mut group, 60, "workers", |d| d.scale(1, 8).to_string());
        group
    }

    /// Whom somebody may call that stands before this service; how to say it, and whom the call meets first.
    fn callee(&mut self, before: usize, table: &mut Table) -> Option<String> {
        let names: Vec<usize> =
            (0..self.names.len()).filter(|n| self.names[*n].level >= before).collect();
        if !self.groups.is_empty() && !names.is_empty() && self.dice.chance(60) {
            let at = self.dice.pick(&names);
            table.text("to", &self.names[at].name);
            let group = self.dice.pick(&self.groups);
            if group != "proxy" || self.dice.chance(20) {
                table.text("via", &group);
            }
            return Some(group);
        }
        let at = before + self.dice.below((self.services.len() - before) as u64) as usize;
        let name = self.services.get(at)?.name.clone();
        table.text("to", &name);
        Some(name)
    }

    /// What workloads and services have in common.
    fn habits(&mut self, table: &mut Table) {
        self.maybe(table, 60, "timeout", |d| match d.below(10) {
            0 => quoted("off"),
            _ => quoted(&format!("{}ms", d.scale(1, 4_000))),
        });
        self.maybe(table, 25, "tries", |d| d.scale(1, 4).to_string());
        self.maybe(table, 20, "wait", |d| {
            let mean = d.scale(0, 500_000);
            quoted(&d.drawn(mean))
        });
        let straight = table.word("to").is_some_and(|to| !to.starts_with('/'));
        if straight {
            self.maybe(table, 50, "balance", |d| {
                quoted(d.pick(&[
                    "random",
                    "round-robin",
                    "power-of-two",
                    "least-loaded-first",
                    "least-loaded-random",
                ]))
            });
            self.maybe(table, 60, "pool", |d| {
                quoted(d.pick(&["off", "most-recently-used", "least-recently-used", "random"]))
            });
            self.maybe(table, 30, "pool_idle_max", |d| d.scale(1, 20).to_string());
            self.maybe(table, 35, "pool_max", |d| match d.below(6) {
                0 => quoted("off"),
                _ => d.scale(1, 20).to_string(),
            });
        } else {
            self.maybe(table, 40, "deadline", |d| d.chance(70).to_string());
        }
        self.maybe(table, 25, "idempotent", |d| quoted(&d.share()));
        self.maybe(table, 30, "priority", |d| d.below(8).to_string());
    }

    fn services(&mut self) {
        let mut named = Vec::new();
        for at in 0..self.services.len() {
            let mut table = Table::new(&SERVICE);
            let (replicas, racks) = (self.services[at].replicas, self.services[at].racks);
            if replicas > 1 || self.dice.chance(20) {
                table.raw("replicas", replicas);
            }
            if racks > 0 || self.dice.chance(10) {
                table.raw("racks", racks);
            }
            self.capacity(&mut table);
            self.services[at].endless = table.word("concurrency") == Some("off");
            let calls = self.steps(at);
            if !calls.is_empty() {
                self.cache(&mut table, at);
                table.put("calls", Value::List(calls));
            }
            self.maybe(&mut table, 30, "parallel", |d| d.chance(70).to_string());
            for key in ["request_bytes", "response_bytes"] {
                self.maybe(&mut table, 25, key, |d| match d.below(12) {
                    0 => quoted("1GiB"),
                    _ => quoted(&format!("{}B", d.scale(0, 65_536))),
                });
            }
            self.program(&mut table);
            named.push((self.services[at].name.clone(), table));
        }
        self.root.put("service", Value::Names(named));
    }

    /// What it is in a drill.
    fn program(&mut self, table: &mut Table) {
        if self.dice.chance(80) {
            self.maybe(table, 30, "work", |d| quoted(d.pick(&["sleep", "cpu"])));
            return;
        }
        table.raw("run", "[\"./server\", \"--port={port}\", \"{}\"]");
        self.maybe(table, 50, "ready", |_| quoted("/ready"));
    }

    fn capacity(&mut self, table: &mut Table) {
        self.maybe(table, 70, "concurrency", |d| match d.below(8) {
            0 => quoted("off"),
            _ => d.scale(1, 20).to_string(),
        });
        self.maybe(table, 60, "queue", |d| match d.below(8) {
            0 => quoted("off"),
            _ => d.scale(0, 50).to_string(),
        });
        self.maybe(table, 30, "order", |d| quoted(d.pick(&["fifo", "lifo"])));
        self.maybe(table, 30, "on_full", |d| quoted(d.pick(&["refuse", "drop"])));
        self.maybe(table, 60, "on_gone", |d| quoted(d.pick(&["ignore", "skip", "stop"])));
        self.maybe(table, 85, "time", |d| match d.below(24) {
            0 | 1 => quoted("0s"),
            2 => quoted("lognormal(1h, 5)"),
            _ => {
                let mean = d.scale(50, 300_000);
                quoted(&d.drawn(mean))
            }
        });
    }

    fn cache(&mut self, table: &mut Table, at: usize) {
        if !self.dice.chance(40) {
            return;
        }
        let mut cache = Table::new(&CACHE);
        let hit = self.dice.share();
        cache.text("hit", hit);
        self.maybe(&mut cache, 70, "fills", |d| d.scale(0, 300).to_string());
        let always = cache.word("fills") == Some("0");
        self.maybe(&mut cache, 50, "cold", |d| (!always && d.chance(60)).to_string());
        self.maybe(&mut cache, 40, "time", |d| quoted(&format!("{}ms", d.scale(0, 20))));
        self.services[at].cache = !always;
        table.put("cache", Value::Inline(cache));
    }

    /// What a service calls.
    fn steps(&mut self, at: usize) -> Vec<Value> {
        let mut steps = Vec::new();
        if at + 1 >= self.services.len() {
            return steps;
        }
        for _ in 0..self.dice.pick(&[0, 1, 1, 2, 3]) {
            let mut step = Table::new(&CALL);
            let Some(first) = self.callee(at + 1, &mut step) else { continue };
            self.services[at].calls.push(first);
            if step.get("via").is_none() && self.dice.chance(30) {
                let Some(Value::Raw(text)) = step.get("to") else { continue };
                steps.push(Value::Raw(text.clone()));
                continue;
            }
            self.habits(&mut step);
            self.maybe(&mut step, 20, "count", |d| d.scale(1, 4).to_string());
            self.maybe(&mut step, 30, "share", Dice::quoted_share);
            self.maybe(&mut step, 30, "required", |d| d.chance(40).to_string());
            steps.push(Value::Inline(step));
        }
        steps
    }

    fn workloads(&mut self) {
        let count = self.dice.pick(&[1, 1, 2, 3]);
        let calls = self.dice.scale(100, 4_000) / count;
        let mut all = Vec::new();
        for nth in 0..count {
            let mut table = Table::new(&WORKLOAD);
            let Some(first) = self.callee(0, &mut table) else { continue };
            let to = table.word("to").unwrap_or_default();
            let default = to.strip_prefix("/svc/").unwrap_or(to).rsplit('/').next();
            let default = default.unwrap_or_default().to_owned();
            // One of the same name would be given a number, and a group can not be called so.
            let taken = self.workloads.iter().any(|(name, _)| *name == default);
            let name = match !taken && self.dice.chance(40) {
                true => default,
                false => {
                    let name = format!("load-{nth}");
                    table.text("name", &name);
                    name
                }
            };
            self.workloads.push((name, first));
            self.arrivals(&mut table, calls.max(1));
            self.habits(&mut table);
            all.push(table);
        }
        self.root.put("workload", Value::Sections(all));
    }

    fn arrivals(&mut self, table: &mut Table, calls: u64) {
        let kind = self.dice.pick(&["poisson", "constant", "closed"]);
        if kind != "poisson" || self.dice.chance(30) {
            table.text("arrivals", kind);
        }
        if kind == "closed" {
            let clients = self.dice.scale(1, 30);
            table.raw("clients", clients);
            let think = (self.duration * 1000 * clients / calls).clamp(10, 30_000_000);
            if think > 1_000_000 || self.dice.chance(90) {
                let text = self.dice.drawn(think);
                table.text("think", text);
            }
            return;
        }
        self.maybe(table, 50, "clients", |d| d.scale(1, 50).to_string());
        self.maybe(table, 20, "burst", |d| d.scale(1, 20).to_string());
        let per_second = calls as f64 * 1000.0 / self.duration as f64;
        let rate = self.rate(per_second);
        table.text("rate", rate);
        if !self.dice.chance(35) {
            return;
        }
        let (mut steps, mut from) = (Vec::new(), 0);
        for _ in 0..self.dice.range(1, 4) {
            if from >= self.duration {
                break;
            }
            let mut step = Table::new(&STEP);
            let at = self.dice.range(from, self.duration - 1);
            let over = if self.dice.chance(50) { self.dice.below(self.duration / 2) } else { 0 };
            step.text("at", format!("{at}ms"));
            let factor = self.dice.pick(&[0.0, 0.3, 1.0, 2.0, 5.0]);
            let rate = self.rate(per_second * factor);
            step.text("rate", rate);
            if over > 0 || self.dice.chance(10) {
                step.text("over", format!("{over}ms"));
            }
            from = at + over;
            if self.dice.chance(40) {
                let lasts = self.dice.range(over.max(1), over + self.duration / 2 + 1);
                step.text("for", format!("{lasts}ms"));
                from += lasts;
            }
            steps.push(Value::Inline(step));
        }
        table.put("steps", Value::List(steps));
    }

    fn rate(&mut self, per_second: f64) -> String {
        match self.dice.below(4) {
            0 => format!("{:.3}/m", per_second * 60.0),
            1 => format!("{}/h", (per_second * 3600.0) as u64),
            _ => format!("{per_second:.3}/s"),
        }
    }

    /// Both ends of something between two sides, as a file names them.
    pub fn between(&mut self) -> (String, String) {
        let mut to: Vec<String> = self.services.iter().map(|s| s.name.clone()).collect();
        to.extend(self.groups_there());
        to.push("*".into());
        let to = self.dice.pick(&to);
        let mut from = vec!["*".to_owned()];
        from.extend(self.groups_there());
        let service = |name: &str| self.services.iter().find(|s| s.name == name);
        for (name, first) in &self.workloads {
            // A service of the same name is meant as well, unless one of the two alone calls it.
            let other = service(name).map(|s| s.calls.contains(&to));
            let clear = match other {
                None => true,
                Some(calls) => to != "*" && calls != (*first == to),
            };
            if clear {
                from.push(name.clone());
            }
        }
        for one in &self.services {
            if !self.workloads.iter().any(|(name, _)| *name == one.name) {
                from.push(one.name.clone());
            }
        }
        (self.dice.pick(&from), to)
    }

    /// Groups that the file knows: the default one is there when somebody uses it.
    pub fn groups_there(&self) -> Vec<String> {
        let used = |group: &str| {
            let workloads = self.workloads.iter().any(|(_, first)| first == group);
            workloads || self.services.iter().any(|s| s.calls.iter().any(|c| c == group))
        };
        let declared = self.root.get("proxy").is_some();
        let there = |g: &&String| used(g) || (g.as_str() != "proxy" && declared);
        self.groups.iter().filter(there).cloned().collect()
    }

    fn links(&mut self) {
        let mut links = Vec::new();
        for _ in 0..self.dice.pick(&[0, 1, 1, 2, 4]) {
            let mut link = Table::new(&LINK);
            let (from, to) = self.between();
            if from != "*" || self.dice.chance(30) {
                link.text("from", from);
            }
            if to != "*" || self.dice.chance(30) {
                link.text("to", to);
            }
            self.maybe(&mut link, 70, "latency", |d| {
                let mean = d.scale(10, 50_000);
                quoted(&d.drawn(mean))
            });
            self.maybe(&mut link, 30, "loss", Dice::quoted_share);
            self.maybe(&mut link, 30, "bandwidth", |d| match d.below(6) {
                0 => quoted("off"),
                1 => quoted("1.5MB/s"),
                2 => quoted("1B/s"),
                _ => quoted(&format!("{}B/s", d.scale(5_000, 10_000_000))),
            });
            self.maybe(&mut link, 30, "paths", |d| d.scale(1, 8).to_string());
            links.push(link);
        }
        if !links.is_empty() {
            self.root.put("link", Value::Sections(links));
        }
    }

    fn registry(&mut self) {
        if !self.dice.chance(60) {
            return;
        }
        let mut registry = Table::new(&REGISTRY);
        self.maybe(&mut registry, 60, "lag", |d| {
            let mean = d.scale(0, 2_000_000);
            quoted(&d.drawn(mean))
        });
        self.maybe(&mut registry, 70, "expire", |d| match d.below(8) {
            0 => quoted("off"),
            _ => quoted(&format!("{}ms", d.scale(1, 5_000))),
        });
        self.root.put("registry", Value::Section(registry));
    }

    fn deploys(&mut self) {
        let mut all = Vec::new();
        let services: Vec<usize> = (0..self.services.len()).collect();
        let services = self.dice.shuffled(&services);
        for &service in services.iter().take(self.dice.pick(&[0, 0, 1, 2])) {
            let mut deploy = Table::new(&DEPLOY);
            let at = self.dice.below(self.duration);
            deploy.text("service", &self.services[service].name);
            deploy.text("at", format!("{at}ms"));
            let (mut left, mut waves) = (self.services[service].replicas, Vec::new());
            while left > 0 && (waves.is_empty() || self.dice.chance(70)) {
                let wave = self.dice.range(1, left);
                waves.push(wave.to_string());
                left -= wave;
            }
            deploy.raw("waves", format!("[{}]", waves.join(", ")));
            let third = self.duration / 3;
            self.maybe(&mut deploy, 80, "pause", |d| quoted(&format!("{}ms", d.scale(0, third))));
            let mut new_at = at;
            for (key, default, least) in [("drain", 5_000, 0), ("down", 2_000, 1)] {
                let time = if self.dice.chance(80) {
                    let time = self.dice.scale(least, third / 2 + 1);
                    deploy.text(key, format!("{time}ms"));
                    time
                } else {
                    default
                };
                new_at += time;
            }
            self.maybe(&mut deploy, 40, "time", |d| {
                let mean = d.scale(50, 500_000);
                quoted(&d.drawn(mean))
            });
            self.deploys.push(Deploy { service, new_at });
            all.push(deploy);
        }
        if !all.is_empty() {
            self.root.put("deploy", Value::Sections(all));
        }
    }
}

fn listed(items: &[(String, usize)]) -> String {
    let texts: Vec<&str> = items.iter().map(|(text, _)| text.as_str()).collect();
    format!("[{}]", texts.join(", "))
}

fn least(items: &[(String, usize)]) -> usize {
    items.iter().map(|(_, level)| *level).min().unwrap_or(0)
}
