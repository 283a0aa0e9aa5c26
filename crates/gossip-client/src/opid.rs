//! Idempotency keys.

use std::fmt;

use crate::clock::Moment;

/// A 128-bit number that names one mutation: tried again under the same id, it takes place once and gets one answer.
///
/// It remembers since when it can have been sent. An answer may be the first one given again, so a lease that it brings
/// counts from then and not from the last attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpId {
    id: u128,
    since: Moment,
}

impl OpId {
    /// A fresh one from the system's randomness, at the system's clock. A client with a clock of its own draws them with
    /// [`crate::Client::op_id`].
    pub fn random() -> Self {
        OpId::fresh(rand::random(), Moment::now())
    }

    /// One of the caller's own making that was never sent before `now`.
    pub fn fresh(id: u128, now: Moment) -> Self {
        OpId { id, since: now }
    }

    /// One that may have been sent any time before, for example by this program's last life: a lease that it brings is not
    /// believed before it has been renewed.
    pub fn again(id: u128) -> Self {
        OpId { id, since: Moment::from_nanos(0) }
    }

    /// The number.
    pub fn get(self) -> u128 {
        self.id
    }

    /// It was not sent before this.
    pub fn since(self) -> Moment {
        self.since
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}
