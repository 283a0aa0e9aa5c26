//! Keys and values of the database.
//!
//! A value is a CRC-32 over key and payload, little endian, then the payload in `postcard`. Entries that were written together are one
//! value, a chunk, under the index of the first: sled's cost is by value.

use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;

pub(super) const FORMAT: &[u8] = b"meta/format";
pub(super) const IDENTITY: &[u8] = b"meta/identity";
pub(super) const HARD_STATE: &[u8] = b"raft/hard";
pub(super) const SNAPSHOT: &[u8] = b"raft/snapshot";
pub(super) const ENTRIES: &[u8] = b"e";
pub(super) const PARTS: &[u8] = b"p";

/// The layout of everything here. A store of another one is refused.
pub(super) const VERSION: u32 = 1;

/// Bytes of one part of a snapshot: sled keeps larger values outside of its log.
pub(super) const PART: usize = 256 * 1024;

pub(super) fn chunk_key(first: u64) -> Vec<u8> {
    [ENTRIES, &first.to_be_bytes()].concat()
}

pub(super) fn part_key(snapshot: u64, part: u32) -> Vec<u8> {
    [PARTS, &snapshot.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// Who a data folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Of the whole cluster, drawn from its founding members.
    pub cluster: String,
    /// The name given by `--id`.
    pub node: String,
    /// Raft's number.
    pub id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryRecord<'a> {
    term: u64,
    kind: u8,
    #[serde(borrow)]
    data: &'a [u8],
    #[serde(borrow)]
    context: &'a [u8],
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HardStateRecord {
    pub(super) term: u64,
    pub(super) vote: u64,
    pub(super) commit: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotHead {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) parts: u32,
    voters: Vec<u64>,
    learners: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners_next: Vec<u64>,
    auto_leave: bool,
}

impl<'a> EntryRecord<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        EntryRecord { term: entry.term, kind: entry.get_entry_type() as u8, data: &entry.data, context: &entry.context }
    }

    pub(super) fn into_entry(self, index: u64) -> Result<Entry, StoreError> {
        let kind = match self.kind {
            0 => EntryType::EntryNormal,
            1 => EntryType::EntryConfChange,
            2 => EntryType::EntryConfChangeV2,
            kind => return Err(StoreError::Damaged(format!("entry {index} is of unknown kind {kind}"))),
        };
        let mut entry = Entry { index, term: self.term, ..Entry::default() };
        entry.set_entry_type(kind);
        entry.data = self.data.to_vec().into();
        entry.context = self.context.to_vec().into();
        Ok(entry)
    }
}

impl From<&HardState> for HardStateRecord {
    fn from(state: &HardState) -> Self {
        HardStateRecord { term: state.term, vote: state.vote, commit: state.commit }
    }
}

impl From<HardStateRecord> for HardState {
    fn from(record: HardStateRecord) -> Self {
        HardState { term: record.term, vote: record.vote, commit: record.commit, ..HardState::default() }
    }
}

impl SnapshotHead {
    pub(super) fn new(index: u64, term: u64, parts: u32, conf: &ConfState) -> Self {
        SnapshotHead {
            index,
            term,
            parts,
            voters: conf.voters.clone(),
            learners: conf.learners.clone(),
            voters_outgoing: conf.voters_outgoing.clone(),
            learners_next: conf.learners_next.clone(),
            auto_leave: conf.auto_leave,
        }
    }

    pub(super) fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// A value for `key`.
pub(super) fn seal<T: Serialize>(key: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_extend(value, vec![0; 4]).expect("our own types can be encoded into memory");
    let sum = checksum(key, &bytes[4..]);
    bytes[..4].copy_from_slice(&sum);
    bytes
}

/// A value for `key` that is bytes.
pub(super) fn seal_bytes(key: &[u8], payload: &[u8]) -> Vec<u8> {
    [&checksum(key, payload), payload].concat()
}

/// The payload of a value of `key`, if its checksum holds.
pub(super) fn open_bytes<'a>(key: &[u8], value: &'a [u8], trusting: bool) -> Result<&'a [u8], StoreError> {
    let damaged = || StoreError::Damaged(format!("the checksum of record {} does not match", key.escape_ascii()));
    let (sum, payload) = value.split_at_checked(4).ok_or_else(damaged)?;
    if sum != checksum(key, payload) && !trusting {
        return Err(damaged());
    }
    Ok(payload)
}

/// What a value of `key` holds, if its checksum holds.
pub(super) fn open<T: DeserializeOwned>(key: &[u8], value: &[u8], trusting: bool) -> Result<T, StoreError> {
    postcard::from_bytes(open_bytes(key, value, trusting)?)
        .map_err(|e| StoreError::Damaged(format!("record {} cannot be read: {e}", key.escape_ascii())))
}

/// A chunk of entries that follow each other.
pub(super) fn seal_chunk(key: &[u8], entries: &[Entry]) -> Vec<u8> {
    seal(key, &entries.iter().map(EntryRecord::of).collect::<Vec<_>>())
}

/// The entries of a chunk.
pub(super) fn open_chunk(key: &[u8], value: &[u8], trusting: bool) -> Result<Vec<Entry>, StoreError> {
    let damaged = |why: String| StoreError::Damaged(format!("record {} {why}", key.escape_ascii()));
    let first = key.get(ENTRIES.len()..).and_then(|tail| tail.try_into().ok()).map(u64::from_be_bytes);
    let first = first.ok_or_else(|| damaged("has no index".into()))?;
    let records: Vec<EntryRecord<'_>> =
        postcard::from_bytes(open_bytes(key, value, trusting)?).map_err(|e| damaged(format!("cannot be read: {e}")))?;
    if records.is_empty() {
        return Err(damaged("holds no entry".into()));
    }
    (first..).zip(records).map(|(index, record)| record.into_entry(index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_disk() {
        let mut entry = Entry { index: 7, term: 3, ..Entry::default() };
        entry.set_entry_type(EntryType::EntryConfChange);
        entry.data = b"data".to_vec().into();
        let next = Entry { index: 8, term: 4, ..Entry::default() };
        let key = chunk_key(7);
        let entries = vec![entry, next];
        assert_eq!(open_chunk(&key, &seal_chunk(&key, &entries), false).unwrap(), entries);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let key = chunk_key(7);
        let value = seal(&key, &HardStateRecord { term: 5, vote: 2, commit: 9 });
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open::<HardStateRecord>(&key, &flipped, false).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        let value = seal(&chunk_key(7), &HardStateRecord { term: 5, vote: 2, commit: 9 });
        assert!(open::<HardStateRecord>(&chunk_key(8), &value, false).is_err());
    }
}
