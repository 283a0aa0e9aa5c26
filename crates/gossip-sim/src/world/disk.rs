//! A node's disk: a synced image, and behind it the writes that a crash may lose, tear or reorder.
//!
//! Each write is atomic, numbered and carries a checksum, as in the real store: recovery takes the writes behind the image up to the
//! first one that is missing or torn, and refuses an image that does not match its checksum.

use std::collections::VecDeque;

use gossip_core::consensus::{Persist, Recovered, SnapshotRecord};
use gossip_core::mutants::{Mutant, Planted};
use raft::eraftpb::{Entry, HardState};

use super::queue::Nanos;
use crate::faults::options::{DiskOptions, Options};
use crate::faults::{Fault, FaultSet};
use crate::reach::Reach;
use crate::rng::{Rng, Subject};

/// The disk cannot do what it must: the process has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left; nothing was written.
    Full,
    /// The sync failed; nobody knows what of the unsynced writes is there.
    SyncFailed,
    /// A record does not match its checksum.
    Damaged,
}

/// The disk of one machine.
#[derive(Debug)]
pub struct Disk {
    image: Image,
    /// Written and not yet synced, in order.
    tail: VecDeque<Persist>,
    /// How many of the tail the sync under way covers.
    syncing: usize,
    damaged: bool,
    full: bool,
    fail_next: bool,
    slowness: u64,
    options: DiskOptions,
    faults: FaultSet,
    planted: Planted,
    rng: Rng,
}

#[derive(Clone, Debug, Default)]
struct Image {
    snapshot: Option<SnapshotRecord>,
    hard_state: HardState,
    entries: VecDeque<Entry>,
}

impl Image {
    fn write(&mut self, write: Persist) {
        if let Some(snapshot) = write.snapshot {
            if !write.keeps_log {
                self.entries.clear();
            }
            self.snapshot = Some(snapshot);
        }
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(first) = write.entries.first() {
            while self.entries.back().is_some_and(|last| last.index >= first.index) {
                self.entries.pop_back();
            }
        }
        self.entries.extend(write.entries);
        if let Some(index) = write.compact_to {
            while self.entries.front().is_some_and(|first| first.index <= index) {
                self.entries.pop_front();
            }
        }
    }
}

impl Disk {
    /// An empty disk of the machine in this place.
    pub fn new(options: &Options, place: usize, planted: Planted) -> Self {
        Disk {
            image: Image::default(),
            tail: VecDeque::new(),
            syncing: 0,
            damaged: false,
            full: false,
            fail_next: false,
            slowness: 1,
            options: options.disk,
            faults: options.faults,
            planted,
            rng: Rng::stream(options.seed, Subject::Disk(place as u32)),
        }
    }

    /// Writes without a sync.
    ///
    /// # Errors
    /// The disk is full; it is as it was.
    pub fn write(&mut self, write: Persist) -> Result<(), DiskError> {
        if self.full {
            return Err(DiskError::Full);
        }
        self.tail.push_back(write);
        Ok(())
    }

    /// The term of the last entry before `index` as the disk would read once all is synced.
    pub fn term_before(&self, index: u64) -> Option<u64> {
        let previous = index.checked_sub(1)?;
        let written = self.tail.iter().rev().flat_map(|write| write.entries.iter().rev());
        let mut found = written.chain(self.image.entries.iter().rev()).filter(|entry| entry.index == previous);
        found.next().map(|entry| entry.term)
    }

    /// Starts a sync of all that is written, if none is under way. Says how long it takes.
    pub fn begin_sync(&mut self) -> Option<Nanos> {
        if self.syncing > 0 || self.tail.is_empty() {
            return None;
        }
        self.syncing = self.tail.len();
        Some(self.rng.within(self.options.sync.0, self.options.sync.1) * self.slowness)
    }

