//! A node's disk: the service's own records ([`gossip_core::record`]) in a database that a crash may cut short.
//!
//! It writes as the service's storage thread does: what was handed over while a sync was under way is one atomic batch, a write
//! that nothing depends on waits for the next one, and a full disk refuses before anything is written. What was handed over and
//! not written yet dies with the process.

use std::collections::VecDeque;

use gossip_core::consensus::{Persist, Recovered, SnapshotRecord};
use gossip_core::mutants::Planted;
use gossip_core::record::{Book, Damaged};

use super::database::Database;
use super::queue::Nanos;
use crate::faults::options::{DiskOptions, Options};
use crate::faults::{Fault, FaultSet};
use crate::reach::Reach;
use crate::rng::{Rng, Subject};

/// The disk cannot do what it must: the process has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left; nothing was written.
    Full,
    /// The sync failed; nobody knows what of the unsynced writes is there.
    SyncFailed,
    /// A record is not what was written.
    Damaged(String),
}

impl From<Damaged> for DiskError {
    fn from(Damaged(what): Damaged) -> Self {
        DiskError::Damaged(what)
    }
}

/// What becomes of the writes that were handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// There are none, or a sync is under way.
    Nothing,
    /// Nothing depends on them: up to this ticket they count as durable.
    Free(u64),
    /// A sync of them began and takes so long.
    Sync(Nanos),
}

/// The disk of one machine.
#[derive(Debug)]
pub struct Disk {
    database: Database,
    book: Book,
    /// Handed over and not written yet, in order.
    queue: Vec<Persist>,
    /// The newest ticket that the sync under way covers.
    syncing: Option<u64>,
    /// The newest ticket of which it was said that nothing depends on it.
    free: u64,
    /// Index and term of each entry, as they will be once all is written.
    terms: VecDeque<(u64, u64)>,
    damaged: bool,
    full: bool,
    fail_next: bool,
    slowness: u64,
    options: DiskOptions,
    faults: FaultSet,
    planted: Planted,
    rng: Rng,
}

impl Disk {
    /// An empty disk of the machine in this place.
    pub fn new(options: &Options, place: usize, planted: Planted) -> Self {
        Disk {
            database: Database::default(),
            book: Book::default(),
            queue: Vec::new(),
            syncing: None,
            free: 0,
            terms: VecDeque::new(),
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

    /// Takes a write over.
    pub fn write(&mut self, write: Persist) {
        if write.snapshot.is_some() && !write.keeps_log {
            self.terms.clear();
        }
        if let Some(first) = write.entries.first() {
            while self.terms.back().is_some_and(|last| last.0 >= first.index) {
                self.terms.pop_back();
            }
            self.terms.extend(write.entries.iter().map(|entry| (entry.index, entry.term)));
        }
        if let Some(index) = write.compact_to {
            while self.terms.front().is_some_and(|first| first.0 <= index) {
                self.terms.pop_front();
            }
        }
        self.queue.push(write);
    }

    /// The term of the last entry before `index` as the disk would read once all is written.
    pub fn term_before(&self, index: u64) -> Option<u64> {
        let previous = index.checked_sub(1)?;
        self.terms.iter().rev().find(|entry| entry.0 == previous).map(|entry| entry.1)
    }

    /// Writes what was handed over, unless a sync is under way.
    ///
    /// # Errors
    /// The disk is full; it is as it was.
    pub fn begin(&mut self, reach: &mut Reach) -> Result<Begun, DiskError> {
        let Some(newest) = self.queue.last().map(|write| write.ticket).filter(|_| self.syncing.is_none()) else {
            return Ok(Begun::Nothing);
        };
        let sync = self.queue.iter().any(|write| write.must_sync);
        let heavy = self.queue.iter().any(|write| write.snapshot.is_some());
        if sync || heavy {
            if self.full {
                reach.fault(Fault::DiskFull);
                return Err(DiskError::Full);
            }
            let changes = self.book.put(&self.database, &self.queue)?;
            self.database.apply(changes);
            self.queue.clear();
        }
        if !sync {
            let said = std::mem::replace(&mut self.free, newest) == newest;
            return Ok(if said { Begun::Nothing } else { Begun::Free(newest) });
        }
        self.syncing = Some(newest);
        if self.slowness > 1 {
            reach.fault(Fault::SlowSync);
        }
        Ok(Begun::Sync(self.rng.within(self.options.sync.0, self.options.sync.1) * self.slowness))
    }

    /// The sync under way ends. Says the last ticket that is durable now.
    ///
    /// # Errors
    /// It failed.
    pub fn end_sync(&mut self, reach: &mut Reach) -> Result<u64, DiskError> {
        if std::mem::take(&mut self.fail_next) {
            reach.fault(Fault::FailedSync);
            return Err(DiskError::SyncFailed);
        }
        self.database.sync();
        Ok(self.syncing.take().unwrap_or(0))
    }

    /// The process dies, and with it what it had not written; of what was not synced a part may be lost.
    pub fn crash(&mut self, reach: &mut Reach) {
        // The storage thread of the service may be faster than what its core does next.
        if self.syncing.take().is_none()
            && !self.full
            && self.rng.chance(500_000)
            && let Ok(changes) = self.book.put(&self.database, &self.queue)
        {
            self.database.apply(changes);
        }
        self.free = 0;
        self.queue.clear();
        self.database.crash(&mut self.rng, self.faults, reach);
    }

    /// What a starting process finds.
    ///
    /// # Errors
    /// A record is not what was written.
    pub fn recover(&mut self) -> Result<Recovered, DiskError> {
        let (recovered, book) = Book::recover(&self.database, self.planted)?;
        self.book = book;
        self.terms = recovered.entries.iter().map(|entry| (entry.index, entry.term)).collect();
        Ok(recovered)
    }

    /// The first write of a node that founds the cluster: durable at once.
    pub fn format(&mut self, snapshot: &SnapshotRecord) {
        let changes = self.book.found(snapshot);
        self.database.apply(changes);
        self.database.sync();
    }

    /// A new disk takes its place.
    pub fn wipe(&mut self) {
        (self.database, self.book) = (Database::default(), Book::default());
        self.queue.clear();
        self.terms.clear();
        (self.syncing, self.free) = (None, 0);
        (self.damaged, self.full, self.fail_next) = (false, false, false);
    }

    /// Spoils a synced record. Says whether there was one.
    pub fn spoil(&mut self) -> bool {
        let spoiled = self.database.spoil(&mut self.rng);
        self.damaged |= spoiled;
        spoiled
    }

    /// Whether a record is not what was written.
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
