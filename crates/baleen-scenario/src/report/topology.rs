//! Who calls whom, drawn from left to right: workloads, then whoever is called, each one step right of its last caller.
//!
//! Calls that lead back (a service that calls by way of the proxies that call it) are drawn below. At most [`NODES_MAX`]
//! boxes. Not here: which boxes there are (`record`). Tested: in `report/tests.rs`.

use super::chart::{WIDTH, short};
use super::markup::{Coordinate, Markup};
use crate::outcome::{Node, Topology};

/// Most boxes.
const NODES_MAX: usize = 60;
const BOX_HEIGHT: f64 = 46.0;
const BOX_WIDTH_MAX: f64 = 190.0;
const ROW: f64 = 62.0;
const TOP: f64 = 8.0;

/// A box's place: its left edge, and its middle.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
}

/// Draws it.
pub fn draw(m: &mut Markup, topology: &Topology) {
    let nodes = &topology.nodes[..topology.nodes.len().min(NODES_MAX)];
    if nodes.is_empty() {
        return;
    }
    let inside = |&&(a, b): &&(usize, usize)| a < nodes.len() && b < nodes.len();
    let edges: Vec<(usize, usize)> = topology.edges.iter().filter(inside).copied().collect();
    let layers = layers(nodes.len(), &edges);
    let count = layers.iter().max().map_or(1, |l| l + 1);
    let width = (WIDTH / count as f64 * 0.62).min(BOX_WIDTH_MAX);
    let gap =
        if count > 1 { ((WIDTH - 2.0 - width) / (count - 1) as f64).min(width * 2.0) } else { 0.0 };
    let mut places = vec![Place::default(); nodes.len()];
    let tallest = (0..count).map(|l| layers.iter().filter(|&&x| x == l).count()).max().unwrap_or(1);
    for layer in 0..count {
        let members = ordered(layer, &layers, &edges, &places);
        let top = TOP + (tallest - members.len()) as f64 * ROW / 2.0;
        for (i, node) in members.into_iter().enumerate() {
            let y = top + i as f64 * ROW + BOX_HEIGHT / 2.0;
            places[node] = Place { x: 1.0 + layer as f64 * gap, y };
        }
    }
    let back = edges.iter().any(|&(a, b)| layers[a] >= layers[b]);
    let height = TOP + tallest as f64 * ROW + if back { 30.0 } else { 0.0 };
    m.open("svg")
        .class("topology")
        .attr("viewBox", format_args!("0 0 {WIDTH} {}", Coordinate(height)));
    m.attr("role", "img").attr("aria-label", "Who calls whom");
    arrow(m);
    for &(a, b) in &edges {
        edge(m, (places[a], places[b]), width, layers[a] < layers[b], height);
    }
    for (node, place) in nodes.iter().zip(&places) {
        boxed(m, node, *place, width);
    }
    m.close().line();
    let more = topology.nodes.len() - nodes.len();
    if more > 0 {
        m.leaf_of("p", "dim", format_args!("and {more} more"));
    }
}

/// One step right of the last caller; calls that lead back to a caller's caller don't count.
fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let forward = without_loops(count, edges);
    let mut layers = vec![0; count];
    // As many rounds as the longest way has steps.
    for _ in 0..count {
        let mut moved = false;
        for &(a, b) in &forward {
            if layers[b] <= layers[a] {
                layers[b] = layers[a] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    layers
}

/// The edges that do not lead back to where a walk came from.
fn without_loops(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut forward = Vec::new();
    // 0: not met, 1: on the way here, 2: done.
    let mut state = vec![0u8; count];
    for start in 0..count {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let node = *node;
            let out = edges.iter().filter(|(a, _)| *a == node).nth(*next);
            *next += 1;
            let Some(&(_, to)) = out else {
                state[node] = 2;
                way.pop();
                continue;
            };
            if state[to] == 1 {
                continue;
            }
            forward.push((node, to));
            if state[to] == 0 {
                state[to] = 1;
                way.push((to, 0));
            }
        }
    }
    forward
}

/// The boxes of a layer, by the mean height of those that call them.
fn ordered(
    layer: usize,
    layers: &[usize],
    edges: &[(usize, usize)],
    places: &[Place],
) -> Vec<usize> {
    let mut members: Vec<usize> = (0..layers.len()).filter(|&n| layers[n] == layer).collect();
    let height = |node: usize| {
        let callers = edges.iter().filter(|&&(a, b)| b == node && layers[a] < layer);
        let (sum, n) = callers.fold((0.0, 0.0), |(s, n), &(a, _)| (s + places[a].y, n + 1.0));
        if n > 0.0 { sum / n } else { 0.0 }
    };
    members.sort_by(|&a, &b| height(a).total_cmp(&height(b)));
    members
}

fn arrow(m: &mut Markup) {
    m.open("defs").open("marker").attr("id", "arrow").attr("viewBox", "0 0 8 8");
    m.nums(&[("refX", 7.0), ("refY", 4.0), ("markerWidth", 8.0), ("markerHeight", 8.0)]);
    m.attr("orient", "auto").open("path").class("head").attr("d", "M0 0L8 4L0 8Z").close();
    m.close().close();
}

fn edge(m: &mut Markup, (a, b): (Place, Place), width: f64, forward: bool, height: f64) {
    let c = Coordinate;
    let d = if forward {
        let (from, to) = (a.x + width, b.x - 2.0);
        let bend = (to - from) / 2.0;
        let (x1, x2) = (c(from + bend), c(to - bend));
        format!("M{} {}C{x1} {} {x2} {} {} {}", c(from), c(a.y), c(a.y), c(b.y), c(to), c(b.y))
    } else {
        let (from, to) = (a.x + width / 2.0, b.x + width / 2.0);
        let (y1, y2) = (a.y + BOX_HEIGHT / 2.0, b.y + BOX_HEIGHT / 2.0 + 2.0);
        let low = c(height - 4.0);
        format!("M{} {}C{} {low} {} {low} {} {}", c(from), c(y1), c(from), c(to), c(to), c(y2))
    };
    m.open("path").class("edge").attr("d", d).attr("marker-end", "url(#arrow)").close();
}

fn boxed(m: &mut Markup, node: &Node, place: Place, width: f64) {
    let (x, y) = (place.x, place.y - BOX_HEIGHT / 2.0);
    let hit = if node.hit { " hit" } else { "" };
    m.open("g").class(format_args!("node {}{hit}", node.kind));
    m.open("title").text(format_args!("{} {}: {}", node.kind, node.name, node.note));
    m.text(if node.hit { ". A fault hits it." } else { "" }).close();
    m.open("rect").nums(&[
        ("x", x),
        ("y", y),
        ("width", width),
        ("height", BOX_HEIGHT),
        ("rx", 5.0),
    ]);
    m.close();
    // A letter is about 7.5 and 6.2 pixels wide.
    let fit = |per: f64| ((width - 16.0) / per) as usize;
    m.open("text").class("nodename").nums(&[("x", x + 9.0), ("y", y + 19.0)]);
    m.text(short(&node.name, fit(8.0))).close();
    m.open("text").class("nodenote").nums(&[("x", x + 9.0), ("y", y + 36.0)]);
    m.text(short(&node.note, fit(6.2))).close();
    if node.hit {
        m.open("text").class("hitmark end").nums(&[("x", x + width - 7.0), ("y", y + 19.0)]);
        m.text("fault").close();
    }
    m.close();
}
