//! Spreads operations evenly over time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A limit on operations a second, shared by all workers.
#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// At most `rate` a second.
    pub fn new(rate: f64) -> Self {
        Pace { gap: Duration::from_secs_f64(1.0 / rate), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next free slot. Slots that nobody took are not saved up: after a stall there is no burst.
    pub async fn turn(&self) {
        let slot = {
            let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let slot = (*next).max(Instant::now());
            *next = slot + self.gap;
            slot
        };
        sleep_until(slot).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_keep_the_rate_and_a_stall_makes_no_burst() {
        let pace = Pace::new(100.0);
        let begun = Instant::now();
        for _ in 0..50 {
            pace.turn().await;
        }
        assert_eq!(begun.elapsed().as_millis(), 490);
        tokio::time::advance(Duration::from_secs(10)).await;
        let resumed = Instant::now();
        for _ in 0..11 {
            pace.turn().await;
        }
        assert_eq!(resumed.elapsed().as_millis(), 100);
    }
}
