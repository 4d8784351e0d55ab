//! What services saw: integrals over time of who was there, in whole nanoseconds, and what arrived and left.
//!
//! Each replica has its level and since when; a change adds the time that passed times the level to the windows it passed
//! through. So sums are exact, and Little's law can be held to the nanosecond: the integral over time of requests there is the
//! sum of the times they were there. Bounds: [`ROWS_MAX`] rows of the heat map per service and [`ROWS_OF_ALL`] altogether.
//! Not here: how levels come about. Tested: in `record/tests.rs`.

use std::ops::Range;

use super::timeline::{Spot, Timeline, secs};
use crate::model::Scenario;
use crate::outcome::{Served, ServiceFigures, ServiceWindow};

/// Most rows of a service's heat map.
pub const ROWS_MAX: u32 = 128;
/// Rows of all services together; each has at least one.
const ROWS_OF_ALL: usize = 1024;

/// A replica: so many are there since.
#[derive(Clone, Copy, Default)]
struct Level {
    since: u64,
    busy: u32,
    queued: u32,
}

/// A service in one window.
#[derive(Clone, Copy, Default)]
struct Cell {
    arrived: u64,
    left: [u64; 4],
    busy: u128,
    queued: u128,
}

/// A service.
pub struct Station {
    name: String,
    levels: Vec<Level>,
    cells: Vec<Cell>,
    /// Window by window, then row by row.
    heat: Vec<u64>,
    rows: usize,
    per_row: u32,
    arrivals: Vec<u64>,
    arrived_at: u128,
    left: u64,
    left_at: u128,
    left_since: u128,
}

/// Why a change of level was not taken.
pub enum Refused {
    /// There is no such replica.
    NoReplica,
    /// It is earlier than the last one.
    Back,
}

impl Station {
    fn new(name: &str, replicas: u32, rows: u32, line: &Timeline) -> Station {
        let per_row = replicas.max(1).div_ceil(rows.max(1));
        let rows = replicas.max(1).div_ceil(per_row) as usize;
        Station {
            name: name.to_owned(),
            levels: vec![Level::default(); replicas as usize],
            cells: vec![Cell::default(); line.windows],
            heat: vec![0; line.windows * rows],
            rows,
            per_row,
            arrivals: vec![0; line.segments()],
            arrived_at: 0,
            left: 0,
            left_at: 0,
            left_since: 0,
        }
    }

    /// One for each service.
    pub fn all(scenario: &Scenario, line: &Timeline) -> Vec<Station> {
        let services = &scenario.services;
        let rows = (ROWS_OF_ALL / services.len().max(1)).clamp(1, ROWS_MAX as usize) as u32;
        services.iter().map(|s| Station::new(&s.name, s.replicas, rows, line)).collect()
    }

    /// Whether it has this replica.
    #[inline]
    pub fn has(&self, replica: u32) -> bool {
        (replica as usize) < self.levels.len()
    }

    /// A request arrived.
    #[inline]
    pub fn arrived(&mut self, at: u64, spot: &Spot) {
        self.cells[spot.window].arrived += 1;
        self.arrivals[spot.segment] += 1;
        self.arrived_at += u128::from(at);
    }

    /// A request left.
    #[inline]
    pub fn left(&mut self, at: u64, since: u64, how: Served, spot: &Spot) {
        let kind = match how {
            Served::Answered => 0,
            Served::Wasted => 1,
            Served::Refused => 2,
            Served::Lost => 3,
        };
        self.cells[spot.window].left[kind] += 1;
        self.left += 1;
        self.left_at += u128::from(at);
        self.left_since += u128::from(since);
    }

    /// The level of a replica changes.
    #[inline]
    pub fn level(
        &mut self,
        replica: u32,
        at: u64,
        (busy, queued): (u32, u32),
        spot: &Spot,
        line: &Timeline,
    ) -> Result<(), Refused> {
        let Some(level) = self.levels.get_mut(replica as usize) else {
            return Err(Refused::NoReplica);
        };
        if at < level.since {
            return Err(Refused::Back);
        }
        let was = *level;
        *level = Level { since: at, busy, queued };
        if was.busy | was.queued != 0 {
            let row = (replica / self.per_row) as usize;
            if was.since >= spot.window_from {
                self.integrate(row, spot.window, at - was.since, was);
            } else {
                self.integrate_over(row, at, was, line);
            }
        }
        Ok(())
    }

