//! Releases: in waves, each out of the registry, drained, down, and up again with the new version.
//!
//! Proxies learn that a replica leaves as they learn everything, late; what they still send is served until it goes down, and what
//! it has then is lost. Naive callers know nothing of it.
//!
//! Not here: what is different in the new version (its `time`: `server`; `@new` of faults). Tested: `tests/world.rs`.

use baleen_base::Tick;
use baleen_scenario::model::ServiceId;

use crate::world::{Ev, ReplicaId, World};

/// Steps of each wave: out, down, up.
const STEPS: u32 = 3;

impl World<'_> {
    /// A deploy's next step.
    pub(crate) fn deploy_step(&mut self, nth: u16, step: u32) {
        let deploy = &self.model.deploys[usize::from(nth)];
        let (wave, phase) = ((step / STEPS) as usize, step % STEPS);
        let Some(&size) = deploy.waves.get(wave) else { return };
        let before: u32 = deploy.waves[..wave].iter().sum();
        let replicas = self.model.services[deploy.service.index()].replicas;
        let first = self.servers.first[deploy.service.index()];
        let (from, to) = (before.min(replicas), (before + size).min(replicas));
        let ids: Vec<ReplicaId> = (first + from..first + to).map(ReplicaId).collect();
        let waits = match phase {
            0 => {
                self.deploy_out(deploy.service, &ids);
                deploy.drain
            }
            1 => {
                ids.iter().for_each(|&id| self.go_down(id));
                deploy.down
            }
            _ => {
                for &id in &ids {
                    let there = self.servers.at(id);
                    (there.version, there.outs) = (Some(nth), there.outs.saturating_sub(1));
                }
                self.come_up(&ids);
                deploy.pause
            }
        };
        self.log_deploy(deploy.service, wave, phase, from, to);
        self.plan_deploy(nth, step + 1, self.now + waits);
    }

    fn plan_deploy(&mut self, nth: u16, step: u32, at: Tick) {
        let waves = self.model.deploys[usize::from(nth)].waves.len() as u32;
        if step < waves * STEPS {
            self.agenda.plan(at, Ev::Deploy(nth, step));
        }
    }

    fn deploy_out(&mut self, service: ServiceId, ids: &[ReplicaId]) {
        for &id in ids {
            let there = self.servers.at(id);
            there.outs += 1;
            there.listed = false;
        }
        self.registry_changed(service);
    }

    fn log_deploy(&mut self, service: ServiceId, wave: usize, phase: u32, from: u32, to: u32) {
        let name = &self.model.services[service.index()].name;
        self.record.note(self.now, "deploy", || {
            let which = match to.saturating_sub(from) {
                0 => format!("nothing of {name}"),
                1 => format!("{name}/{from}"),
                _ => format!("{name}/{from}..{}", to - 1),
            };
            let what = ["out of the registry", "down", "up with the new version"][phase as usize];
            format!("wave {}: {which} {what}", wave + 1)
        });
    }
}
