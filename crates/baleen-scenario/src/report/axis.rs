//! Scales: from values to pixels, and which values are written at an axis.
//!
//! Not here: drawing. Tested: below.

/// From a value to a pixel.
#[derive(Clone, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
    /// What is written at the axis.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// From `low` to `high` exactly, with ticks at nice values within, about so many.
    pub fn exact((low, high): (f64, f64), (from, to): (f64, f64), wanted: usize) -> Scale {
        let high = if high > low && high.is_finite() { high } else { low + 1.0 };
        let step = nice((high - low) / wanted.max(1) as f64);
        let ticks = ticks(low, high, step);
        Scale { low, high, from, to, log: false, ticks }
    }

    /// From zero to a nice value that is at least `high`.
    pub fn linear(high: f64, (from, to): (f64, f64), wanted: usize) -> Scale {
        let high = if high > 0.0 && high.is_finite() { high } else { 1.0 };
        let step = nice(high / wanted.max(1) as f64);
        let top = libm::ceil(high / step - 1e-9) * step;
        Scale { low: 0.0, high: top, from, to, log: false, ticks: ticks(0.0, top, step) }
    }

    /// Logarithmic, over values that are above zero; at least a factor of ten.
    pub fn log((low, high): (f64, f64), (from, to): (f64, f64)) -> Scale {
        let sound = low > 0.0 && high >= low && high.is_finite();
        let (low, high) = if sound { (low, high) } else { (1e-3, 1.0) };
        let part = |x: f64, up: bool| {
            let decade = libm::pow(10.0, libm::floor(libm::log10(x) + 1e-9));
            let steps = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade);
            if up {
                steps.into_iter().find(|s| *s >= x * (1.0 - 1e-9)).unwrap_or(10.0 * decade)
            } else {
                steps.into_iter().rev().find(|s| *s <= x * (1.0 + 1e-9)).unwrap_or(decade)
            }
        };
        let low = part(low, false);
        let high = part(high, true).max(low * 10.0);
        let decades = libm::log10(high / low);
        let steps: &[f64] = if decades <= 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = libm::floor(libm::log10(low) + 1e-9) as i32;
        let last = libm::ceil(libm::log10(high)) as i32;
        let all = (first..=last)
            .flat_map(|e| steps.iter().map(move |s| s * libm::pow(10.0, f64::from(e))));
        let ticks = all.filter(|t| *t >= low * 0.999 && *t <= high * 1.001).collect();
        Scale { low, high, from, to, log: true, ticks }
    }

    /// The pixel of a value; one outside is at the edge.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            let value = value.max(self.low);
            libm::log10(value / self.low) / libm::log10(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + share * (self.to - self.from)
    }

    /// The pixels it goes between.
    pub fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `x`.
pub fn nice(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return 1.0;
    }
    let decade = libm::pow(10.0, libm::floor(libm::log10(x) + 1e-9));
    let steps = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade);
    steps.into_iter().find(|s| *s >= x * (1.0 - 1e-9)).unwrap_or(10.0 * decade)
}

/// Most ticks of one axis.
const TICKS_MAX: usize = 32;

fn ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = libm::ceil(low / step - 1e-9);
    let all = (0..TICKS_MAX).map(|i| (first + i as f64) * step);
    all.take_while(|t| *t <= high + step * 1e-6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ends_at_a_nice_value() {
        let check = |high: f64, expected: &[f64]| {
            assert_eq!(Scale::linear(high, (0.0, 1.0), 4).ticks, expected, "{high}");
        };
        check(437.0, &[0.0, 200.0, 400.0, 600.0]);
        check(4.0, &[0.0, 1.0, 2.0, 3.0, 4.0]);
        check(0.0, &[0.0, 0.5, 1.0]);
        check(f64::NAN, &[0.0, 0.5, 1.0]);
    }

    #[test]
    fn log_has_decades_or_thirds() {
        let ticks = |low, high| Scale::log((low, high), (0.0, 1.0)).ticks;
        let near = |got: Vec<f64>, expected: &[f64]| {
            assert_eq!(got.len(), expected.len(), "{got:?}");
            assert!(got.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{got:?}");
        };
        near(ticks(0.012, 0.3), &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5]);
        near(ticks(0.001, 2.0), &[0.001, 0.01, 0.1, 1.0]);
        near(ticks(0.02, 0.02), &[0.02, 0.05, 0.1, 0.2]);
        near(ticks(0.0, f64::INFINITY), &[0.001, 0.01, 0.1, 1.0]);
    }

    #[test]
    fn pixels_stay_within() {
        let scale = Scale::exact((5.0, 15.0), (100.0, 0.0), 4);
        assert_eq!([0.0, 5.0, 10.0, 20.0].map(|v| scale.at(v)), [100.0, 100.0, 50.0, 0.0]);
        let log = Scale::log((1.0, 100.0), (0.0, 10.0));
        assert_eq!([0.0, 10.0, 1e9, f64::NAN].map(|v| log.at(v)), [0.0, 5.0, 10.0, 0.0]);
    }
}
