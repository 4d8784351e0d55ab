//! How a run is cut: into windows of one length, and at the edges of phases into segments.
//!
//! A phase is a row of segments that follow each other, so each call is counted once, in its segment, and phases are summed at
//! the end. Bounds: [`WINDOWS_MAX`] windows within the run, [`EXTRA_MAX`] after it; what comes later counts to the last one.
//! Not here: what is counted. Tested: in `record/tests.rs`.

use baleen_base::Tick;

use crate::model::Scenario;

/// Most windows from the start of a run to when no more calls come.
pub const WINDOWS_MAX: u64 = 600;
/// Most windows after that, while the last calls end.
pub const EXTRA_MAX: u64 = 150;
/// Fewest windows, however many workloads there are.
const WINDOWS_MIN: u64 = 60;
/// Windows of all workloads together.
const WINDOWS_OF_ALL: u64 = 4800;
/// Shortest window, unless that makes fewer than [`WINDOWS_WANTED`].
const SHORTEST: u64 = 100_000_000;
/// What a very short run should at least be cut into.
const WINDOWS_WANTED: u64 = 20;
/// Most faults that have phases of their own.
const OWN_MAX: usize = 16;
/// Segments of all workloads together: each has a histogram of a few hundred kilobytes.
const SEGMENTS_OF_ALL: usize = 512;

/// Nanoseconds of a duration; times of scenarios are hours at most.
pub fn nanos(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds, rounded once.
pub fn secs(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// A part of a run: what it is called, and from when to when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PhaseSpan {
    /// As in [`crate::outcome::PhaseFigures::name`].
    pub name: String,
    /// From, in nanoseconds.
    pub from: u64,
    /// To.
    pub to: u64,
}

/// Where a time lies: the stretch in which neither window nor segment changes.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    from: u64,
    len: u64,
    /// The window it lies in.
    pub window: usize,
    /// When that one begins.
    pub window_from: u64,
    /// The segment it lies in.
    pub segment: usize,
}

impl Spot {
    /// One that holds nothing yet.
    pub const NOWHERE: Spot = Spot { from: 0, len: 0, window: 0, window_from: 0, segment: 0 };

    /// Whether a time lies here.
    #[inline(always)]
    pub fn holds(&self, at: u64) -> bool {
        at.wrapping_sub(self.from) < self.len
    }
}

/// How a run is cut.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Length of a window.
    pub window: u64,
    /// Windows until no more calls come.
    pub within: usize,
    /// Windows altogether.
    pub windows: usize,
    /// When no more calls come.
    pub duration: u64,
    /// Phases, in the order of [`crate::outcome::Run::phases`].
    pub phases: Vec<PhaseSpan>,
    /// Where segments begin; the first at 0, the last lasts forever.
    edges: Vec<u64>,
}

impl Timeline {
    /// The cuts of a scenario.
    pub fn new(scenario: &Scenario) -> Timeline {
        let duration = nanos(scenario.duration);
        let window = window_of(duration, scenario.workloads.len());
        let within = duration.div_ceil(window).max(1);
        let extra = nanos(scenario.drain).div_ceil(window).clamp(1, EXTRA_MAX);
        let phases = phases(scenario, duration);
        let mut edges: Vec<u64> = phases.iter().flat_map(|p| [p.from, p.to]).collect();
        edges.extend([0, duration]);
        edges.sort_unstable();
        edges.dedup();
        let windows = (within + extra) as usize;
        Timeline { window, within: within as usize, windows, duration, phases, edges }
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.edges.len()
    }

    /// The window that a time lies in.
    pub fn window_of(&self, at: u64) -> usize {
        ((at / self.window) as usize).min(self.windows - 1)
    }

    /// When a window ends; the last one never does.
    pub fn window_end(&self, window: usize) -> u64 {
        if window + 1 >= self.windows { u64::MAX } else { (window as u64 + 1) * self.window }
    }

    /// Where a time lies.
    #[cold]
    pub fn spot(&self, at: Tick) -> Spot {
        let at = at.as_nanos();
        let window = self.window_of(at);
        let window_from = window as u64 * self.window;
        let segment = self.edges.partition_point(|&e| e <= at) - 1;
        let from = window_from.max(self.edges[segment]);
        let to = self.edges.get(segment + 1).map_or(u64::MAX, |&e| e);
        let len = to.min(self.window_end(window)) - from;
        Spot { from, len, window, window_from, segment }
    }

    /// The segments of a phase.
    pub fn segments_of(&self, phase: &PhaseSpan) -> std::ops::Range<usize> {
        let find = |at| self.edges.partition_point(|&e| e < at);
        find(phase.from)..find(phase.to)
    }
}

/// Length of a window, for a run so long with so many workloads; in nanoseconds.
pub fn window_of(duration: u64, workloads: usize) -> u64 {
    let most = (WINDOWS_OF_ALL / workloads.max(1) as u64).clamp(WINDOWS_MIN, WINDOWS_MAX);
    window_length(duration, most)
}

/// 1, 2 or 5 times a power of ten (in nanoseconds): the least that makes at most so many windows.
fn window_length(duration: u64, most: u64) -> u64 {
    let least = SHORTEST.min((duration / WINDOWS_WANTED).max(1));
    let mut decade = 1u64;
    loop {
        for step in [1, 2, 5] {
            let length = decade.saturating_mul(step);
            if length == u64::MAX || (length >= least && duration.div_ceil(length) <= most) {
                return length;
            }
        }
        decade = decade.saturating_mul(10);
    }
}

/// The phases of all faults together, the whole, and those of each fault when there are several.
fn phases(scenario: &Scenario, duration: u64) -> Vec<PhaseSpan> {
    let warm = nanos(scenario.warmup).min(duration);
    let cut = |at: u64| at.clamp(warm, duration);
    let span = |name: String, from: u64, to: u64| {
        let from = cut(from);
        PhaseSpan { name, from, to: cut(to).max(from) }
    };
    let mut phases = Vec::new();
    if let Some((from, to)) = scenario.fault_span() {
        let (from, to) = (nanos(from), nanos(to));
        phases.push(span("before".into(), warm, from));
        phases.push(span("during".into(), from, to));
        phases.push(span("after".into(), to, duration));
    }
    phases.push(span("whole".into(), warm, duration));
    for fault in own_phases(scenario) {
        let fault = &scenario.faults[fault];
        let (from, to) = (nanos(fault.at), nanos(fault.end(scenario.duration)));
        let starts = scenario.faults.iter().map(|f| nanos(f.at));
        let next = starts.filter(|&at| at >= to && at > from).min().unwrap_or(duration);
        phases.push(span(format!("before {}", fault.name), warm, from));
        phases.push(span(format!("during {}", fault.name), from, to));
        phases.push(span(format!("after {}", fault.name), to, next));
    }
    phases
}

/// The faults that have phases of their own: those that an expectation names, then the first, within bounds, in order.
fn own_phases(scenario: &Scenario) -> Vec<usize> {
    let count = scenario.faults.len();
    if count < 2 {
        return Vec::new();
    }
    let segments = SEGMENTS_OF_ALL / scenario.workloads.len().max(1);
    let most = OWN_MAX.min((segments / 2).saturating_sub(4)).max(1);
    let mut own: Vec<usize> = Vec::new();
    let named = scenario.expects.iter().filter_map(|e| e.fault).filter(|&f| f < count);
    for fault in named.chain(0..count) {
        if own.len() < most && !own.contains(&fault) {
            own.push(fault);
        }
    }
    own.sort_unstable();
    own
}
