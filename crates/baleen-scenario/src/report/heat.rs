//! The heat map of a service: a row for each replica (or for some together), time on x, how many requests were there.
//!
//! Cells of one level are one path, so that a thousand replicas over an hour stay a small page. At most [`COLUMNS_MAX`]
//! columns. Not here: the rows themselves (`record`). Tested: in `report/tests.rs`.

use std::fmt::Write;

use super::axis::Scale;
use super::chart::{LEFT, RIGHT, Unit, WIDTH, short};
use super::markup::{Coordinate, Markup};
use super::number;
use crate::outcome::ServiceFigures;

/// Most columns.
const COLUMNS_MAX: usize = 200;
/// Shades.
const LEVELS: usize = 9;
const HEAD: f64 = 22.0;
/// Rows that have a name.
const NAMES_MAX: usize = 12;

/// Draws it, unless there is but one row.
pub fn draw(m: &mut Markup, service: &ServiceFigures, x: &Scale, window_s: f64) {
    let rows = service.heat.len();
    if rows < 2 {
        return;
    }
    let columns = columns(service);
    let most = columns.cells.iter().flatten().copied().fold(0.0, f32::max);
    let row_height = (240.0 / rows as f64).clamp(3.0, 16.0);
    let bottom = HEAD + rows as f64 * row_height;
    let name = short(&service.name, 40);
    let per_row = match service.replicas_per_row {
        1 => "replica".to_owned(),
        n => format!("{n} replicas"),
    };
    let title = format!("{name}: requests there, each row one {per_row}");
    let title = title.replace("one ", if service.replicas_per_row == 1 { "one " } else { "" });
    m.open("svg").class("chart");
    m.attr("viewBox", format_args!("0 0 {WIDTH} {}", Coordinate(bottom + 22.0)));
    m.attr("role", "img").attr("aria-label", &title);
    m.open("text").class("title").nums(&[("x", LEFT), ("y", 14.0)]).text(&title).close();
    m.open("rect").class("h0").nums(&[("x", LEFT), ("y", HEAD), ("width", RIGHT - LEFT)]);
    m.num("height", bottom - HEAD).close();
    for level in 1..=LEVELS {
        let d = path(&columns, (level, most), (x, window_s, row_height));
        if !d.is_empty() {
            m.open("path").class(format_args!("heat h{level}")).attr("d", d).close();
        }
    }
    names(m, service, row_height);
    for &tick in &x.ticks {
        let place = [("x", x.at(tick)), ("y", bottom + 16.0)];
        m.open("text").class("tick mid").nums(&place).text(Unit::Seconds.show(tick)).close();
    }
    legend(m, most, bottom);
    m.close().line();
}

/// Cells, of some windows each.
struct Columns {
    group: usize,
    cells: Vec<Vec<f32>>,
}

fn columns(service: &ServiceFigures) -> Columns {
    let windows = service.heat.iter().map(Vec::len).max().unwrap_or(0);
    let group = windows.div_ceil(COLUMNS_MAX).max(1);
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    let cells = service.heat.iter().map(|row| row.chunks(group).map(mean).collect()).collect();
    Columns { group, cells }
}

/// The shade of a value: by its square root, so that little can be told from nothing.
fn level(value: f32, most: f32) -> usize {
    if value <= 0.0 || most <= 0.0 {
        return 0;
    }
    let share = f64::from(value / most).clamp(0.0, 1.0).sqrt();
    (libm::ceil(share * LEVELS as f64) as usize).clamp(1, LEVELS)
}

/// All cells of a level; those next to each other in a row together.
fn path(
    columns: &Columns,
    (wanted, most): (usize, f32),
    (x, window_s, row_height): (&Scale, f64, f64),
) -> String {
    let mut d = String::new();
    let at = |column: usize| x.at((column * columns.group) as f64 * window_s);
    for (i, row) in columns.cells.iter().enumerate() {
        let y = Coordinate(HEAD + i as f64 * row_height);
        let mut from = 0;
        while from < row.len() {
            let mut to = from + 1;
            if level(row[from], most) == wanted {
                while to < row.len() && level(row[to], most) == wanted {
                    to += 1;
                }
                let (left, right) = (at(from), at(to));
                let width = Coordinate(right - left);
                let height = Coordinate(row_height - if row_height > 6.0 { 1.0 } else { 0.0 });
                if right > left {
                    let _ = write!(d, "M{} {y}h{width}v{height}h-{width}z", Coordinate(left));
                }
            }
            from = to;
        }
    }
    d
}

fn names(m: &mut Markup, service: &ServiceFigures, row_height: f64) {
    let rows = service.heat.len();
    let step = rows.div_ceil(NAMES_MAX).max(1);
    for row in (0..rows).step_by(step) {
        let first = row as u64 * u64::from(service.replicas_per_row);
        let y = HEAD + (row as f64 + 0.5) * row_height + 4.0;
        m.open("text").class("tick end").nums(&[("x", LEFT - 8.0), ("y", y)]);
        m.text(format_args!("/{first}")).close();
    }
}

fn legend(m: &mut Markup, most: f32, bottom: f64) {
    let x = RIGHT + 8.0;
    let middle = (HEAD + bottom) / 2.0;
    m.open("text").class("tick").nums(&[("x", x), ("y", middle - 4.0)]);
    m.text(format_args!("0 to {}", number::number(f64::from(most), 3))).close();
    for level in 0..=LEVELS {
        let place = [("x", x + level as f64 * 8.0), ("y", middle + 2.0)];
        m.open("rect").class(format_args!("heat h{level}")).nums(&place);
        m.nums(&[("width", 8.0), ("height", 10.0)]).close();
    }
}