    #[inline]
    fn integrate(&mut self, row: usize, window: usize, time: u64, was: Level) {
        let cell = &mut self.cells[window];
        let (busy, queued) = (u64::from(was.busy), u64::from(was.queued));
        cell.busy += u128::from(time) * u128::from(busy);
        cell.queued += u128::from(time) * u128::from(queued);
        let heat = &mut self.heat[window * self.rows + row];
        *heat = heat.saturating_add(time.saturating_mul(busy + queued));
    }

    fn integrate_over(&mut self, row: usize, to: u64, was: Level, line: &Timeline) {
        let mut from = was.since;
        let mut window = line.window_of(from);
        while from < to {
            let end = line.window_end(window).min(to);
            self.integrate(row, window, end - from, was);
            (from, window) = (end, window + 1);
        }
    }

    /// Counts until the end.
    pub fn close(&mut self, end: u64, spot: &Spot, line: &Timeline) {
        for replica in 0..self.levels.len() as u32 {
            let Level { busy, queued, .. } = self.levels[replica as usize];
            // A change that was told for later than the end stays as it is.
            let _ = self.level(replica, end, (busy, queued), spot, line);
        }
    }

    /// Arrivals in some segments.
    pub fn arrivals(&self, segments: Range<usize>) -> u64 {
        self.arrivals[segments].iter().sum()
    }

    /// What does not add up: conservation and Little's law, each exactly.
    pub fn check(&self, end: u64) -> Vec<String> {
        let name = &self.name;
        let mut wrong = Vec::new();
        let arrived: u64 = self.arrivals.iter().sum();
        let there: u64 = self.levels.iter().map(|l| u64::from(l.busy) + u64::from(l.queued)).sum();
        let left = self.left;
        if arrived != left + there {
            wrong.push(format!(
                "{name}: {arrived} requests arrived, but {left} left and {there} are there"
            ));
            return wrong;
        }
        // Those still there arrived at `arrived_at - left_since`, all added up, and have been there until now.
        let Some(since) = self.arrived_at.checked_sub(self.left_since) else {
            wrong.push(format!("{name}: requests left that arrived at another time"));
            return wrong;
        };
        if there == 0 && since != 0 {
            wrong.push(format!("{name}: requests left that arrived at another time"));
            return wrong;
        }
        let still = u128::from(there) * u128::from(end);
        let (Some(waiting), Some(stayed)) =
            (still.checked_sub(since), self.left_at.checked_sub(self.left_since))
        else {
            wrong.push(format!("{name}: requests left before they arrived, or after the end"));
            return wrong;
        };
        let (integral, times) = (self.integral(), waiting + stayed);
        if integral != times {
            wrong.push(format!(
                "{name}: Little's law: {integral} request-nanoseconds by levels, {times} by times"
            ));
        }
        wrong
    }

    fn integral(&self) -> u128 {
        self.cells.iter().map(|c| c.busy + c.queued).sum()
    }

    /// In figures: so many windows, of a run that ended then.
    pub fn figures(&self, windows: usize, end: u64, line: &Timeline) -> ServiceFigures {
        let arrived: u64 = self.arrivals.iter().sum();
        let over = |sum: f64, by: f64| if by > 0.0 { sum / by } else { 0.0 };
        let stayed = self.left_at.saturating_sub(self.left_since) as f64 / 1e9;
        // The last one may be longer than the others.
        let length = |i: usize| match line.window_end(i) {
            u64::MAX => end.saturating_sub(i as u64 * line.window).max(line.window),
            _ => line.window,
        };
        let row = |row: usize| -> Vec<f32> {
            let mean = |i| over(self.heat[i * self.rows + row] as f64, length(i) as f64) as f32;
            (0..windows).map(mean).collect()
        };
        ServiceFigures {
            name: self.name.clone(),
            replicas: self.levels.len() as u32,
            windows: (0..windows).map(|i| self.cells[i].figures(length(i))).collect(),
            heat: (0..self.rows).map(row).collect(),
            replicas_per_row: self.per_row,
            mean_there: over(self.integral() as f64, end as f64),
            arrival_rate: over(arrived as f64, secs(end)),
            mean_time_s: over(stayed, self.left as f64),
        }
    }
}

impl Cell {
    fn figures(&self, length: u64) -> ServiceWindow {
        let [answered, wasted, refused, lost] = self.left;
        ServiceWindow {
            arrived: self.arrived,
            answered,
            wasted,
            refused,
            lost,
            busy: self.busy as f64 / length as f64,
            queued: self.queued as f64 / length as f64,
        }
    }
}
