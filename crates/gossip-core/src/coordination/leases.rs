//! Leases: who gets a shard, and what its holder may do.

use std::sync::Arc;

use super::answer::{RunStatus, ShardStatus};
use super::command::{Cursor, LeaseRef};
use super::error::Rejection;
use super::ids::WorkerId;
use super::oplog::Outcome;
use super::run::{Context, Run};
use super::shard::{Lease, Slot, is_live};
use crate::mutants::Mutant;

impl Run {
    /// Whether the run gives out leases at all.
    pub(super) fn admit_grants(&self) -> Result<(), Rejection> {
        match self.status {
            RunStatus::Open => Err(Rejection::RunNotStarted),
            RunStatus::Active => Ok(()),
            status => Err(Rejection::RunEnded { status }),
        }
    }

    /// A live lease stands in the way of everyone, its own holder included: a second grant to it would fence its first.
    pub(super) fn admit_acquire(&self, cx: &Context, slot: Slot) -> Result<(), Rejection> {
        self.admit_grants()?;
        let shard = self.shard(slot);
        match shard.status {
            ShardStatus::Active => {}
            ShardStatus::Done if cx.planted.is(Mutant::DoneIsAcquirable) => {}
            ShardStatus::Parked => return Err(Rejection::ShardParked),
            status => return Err(Rejection::ShardTerminal { status }),
        }
        match &shard.lease {
            Some(lease)
                if is_live(lease.deadline, cx.now, cx.planted) && !cx.planted.is(Mutant::AcquireIgnoresLiveLease) =>
            {
                Err(Rejection::LeaseHeld { remaining_ms: lease.deadline.since(cx.now) })
            }
            _ => Ok(()),
        }
    }

    /// Whether `lease` entitles its bearer to write. The record decides, not the bearer's copy.
    pub(super) fn admit_write(&self, cx: &Context, slot: Slot, lease: &LeaseRef) -> Result<(), Rejection> {
        let shard = self.shard(slot);
        match shard.status {
            ShardStatus::Active => {}
            // Says more than that the lease is gone, which it is too.
            ShardStatus::Parked => return Err(Rejection::ShardParked),
            status => return Err(Rejection::ShardTerminal { status }),
        }
        if lease.fence != shard.fence {
            if lease.fence < shard.fence && cx.planted.is(Mutant::FenceUnchecked) {
                return Ok(());
            }
            return Err(Rejection::FenceMismatch { current: shard.fence });
        }
        let Some(record) = &shard.lease else { return Err(Rejection::LeaseExpired) };
        if !is_live(record.deadline, cx.now, cx.planted) && !cx.planted.is(Mutant::ExpiryUnchecked) {
            return Err(Rejection::LeaseExpired);
        }
        if record.worker != lease.worker {
            return Err(Rejection::NotOwner);
        }
        Ok(())
    }

    pub(super) fn admit_unpark(&self, slot: Slot) -> Result<(), Rejection> {
        match self.shard(slot).status {
            ShardStatus::Parked => Ok(()),
            ShardStatus::Active => Err(Rejection::ShardNotParked),
            status => Err(Rejection::ShardTerminal { status }),
        }
    }

    pub(super) fn claim(&mut self, cx: &Context, worker: &WorkerId, lease_ms: u64) -> Result<Outcome, Rejection> {
        let live = |deadline| is_live(deadline, cx.now, cx.planted);
        match self.claims.first_free(&self.shards, live) {
            Some(slot) => Ok(self.grant(cx, slot, worker, lease_ms)),
            None => {
                let remaining_ms = self.claims.next_deadline().map(|deadline| deadline.since(cx.now));
                Err(Rejection::NoShardFree { remaining_ms })
            }
        }
    }

    pub(super) fn grant(&mut self, cx: &Context, slot: Slot, worker: &WorkerId, lease_ms: u64) -> Outcome {
        let (granted, deadline) = (cx.now, cx.now.after(lease_ms));
        self.change(slot, |shard| {
            if shard.lease.is_none() || !cx.planted.is(Mutant::FenceNotRaisedOnTakeover) {
                shard.fence = shard.fence.next();
            }
            if cx.planted.is(Mutant::DoneIsAcquirable) {
                shard.status = ShardStatus::Active;
            }
            assert!(
                shard.status == ShardStatus::Active,
                "a lease is granted on a shard that is {}",
                shard.status.name()
            );
            shard.lease = Some(Lease { worker: worker.clone(), granted, deadline });
        });
        let shard = self.shard(slot);
        let (fence, range, cursor) = (shard.fence, shard.range.clone(), shard.cursor.clone());
        Outcome::Granted { slot, fence, granted, deadline, range, cursor }
    }

    /// Moves the deadline, never back: a renewal that was asked for shorter takes nothing from the holder.
    pub(super) fn renew(&mut self, cx: &Context, slot: Slot, lease_ms: u64) -> Outcome {
        let mut deadline = cx.now.after(lease_ms);
        self.change(slot, |shard| {
            if let Some(lease) = &mut shard.lease {
                deadline = deadline.max(lease.deadline);
                (lease.granted, lease.deadline) = (cx.now, deadline);
            }
        });
        Outcome::Renewed { granted: cx.now, deadline }
    }

    pub(super) fn checkpoint(&mut self, cx: &Context, slot: Slot, cursor: &Cursor) -> Result<Outcome, Rejection> {
        self.move_cursor(cx, slot, cursor)?;
        Ok(Outcome::Checkpointed)
    }

    /// Moves the cursor, which may also stay at its key with another token.
    fn move_cursor(&mut self, cx: &Context, slot: Slot, cursor: &Cursor) -> Result<(), Rejection> {
        let shard = &mut self.shards[slot as usize];
        if !shard.range.contains(&cursor.key, cx.planted) && !cx.planted.is(Mutant::CursorLeavesRange) {
            return Err(Rejection::CursorOutOfRange);
        }
        let back = shard.cursor.as_ref().is_some_and(|old| cursor.key < old.key);
        if back && !cx.planted.is(Mutant::CursorMovesBack) {
            return Err(Rejection::CursorRegression);
        }
        shard.cursor = Some(Arc::new(cursor.clone()));
        Ok(())
    }

    pub(super) fn release(&mut self, cx: &Context, slot: Slot) -> Outcome {
        self.change(slot, |shard| {
            shard.lease = None;
            if cx.planted.is(Mutant::ReleaseForgetsCursor) {
                shard.cursor = None;
            }
        });
        Outcome::Released
    }

    pub(super) fn complete(&mut self, cx: &Context, slot: Slot, cursor: Option<&Cursor>) -> Result<Outcome, Rejection> {
        if let Some(cursor) = cursor {
            self.move_cursor(cx, slot, cursor)?;
        }
        self.change(slot, |shard| {
            shard.lease = None;
            shard.status = ShardStatus::Done;
        });
        Ok(Outcome::Completed)
    }

    pub(super) fn park(&mut self, slot: Slot, reason: &str) -> Outcome {
        self.change(slot, |shard| {
            shard.lease = None;
            shard.status = ShardStatus::Parked;
            shard.reason = reason.into();
        });
        Outcome::Parked
    }

    pub(super) fn unpark(&mut self, cx: &Context, slot: Slot) -> Outcome {
        self.change(slot, |shard| {
            shard.status = ShardStatus::Active;
            shard.reason = "".into();
            if !cx.planted.is(Mutant::UnparkKeepsFence) {
                shard.fence = shard.fence.next();
            }
        });
        Outcome::Unparked { fence: self.shard(slot).fence }
    }
}
