//! A checker of Prometheus text, format 0.0.4, written from its description and not from the writer.
//!
//! It refuses: names and labels that are none, samples outside their family or twice, families twice or without a type,
//! values that are no numbers, escapes that are none, counters below zero, histograms whose buckets do not grow, lack
//! `+Inf`, or disagree with their count.

use std::collections::{BTreeMap, BTreeSet};

/// A whole text.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: Vec<Family>,
}

/// A metric.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Exposition {
    /// The value of one sample.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let samples = self.families.iter().flat_map(|f| &f.samples);
        samples.into_iter().find(|s| s.name == name && s.labels == labels).map(|s| s.value)
    }

    /// The sum of all samples of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let samples = self.families.iter().flat_map(|f| &f.samples);
        samples.filter(|s| s.name == name).map(|s| s.value).sum()
    }
}

/// Check a text and take it apart, or say what is wrong with which line.
pub fn parse(text: &str) -> Result<Exposition, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut all = Exposition::default();
    let mut helped: Option<String> = None;
    for (i, line) in text.lines().enumerate() {
        let at = |wrong: &str| format!("line {}: {wrong}: {line}", i + 1);
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| at("no help"))?;
            unescape(help, false).map_err(at)?;
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| at("no type"))?;
            if helped.take().as_deref() != Some(name) {
                return Err(at("a type without help before it"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) || !is_name(name, true) {
                return Err(at("no such type or name"));
            }
            if all.families.iter().any(|f| f.name == name) {
                return Err(at("the family comes twice"));
            }
            let (name, kind) = (name.to_owned(), kind.to_owned());
            all.families.push(Family { name, kind, samples: Vec::new() });
        } else {
            let family = all.families.last_mut().ok_or_else(|| at("a sample before any family"))?;
            family.samples.push(sample(line, family).map_err(|wrong| at(&wrong))?);
        }
    }
    all.families.iter().try_for_each(check)?;
    Ok(all)
}

fn is_name(name: &str, colons: bool) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty() && name.chars().all(ok) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn unescape(text: &str, quotes: bool) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                _ => return Err("no such escape"),
            },
            '"' if quotes => return Err("a quote that is not escaped"),
            c => c,
        });
    }
    Ok(out)
}

fn sample(line: &str, family: &Family) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let suffix = name.strip_prefix(&*family.name).ok_or("a sample of another family")?;
    let fits = match &*family.kind {
        "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
        _ => suffix.is_empty(),
    };
    if !fits || !is_name(name, true) {
        return Err("a name that does not belong here".to_owned());
    }
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            let close = closing_quote(after).ok_or("a value that does not end")?;
            let value = unescape(&after[..close], true)?;
            if !is_name(label, false) || label.starts_with("__") {
                return Err(format!("{label} is no label"));
            }
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("{label} comes twice"));
            }
            rest = &after[close + 1..];
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("no comma")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value: f64 = value.parse().map_err(|_| format!("{value} is no number"))?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(i, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(i)
    })
}

fn check(family: &Family) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for s in &family.samples {
        if !seen.insert((&s.name, &s.labels)) {
            return Err(format!("{} {:?} comes twice", s.name, s.labels));
        }
        if family.kind != "gauge" && (s.value < 0.0 || s.value.is_nan()) {
            return Err(format!("{} {:?} is {}", s.name, s.labels, s.value));
        }
    }
    if family.kind == "histogram" { histogram(family) } else { Ok(()) }
}

fn histogram(family: &Family) -> Result<(), String> {
    let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for s in family.samples.iter().filter(|s| s.name.ends_with("_bucket")) {
        let mut labels = s.labels.clone();
        let le = labels.remove("le").ok_or_else(|| format!("{}: a bucket without le", s.name))?;
        let le: f64 = le.parse().map_err(|_| format!("{}: le is {le}", s.name))?;
        buckets.entry(labels).or_default().push((le, s.value));
    }
    for s in family.samples.iter().filter(|s| !s.name.ends_with("_bucket")) {
        let own = buckets.get(&s.labels).ok_or_else(|| format!("{}: no buckets", s.name))?;
        let grows = own.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
        let last = own.last().copied().unwrap_or_default();
        if !grows || last.0 != f64::INFINITY {
            return Err(format!("{} {:?}: buckets do not grow to +Inf", s.name, s.labels));
        }
        if s.name.ends_with("_count") && s.value != last.1 {
            return Err(format!("{} {:?}: count is not the last bucket", s.name, s.labels));
        }
    }
    let parts = |suffix| family.samples.iter().filter(move |s| s.name.ends_with(suffix)).count();
    if parts("_sum") != buckets.len() || parts("_count") != buckets.len() {
        return Err(format!("{}: a sum or a count is missing", family.name));
    }
    Ok(())
}

#[test]
fn the_checker_refuses_what_is_wrong() {
    let h = "# HELP h x\n# TYPE h histogram\n";
    let c = "# HELP c x\n# TYPE c counter\n";
    let bad = [
        "c 1\n".to_owned(),
        format!("{c}c 1"),
        format!("{c}c 1\nc 2\n"),
        format!("{c}{c}"),
        format!("{c}d 1\n"),
        format!("{c}c -1\n"),
        format!("{c}c one\n"),
        format!("{c}c{{a=\"x\",a=\"y\"}} 1\n"),
        format!("{c}c{{0a=\"x\"}} 1\n"),
        format!("{c}c{{a=\"\\x\"}} 1\n"),
        format!("{c}c{{a=\"x}} 1\n"),
        "# TYPE c counter\nc 1\n".to_owned(),
        format!("{h}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{h}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{h}h_bucket{{le=\"1\"}} 1\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 2\n"),
        format!("{h}h_bucket{{le=\"+Inf\"}} 1\nh_count 1\n"),
    ];
    for text in bad {
        assert!(parse(&text).is_err(), "accepted:\n{text}");
    }
    let good =
        format!("{h}h_bucket{{le=\"1\"}} 1\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n");
    assert!(parse(&good).is_ok());
}
