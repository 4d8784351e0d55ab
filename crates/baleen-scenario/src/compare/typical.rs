//! Which of several runs is most like all of them: the one to draw.
//!
//! For each phase, success, p50 and p99 of a run are held against the median of all runs; the differences are added, each in
//! relation to that median. The run with the least is typical. Tested: in `compare/tests.rs`.

use crate::outcome::{Figures, Run};
use crate::repeat::{figures, quantile, spread};

/// The most typical run; the first of several.
#[must_use]
pub fn typical(runs: &[Run]) -> Option<&Run> {
    let mut far = vec![0.0; runs.len()];
    for phase in &runs.first()?.phases {
        let of = figures(runs, &phase.name, 0);
        if of.len() == runs.len() {
            add(&mut far, &of, |f| (f.calls > 0).then_some(f.success));
            add(&mut far, &of, |f| quantile(f, 500_000));
            add(&mut far, &of, |f| quantile(f, 990_000));
        }
    }
    let nearest = far.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    nearest.and_then(|(at, _)| runs.get(at))
}

fn add(far: &mut [f64], figures: &[&Figures], of: impl Fn(&Figures) -> Option<f64>) {
    let Some(middle) = spread(figures, &of).and_then(|s| s.median).filter(|m| *m > 0.0) else {
        return;
    };
    for (far, figures) in far.iter_mut().zip(figures) {
        // One without a value is as far from it as can be.
        *far += of(figures).map_or(1.0, |v| ((v - middle) / middle).abs());
    }
}
