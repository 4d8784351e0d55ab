//! The nearest valid spelling of a word.
//!
//! Optimal string alignment distance (Damerau without repeated edits of a substring). Tested: below.

/// Longest word that is compared; longer ones have no near spelling.
const WORD_MAX: usize = 64;

/// The candidate that is most likely meant, if any is near enough: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_MAX {
        return None;
    }
    let normal = |s: &str| s.to_ascii_lowercase().replace(['-', ' '], "_");
    let given = normal(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let wanted = normal(candidate);
        let distance = distance(&given, &wanted);
        let near = distance <= wanted.chars().count().max(3) / 3;
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0usize; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let swap = i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x && x != y;
            let changed = last[j] + usize::from(x != y);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if swap {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let kinds = ["round-robin", "random", "least-loaded", "peak-ewma"];
        assert_eq!(nearest("peak_ewma", kinds), Some("peak-ewma"));
        assert_eq!(nearest("peka-ewma", kinds), Some("peak-ewma"));
        assert_eq!(nearest("Random", kinds), Some("random"));
        assert_eq!(nearest("roundrobin", kinds), Some("round-robin"));
        assert_eq!(nearest("maglev", kinds), None);
        assert_eq!(nearest("", kinds), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
