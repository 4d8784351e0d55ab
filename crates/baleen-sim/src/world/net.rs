//! Links: how long messages take between two sides, and which never arrive.
//!
//! What is modelled: a message waits until its path is free and then takes its bytes over it (`bandwidth`; each caller has its own
//! paths, each way by itself; `bandwidth` faults limit each path further), takes the latency drawn for it, and what `delay` faults add. It is lost with the link's share
//! and those of `loss` faults, and then comes 200 ms later; lost again, 400 ms after that, and so on; after [`LOSSES_MAX`] it never
//! comes. A connection costs a message there and one back; lost ones are sent again after 1 s, 2 s, ... What meets a partition is
//! lost and sent again in the same way, so it comes with the first that leaves when none cuts its direction, and when none of
//! [`LOSSES_MAX`] does, never. When partitions begin and end is in the scenario, so this is known when a message is first sent.
//!
//! On one connection there is one request or one answer at a time, so nothing overtakes; messages of different connections may
//! (latency is drawn for each), except where bandwidth makes them wait. What is on its way when a partition begins arrives.
//!
//! Bounds: links: one for each pair of sides that call each other; paths: callers times `paths`, [`PATHS_MAX`].
//! Not here: who sends what; when faults begin (`fault.rs`). Tested: `tests/world.rs`.

use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_scenario::Distribution;
use baleen_scenario::model::{Fault, FaultKind, Link, On, Scenario, Side};

use super::fault::until;
use super::limit::Limits;
use super::{LinkId, ReplicaId, World};

/// A message that was lost so often never comes.
const LOSSES_MAX: u32 = 8;
const LOST_AGAIN_AFTER: Duration = Duration::from_millis(200);
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// More paths than that are shared.
const PATHS_MAX: u64 = 1 << 20;
const WHOLE_PPM: u64 = 1_000_000;

/// What a new connection will meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dial {
    /// It stands after so long, on this path.
    Stands(Duration, u32),
    /// It is refused after so long.
    Refused(Duration),
    /// Nobody says anything.
    Never,
}

/// All links.
pub(crate) struct Net {
    links: Vec<State>,
}

/// A link between two sides, and what faults do to it now.
struct State {
    from: Side,
    to: Side,
    latency: Option<Distribution>,
    loss_ppm: u32,
    bandwidth: Option<u64>,
    paths: u32,
    /// Until when a path is busy: there, back.
    busy: Vec<[Tick; 2]>,
    /// When it is cut, in this run; and whether it is now: there, back.
    partitions: Vec<Partition>,
    cut: [bool; 2],
    delays: Vec<Distribution>,
    losses_ppm: Vec<u32>,
    limits: Limits,
    /// Messages arrive at once, whatever they are.
    instant: bool,
}

/// From when until when a link is cut: there, back.
struct Partition {
    from: Tick,
    until: Tick,
    cuts: [bool; 2],
}

impl Partition {
    /// Those of a scenario that cut the link between these.
    fn all(faults: &[Fault], from: Side, to: Side) -> Vec<Partition> {
        let mut all = Vec::new();
        for fault in faults {
            let FaultKind::Partition { one_way } = fault.kind else { continue };
            let begin = Tick::ZERO + fault.at;
            let until = until(fault);
            for &on in &fault.on {
                let [straight, turned] = hits(on, from, to);
                if straight || turned {
                    let cuts = [!one_way || turned, !one_way || straight];
                    all.push(Partition { from: begin, until, cuts });
                }
            }
        }
        all
    }
}

impl State {
    fn new(from: Side, to: Side, rule: Option<&Link>, faults: &[Fault]) -> State {
        State {
            from,
            to,
            latency: rule.map(|l| l.latency.clone()).filter(|l| !l.is_zero()),
            loss_ppm: rule.map_or(0, |l| l.loss_ppm),
            bandwidth: rule.and_then(|l| l.bandwidth),
            paths: rule.map_or(1, |l| l.paths),
            busy: Vec::new(),
            partitions: Partition::all(faults, from, to),
            cut: [false; 2],
            delays: Vec::new(),
            losses_ppm: Vec::new(),
            limits: Limits::default(),
            instant: false,
        }
    }

