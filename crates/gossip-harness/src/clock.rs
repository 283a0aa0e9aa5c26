//! The recorder's clock.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock that goes on counting while the machine is suspended, since this clock was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: u64,
}

impl Clock {
    /// Zero is now.
    pub fn start() -> Self {
        Clock { origin: reading() }
    }

    /// A reading of the same system clock, taken anywhere on this machine, as nanoseconds since the start.
    pub fn place(self, reading: u64) -> i64 {
        i64::try_from(i128::from(reading) - i128::from(self.origin)).unwrap_or(i64::MAX)
    }

    /// Nanoseconds since the start.
    pub fn now(self) -> u64 {
        reading() - self.origin
    }
}

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

fn reading() -> u64 {
    let now = clock_gettime(CLOCK).expect("every supported system has this clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
