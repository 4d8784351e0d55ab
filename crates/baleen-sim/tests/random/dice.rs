//! Random choices and the texts of values.
//!
//! Not here: which values go together. Tested: by every scenario that is read.

use baleen_base::Prng;

/// A stream of choices.
pub struct Dice {
    rng: Prng,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { rng: Prng::new(seed) }
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    /// From `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.rng.below(high - low + 1)
    }

    /// From `low` to `high`, small ones as likely as large ones.
    pub fn scale(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        let (from, to) = ((low + 1) as f64, (high + 1) as f64);
        let drawn = from * libm::exp(self.rng.unit() * libm::log(to / from));
        (drawn as u64).clamp(low + 1, high + 1) - 1
    }

    /// So often of a hundred times.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.index(of.len())].clone()
    }

    pub fn shuffled<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        let mut all = of.to_vec();
        for at in (1..all.len()).rev() {
            all.swap(at, self.rng.index(at + 1));
        }
        all
    }

    /// A share that is not zero, such as `12.5%`.
    pub fn share(&mut self) -> String {
        match self.below(8) {
            0 => "100%".into(),
            1 => "0.01%".into(),
            2 => format!("{}.{}%", self.range(1, 9), self.range(1, 9)),
            _ => format!("{}%", self.range(1, 99)),
        }
    }

    /// A drawn time whose mean is about so long, in microseconds.
    pub fn drawn(&mut self, mean_us: u64) -> String {
        let m = mean_us.max(1);
        match self.below(10) {
            0 | 1 => format!("{m}us"),
            2..=4 => format!("exp({m}us)"),
            5 => format!("uniform({}us, {}us)", m / 2, m + m / 2),
            6 => format!("lognormal({m}us, {}.{})", self.below(2), self.range(1, 9)),
            7 => format!("mix(90% {}us, 9.5% exp({m}us), 0.5% {}ms)", m / 2, m.div_ceil(50)),
            8 => format!("empirical({}us, {m}us, {}us)", m / 3, m * 2),
            _ => format!("{}us + exp({}us)", m / 2, m.div_ceil(2)),
        }
    }
}

/// Thousandths as a number: `1900` is `1.9`.
pub fn milli(n: u64) -> String {
    let text = format!("{}.{:03}", n / 1000, n % 1000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

impl Dice {
    /// A share as it stands in a file.
    pub fn quoted_share(&mut self) -> String {
        crate::tree::quoted(&self.share())
    }
}
