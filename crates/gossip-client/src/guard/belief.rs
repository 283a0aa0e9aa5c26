//! What a holder believes of its lease.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::clock::{Moment, SharedClock};
use crate::error::Error;

/// Why a guard's lease must not be relied on any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No renewal came through in time: the lease may end soon, or has ended.
    Unconfirmed,
    /// The service said that it is gone: it ran out, another holder has the shard, or the shard or its run ended.
    Refused(Error),
    /// This guard gave it back, or ended the shard.
    Finished,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Unconfirmed => f.write_str("no renewal came through in time"),
            Lost::Refused(error) => write!(f, "the lease is gone: {error}"),
            Lost::Finished => f.write_str("the lease was given back"),
        }
    }
}

impl std::error::Error for Lost {}

/// Shared by a guard and its keeper. Once lost, lost for ever.
#[derive(Debug)]
pub(crate) struct Belief {
    clock: SharedClock,
    until: AtomicU64,
    lost: watch::Sender<Option<Lost>>,
    /// Calls under way that end the lease if they succeed.
    ending: AtomicUsize,
    /// Orders an extension against a loss: none may come after it.
    turn: Mutex<()>,
}

impl Belief {
    pub(crate) fn new(clock: SharedClock, until: Moment) -> Self {
        let (lost, _) = watch::channel(None);
        Belief {
            clock,
            until: AtomicU64::new(until.as_nanos()),
            lost,
            ending: AtomicUsize::new(0),
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn until(&self) -> Moment {
        Moment::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Believes for longer; never for shorter, and not after it was lost.
    pub(crate) fn extend(&self, until: Moment) {
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.lost.borrow().is_none() {
            self.until.fetch_max(until.as_nanos(), Ordering::AcqRel);
        }
    }

    /// Tells everybody; the first reason stays.
    pub(crate) fn lose(&self, why: Lost) {
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert(why);
            first
        });
    }

    /// By the clock, not by whether a timer got its turn: after a suspension no timer may have fired yet.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        if self.lost.borrow().is_none() && self.now() >= self.until() {
            self.lose(Lost::Unconfirmed);
        }
        self.lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// Until the answer is dropped, a renewal that finds the lease gone may have found this holder's own doing.
    pub(crate) fn end(&self) -> Ending<'_> {
        self.ending.fetch_add(1, Ordering::AcqRel);
        Ending(self)
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire) > 0
    }

    pub(crate) async fn lost(&self) -> Lost {
        let mut lost = self.lost.subscribe();
        let told = lost.wait_for(Option::is_some).await;
        told.ok().and_then(|told| told.clone()).unwrap_or(Lost::Finished)
    }
}

/// A call under way that ends the lease if it succeeds.
#[derive(Debug)]
pub(crate) struct Ending<'a>(&'a Belief);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ending.fetch_sub(1, Ordering::AcqRel);
    }
}