    /// What the faults of now do to it.
    fn refresh<'a>(&mut self, faults: impl Iterator<Item = &'a Fault>, now: Tick) {
        self.cut = [false, true].map(|back| self.cut_at(now, back));
        self.delays.clear();
        self.losses_ppm.clear();
        self.limits.clear();
        for fault in faults {
            for &on in &fault.on {
                if hits(on, self.from, self.to) == [false; 2] {
                    continue;
                }
                match &fault.kind {
                    FaultKind::Loss { share_ppm } => self.losses_ppm.push(*share_ppm),
                    FaultKind::Delay { add } => self.delays.push(add.clone()),
                    FaultKind::Bandwidth { bytes_per_second } => {
                        self.limits.add(until(fault), *bytes_per_second);
                    }
                    _ => {}
                }
            }
        }
        self.instant = self.latency.is_none()
            && self.bandwidth.is_none()
            && self.loss_ppm == 0
            && self.delays.is_empty()
            && self.losses_ppm.is_empty()
            && self.limits.is_empty()
            && self.cut == [false; 2];
    }

    /// Latency and delays of a message.
    fn travel(&self, rng: &mut Prng) -> Duration {
        let nanos: u64 = self.latency.iter().chain(&self.delays).map(|d| d.sample_nanos(rng)).sum();
        Duration::from_nanos(nanos)
    }

    /// Whether a partition cuts it then.
    fn cut_at(&self, at: Tick, back: bool) -> bool {
        let cuts = |p: &Partition| p.cuts[usize::from(back)] && p.from <= at && at < p.until;
        self.partitions.iter().any(cuts)
    }

    /// How much later a message comes because it is lost on the way, or cut off; `None`: it never does.
    fn losses(&self, at: Tick, back: bool, first: Duration, rng: &mut Prng) -> Option<Duration> {
        let (mut late, mut again) = (Duration::ZERO, first);
        for _ in 0..LOSSES_MAX {
            let shares = std::iter::once(&self.loss_ppm).chain(&self.losses_ppm);
            let lost = |&share: &u32| share > 0 && rng.below(WHOLE_PPM) < u64::from(share);
            if !self.cut_at(at + late, back) && !shares.map(lost).fold(false, |a, b| a | b) {
                return Some(late);
            }
            late += again;
            again *= 2;
        }
        None
    }

    /// When the path has taken so many bytes.
    fn through(&mut self, path: u32, bytes: u64, back: bool, now: Tick) -> Tick {
        if self.bandwidth.is_none() && self.limits.is_empty() {
            return now;
        }
        let path = path as usize % PATHS_MAX as usize;
        if path >= self.busy.len() {
            self.busy.resize(path + 1, [Tick::ZERO; 2]);
        }
        let busy = &mut self.busy[path][usize::from(back)];
        if bytes == 0 {
            return (*busy).max(now);
        }
        *busy = self.limits.passed(self.bandwidth, bytes, (*busy).max(now));
        *busy
    }
}

/// Whether what a file names means this side.
fn covers(named: Side, side: Side) -> bool {
    named == Side::Any || named == side
}

/// Whether a fault hits the link between these: as the file says it, or the other way round.
fn hits(on: On, from: Side, to: Side) -> [bool; 2] {
    let On::Between(a, b) = on else { return [false; 2] };
    [covers(a, from) && covers(b, to), covers(b, from) && covers(a, to)]
}

impl Net {
    pub(crate) fn new(_model: &Scenario) -> Net {
        Net { links: Vec::new() }
    }

