//! Randomness: one SplitMix64 stream for each subject, so that what one subject draws never moves what another one sees.

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The settings of the run.
    Options,
    /// The schedule of faults.
    Schedule,
    /// The faults' choices at the moment they strike.
    Strike(u32),
    /// The link from one party to another.
    Link(u32, u32),
    /// A node's disk.
    Disk(u32),
    /// A node's clock and election jitter.
    Node(u32),
    /// A worker's habits.
    Worker(u32),
    /// One step of a worker.
    Step(u32, u32),
    /// The operator who changes members.
    Operator,
    /// Whether a worker makes the op log forget.
    Grinding,
    /// Which two nodes do not hear each other at the end.
    Hush,
}

impl Subject {
    fn key(self) -> u64 {
        let (kind, a, b) = match self {
            Subject::Options => (1, 0, 0),
            Subject::Schedule => (2, 0, 0),
            Subject::Strike(n) => (3, n, 0),
            Subject::Link(a, b) => (4, a, b),
            Subject::Disk(n) => (5, n, 0),
            Subject::Node(n) => (6, n, 0),
            Subject::Worker(n) => (7, n, 0),
            Subject::Step(a, b) => (8, a, b),
            Subject::Operator => (9, 0, 0),
            Subject::Grinding => (10, 0, 0),
            Subject::Hush => (11, 0, 0),
        };
        mix(mix((u64::from(a) << 32) | u64::from(b)).wrapping_add(kind))
    }
}

/// SplitMix64: small, fast, and equal on every platform. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// The finalizer of SplitMix64: spreads each bit of `z` over all bits of the result.
pub const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of `subject` under `seed`.
    pub fn stream(seed: u64, subject: Subject) -> Rng {
        Rng(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ subject.key())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 128 random bits.
    pub fn wide(&mut self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }

    /// 0 to `n - 1`; 0 for `n = 0`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// An index of a list of this length; 0 for an empty one.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Yes in `ppm` of a million cases.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// One of these, or `None` of an empty list.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    /// The place of one of these weights, drawn by weight; 0 if all are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut left = self.below(total);
        for (place, &weight) in weights.iter().enumerate() {
            if left < u64::from(weight) {
                return place;
            }
            left -= u64::from(weight);
        }
        0
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_subject_and_seed_and_repeat() {
        let first = |seed, subject| Rng::stream(seed, subject).bits();
        assert_eq!(first(1, Subject::Link(1, 2)), first(1, Subject::Link(1, 2)));
        assert_ne!(first(1, Subject::Link(1, 2)), first(1, Subject::Link(2, 1)));
        assert_ne!(first(1, Subject::Link(1, 2)), first(2, Subject::Link(1, 2)));
        assert_ne!(first(1, Subject::Disk(1)), first(1, Subject::Node(1)));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut rng = Rng::stream(7, Subject::Options);
        let mut seen = [0u32; 3];
        for _ in 0..3000 {
            assert!((5..=9).contains(&rng.within(5, 9)));
            seen[rng.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[2] > 2 * seen[0], "{seen:?}");
        assert_eq!(rng.within(4, 4), 4);
        assert_eq!(rng.below(0), 0);
    }
}
