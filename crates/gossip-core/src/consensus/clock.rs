//! The lease clock as its leader keeps it.

use std::time::Duration;

use crate::coordination::ids::Stamp;
use crate::time::Time;

/// A leader's hold on the lease clock: from the last stamp that was applied when it became ready, on with its monotonic time.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseClock {
    base: Stamp,
    since: Time,
    last: Stamp,
}

impl LeaseClock {
    /// Takes over at `applied`, the newest stamp in the log.
    pub(super) fn take_over(applied: Stamp, now: Time) -> Self {
        LeaseClock { base: applied, since: now, last: applied }
    }

    /// The stamp of a proposal made now; never below an earlier one.
    pub(super) fn stamp(&mut self, now: Time) -> Stamp {
        self.last = self.last.max(self.read(now));
        self.last
    }

    /// What the clock shows.
    pub(super) fn read(&self, now: Time) -> Stamp {
        let elapsed = u64::try_from((now - self.since).as_millis()).unwrap_or(u64::MAX);
        self.base.after(elapsed)
    }

    /// When the clock will show `stamp`.
    pub(super) fn when(&self, stamp: Stamp) -> Time {
        self.since + Duration::from_millis(stamp.since(self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_the_last_applied_stamp() {
        let mut clock = LeaseClock::take_over(Stamp(700), Time::from_millis(50));
        assert_eq!(clock.stamp(Time::from_millis(50)), Stamp(700));
        assert_eq!(clock.stamp(Time::from_millis(80)), Stamp(730));
        assert_eq!(clock.when(Stamp(730)), Time::from_millis(80));
    }

    #[test]
    fn it_never_falls() {
        let mut clock = LeaseClock::take_over(Stamp(10), Time::from_millis(100));
        assert_eq!(clock.stamp(Time::from_millis(200)), Stamp(110));
        assert_eq!(clock.stamp(Time::from_millis(150)), Stamp(110));
    }
}
