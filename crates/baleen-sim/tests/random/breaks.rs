//! What breaks in a random scenario, and what is expected of it.
//!
//! Not here: who is there (`plan.rs`). Tested: by every scenario that is read.

use baleen_scenario::keys::{EXPECT, FAULT, FAULT_KINDS, GUARD};

use crate::dice::{Dice, milli};
use crate::plan::{Plan, Service};
use crate::tree::{Table, Value, quoted};

/// A fault as expectations see it: its name if it has one, its start and its end.
pub struct Fault {
    name: Option<String>,
    at: u64,
    end: u64,
}

impl Plan {
    pub fn faults(&mut self) {
        let mut all = Vec::new();
        for nth in 0..self.dice.pick(&[0, 1, 2, 3, 5, 8]) {
            let kind = self.dice.pick(&FAULT_KINDS);
            let Some((table, fault)) = self.fault(nth, kind) else { continue };
            all.push(table);
            self.broken.push(fault);
        }
        if !all.is_empty() {
            self.root.put("fault", Value::Sections(all));
        }
    }

    fn fault(&mut self, nth: u64, kind: &'static str) -> Option<(Table, Fault)> {
        let mut table = Table::new(&FAULT);
        let mut at = self.dice.below(self.duration);
        let on = self.hits(kind, &mut at)?;
        table.text("kind", kind);
        table.text("at", format!("{at}ms"));
        let name = self.dice.chance(50).then(|| format!("f-{nth}"));
        if let Some(name) = &name {
            table.text("name", name);
        }
        let mut end = self.duration;
        if kind == "cache-wipe" {
            end = at;
        } else if self.dice.chance(75) {
            let lasts = self.dice.scale(1, self.duration);
            table.text("for", format!("{lasts}ms"));
            end = end.min(at + lasts);
        }
        match on.as_slice() {
            [] => {}
            [one] if self.dice.chance(70) => table.text("on", one),
            many => {
                let many: Vec<String> = many.iter().map(|one| quoted(one)).collect();
                table.raw("on", format!("[{}]", many.join(", ")));
            }
        }
        self.how(&mut table, kind);
        Some((table, Fault { name, at, end }))
    }

    /// What a kind says besides.
    fn how(&mut self, table: &mut Table, kind: &str) {
        let dice = &mut self.dice;
        match kind {
            "latency" | "delay" => {
                let mean = dice.scale(10, 2_000_000);
                let add = if dice.chance(5) { "1h".into() } else { dice.drawn(mean) };
                table.text("add", add);
            }
            "slow" => {
                let most = dice.pick(&[50_000, 50_000, 1_000_000]);
                table.raw("factor", milli(dice.scale(1_000, most)));
                if dice.chance(50) {
                    table.raw("ramp", dice.chance(70));
                }
            }
            "errors" | "capacity" | "loss" | "poison" => table.text("share", dice.share()),
            "fail-first" => table.raw("count", dice.scale(1, 100)),
            "bandwidth" => {
                let unit = dice.pick(&["B", "KB", "KB", "KiB", "MB"]);
                table.text("rate", format!("{}{unit}/s", dice.scale(1, 1_000)));
            }
            "partition" if dice.chance(60) => table.raw("one_way", dice.chance(60)),
            _ => {}
        }
        if matches!(kind, "errors" | "fail-first") && dice.chance(50) {
            table.raw("status", dice.range(500, 599));
        }
        if kind == "poison" && dice.chance(70) {
            table.text("down", format!("{}ms", dice.scale(1, 3_000)));
        }
    }

    /// What a fault of a kind hits; it may move the start. `None`: there is nothing to hit.
    fn hits(&mut self, kind: &str, at: &mut u64) -> Option<Vec<String>> {
        let some = self.dice.pick(&[1, 1, 1, 2, 3]);
        match kind {
            "registry-down" if self.dice.chance(50) => return Some(Vec::new()),
            "registry-down" => return Some(vec!["registry".into()]),
            "poison" => {
                let names: Vec<String> = self.workloads.iter().map(|(n, _)| n.clone()).collect();
                return Some((0..some).map(|_| self.dice.pick(&names)).collect());
            }
            "loss" | "delay" | "partition" => {
                return Some((0..some).map(|_| self.sides()).collect());
            }
            _ => {}
        }
        let can = |s: &Service| match kind {
            "cache-wipe" => s.cache,
            "capacity" => !s.endless,
            _ => true,
        };
        let services: Vec<usize> =
            (0..self.services.len()).filter(|s| can(&self.services[*s])).collect();
        if services.is_empty() {
            return None;
        }
        let mut one = |plan: &mut Plan| match kind {
            "crash" if plan.dice.chance(40) => {
                plan.processes().unwrap_or_else(|| plan.replicas(&services, at))
            }
            "bandwidth" if plan.dice.chance(50) => plan.sides(),
            _ => plan.replicas(&services, at),
        };
        Some((0..some).map(|_| one(self)).collect())
    }

    fn sides(&mut self) -> String {
        let (from, to) = self.between();
        format!("{from}->{to}")
    }

    /// Processes of a group of proxies, if there is one.
    fn processes(&mut self) -> Option<String> {
        let groups = self.groups_there();
        if groups.is_empty() {
            return None;
        }
        let name = self.dice.pick(&groups);
        let count = self.counts.get(&name).copied().unwrap_or(1);
        let first = self.dice.below(count);
        Some(match self.dice.below(3) {
            0 => name,
            1 => format!("{name}/{first}"),
            _ => format!("{name}/{first}..{}", self.dice.range(first, count - 1)),
        })
    }

