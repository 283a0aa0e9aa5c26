//! Which fences an operation without an answer may have made.

use std::collections::BTreeSet;

use super::shard::Known;

/// A fence that an answer told was not made by an operation without one; a fence above all that were ever seen made no
/// difference to anything, unless a read shows a shard without its fence. Knowing this keeps the search small, and loses
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostFences {
    Any,
    UpTo { highest: i64, except: BTreeSet<i64> },
}

impl LostFences {
    pub(super) fn contains(&self, fence: Known<i64>) -> bool {
        match (self, fence) {
            (Self::UpTo { highest, except }, Known::Is(fence)) => fence <= *highest && !except.contains(&fence),
            _ => true,
        }
    }

    /// Whether there is no such fence.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Any => false,
            Self::UpTo { highest, except } => except.range(1..=(*highest).max(1)).count() as i64 >= *highest,
        }
    }

    /// How many there are at most; none if nobody knows.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Any | Self::UpTo { highest: i64::MAX, .. } => None,
            Self::UpTo { highest, except } => {
                let told = except.range(1..=(*highest).max(1)).count();
                usize::try_from(*highest).ok().map(|highest| highest.saturating_sub(told))
            }
        }
    }

    /// Whether all of them are known to be at most this one.
    pub(super) fn end_at(&self, fence: i64) -> bool {
        matches!(self, Self::UpTo { highest, .. } if *highest <= fence)
    }
}

/// What a shard's history tells of its fences.
#[derive(Debug, Default)]
pub(super) struct Fences {
    highest: i64,
    told: BTreeSet<i64>,
    /// A grant was answered without its fence.
    untold: bool,
    /// A read shows the shard without its fence, which may be above all that were told.
    unseen: bool,
}

impl Fences {
    /// A grant or an unpark was answered with this fence.
    pub(super) fn tell(&mut self, fence: Option<i64>) {
        match fence {
            Some(fence) => {
                self.see(fence);
                self.told.insert(fence);
            }
            None => self.untold = true,
        }
    }

    pub(super) fn see(&mut self, fence: i64) {
        self.highest = self.highest.max(fence);
    }

    /// A read shows the shard, with or without its fence.
    pub(super) fn read(&mut self, fence: Known<i64>) {
        match fence {
            Known::Is(fence) => self.see(fence),
            Known::Unknown => self.unseen = true,
        }
    }

    pub(super) fn lost(&self) -> LostFences {
        if self.untold {
            return LostFences::Any;
        }
        let mut highest = self.highest;
        while self.told.contains(&highest) {
            highest -= 1;
        }
        LostFences::UpTo { highest: if self.unseen { i64::MAX } else { highest }, except: self.told.clone() }
    }
}
