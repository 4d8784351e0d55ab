//! Hashes of what requests say.
//!
//! Two kinds. [`Secret`] is for what only this process compares (what a rate counts by, what makes a request the same again):
//! it is keyed, so that nobody outside can choose two values that fall together. [`stable`] is for what several processes and
//! restarts must agree on (which endpoint a session is tied to): FNV-1a with 64 bits, so whoever chooses the value can choose
//! the endpoint, which a cookie's owner may.
//!
//! The keyed one multiplies 16 bytes at a time to 128 bits and folds them, as wyhash does (github.com/wangyi-fudan/wyhash).
//! Not here: what is hashed (`facts`). Tested: below.

use baleen_base::Prng;

/// A key of this process, the same in all its workers.
#[derive(Clone, Copy, Debug)]
pub struct Secret([u64; 3]);

impl Secret {
    /// A key from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Secret {
        let mut bits = Prng::new(seed);
        // Odd, so that no factor is zero.
        Secret([bits.bits() | 1, bits.bits() | 1, bits.bits() | 1])
    }

    /// A hash of several texts, in order; where one ends counts.
    #[inline]
    #[must_use]
    pub fn of(&self, texts: &[&[u8]]) -> u64 {
        texts.iter().fold(self.0[0], |hash, text| self.add(hash, text))
    }

    /// The same of a number.
    #[inline]
    #[must_use]
    pub fn of_number(&self, number: u64) -> u64 {
        fold(number ^ self.0[1], self.0[2])
    }

    #[inline]
    fn add(&self, mut hash: u64, text: &[u8]) -> u64 {
        let mut rest = text;
        while let Some((block, more)) = rest.split_first_chunk::<16>() {
            if more.is_empty() {
                break;
            }
            let (low, high) = halves(u128::from_le_bytes(*block));
            hash = fold(low ^ self.0[1], high ^ hash);
            rest = more;
        }
        let (low, high) = last(rest);
        fold(low ^ self.0[1], high ^ hash.wrapping_add(text.len() as u64))
    }
}

#[inline]
const fn halves(bits: u128) -> (u64, u64) {
    (bits as u64, (bits >> 64) as u64)
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let (low, high) = halves(a as u128 * b as u128);
    low ^ high
}

/// At most 16 bytes as two numbers; of a shorter text some bytes count twice.
#[inline]
fn last(text: &[u8]) -> (u64, u64) {
    if let (Some(a), Some(b)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (u64::from_le_bytes(*a), u64::from_le_bytes(*b))
    } else if let (Some(a), Some(b)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*a)), u64::from(u32::from_le_bytes(*b)))
    } else {
        let byte = |i: usize| u64::from(text.get(i).copied().unwrap_or(0));
        (byte(0) << 16 | byte(1) << 8 | byte(2), 0)
    }
}

/// A hash that is the same in every process, at any time: FNV-1a, 64 bits; never 0.
#[must_use]
pub fn stable(text: &[u8]) -> u64 {
    let step = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    text.iter().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn published_vectors_of_fnv() {
        assert_eq!(stable(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_byte_and_every_length_counts() {
        let secret = Secret::new(7);
        let text: Vec<u8> = (0..70).collect();
        let mut seen = HashSet::new();
        for len in 0..text.len() {
            assert!(seen.insert(secret.of(&[&text[..len]])), "{len}");
            for i in 0..len {
                let mut other = text[..len].to_vec();
                other[i] ^= 0x80;
                assert!(seen.insert(secret.of(&[&other])), "{i} of {len}");
            }
        }
        assert!(
            seen.insert(secret.of(&[&[0; 16], &[0; 16]])) && seen.insert(secret.of(&[&[0; 32]]))
        );
    }

    #[test]
    fn where_texts_end_counts_and_so_does_the_key() {
        let secret = Secret::new(7);
        assert_ne!(secret.of(&[b"ab", b"c"]), secret.of(&[b"a", b"bc"]));
        assert_ne!(secret.of(&[b"a", b""]), secret.of(&[b"", b"a"]));
        assert_eq!(secret.of(&[b"a", b"b"]), Secret::new(7).of(&[b"a", b"b"]));
        assert_ne!(secret.of(&[b"a", b"b"]), Secret::new(8).of(&[b"a", b"b"]));
        assert_ne!(secret.of_number(1), secret.of_number(2));
    }

    #[test]
    fn low_bits_are_spread() {
        let secret = Secret::new(7);
        let mut groups = [0u32; 128];
        for n in 0..12_800_u64 {
            groups[(secret.of(&[format!("/item/{n}").as_bytes()]) & 127) as usize] += 1;
        }
        // 100 each on average: 5 standard deviations are 50.
        assert!(groups.iter().all(|n| (50..150).contains(n)), "{groups:?}");
    }
}
