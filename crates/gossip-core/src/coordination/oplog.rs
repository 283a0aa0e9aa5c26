//! The op log: what became of an op id.
//!
//! Each run has one. An op id is looked up after the record was found and before anything else is asked. With the same payload the
//! first answer is given again, with another one the request is refused. The payload names tenant, run and worker, so its hash
//! holds them: nobody learns another's answer.
//!
//! Entries of operations that end something (complete, split-replace), of split-residual and of operations on the run stay as
//! long as the run. Of the others the newest [`OP_LOG_PER_SHARD`] of each shard stay, as far as they fit in
//! [`OP_LOG_BYTES_PER_SHARD`]. With a run its op log goes.
//!
//! An entry keeps no more than what the command, which a replay brings along again, and the records do not say.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::answer::{RunStatus, ShardCounts};
use super::command::{Command, Cursor};
use super::error::Rejection;
use super::ids::{Fence, OpId, Stamp};
use super::limits::{OP_LOG_BYTES_PER_SHARD, OP_LOG_PER_SHARD};
use super::range::Range;
use super::shard::{Shard, Slot};
use crate::mutants::{Mutant, Planted};

/// A hash of all of a command but its op id, the same on every platform and in every build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload([u8; 8]);

impl Payload {
    /// Hashes `command`; `scratch` only saves an allocation.
    pub(super) fn of(command: &Command, scratch: &mut Vec<u8>) -> Payload {
        const KEEP: usize = 64 * 1024;
        let Command { tenant, run, op_id: _, op } = command;
        let mut bytes = std::mem::take(scratch);
        bytes.clear();
        let bytes =
            postcard::to_extend(&(tenant, run, op), bytes).expect("a command has sequences of known length only");
        let mut hasher = SipHasher13::new();
        hasher.write(&bytes);
        let hash = hasher.finish().to_be_bytes();
        if bytes.capacity() <= KEEP {
            *scratch = bytes;
        }
        Payload(hash)
    }
}

/// What an operation did, as far as its command and the records do not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Run(Box<RunMark>),
    Granted {
        slot: Slot,
        fence: Fence,
        granted: Stamp,
        deadline: Stamp,
        range: Arc<Range>,
        cursor: Option<Arc<Cursor>>,
    },
    Renewed {
        granted: Stamp,
        deadline: Stamp,
    },
    Checkpointed,
    Released,
    Completed,
    Parked,
    Unparked {
        fence: Fence,
    },
    /// The children stand in the slots from `first` on.
    Replaced {
        first: Slot,
        ranges: Box<[Arc<Range>]>,
    },
    Split {
        residual: Slot,
        range: Arc<Range>,
    },
}

/// A run as an operation on it left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunMark {
    pub(super) status: RunStatus,
    pub(super) roots: u64,
    pub(super) counts: ShardCounts,
    pub(super) changed_at: u64,
}

impl Outcome {
    /// Whether its entry stays as long as the run.
    fn is_pinned(&self) -> bool {
        matches!(self, Outcome::Run(_) | Outcome::Completed | Outcome::Replaced { .. } | Outcome::Split { .. })
    }

    /// Bytes of keys and tokens that its entry may be the last to hold.
    fn bytes(&self) -> usize {
        match self {
            Outcome::Granted { range, cursor, .. } => {
                let cursor = cursor.as_ref().map_or(0, |c| c.key.len() + c.token.len());
                range.start.len() + range.end.len() + cursor
            }
            _ => 0,
        }
    }

    /// Every slot that it names.
    fn slots(&self) -> std::ops::Range<u64> {
        match self {
            Outcome::Granted { slot, .. } | Outcome::Split { residual: slot, .. } => {
                u64::from(*slot)..u64::from(*slot) + 1
            }
            Outcome::Replaced { first, ranges } => u64::from(*first)..u64::from(*first) + ranges.len() as u64,
            _ => 0..0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    payload: Payload,
    /// The log index that it comes from: what is older than what.
    at: u64,
    /// The shard that it counts for; `None`: it stays as long as the run.
    owner: Option<Slot>,
    outcome: Outcome,
}

impl Entry {
    /// `slot` is the shard that the operation was on, if it was on one.
    pub(super) fn new(payload: Payload, at: u64, slot: Option<Slot>, outcome: Outcome) -> Self {
        let owner = slot.filter(|_| !outcome.is_pinned());
        Entry { payload, at, owner, outcome }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpLog {
    entries: BTreeMap<OpId, Entry>,
}

impl OpLog {
    /// What became of this op id, if it is known.
    pub(super) fn find(&self, op_id: OpId, payload: Payload, planted: Planted) -> Result<Option<&Outcome>, Rejection> {
        match self.entries.get(&op_id) {
            Some(_) if planted.is(Mutant::OpLogForgotten) => Ok(None),
            None => Ok(None),
            Some(entry) if entry.payload == payload || planted.is(Mutant::OpIdConflictUnchecked) => {
                Ok(Some(&entry.outcome))
            }
            Some(_) => Err(Rejection::OpIdConflict),
        }
    }

    /// Remembers an operation, and forgets the oldest ones of its shard that are past the bounds.
    pub(super) fn record(&mut self, op_id: OpId, entry: Entry, shards: &mut [Shard]) {
        if let Some(owner) = entry.owner {
            let shard = &mut shards[owner as usize];
            shard.recent_bytes += entry.outcome.bytes();
            shard.recent.push_back(op_id);
            while shard.recent.len() > OP_LOG_PER_SHARD || shard.recent_bytes > OP_LOG_BYTES_PER_SHARD {
                let Some(oldest) = shard.recent.pop_front() else { break };
                let gone = self.entries.remove(&oldest);
                shard.recent_bytes -= gone.map_or(0, |entry| entry.outcome.bytes());
            }
        }
        self.entries.insert(op_id, entry);
    }

    /// Makes the shards' lists of their evictable entries anew.
    pub(super) fn reindex(&self, shards: &mut [Shard]) {
        let mut owned: Vec<_> = self.entries.iter().filter(|(_, entry)| entry.owner.is_some()).collect();
        owned.sort_unstable_by_key(|(_, entry)| entry.at);
        for (op_id, entry) in owned {
            if let Some(shard) = entry.owner.and_then(|owner| shards.get_mut(owner as usize)) {
                shard.recent_bytes += entry.outcome.bytes();
                shard.recent.push_back(*op_id);
            }
        }
    }

    /// Entries kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, op_id: OpId) -> bool {
        self.entries.contains_key(&op_id)
    }

    /// Every slot that an entry names, its owner's included.
    pub(super) fn slots(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.values().flat_map(|entry| entry.outcome.slots().chain(entry.owner.map(u64::from)))
    }

    /// Entries that can be evicted, and what they weigh.
    pub(super) fn evictable(&self) -> (usize, usize) {
        let owned = self.entries.values().filter(|entry| entry.owner.is_some());
        owned.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.outcome.bytes()))
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