    /// The sync under way ends. Says the last ticket that is durable now.
    ///
    /// # Errors
    /// It failed.
    pub fn end_sync(&mut self, reach: &mut Reach) -> Result<u64, DiskError> {
        if self.fail_next {
            self.fail_next = false;
            reach.fault(Fault::FailedSync);
            return Err(DiskError::SyncFailed);
        }
        let mut last = 0;
        for write in self.tail.drain(..self.syncing) {
            last = write.ticket;
            self.image.write(write);
        }
        self.syncing = 0;
        Ok(last)
    }

    /// The process dies: what was not synced is lost from some write on.
    pub fn crash(&mut self, reach: &mut Reach) {
        self.syncing = 0;
        let written = self.tail.len();
        let mut kept = self.rng.index(written + 1);
        let intact = !self.faults.has(Fault::LostTail) && !self.faults.has(Fault::TornTail);
        if intact && !self.faults.has(Fault::ReorderedTail) {
            kept = written;
        }
        let lost = self.tail.split_off(kept);
        std::mem::take(&mut self.tail).into_iter().for_each(|write| self.image.write(write));
        let Some(first) = lost.front() else { return };
        let torn = self.faults.has(Fault::TornTail) && self.rng.chance(500_000);
        let reordered = self.faults.has(Fault::ReorderedTail) && lost.len() > 1 && self.rng.chance(500_000);
        let unchecked = self.planted.is(Mutant::ChecksumUnchecked);
        if torn {
            reach.fault(Fault::TornTail);
            if unchecked {
                let half = first.entries.len() / 2;
                let entries = first.entries[..half].to_vec();
                self.image.write(Persist { entries, ..Persist::default() });
            }
        }
        if reordered {
            reach.fault(Fault::ReorderedTail);
            if unchecked {
                lost.into_iter().skip(1).for_each(|write| self.image.write(write));
            }
        }
        if !torn && !reordered {
            reach.fault(Fault::LostTail);
        }
    }

    /// What a starting process finds.
    ///
    /// # Errors
    /// A record does not match its checksum.
    pub fn recover(&self) -> Result<Recovered, DiskError> {
        if self.damaged && !self.planted.is(Mutant::ChecksumUnchecked) {
            return Err(DiskError::Damaged);
        }
        let Image { snapshot, hard_state, entries } = self.image.clone();
        let behind = snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let entries = entries.into_iter().filter(|entry| entry.index > behind).collect();
        Ok(Recovered { snapshot, hard_state, entries })
    }

    /// The first write of a node that founds the cluster: durable at once.
    pub fn format(&mut self, snapshot: SnapshotRecord, hard_state: HardState) {
        self.image = Image { snapshot: Some(snapshot), hard_state, entries: VecDeque::new() };
    }

    /// A new disk takes its place.
    pub fn wipe(&mut self) {
        self.image = Image::default();
        self.tail.clear();
        (self.syncing, self.damaged, self.full, self.fail_next) = (0, false, false, false);
    }

    /// Flips one bit of a synced record. Says whether there was one to flip.
    pub fn flip_bit(&mut self) -> bool {
        let count = self.image.entries.len();
        let bit = 1u8 << self.rng.below(8);
        let place = self.rng.index(count.max(1));
        let data: Option<Vec<u8>> = self.image.entries.get(place).map(|entry| entry.data.to_vec());
        match (data, &mut self.image.snapshot) {
            (Some(mut data), _) if !data.is_empty() => {
                let at = self.rng.index(data.len());
                data[at] ^= bit;
                self.image.entries[place].data = data.into();
            }
            (_, Some(snapshot)) if !snapshot.data.is_empty() => {
                let at = self.rng.index(snapshot.data.len());
                snapshot.data[at] ^= bit;
            }
            _ => return false,
        }
        self.damaged = true;
        true
    }

    /// Whether a record does not match its checksum.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether no space is left.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Fills the disk or frees space.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// The next sync fails.
    pub fn fail_next_sync(&mut self) {
        self.fail_next = true;
    }

    /// Syncs take so many times as long.
    pub fn set_slowness(&mut self, slowness: u64) {
        self.slowness = slowness;
    }

    /// From now on it is a good disk, damage apart.
    pub fn heal(&mut self) {
        (self.full, self.fail_next, self.slowness) = (false, false, 1);
    }
}
