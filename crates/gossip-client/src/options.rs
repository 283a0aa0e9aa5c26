//! How a client behaves.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SharedClock, SystemClock};

/// How a client behaves. `Options::default()` suits a worker; a harness sets `retries` to 0.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose runs these are. Default: `default`.
    pub tenant: String,
    /// How long a call may take with all its attempts; a wait in line comes on top. Default: 10 s.
    pub deadline: Duration,
    /// How long one attempt may take before another node is asked; a wait in line comes on top. Changes of members and of the leader,
    /// which carry no op id, have all of the deadline. Default: 1 s.
    pub attempt: Duration,
    /// How long a connection may take to come about. Default: 1 s.
    pub connect: Duration,
    /// How many attempts may follow the first one; 0: each call is sent once. Default: as many as the deadline allows.
    pub retries: u32,
    /// The part of a lease by which clocks may drift against each other, 0 to 1. Default: 0.1.
    pub drift_margin: f64,
    /// The clock by which leases are counted. Default: the system's.
    pub clock: SharedClock,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            tenant: "default".into(),
            deadline: Duration::from_secs(10),
            attempt: Duration::from_secs(1),
            connect: Duration::from_secs(1),
            retries: u32::MAX,
            drift_margin: 0.1,
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    /// The default with this tenant.
    pub fn tenant(tenant: impl Into<String>) -> Self {
        Options { tenant: tenant.into(), ..Options::default() }
    }

    /// With another clock.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Options { clock: Arc::new(clock), ..self }
    }
}
