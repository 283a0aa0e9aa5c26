//! Keys and values of the database.
//!
//! A value is a CRC-32 over key and payload, little endian, then the payload in `postcard`. Entries that were written together are one
//! value, a chunk, under the index of the first: sled's cost is by value. What is larger than [`PIECE`] becomes several values.

use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;

pub(super) const FORMAT: &[u8] = b"meta/format";
/// Whose database it is: the life of the node's identity, which stands in a file of its own.
pub(super) const OWNER: &[u8] = b"meta/owner";
pub(super) const HARD_STATE: &[u8] = b"raft/hard";
pub(super) const SNAPSHOT: &[u8] = b"raft/snapshot";
pub(super) const ENTRIES: &[u8] = b"e";
pub(super) const PARTS: &[u8] = b"p";

/// The layout of everything here. A store of another one is refused.
pub(super) const VERSION: u32 = 2;

/// Bytes of one value at most. sled keeps a page that is larger than a quarter of a segment in a file of its own, and such files stay
/// long after what is in them has gone. A page holds up to 20 values.
pub(super) const PIECE: usize = 16 * 1024;

/// Bytes of one segment of sled's log: more than four times what [`PIECE`] lets a page grow to.
pub(super) const SEGMENT: usize = 2 << 20;

/// A chunk's pieces follow each other.
pub(super) fn piece_key(first: u64, piece: u32) -> Vec<u8> {
    [ENTRIES, &first.to_be_bytes(), &piece.to_be_bytes()].concat()
}

pub(super) fn part_key(snapshot: u64, part: u32) -> Vec<u8> {
    [PARTS, &snapshot.to_be_bytes(), &part.to_be_bytes()].concat()
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

/// A chunk of entries that follow each other, in pieces. The first piece begins with their number.
pub(super) fn seal_chunk(first: u64, entries: &[Entry]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let records: Vec<_> = entries.iter().map(EntryRecord::of).collect();
    let mut bytes = postcard::to_extend(&records, vec![0; 4]).expect("our own types can be encoded into memory");
    let pieces = u32::try_from(bytes.len().div_ceil(PIECE)).expect("a chunk of less than 64 TiB");
    bytes[..4].copy_from_slice(&pieces.to_le_bytes());
    let sealed = (0..).zip(bytes.chunks(PIECE)).map(|(number, piece)| {
        let key = piece_key(first, number);
        let value = seal_bytes(&key, piece);
        (key, value)
    });
    sealed.collect()
}

/// Reads a chunk's pieces as they come, in order of their keys.
#[derive(Debug, Default)]
pub(super) struct ChunkReader {
    first: u64,
    /// How many there are, and how many have come.
    pieces: u32,
    seen: u32,
    bytes: Vec<u8>,
}

impl ChunkReader {
    /// Takes the next piece; answers with the chunk once it is whole: its entries and the number of its pieces.
    pub(super) fn take(
        &mut self,
        key: &[u8],
        value: &[u8],
        trusting: bool,
    ) -> Result<Option<(Vec<Entry>, u32)>, StoreError> {
        let damaged = |why: &str| StoreError::Damaged(format!("record {} {why}", key.escape_ascii()));
        let tail = key.strip_prefix(ENTRIES).and_then(|tail| tail.split_first_chunk::<8>());
        let place = tail.and_then(|(first, piece)| Some((u64::from_be_bytes(*first), piece.first_chunk::<4>()?)));
        let (first, piece) = place.ok_or_else(|| damaged("has no place in the log"))?;
        let payload = open_bytes(key, value, trusting)?;
        if self.seen == self.pieces {
            let (count, rest) = payload.split_first_chunk::<4>().ok_or_else(|| damaged("is cut short"))?;
            *self = ChunkReader { first, pieces: u32::from_le_bytes(*count), seen: 0, bytes: rest.to_vec() };
        } else {
            self.bytes.extend_from_slice(payload);
        }
        if first != self.first || u32::from_be_bytes(*piece) != self.seen || self.seen >= self.pieces {
            return Err(damaged("stands where another piece belongs"));
        }
        self.seen += 1;
        if self.seen < self.pieces {
            return Ok(None);
        }
        let records: Vec<EntryRecord<'_>> =
            postcard::from_bytes(&self.bytes).map_err(|e| damaged(&format!("cannot be read: {e}")))?;
        if records.is_empty() {
            return Err(damaged("holds no entry"));
        }
        let entries = (first..).zip(records).map(|(index, record)| record.into_entry(index));
        Ok(Some((entries.collect::<Result<_, _>>()?, self.pieces)))
    }

    /// Whether a chunk has begun that is not whole.
    pub(super) fn is_halfway(&self) -> bool {
        self.seen < self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<(Vec<Entry>, u32)>, StoreError> {
        let mut reader = ChunkReader::default();
        pieces.iter().try_fold(None, |_, (key, value)| reader.take(key, value, false))
    }

    #[test]
    fn entries_survive_the_disk_in_one_piece_or_in_many() {
        for bytes in [4, PIECE - 40, PIECE, 10 * PIECE] {
            let mut entry = Entry { index: 7, term: 3, ..Entry::default() };
            entry.set_entry_type(EntryType::EntryConfChange);
            entry.data = vec![5; bytes].into();
            let next = Entry { index: 8, term: 4, ..Entry::default() };
            let entries = vec![entry, next];
            let pieces = seal_chunk(7, &entries);
            assert!(pieces.iter().all(|(_, value)| value.len() <= PIECE + 4));
            assert_eq!(read(&pieces).unwrap(), Some((entries, pieces.len() as u32)));
        }
    }

    #[test]
    fn a_missing_or_misplaced_piece_is_noticed() {
        let big = Entry { index: 7, term: 3, data: vec![5; 3 * PIECE].into(), ..Entry::default() };
        let whole = seal_chunk(7, &[big]);
        assert!(read(&whole[1..]).is_err());
        assert!(read(&[whole[0].clone(), whole[2].clone()]).is_err());
        let mut reader = ChunkReader::default();
        assert!(reader.take(&whole[0].0, &whole[0].1, false).unwrap().is_none() && reader.is_halfway());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let key = piece_key(7, 0);
        let value = seal(&key, &HardStateRecord { term: 5, vote: 2, commit: 9 });
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open::<HardStateRecord>(&key, &flipped, false).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        let value = seal(&piece_key(7, 0), &HardStateRecord { term: 5, vote: 2, commit: 9 });
        assert!(open::<HardStateRecord>(&piece_key(8, 0), &value, false).is_err());
    }
}
