//! `[route]`: settings of logical names.
//!
//! Not here: `to` beyond keeping it (`target.rs`), tries (`retry.rs`), what is answered in the end (`degraded.rs`), and what
//! contradicts what (`checks`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{FallbackBy, RouteParams, Share};

use crate::degraded::{self, AnswerLayer, RateLayer, StaleLayer, StickyLayer};
use crate::diagnostic::Findings;
use crate::layer::{get, is_on, layer, set};
use crate::name;
use crate::reader::Reader;
use crate::retry::{self, HedgeLayer, PoisonLayer, RetryLayer};
use crate::shell::RouteShell;
use crate::span::{At, Place};
use crate::table::Def;
use crate::target::{self, Target};
use crate::tree::Table;

layer! {
    /// What a `[route]` table says.
    RouteLayer {
        to: Target,
        total_timeout: Duration,
        try_timeout: Duration,
        idle_timeout: Duration,
        tunnel_timeout: Duration,
        deadline_send: bool,
        priority: u8,
        concurrency: Option<u32>,
        fallback: Option<String>,
        fallback_by: FallbackBy,
        standby: Share,
    } {
        retry: RetryLayer,
        hedge: HedgeLayer,
        poison: PoisonLayer,
        rate: RateLayer,
        sticky: StickyLayer,
        stale: StaleLayer,
        answer: AnswerLayer,
    }
}

/// Reads a `[route]` table, or one in it.
pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    named: Option<&str>,
    findings: &mut Findings,
) -> RouteLayer {
    let mut r = Reader::new(def, table, place, named, findings);
    let mut layer = RouteLayer::default();
    if named.is_some()
        && let Some(entry) = r.entry("to")
    {
        // What is wrong was said; the name leads somewhere all the same.
        let target = target::read(&entry.node, r.findings).unwrap_or_else(Target::nowhere);
        layer.to = Some(At::new(target, &entry.node.place));
    }
    layer.total_timeout = r.duration("total_timeout");
    layer.try_timeout = r.duration("try_timeout");
    layer.idle_timeout = r.duration("idle_timeout");
    layer.tunnel_timeout = r.duration("tunnel_timeout");
    if let Some((def, table, place)) = r.table("deadline") {
        let mut r = Reader::new(def, table, place, None, r.findings);
        layer.deadline_send = r.choice("send").map(|at| at.map(|word| word == "always"));
        r.done();
    }
    layer.retry = retry::read_retry(&mut r);
    layer.hedge = retry::read_hedge(&mut r);
    layer.poison = retry::read_poison(&mut r);
    layer.priority = r.integer("priority");
    layer.concurrency = r.integer_or_off("concurrency");
    layer.rate = degraded::read_rate(&mut r);
    layer.sticky = degraded::read_sticky(&mut r);
    layer.fallback = r.text("fallback", |text| match text {
        "off" => Ok(None),
        text => name::logical(text).map(Some),
    });
    if let Some((def, table, place)) = r.table("names") {
        let mut r = Reader::new(def, table, place, None, r.findings);
        layer.fallback_by = r.choice("fallback").map(|at| {
            at.map(|word| if word == "name" { FallbackBy::Name } else { FallbackBy::Health })
        });
        layer.standby = r.share("standby");
        r.done();
    }
    layer.stale = degraded::read_stale(&mut r);
    layer.answer = degraded::read_answer(&mut r);
    r.done();
    layer
}

impl RouteLayer {
    /// The parameters of a name. Where it falls back to is wired by whoever gives out ids.
    pub(crate) fn params(&self, name: &str) -> RouteParams {
        let mut p = RouteParams { name: name.to_owned(), ..RouteParams::default() };
        set(&mut p.total_timeout, &self.total_timeout);
        set(&mut p.try_timeout, &self.try_timeout);
        set(&mut p.idle_timeout, &self.idle_timeout);
        set(&mut p.tunnel_timeout, &self.tunnel_timeout);
        self.retry.apply(&mut p);
        p.hedge = self.hedge.params();
        p.poison = self.poison.params();
        if let Some(concurrency) = &self.concurrency {
            p.concurrency = concurrency.value.unwrap_or(u32::MAX);
        }
        p.rate = self.rate.params();
        set(&mut p.fallback_by, &self.fallback_by);
        set(&mut p.standby, &self.standby);
        p
    }

    /// What only the proxy sees of them.
    pub(crate) fn shell(&self) -> RouteShell {
        RouteShell {
            methods: self.retry.methods(),
            priority: get(&self.priority),
            key: get(&self.rate.key).unwrap_or_default(),
            sticky: self.sticky.params(),
            deadline_send: is_on(&self.deadline_send, false),
            answer: self.answer.params(),
            stale: self.stale.params(),
            fallback: get(&self.fallback).flatten(),
        }
    }
}
