//! Seeded random streams: one for each purpose, so that drawing more for one never shifts another.

use sha2::{Digest, Sha256};

/// `SplitMix64` (Steele, Lea, Flood 2014): tiny, and the same on every platform for ever, which a schedule digest needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(u64);

impl Stream {
    /// The stream for `purpose` under `seed`. Streams of two purposes are independent.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let hash = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(purpose.as_bytes()).finalize();
        let mut state = [0; 8];
        state.copy_from_slice(&hash[..8]);
        Stream(u64::from_be_bytes(state))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, bound)`; the bias of the multiplication is below 2^-32 for the small bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing lies below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[low, high]`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low} > {high}");
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Reorders `items` (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// 128 bits, for op ids.
    pub fn wide(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}

/// A fresh seed from the system, small enough to be typed.
pub fn fresh_seed() -> u64 {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    Stream::new(nanos ^ (u64::from(std::process::id()) << 32), "fresh").below(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_purpose_only() {
        let draw = |seed, purpose| {
            (0..8).map(|_| 0).scan(Stream::new(seed, purpose), |s, _| Some(s.next_u64())).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "nemesis"), draw(7, "nemesis"));
        assert_ne!(draw(7, "nemesis"), draw(8, "nemesis"));
        assert_ne!(draw(7, "nemesis"), draw(7, "worker-0"));
    }

    #[test]
    fn the_stream_is_the_published_one() {
        // Reference values of splitmix64.c for state 1234567.
        let mut stream = Stream(1_234_567);
        assert_eq!([stream.next_u64(), stream.next_u64()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn bounds_hold_and_all_values_occur() {
        let mut stream = Stream::new(1, "bounds");
        let mut seen = [0u32; 5];
        for _ in 0..1000 {
            seen[stream.between(3, 7) as usize - 3] += 1;
        }
        assert!(seen.iter().all(|&n| n > 100), "{seen:?}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Stream::new(3, "shuffle").shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
