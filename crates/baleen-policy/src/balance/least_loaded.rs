//! Load as attempts in flight in relation to the weight, as this worker sees them.
//!
//! Not here: the draw (`p2c.rs`). Tested: below and, against the supermarket model's fixed point, by the virtual harness.

use crate::cluster::Ep;

/// Attempts in flight, this one included, per unit of weight.
#[inline]
pub(crate) fn cost(ep: &Ep) -> f64 {
    f64::from(ep.in_flight + 1) / f64::from(ep.weight)
}

#[cfg(test)]
mod tests {
    use crate::balance::tests::cluster_of;

    #[test]
    fn twice_the_weight_carries_twice_as_many() {
        let mut c = cluster_of(&[1, 2]);
        c.eps[0].in_flight = 1;
        c.eps[1].in_flight = 3;
        assert_eq!(super::cost(&c.eps[0]).total_cmp(&super::cost(&c.eps[1])), 0.cmp(&0));
    }
}
