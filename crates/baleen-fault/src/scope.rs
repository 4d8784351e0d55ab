//! Which connections a fault hits, and from when until when.
//!
//! The share is drawn once per connection, so that one connection is either hit or not (Toxiproxy's toxicity). A fault ends by
//! itself: at its end, or when whoever asked for it has not renewed its lease. Nobody has to be alive for that.
//!
//! Not here: what goes wrong. Tested: below.

use std::time::Duration;

use baleen_base::{Prng, Tick};

/// Which connections, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Share of connections, in parts per million.
    pub share_ppm: u32,
    /// From.
    pub from: Tick,
    /// To; [`Tick::NEVER`] for no end.
    pub to: Tick,
    /// It ends when the last renewal is so long ago; `None`: no lease.
    pub lease: Option<Duration>,
    /// The last renewal.
    pub renewed: Tick,
}

impl Scope {
    /// All connections, from now on, without an end.
    #[must_use]
    pub const fn always(now: Tick) -> Scope {
        Scope { share_ppm: 1_000_000, from: now, to: Tick::NEVER, lease: None, renewed: now }
    }

    /// When it ends, as far as is known.
    #[must_use]
    pub fn ends(&self) -> Tick {
        self.lease.map_or(self.to, |lease| self.to.min(self.renewed + lease))
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self, now: Tick) -> bool {
        self.from <= now && now < self.ends()
    }

    /// When that changes next; `None`: never by itself.
    #[must_use]
    pub fn next_change(&self, now: Tick) -> Option<Tick> {
        let ends = self.ends();
        let next = if now < self.from { self.from.min(ends) } else { ends };
        (next > now && next != Tick::NEVER).then_some(next)
    }

    /// Whether a new connection is among those hit. None is at a share of zero.
    pub fn hits(&self, rng: &mut Prng) -> bool {
        rng.below(1_000_000) < u64::from(self.share_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Tick {
        Tick::from_millis(n)
    }

    #[test]
    fn it_is_on_between_its_ends() {
        let scope = Scope { from: ms(10), to: ms(20), ..Scope::always(ms(0)) };
        let on: Vec<u64> = (0..30).filter(|n| scope.is_on(ms(*n))).collect();
        assert_eq!(on, (10..20).collect::<Vec<_>>());
        assert_eq!(scope.next_change(ms(0)), Some(ms(10)));
        assert_eq!(scope.next_change(ms(10)), Some(ms(20)));
        assert_eq!(scope.next_change(ms(20)), None);
    }

    #[test]
    fn without_renewal_it_ends() {
        let lease = Some(Duration::from_millis(5));
        let mut scope = Scope { lease, ..Scope::always(ms(0)) };
        assert_eq!((scope.is_on(ms(4)), scope.is_on(ms(5))), (true, false));
        scope.renewed = ms(4);
        assert_eq!((scope.ends(), scope.is_on(ms(8))), (ms(9), true));
    }

    #[test]
    fn shares_are_of_connections() {
        let mut rng = Prng::new(7);
        let count = |share_ppm, rng: &mut Prng| {
            let scope = Scope { share_ppm, ..Scope::always(ms(0)) };
            (0..100_000).filter(|_| scope.hits(rng)).count()
        };
        assert_eq!((count(0, &mut rng), count(1_000_000, &mut rng)), (0, 100_000));
        assert!((24_500..25_500).contains(&count(250_000, &mut rng)));
    }
}
