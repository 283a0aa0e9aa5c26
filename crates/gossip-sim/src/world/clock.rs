//! A machine's clocks: a monotonic one that may run at a wrong rate, and a wall clock that may jump.

use gossip_core::time::Time;

use super::queue::Nanos;

/// The rate of a perfect clock: its nanoseconds per real millisecond.
pub const TRUE_RATE: u64 = 1_000_000;

/// The clocks of one machine. They go on while its process is paused or down.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Real time and reading at the last change of rate.
    since: (Nanos, u64),
    rate: u64,
    wall_offset: i64,
}

impl Clock {
    /// A clock that reads `reading` at the beginning of the world.
    pub fn new(reading: u64, rate: u64) -> Self {
        Clock { since: (0, reading), rate, wall_offset: 0 }
    }

    /// The monotonic clock's reading at this real time.
    pub fn read(&self, now: Nanos) -> Time {
        Time::from_nanos(self.since.1 + scale(now - self.since.0, self.rate, TRUE_RATE))
    }

    /// The first real time, not before `now`, at which the reading is at least `reading`. `None`: further away than time
    /// reaches.
    pub fn when(&self, reading: Time, now: Nanos) -> Option<Nanos> {
        if reading == Time::MAX {
            return None;
        }
        let ahead = reading.as_nanos().saturating_sub(self.since.1);
        let real = u128::from(ahead) * u128::from(TRUE_RATE);
        let passed = u64::try_from(real.div_ceil(u128::from(self.rate))).ok()?;
        Some(self.since.0.checked_add(passed)?.max(now))
    }

    /// From now on the clock runs at this rate.
    pub fn set_rate(&mut self, now: Nanos, rate: u64) {
        self.since = (now, self.read(now).as_nanos());
        self.rate = rate;
    }

    /// Its rate, in nanoseconds per real millisecond.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// The wall clock jumps.
    pub fn jump_wall(&mut self, by: i64) {
        self.wall_offset = self.wall_offset.saturating_add(by);
    }

    /// By how much the wall clock is off.
    pub fn wall_offset(&self) -> i64 {
        self.wall_offset
    }

    /// The wall clock's reading: off by whatever it jumped.
    pub fn wall(&self, now: Nanos) -> u64 {
        const EPOCH: u64 = 1_800_000_000_000_000_000;
        (EPOCH + now).saturating_add_signed(self.wall_offset)
    }
}

fn scale(value: u64, by: u64, of: u64) -> u64 {
    if by == of {
        return value;
    }
    (u128::from(value) * u128::from(by) / u128::from(of)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_reaches_its_deadlines_early_and_never_before_them() {
        let mut clock = Clock::new(500, TRUE_RATE);
        clock.set_rate(1_000, 1_045_000);
        for ahead in [1u64, 7, 999, 20_000_000] {
            let deadline = Time::from_nanos(1_500 + ahead);
            let when = clock.when(deadline, 1_000).expect("it is near");
            assert!(clock.read(when) >= deadline);
            assert!(when == 1_001 || clock.read(when - 1) < deadline);
        }
        assert_eq!(clock.when(Time::MAX, 1_000), None);
        assert_eq!(clock.when(Time::ZERO, 1_077), Some(1_077));
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_one_alone() {
        let mut clock = Clock::new(0, TRUE_RATE);
        let before = clock.wall(10);
        clock.jump_wall(-5_000);
        assert_eq!(clock.wall(10), before - 5_000);
        assert_eq!(clock.read(10), Time::from_nanos(10));
    }
}
