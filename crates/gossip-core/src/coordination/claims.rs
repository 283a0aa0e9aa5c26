//! Which shard a claim takes, without a scan of the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::answer::ShardStatus;
use super::ids::Stamp;
use super::range::Range;
use super::shard::{Shard, Slot};

/// An index of a run's Active shards, derived from their records and not part of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Shards without a lease, and those whose lease a claim has found expired, in order of their ranges.
    free: BTreeSet<(Arc<Range>, Slot)>,
    /// The other shards with a lease on record, by deadline.
    leased: BTreeSet<(Stamp, Slot)>,
}

impl Claims {
    /// Takes up a shard as it stands now; one that is not Active is passed over.
    pub(super) fn insert(&mut self, slot: Slot, shard: &Shard) {
        if shard.status != ShardStatus::Active {
            return;
        }
        match &shard.lease {
            None => self.free.insert((shard.range.clone(), slot)),
            Some(lease) => self.leased.insert((lease.deadline, slot)),
        };
    }

    /// Forgets a shard, whose record still is as it was when it was inserted.
    pub(super) fn remove(&mut self, slot: Slot, shard: &Shard) {
        if shard.status != ShardStatus::Active {
            return;
        }
        let leased = shard.lease.as_ref().is_some_and(|lease| self.leased.remove(&(lease.deadline, slot)));
        if !leased {
            self.free.remove(&(shard.range.clone(), slot));
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.free.clear();
        self.leased.clear();
    }

    /// The first shard in order of ranges that has no live lease. Each expired lease is looked at once, so a claim costs
    /// O(log n) on average also when a crash let thousands of leases expire at one moment.
    pub(super) fn first_free(&mut self, shards: &[Shard], live: impl Fn(Stamp) -> bool) -> Option<Slot> {
        while let Some(&(deadline, slot)) = self.leased.first() {
            if live(deadline) {
                break;
            }
            self.leased.pop_first();
            self.free.insert((shards[slot as usize].range.clone(), slot));
        }
        self.free.first().map(|&(_, slot)| slot)
    }

    /// The earliest deadline of a lease that no claim has found expired yet.
    pub(super) fn next_deadline(&self) -> Option<Stamp> {
        self.leased.first().map(|&(deadline, _)| deadline)
    }

    /// How many leases are live at `now`. Those that have ended are counted, which are few: claims file them as free.
    pub(super) fn live(&self, now: Stamp) -> u64 {
        let ended = self.leased.iter().take_while(|&&(deadline, _)| deadline <= now).count();
        (self.leased.len() - ended) as u64
    }

    /// Whether a claim would find a shard without looking at leases.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The unleased shards next to where `range` would stand: the one before it and the one at or after it.
    pub(super) fn neighbours(&self, range: &Arc<Range>) -> [Option<Slot>; 2] {
        let here = (range.clone(), 0);
        let before = self.free.range(..&here).next_back();
        let after = self.free.range(&here..).next();
        [before, after].map(|found| found.map(|&(_, slot)| slot))
    }

    /// Every slot with `true` if it is filed as free: for the check of invariants.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, bool)> + '_ {
        self.free.iter().map(|&(_, slot)| (slot, true)).chain(self.leased.iter().map(|&(_, slot)| (slot, false)))
    }
}
