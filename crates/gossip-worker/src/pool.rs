//! Bytes that are counted while this node holds them for others, so that there is a bound to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is not larger than this is not counted: so small a request is never refused for its bytes, and as many streams as one
/// connection may have hold little with it.
pub const SMALL: usize = 4 << 10;

/// A number of bytes, taken and given back. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    used: AtomicU64,
    all: u64,
}

/// Bytes that were taken, given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    pool: Pool,
    bytes: u64,
}

impl Pool {
    /// A pool of this many bytes.
    pub fn new(all: u64) -> Self {
        Pool(Arc::new(Counts { used: AtomicU64::new(0), all }))
    }

    /// Takes these bytes; `None`: there is not room for them. What is larger than the whole pool may go alone.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let bytes = (bytes as u64).min(self.0.all);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.0.all);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Held { pool: self.clone(), bytes })
    }

    /// Takes these bytes whatever there is: they are here already. Nothing else finds room before they are given back.
    pub fn take(&self, bytes: usize) -> Held {
        let bytes = bytes as u64;
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Held { pool: self.clone(), bytes }
    }

    /// Bytes taken at the moment.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Of the same pool, as many bytes as there really are now.
    pub fn resized(&self, bytes: usize) -> Held {
        self.pool.take(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_never_more_than_there_is_but_for_what_is_here_already() {
        let pool = Pool::new(100);
        let first = pool.try_take(60).unwrap();
        assert!(pool.try_take(41).is_none());
        let second = pool.try_take(40).unwrap();
        assert!(pool.try_take(1).is_none());
        drop(first);
        let answer = second.resized(90);
        assert_eq!(pool.used(), 130);
        assert!(pool.try_take(0).is_none(), "it is overdrawn");
        drop((second, answer));
        assert_eq!(pool.used(), 0);
        let alone = pool.try_take(1_000).unwrap();
        assert!(pool.try_take(1).is_none());
        drop(alone);
        assert_eq!(pool.used(), 0);
    }
}
