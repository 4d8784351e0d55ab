//! Load against capacity, service by service.
//!
//! A service can do `replicas x concurrency / mean time`, its *advertised* capacity. When it fails and each call becomes `a`
//! attempts, it can only come back below `1 / a` of that, its *hidden* capacity: above, what stays after a trigger feeds itself.
//! For that the dead state must hold itself up, too: the queue is so long that everything in it is answered too late
//! (`Q > mu T`), and the server does not take the newest first. To notice that callers have gone is no cure: first in, first out
//! then takes up whoever is about to leave, and where work takes about the same time each answer is as late as before. (Where it
//! varies much, the short ones are in time and may free it.)
//!
//! Tested: in `tests.rs` beside it, against the measured table of the reference system (10/s, 4 s, 3 retries).

use baleen_config::Diagnostic;

use super::flow::{Flow, Load, seconds};
use super::{per_second, queueing, time};
use crate::model::{Gone, Order, Service};
use crate::plan::{count, percent};

impl Load {
    /// Attempts that a call becomes when all fail.
    pub(super) fn attempts(&self) -> f64 {
        if self.open > 0.0 { (self.worst / self.open).max(1.0) } else { 1.0 }
    }
}

/// What a service can do, in requests per second.
pub(super) fn of(service: &Service, load: &Load) -> Option<f64> {
    let places = f64::from(service.replicas) * f64::from(service.concurrency?);
    (load.hold > 0.0).then(|| places / load.hold)
}

/// All there is to say of a service.
pub(super) fn check(flow: &Flow<'_>, s: usize, found: &mut Vec<Diagnostic>) {
    let (service, load) = (&flow.scenario.services[s], &flow.loads[s]);
    let Some(capacity) = of(service, load) else { return };
    let this = Checked { flow, s, service, load, capacity };
    let queue = this.queue_of_the_dead();
    if load.open > capacity {
        found.push(this.overload());
    } else {
        found.extend(this.hidden(queue.is_some()));
        found.extend(this.losing());
        found.extend(this.waiting());
    }
    found.extend(queue);
    this.cold_cache(found);
}

struct Checked<'f, 'a> {
    flow: &'f Flow<'a>,
    s: usize,
    service: &'a Service,
    load: &'f Load,
    capacity: f64,
}

impl Checked<'_, '_> {
    fn warning(&self, title: String) -> Diagnostic {
        Diagnostic::warning(&self.service.place, title)
    }

    /// `8 replicas x 16 at once / 120ms = 1.07k/s`.
    fn advertised(&self) -> String {
        let Service { replicas, concurrency, calls, .. } = self.service;
        let waits = if calls.is_empty() { "" } else { " (its own work and what it waits for)" };
        format!(
            "advertised capacity: {replicas} x {} at once / {}{waits} = {}",
            concurrency.unwrap_or(0),
            time(self.load.hold),
            per_second(self.capacity)
        )
    }

    fn overload(&self) -> Diagnostic {
        let (name, rate) = (&self.service.name, self.load.open);
        let short = rate / self.capacity;
        let places = f64::from(self.service.concurrency.unwrap_or(1));
        self.warning(format!("more calls come to `{name}` than it can do"))
            .label(format!("{} come, it can do {}", per_second(rate), per_second(self.capacity)))
            .note(self.advertised())
            .note(format!(
                "{} / {} = {}: queues grow as long as they may",
                per_second(rate),
                per_second(self.capacity),
                percent(short)
            ))
            .hint(format!(
                "from {} replicas on it is enough",
                count((rate * self.load.hold / places).ceil())
            ))
    }

