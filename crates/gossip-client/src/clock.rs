//! The holder's clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment on the clock by which a holder counts its leases: nanoseconds, monotonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

// A lease runs on while a laptop sleeps, so the clock that stops with it would let a holder believe for too long.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

impl Moment {
    /// Now, on the system's clock that goes on while the machine is suspended.
    pub fn now() -> Self {
        let now = clock_gettime(CLOCK).expect("every supported system has this clock");
        Moment(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
    }

    /// From nanoseconds since the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Moment(nanos)
    }

    /// Nanoseconds since the clock's zero; for the system's clock that is its boot.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Moment(self.0.saturating_add(nanos(by)))
    }

    /// `by` earlier, at least the clock's zero.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Moment(self.0.saturating_sub(nanos(by)))
    }

    /// From `earlier` to this; zero if it is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a client takes its moments from. Another one than the system's serves tests and fault injection.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now. Never goes back.
    fn now(&self) -> Moment;
}

/// The system's clock: [`Moment::now`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment::now()
    }
}

/// A clock that several parts share.
pub(crate) type SharedClock = Arc<dyn Clock>;

/// Until when the sender of a request for a lease of this length may believe to hold it: counted from before it *sent*, less
/// the part of the length by which clocks may drift against each other.
pub fn believed_until(sent: Moment, lease: Duration, drift_margin: f64) -> Moment {
    sent.after(lease.mul_f64(1.0 - drift_margin.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belief_ends_a_margin_before_the_lease() {
        let sent = Moment(5_000_000_000);
        assert_eq!(believed_until(sent, Duration::from_secs(10), 0.1), Moment(14_000_000_000));
        assert_eq!(believed_until(sent, Duration::from_secs(10), 2.0), sent);
    }

    #[test]
    fn moments_order_and_saturate() {
        let now = Moment::now();
        let later = now.after(Duration::from_secs(60));
        assert!(later > now && later.since(now) == Duration::from_secs(60));
        assert_eq!(now.since(later), Duration::ZERO);
        assert_eq!(Moment(5).before(Duration::from_secs(1)), Moment(0));
        assert_eq!(now.after(Duration::MAX), Moment(u64::MAX));
    }
}
