//! A bar chart of CPU per request against HAProxy, with whiskers, as plain SVG.

use std::fmt::Write as _;

use super::peers::Peer;
use super::plan::CASES;
use super::results::{Metric, Results, Spread};

const WIDTH: f64 = 880.0;
const LABELS: f64 = 210.0;
const PLOT: f64 = 600.0;
const BAR: f64 = 16.0;
const ROW: f64 = 22.0;
const HEADING: f64 = 34.0;
/// Ratios from here on run out of the picture; their number is printed.
const RATIO_MAX: f64 = 2.5;

/// One panel per case.
pub fn render(results: &Results) -> String {
    let mut panels = String::new();
    let mut y = 56.0;
    for case in CASES {
        let rows: Vec<(Peer, Spread)> = case
            .peers
            .iter()
            .filter_map(|p| Some((*p, results.ratio(case.name, *p, Peer::Haproxy, Metric::CpuUs)?)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let title = escape(case.title);
        // Writing to a String can not fail.
        let _ = writeln!(panels, r#"<text class="h" x="12" y="{:.0}">{title}</text>"#, y + 18.0);
        y += HEADING - 6.0;
        for (peer, ratio) in &rows {
            panels += &bar(y, *peer, *ratio);
            y += ROW;
        }
        let at = x(1.0);
        let top = y - ROW * rows.len() as f64 - 2.0;
        let _ = writeln!(panels, r#"<line class="one" x1="{at}" x2="{at}" y1="{top}" y2="{y}"/>"#);
        y += 12.0;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="13">
<style>.h{{font-weight:bold}}.one{{stroke:#888;stroke-dasharray:4 3}}.w{{stroke:#222;stroke-width:1.5}}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="26" font-size="17" font-weight="bold">CPU per request, HAProxy = 1</text>
<text x="12" y="46" fill="#555">Less is better. Median of paired rounds; whiskers from least to greatest.</text>
{panels}</svg>
"##
    )
}

fn x(ratio: f64) -> f64 {
    LABELS + PLOT * ratio.clamp(0.0, RATIO_MAX) / RATIO_MAX
}

fn bar(y: f64, peer: Peer, ratio: Spread) -> String {
    let fill = match peer {
        Peer::Baleen => "#1b7f8c",
        Peer::BaleenLog => "#6fb7c0",
        Peer::Floor => "#c8c8c8",
        _ => "#e0a75e",
    };
    let (middle, text_y) = (y + BAR / 2.0, y + BAR - 3.0);
    let label = escape(peer.title().trim_matches('*'));
    let mut out = format!(
        r#"<text x="{:.0}" y="{text_y:.0}" text-anchor="end">{label}</text>
<rect x="{LABELS}" y="{y:.1}" width="{:.1}" height="{BAR}" fill="{fill}"/>
"#,
        LABELS - 8.0,
        x(ratio.median) - LABELS,
    );
    let (low, high) = (x(ratio.min), x(ratio.max));
    let _ = writeln!(
        out,
        r#"<line class="w" x1="{low:.1}" x2="{high:.1}" y1="{middle:.1}" y2="{middle:.1}"/>"#
    );
    for end in [low, high] {
        let (top, bottom) = (middle - 4.0, middle + 4.0);
        let _ = writeln!(
            out,
            r#"<line class="w" x1="{end:.1}" x2="{end:.1}" y1="{top:.1}" y2="{bottom:.1}"/>"#
        );
    }
    let after = x(ratio.max.max(ratio.median)) + 8.0;
    let _ = writeln!(out, r#"<text x="{after:.0}" y="{text_y:.0}">{:.2}</text>"#, ratio.median);
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample;
    use super::*;

    #[test]
    fn bars_stay_in_the_picture() {
        let mut results = Results::default();
        for (peer, cpu) in [(Peer::Baleen, 8.0), (Peer::Haproxy, 10.0), (Peer::Envoy, 400.0)] {
            results.samples.push(sample("c64-w1-128", 0, peer, cpu, false));
        }
        let svg = render(&results);
        assert_eq!(svg.matches("<rect x=").count(), 3);
        assert!(svg.contains(">0.80</text>") && svg.contains(">40.00</text>"));
        assert!(svg.contains(&format!(r#"width="{PLOT:.1}""#)), "clamped\n{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