    fn hidden(&self, dead_queue: bool) -> Option<Diagnostic> {
        let attempts = self.load.attempts();
        let (name, rate, hidden) = (&self.service.name, self.load.open, self.capacity / attempts);
        if rate <= hidden || !dead_queue || self.frees_itself() {
            return None;
        }
        let mut warning = self
            .warning(format!("`{name}` can stay down after whatever brought it down has gone"))
            .label(format!("{} come, its hidden capacity is {}", per_second(rate), per_second(hidden)))
            .note(self.advertised())
            .note(format!(
                "hidden capacity: {} / {} attempts per call that fails = {}",
                per_second(self.capacity),
                count(attempts),
                per_second(hidden)
            ))
            .note(format!(
                "when all fail, {} x {} = {} come, more than it can do, and the queue only serves {}",
                per_second(rate),
                count(attempts),
                per_second(rate * attempts),
                self.served()
            ));
        if self.load.peak > self.capacity {
            warning =
                warning.note(format!("at its peak {} come: a trigger", per_second(self.load.peak)));
        }
        Some(warning.hint("fewer tries, a budget for them, or a shorter queue; `baleen sim --until-tips` finds the edge"))
    }

    /// Whom a queue serves that is too long.
    fn served(&self) -> &'static str {
        match self.service.on_gone {
            Gone::Ignore => "the dead",
            Gone::Skip | Gone::Stop => "those about to leave",
        }
    }

    /// It leaves out who has gone, and work varies at least as much as at random: enough is done in time.
    fn frees_itself(&self) -> bool {
        let Load { hold, variance, .. } = *self.load;
        self.service.on_gone != Gone::Ignore && variance >= hold * hold * (1.0 - 1e-6)
    }

    /// What is to be known of a server that notices who has gone.
    fn notices(&self) -> Option<String> {
        let key = match self.service.on_gone {
            Gone::Ignore => return None,
            Gone::Skip => "skip",
            Gone::Stop => "stop",
        };
        Some(format!(
            "on_gone = \"{key}\" alone is no cure: the oldest who still waits is taken up next, and has no time left; \
             only where work varies much are some in time"
        ))
    }

    /// What helps against a queue of which no more than this is worth it.
    fn shorter(&self, enough: f64) -> String {
        let tries = match self.load.attempts() > 1.0 {
            true => "; fewer tries or a budget for them keep it short, too",
            false => "",
        };
        format!("queue = {} or less, or order = \"lifo\"{tries}", enough.min(f64::from(u32::MAX)))
    }

    /// A queue that is longer than what can be worked on until the last caller leaves.
    fn queue_of_the_dead(&self) -> Option<Diagnostic> {
        let Service { order, concurrency, replicas, queue, name, .. } = self.service;
        if *order == Order::Lifo {
            return None;
        }
        let (edge, patience) = self.flow.most_patient(self.s)?;
        let rate = self.capacity / f64::from(*replicas);
        let worth = rate * seconds(patience);
        let who = self.flow.name(edge.from);
        let length = match queue {
            None => "no bound".to_owned(),
            Some(queue) if f64::from(*queue) > worth * (1.0 + 1e-9) => queue.to_string(),
            Some(_) => return None,
        };
        let long = match queue {
            Some(queue) => format!(
                "a full queue of {queue} takes {queue} / {} = {}",
                per_second(rate),
                time(f64::from(*queue) / rate)
            ),
            None => "a queue without a bound takes any time".to_owned(),
        };
        // At least those that are worked on next have a place.
        let enough = worth.floor().max(f64::from(concurrency.unwrap_or(1)));
        let when = match queue {
            None => "has no bound: when it is long",
            Some(_) => "is longer than callers wait: when it is full",
        };
        let title = format!("the queue of `{name}` {when}, it only serves {}", self.served());
        let warning = self.warning(title)
            .label(format!("{length} in each replica; {} are worth it", count(worth.floor())))
                .note(format!(
                    "one replica does {} at once / {} = {}; {long}; the most patient caller, `{who}`, waits {}",
                    concurrency.unwrap_or(0),
                    time(self.load.hold),
                    per_second(rate),
                    time(seconds(patience))
                ))
                .note(format!(
                    "worth it: {} at once / {} x {} = {}",
                    concurrency.unwrap_or(0),
                    time(self.load.hold),
                    time(seconds(patience)),
                    (worth * 10.0).round() / 10.0
                ))
                .hint(self.shorter(enough));
        Some(self.notices().into_iter().fold(warning, Diagnostic::note))
    }

    /// Utilisation against one replica less, and one rack less.
    fn losing(&self) -> Option<Diagnostic> {
        let Service { replicas, racks, name, .. } = self.service;
        let (n, used) = (f64::from(*replicas), self.load.open / self.capacity);
        let racks_used = (*racks).min(*replicas);
        let of_rack = if racks_used > 1 { replicas.div_ceil(racks_used) } else { 0 };
        let lost = match () {
            () if *replicas < 2 => return None,
            () if used > (n - 1.0) / n => 1,
            () if of_rack > 0 && used > (n - f64::from(of_rack)) / n => of_rack,
            () => return None,
        };
        let left = n - f64::from(lost);
        let what =
            if lost == 1 { "one replica".to_owned() } else { format!("a rack of {lost} replicas") };
        let wanted = (self.load.open / self.capacity * n).ceil() + f64::from(lost);
        Some(
            self.warning(format!("`{name}` is too busy to lose {what}"))
                .label(format!("{} used, at most {} would do", percent(used), percent(left / n)))
                .note(self.advertised())
                .note(format!(
                    "{} come, {} used; with {lost} of {replicas} lost the rest carries {} x {replicas} / {left} = {}",
                    per_second(self.load.open),
                    percent(used),
                    percent(used),
                    percent(used * n / left)
                ))
                .hint(match lost {
                    1 => format!("replicas = {wanted} can lose one"),
                    _ => "more replicas, over more racks".to_owned(),
                }),
        )
    }

    /// The mean wait for a place against the least patient caller.
    fn waiting(&self) -> Option<Diagnostic> {
        let Service { replicas, concurrency, name, .. } = self.service;
        let (edge, patience) = self.flow.least_patient(self.s)?;
        let places = u64::from(*replicas) * u64::from((*concurrency)?);
        let Load { open, hold, variance, .. } = *self.load;
        let wait = queueing::wait(places, open, hold, variance)?;
        let patience = seconds(patience);
        if wait + hold <= patience {
            return None;
        }
        let label = match hold > patience {
            true => format!("work alone takes {} in the mean", time(hold)),
            false => format!("{} used", percent(open / self.capacity)),
        };
        let share = queueing::erlang_c(places, open * hold);
        Some(
            self.warning(format!(
                "calls to `{name}` take {} in the mean, longer than `{}` waits ({})",
                time(wait + hold),
                self.flow.name(edge.from),
                time(patience)
            ))
            .label(label)
            .note(self.advertised())
            .note(format!(
                "{} x {} = {} of {places} places busy; {} of calls wait (Erlang C), {} in the mean over all calls, and then take {}",
                per_second(open),
                time(hold),
                count(open * hold),
                percent(share),
                time(wait),
                time(hold)
            ))
            .note("as if calls came at random and replicas were balanced without fault: it will not be less"),
        )
    }

    /// What an empty cache here does to the services below.
    fn cold_cache(&self, found: &mut Vec<Diagnostic>) {
        let Some(cache) = self.service.cache.filter(|c| c.fills > 0 && c.hit_ppm > 0) else {
            return;
        };
        let scenario = self.flow.scenario;
        let cold = Flow::with_cold(scenario, self.s);
        for (below, service) in scenario.services.iter().enumerate() {
            let (warm, cold) = (&self.flow.loads[below], &cold.loads[below]);
            let Some(capacity) = of(service, warm) else { continue };
            if below == self.s || warm.open > capacity || cold.open <= capacity {
                continue;
            }
            let (hit, name) = (f64::from(cache.hit_ppm) / 1e6, &self.service.name);
            found.push(
                self.warning(format!(
                    "an empty cache in `{name}` is more than `{}` can bear",
                    service.name
                ))
                .label(format!("{} hits keep calls away from `{}`", percent(hit), service.name))
                .related(&service.place, format!("it can do {}", per_second(capacity)))
                .note(format!(
                    "warm: {} come to `{}`; empty: {}, {} times as many, of {}",
                    per_second(warm.open),
                    service.name,
                    per_second(cold.open),
                    count(cold.open / warm.open),
                    per_second(capacity)
                ))
                .note(
                    "while it is overloaded nothing is answered in time, so the cache stays empty",
                )
                .hint(format!(
                    "fill the cache before it gets calls, or let `{}` refuse early",
                    service.name
                )),
            );
        }
    }
}
