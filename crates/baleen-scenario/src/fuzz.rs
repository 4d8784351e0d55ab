//! The body of the fuzz target of scenario files: what must hold for any input.
//!
//! It takes arbitrary bytes and panics if a property is broken. The target in the `fuzz` folder calls it, and so do ordinary
//! tests with the committed corpus. Not part of the API: here so that both can reach it, behind the feature `fuzzing`. Tested
//! in `fuzz/tests.rs`.

use baleen_config::{DIAGNOSTICS_MAX, Diagnostic, Look, Severity, render, to_json};

use crate::keys::{
    EXPECTS_MAX, FAULTS_MAX, GROUPS_MAX, LINKS_MAX, REPLICAS_MAX, REPLICAS_TOTAL_MAX, SERVICES_MAX,
    WORKLOADS_MAX,
};
use crate::model::{Arrivals, On, Scenario, Side, To};
use crate::{Override, parse_str};

/// What comes before values that are set, each on a line of its own: `key=value`.
const SET: &str = "\n#--set\n";
/// Most bytes that are looked at.
const BYTES_MAX: usize = 64 << 10;

/// Reads a scenario, with values set if the input says so. Nothing may panic; what is wrong is bounded and can be shown; what
/// is right is consistent, and is read alike again.
pub fn fuzz_scenario(data: &[u8]) {
    let data = data.get(..BYTES_MAX).unwrap_or(data);
    let text = String::from_utf8_lossy(data);
    let (text, set) = text.split_once(SET).unwrap_or((&text, ""));
    let pairs = set.lines().filter_map(|line| line.split_once('='));
    let set: Vec<Override> =
        pairs.map(|(k, v)| Override { key: k.to_owned(), value: v.to_owned() }).collect();
    match parse_str("s.toml", text, &set) {
        Ok((scenario, warnings)) => {
            assert!(warnings.iter().all(|d| d.severity == Severity::Warning));
            shown(&warnings);
            consistent(&scenario);
            let again = parse_str("s.toml", text, &set).map(|(scenario, _)| scenario);
            let again = again.expect("it was right a moment ago");
            assert_eq!(format!("{scenario:?}"), format!("{again:?}"));
        }
        Err(errors) => {
            assert!(errors.iter().any(|d| d.severity == Severity::Error));
            shown(&errors);
        }
    }
}

/// All of it can be shown, and nothing of it reaches the terminal raw.
fn shown(list: &[Diagnostic]) {
    assert!(list.len() <= DIAGNOSTICS_MAX);
    let shown = render(list, Look::Plain) + &to_json(list);
    let raw = shown.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(raw, None, "a control character reaches the terminal");
    for d in list {
        let (line, column) = d.line_column();
        assert!(line >= 1 && column >= 1);
        assert!(!d.title.is_empty());
    }
    let _ = render(list, Look::Colour);
}

/// Everything refers to something that is there, in order and within bounds.
fn consistent(s: &Scenario) {
    assert!((1..=WORKLOADS_MAX).contains(&s.workloads.len()));
    assert!((1..=SERVICES_MAX).contains(&s.services.len()));
    assert!(s.proxies.len() <= GROUPS_MAX && s.links.len() <= LINKS_MAX);
    assert!(s.faults.len() <= FAULTS_MAX && s.expects.len() <= EXPECTS_MAX);
    assert!(s.warmup < s.duration);
    assert!(s.services.iter().all(|s| (1..=REPLICAS_MAX).contains(&s.replicas)));
    assert!(s.services.iter().map(|s| s.replicas).sum::<u32>() <= REPLICAS_TOTAL_MAX);
    let side = |side: Side| assert!(side == Side::Any || !s.side_name(side).is_empty());
    let to = |to: &To| match to {
        To::Service(id) => assert!(id.index() < s.services.len()),
        To::Name { name, via } => {
            let target = s.proxies[via.index()].mesh.target_of(name).expect("it leads somewhere");
            let known = |c: &&str| s.services.iter().any(|s| s.name == **c);
            assert!(target.clusters().iter().all(known));
        }
    };
    for workload in &s.workloads {
        to(&workload.call.to);
        assert!(workload.clients >= 1 && workload.call.tries >= 1);
        match &workload.arrivals {
            Arrivals::Open { rate, burst, .. } => {
                assert!(*burst >= 1 && rate[0].at.is_zero());
                assert!(rate.is_sorted_by_key(|step| step.at));
                assert!(rate.iter().all(|r| r.per_second.is_finite() && r.per_second >= 0.0));
            }
            Arrivals::Closed { think } => assert!(!think.is_zero()),
        }
    }
    s.services.iter().flat_map(|s| &s.calls).for_each(|step| to(&step.call.to));
    for link in &s.links {
        side(link.from);
        side(link.to);
    }
    for deploy in &s.deploys {
        assert!(!deploy.waves.is_empty() && deploy.at < s.duration);
        assert!(deploy.waves.iter().sum::<u32>() <= s.services[deploy.service.index()].replicas);
    }
    assert!(s.faults.is_sorted_by_key(|f| f.at));
    for fault in &s.faults {
        assert!(fault.at < s.duration && !fault.on.is_empty() && !fault.name.is_empty());
        for on in &fault.on {
            match *on {
                On::Replica(id, n) => assert!(n < s.services[id.index()].replicas),
                On::New(id) => assert!(s.deploys.iter().any(|d| d.service == id)),
                On::Rack(n) => assert!(s.services.iter().any(|s| n < s.racks)),
                On::Process(id, n) => assert!(n < s.proxies[id.index()].count),
                On::Between(from, to) => {
                    side(from);
                    side(to);
                }
                On::Registry => {}
                On::Workload(id) => assert!(id.index() < s.workloads.len()),
            }
        }
    }
    for expect in &s.expects {
        assert!(!expect.conditions.is_empty() || expect.recovers_within.is_some());
        assert!(expect.fault.is_none_or(|at| at < s.faults.len()));
    }
}

#[cfg(test)]
mod tests;