    /// Whether messages arrive at once, whatever they are.
    #[inline]
    pub(crate) fn instant(&self, link: LinkId) -> bool {
        self.links[link.0 as usize].instant
    }

    /// The path of one that calls without opening a connection: its first.
    #[inline]
    pub(crate) fn first_path(&self, link: LinkId, instance: u32) -> u32 {
        let paths = self.links[link.0 as usize].paths;
        (u64::from(instance) * u64::from(paths) % PATHS_MAX) as u32
    }

    /// Whether nothing arrives now, there or back.
    #[inline]
    pub(crate) fn cut(&self, link: LinkId, back: bool) -> bool {
        self.links[link.0 as usize].cut[usize::from(back)]
    }
}

impl World<'_> {
    /// The link between two sides. Resolve it once at the start and keep it.
    pub(crate) fn link(&mut self, from: Side, to: Side) -> LinkId {
        let known = self.net.links.iter().position(|l| (l.from, l.to) == (from, to));
        let at = known.unwrap_or_else(|| {
            let fits = |l: &&Link| covers(l.from, from) && covers(l.to, to);
            let rule = self.model.links.iter().find(fits);
            let mut state = State::new(from, to, rule, &self.model.faults);
            state.refresh(self.faults.active(self.model), self.now);
            self.net.links.push(state);
            self.net.links.len() - 1
        });
        LinkId(at as u16)
    }

    /// A fault between two sides has begun or ended.
    pub(super) fn links_changed(&mut self) {
        for link in &mut self.net.links {
            link.refresh(self.faults.active(self.model), self.now);
        }
    }

    /// When a message sent now arrives; `None`: never.
    #[inline]
    pub(crate) fn way(&mut self, link: LinkId, path: u32, bytes: u64, back: bool) -> Option<Tick> {
        self.way_past(self.now, link, path, bytes, back)
    }

    /// The same for one that has passed the limit of its sender then, and goes over its path while it does.
    #[inline]
    pub(crate) fn way_past(
        &mut self,
        left: Tick,
        link: LinkId,
        path: u32,
        bytes: u64,
        back: bool,
    ) -> Option<Tick> {
        let now = self.now;
        let state = &mut self.net.links[link.0 as usize];
        if state.instant {
            return Some(left);
        }
        let late = state.losses(left, back, LOST_AGAIN_AFTER, &mut self.rng_net)?;
        let sent = state.through(path, bytes, back, now).max(left);
        Some(sent + state.travel(&mut self.rng_net) + late)
    }

    /// When a message without bytes arrives that is sent then: the path is not kept for it.
    pub(crate) fn way_from(
        &mut self,
        at: Tick,
        link: LinkId,
        path: u32,
        back: bool,
    ) -> Option<Tick> {
        let state = &mut self.net.links[link.0 as usize];
        if state.instant {
            return Some(at);
        }
        let late = state.losses(at, back, LOST_AGAIN_AFTER, &mut self.rng_net)?;
        let sent = state.through(path, 0, back, at);
        Some(sent + state.travel(&mut self.rng_net) + late)
    }

    /// What a new connection of this instance of the calling side will meet. Each instance has paths of its own.
    pub(crate) fn dial_from(&mut self, link: LinkId, instance: u32, replica: ReplicaId) -> Dial {
        let open = self.accepts(replica);
        let state = &self.net.links[link.0 as usize];
        let rng = &mut self.rng_net;
        let mut after = Duration::ZERO;
        for back in [false, true] {
            let late = state.losses(self.now + after, back, CONNECT_AGAIN_AFTER, rng);
            let Some(late) = late else { return Dial::Never };
            after += late + state.travel(rng);
        }
        if !open {
            return Dial::Refused(after);
        }
        let own = if state.paths > 1 { rng.below(u64::from(state.paths)) as u32 } else { 0 };
        let path = (u64::from(instance) * u64::from(state.paths) + u64::from(own)) % PATHS_MAX;
        Dial::Stands(after, path as u32)
    }
}