    fn replicas(&mut self, services: &[usize], at: &mut u64) -> String {
        let racks = self.services.iter().map(|s| s.racks).max().unwrap_or(0);
        if racks > 0 && self.dice.chance(20) {
            return format!("rack/{}", self.dice.below(racks));
        }
        let new: Vec<(usize, u64)> = self
            .deploys
            .iter()
            .filter(|d| services.contains(&d.service) && d.new_at < self.duration)
            .map(|d| (d.service, d.new_at))
            .collect();
        if !new.is_empty() && self.dice.chance(50) {
            let (service, first) = self.dice.pick(&new);
            // Earlier than that no replica is new.
            *at = (*at).max(self.dice.range(first, self.duration - 1));
            return format!("{}@new", self.services[service].name);
        }
        let service = &self.services[self.dice.pick(services)];
        let last = service.replicas - 1;
        match self.dice.below(3) {
            0 => service.name.clone(),
            1 => format!("{}/{}", service.name, self.dice.range(0, last)),
            _ => {
                let first = self.dice.range(0, last);
                format!("{}/{first}..{}", service.name, self.dice.range(first, last))
            }
        }
    }

    pub fn expects(&mut self) {
        let mut all = Vec::new();
        for _ in 0..self.dice.below(6) {
            let mut table = Table::new(&EXPECT);
            let Some((phase, at, end)) = self.when(&mut table) else { continue };
            self.conditions(&mut table);
            let said = table.entries.len() > 1;
            let left = self.duration - end;
            let can = phase == "after" && left > 0 && (said || at > self.warmup);
            // Sooner than in two windows it can't be told.
            let seen = (self.duration / 200).max(200);
            if can && seen <= left && (!said || self.dice.chance(50)) {
                table.text("recovers_within", format!("{}ms", self.dice.range(seen, left)));
            }
            if table.entries.len() > 1 {
                all.push(table);
            }
        }
        if !all.is_empty() {
            self.root.put("expect", Value::Sections(all));
        }
    }

    /// When; `None`: nothing could be measured then.
    fn when(&mut self, table: &mut Table) -> Option<(&'static str, u64, u64)> {
        let from = self.broken.iter().map(|f| f.at).min();
        let to = self.broken.iter().map(|f| f.end).max();
        let mut known: Vec<(String, u64, u64)> = vec![("all".into(), 0, self.duration)];
        known.extend(from.zip(to).map(|(from, to)| ("fault".into(), from, to)));
        for fault in &self.broken {
            let named = |name: &String| (name.clone(), fault.at, fault.end);
            known.extend(fault.name.as_ref().map(named));
        }
        let (name, at, end) = self.dice.pick(&known);
        let phase = match name.as_str() {
            "all" => "during",
            _ => self.dice.pick(&["before", "during", "after"]),
        };
        let measured = match phase {
            "before" => at > self.warmup,
            "during" => at < end && end > self.warmup,
            _ => end < self.duration,
        };
        table.text(phase, name);
        measured.then_some((phase, at, end))
    }

    fn conditions(&mut self, table: &mut Table) {
        let dice = &mut self.dice;
        let op = |dice: &mut Dice| dice.pick(&["<=", ">=", "<", ">"]);
        if dice.chance(25) {
            let service =
                self.services[dice.below(self.services.len() as u64) as usize].name.clone();
            table.text("of", service);
            if dice.chance(50) {
                table.text("load", format!("{} {}", op(dice), milli(dice.scale(1, 9_000))));
            } else {
                table.text("rate", format!("{} {}/m", op(dice), dice.scale(1, 90_000)));
            }
            return;
        }
        self.figures(table);
    }

    /// Only drills look at them.
    pub fn guards(&mut self) {
        let mut all = Vec::new();
        for _ in 0..self.dice.pick(&[0, 0, 1, 2]) {
            let mut table = Table::new(&GUARD);
            if self.dice.chance(50) {
                table.text("over", format!("{}ms", self.dice.range(1_000, 60_000)));
            }
            let before = table.entries.len();
            self.figures(&mut table);
            if table.entries.len() > before {
                all.push(table);
            }
        }
        if !all.is_empty() {
            self.root.put("guard", Value::Sections(all));
        }
    }

    /// Conditions on calls, and whose.
    fn figures(&mut self, table: &mut Table) {
        let dice = &mut self.dice;
        let op = |dice: &mut Dice| dice.pick(&["<=", ">=", "<", ">"]);
        let before = table.entries.len();
        for key in ["p50", "p90", "p95", "p99", "p999", "mean", "max"] {
            if dice.chance(15) {
                table.text(key, format!("{} {}ms", op(dice), dice.scale(1, 5_000)));
            }
        }
        if dice.chance(30) {
            table.text("success", format!("{}{}", op(dice), dice.share()));
        }
        if dice.chance(20) {
            table.text("goodput", format!("{} {}.5/s", op(dice), dice.scale(0, 500)));
        }
        if table.def.key("tries").is_some() && dice.chance(20) {
            table.text("tries", format!("{} {}", op(dice), milli(dice.scale(500, 4_000))));
        }
        if table.entries.len() > before && dice.chance(50) {
            let names: Vec<String> = self.workloads.iter().map(|(n, _)| n.clone()).collect();
            table.text("of", dice.pick(&names));
        }
    }
}
