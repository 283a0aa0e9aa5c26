//! The log in memory: what is on disk, or is on its way there.

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::api::{Recovered, SnapshotRecord};

/// Why a node cannot start from what its disk gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored log cannot be trusted: {0}")]
pub struct StartError(pub String);

/// Raft's storage. Entries stay readable until [`Log::compact`].
#[derive(Debug, Default)]
pub(super) struct Log {
    hard_state: HardState,
    /// Index and term of the entry before the first one kept.
    before: (u64, u64),
    entries: VecDeque<Entry>,
    /// Of all entries.
    bytes: u64,
    snapshot: Option<SnapshotRecord>,
    /// A follower asked for entries that are in a snapshot only.
    wanted: Cell<bool>,
}

impl Log {
    /// Takes over what was found on disk, if it can be the state of a log.
    pub(super) fn recover(recovered: Recovered) -> Result<Self, StartError> {
        let before = recovered.snapshot.as_ref().map_or((0, 0), |s| (s.index, s.term));
        let mut log = Log { hard_state: recovered.hard_state, before, snapshot: recovered.snapshot, ..Log::default() };
        for entry in recovered.entries.into_iter().filter(|e| e.index > before.0) {
            if entry.index != log.last() + 1 {
                let (found, expected) = (entry.index, log.last() + 1);
                return Err(StartError(format!("entry {found} stands where {expected} belongs")));
            }
            log.bytes += size_of(&entry);
            log.entries.push_back(entry);
        }
        if log.hard_state.commit > log.last() {
            let (commit, last) = (log.hard_state.commit, log.last());
            return Err(StartError(format!("entry {commit} was committed, the log ends at {last}")));
        }
        // The commit index on disk may be older than the snapshot: it is written without waiting.
        log.hard_state.commit = log.hard_state.commit.max(before.0);
        log.hard_state.term = log.hard_state.term.max(before.1);
        Ok(log)
    }

    pub(super) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    pub(super) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    /// Entries held, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.bytes)
    }

    /// The last entry to drop so that of those up to `end` at most `count` stay, with at most `bytes` together.
    pub(super) fn cut(&self, end: u64, count: u64, bytes: u64) -> u64 {
        let (lowest, mut left) = (end.saturating_sub(count).max(self.before.0), bytes);
        let mut at = end;
        while at > lowest {
            let size = self.entries.get((at - self.first()) as usize).map_or(0, size_of);
            if size > left {
                break;
            }
            left -= size;
            at -= 1;
        }
        at
    }

    /// Bytes of the newest snapshot.
    pub(super) fn snapshot_size(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.data.len() as u64)
    }

    pub(super) fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.index)
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends, dropping what stood at and after the first one's index.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            first.index > self.before.0 && first.index <= self.last() + 1,
            "entry {} appended to a log from {} to {}",
            first.index,
            self.first(),
            self.last()
        );
        let kept = (first.index - self.first()) as usize;
        self.bytes -= self.entries.range(kept..).map(size_of).sum::<u64>();
        self.bytes += entries.iter().map(size_of).sum::<u64>();
        self.entries.truncate(kept);
        self.entries.extend(entries.iter().cloned());
    }

    /// Replaces everything by a leader's snapshot.
    pub(super) fn install(&mut self, record: SnapshotRecord) {
        self.before = (record.index, record.term);
        self.entries.clear();
        self.bytes = 0;
        self.hard_state.commit = self.hard_state.commit.max(record.index);
        self.hard_state.term = self.hard_state.term.max(record.term);
        self.snapshot = Some(record);
    }

    /// Keeps a snapshot that this node made.
    pub(super) fn keep(&mut self, record: SnapshotRecord) {
        assert!(record.index >= self.snapshot_index(), "an older snapshot replaces a newer one");
        self.snapshot = Some(record);
        self.wanted.set(false);
    }

    /// Drops entries up to `index`, which the snapshot must hold.
    pub(super) fn compact(&mut self, index: u64) {
        assert!(index <= self.snapshot_index(), "entries up to {index} dropped that no snapshot holds");
        while self.entries.front().is_some_and(|e| e.index <= index) {
            if let Some(gone) = self.entries.pop_front() {
                self.bytes -= size_of(&gone);
                self.before = (gone.index, gone.term);
            }
        }
    }

    /// Whether a follower needs a newer snapshot than there is.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.wanted.get()
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let conf_state = self.snapshot.as_ref().map_or_else(ConfState::default, |s| s.conf_state.clone());
        Ok(RaftState::new(self.hard_state.clone(), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let (from, to) = ((low - self.first()) as usize, (high - self.first()) as usize);
        let mut budget = max_size.into().unwrap_or(u64::MAX);
        let mut taken = Vec::new();
        for entry in self.entries.range(from..to) {
            let size = size_of(entry);
            if !taken.is_empty() && size > budget {
                break;
            }
            budget = budget.saturating_sub(size);
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if let Some(s) = self.snapshot.as_ref().filter(|s| s.index == index) {
            return Ok(s.term);
        }
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        match self.entries.get((index - self.first()) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // A node that finds itself missing from a snapshot's configuration ignores it.
        let names = |conf: &ConfState| conf.voters.contains(&to) || conf.learners.contains(&to);
        match &self.snapshot {
            Some(record) if record.index >= request_index && names(&record.conf_state) => Ok(to_raft(record)),
            _ => {
                self.wanted.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

/// Bytes of an entry: its own and a few for the numbers.
pub(super) fn size_of(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len() + 24) as u64
}

/// As raft carries it.
pub(super) fn to_raft(record: &SnapshotRecord) -> Snapshot {
    let mut snapshot = Snapshot { data: record.data.clone().into(), ..Snapshot::default() };
    let metadata = snapshot.mut_metadata();
    metadata.index = record.index;
    metadata.term = record.term;
    metadata.set_conf_state(record.conf_state.clone());
    snapshot
}

/// As it is kept.
pub(super) fn from_raft(snapshot: &Snapshot) -> SnapshotRecord {
    let metadata = snapshot.get_metadata();
    SnapshotRecord {
        index: metadata.index,
        term: metadata.term,
        conf_state: metadata.get_conf_state().clone(),
        data: snapshot.data.to_vec(),
    }
}
