//! Where the entries are. Those that were written together are one chunk, under the index of the first: a database's cost is by
//! value. A chunk that is larger than [`PIECE`] becomes several values, which follow each other.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;

use super::forms::EntryRecord;
use super::{Change, Changes, Damaged, PIECE, Values, open_bytes, seal_bytes};
use crate::mutants::Planted;

const ENTRIES: &[u8] = b"e";

fn piece_key(first: u64, piece: u32) -> Vec<u8> {
    [ENTRIES, &first.to_be_bytes(), &piece.to_be_bytes()].concat()
}

/// First index to last index and number of pieces of each chunk on disk. They follow each other without a hole.
#[derive(Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, (u64, u32)>);

impl Chunks {
    /// Reads every entry.
    pub(super) fn read<V: Values>(values: &V, planted: Planted) -> Result<(Self, Vec<Entry>), V::Error> {
        let (mut chunks, mut entries) = (Chunks::default(), Vec::<Entry>::new());
        let mut reader = ChunkReader::default();
        for item in values.scan(ENTRIES) {
            let (key, value) = item?;
            let Some((chunk, pieces)) = reader.take(key.as_ref(), value.as_ref(), planted)? else { continue };
            if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
                if let Some(before) = entries.last()
                    && first.index != before.index + 1
                {
                    return Err(Damaged(format!("entry {} is missing", before.index + 1)).into());
                }
                chunks.0.insert(first.index, (last.index, pieces));
            }
            entries.extend(chunk);
        }
        if reader.is_halfway() {
            return Err(Damaged("the last entries are not whole".into()).into());
        }
        Ok((chunks, entries))
    }

    /// Appends `entries`; whatever stood at and after the first one's index goes.
    pub(super) fn append<V: Values>(
        &mut self,
        changes: &mut Changes,
        values: &V,
        entries: &[Entry],
    ) -> Result<(), V::Error> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        for (gone, (_, pieces)) in self.0.split_off(&first.index) {
            remove(changes, gone, pieces);
        }
        // The chunk before may reach into what is replaced.
        if let Some((&start, &(end, pieces))) = self.0.last_key_value()
            && end >= first.index
        {
            let mut kept = read_one(values, start, pieces)?;
            kept.retain(|entry| entry.index < first.index);
            remove(changes, start, pieces);
            self.put(changes, start, first.index - 1, &kept);
        }
        self.put(changes, first.index, last.index, entries);
        Ok(())
    }

    fn put(&mut self, changes: &mut Changes, first: u64, last: u64, entries: &[Entry]) {
        let sealed = seal_chunk(first, entries);
        self.0.insert(first, (last, sealed.len() as u32));
        changes.extend(sealed);
    }

    /// Removes the chunks that hold nothing after `index`.
    pub(super) fn compact(&mut self, changes: &mut Changes, index: u64) {
        while let Some((&first, &(last, pieces))) = self.0.first_key_value()
            && last <= index
        {
            remove(changes, first, pieces);
            self.0.remove(&first);
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self, changes: &mut Changes) {
        for (first, (_, pieces)) in std::mem::take(&mut self.0) {
            remove(changes, first, pieces);
        }
    }
}

fn remove(changes: &mut Changes, first: u64, pieces: u32) {
    changes.extend((0..pieces).map(|piece| Change { key: piece_key(first, piece), value: None }));
}

fn read_one<V: Values>(values: &V, first: u64, pieces: u32) -> Result<Vec<Entry>, V::Error> {
    let missing = || Damaged(format!("entry {first} is missing"));
    let mut reader = ChunkReader::default();
    for piece in 0..pieces {
        let key = piece_key(first, piece);
        let value = values.get(&key)?.ok_or_else(missing)?;
        if let Some((entries, _)) = reader.take(&key, value.as_ref(), Planted::NONE)? {
            return Ok(entries);
        }
    }
    Err(missing().into())
}

/// A chunk of entries that follow each other, in pieces. The first piece begins with their number.
fn seal_chunk(first: u64, entries: &[Entry]) -> Changes {
    let records: Vec<_> = entries.iter().map(EntryRecord::of).collect();
    let mut bytes = postcard::to_extend(&records, vec![0; 4]).expect("our own types can be encoded into memory");
    let pieces = u32::try_from(bytes.len().div_ceil(PIECE)).expect("a chunk of less than 64 TiB");
    bytes[..4].copy_from_slice(&pieces.to_le_bytes());
    let sealed = (0..).zip(bytes.chunks(PIECE)).map(|(number, piece)| {
        let key = piece_key(first, number);
        let value = Some(seal_bytes(&key, piece));
        Change { key, value }
    });
    sealed.collect()
}

/// Reads a chunk's pieces as they come, in order of their keys.
#[derive(Debug, Default)]
struct ChunkReader {
    first: u64,
    /// How many there are, and how many have come.
    pieces: u32,
    seen: u32,
    bytes: Vec<u8>,
}

impl ChunkReader {
    /// Takes the next piece; answers with the chunk once it is whole: its entries and the number of its pieces.
    fn take(&mut self, key: &[u8], value: &[u8], planted: Planted) -> Result<Option<(Vec<Entry>, u32)>, Damaged> {
        let damaged = |why: &str| Damaged(format!("record {} {why}", key.escape_ascii()));
        let tail = key.strip_prefix(ENTRIES).and_then(|tail| tail.split_first_chunk::<8>());
        let place = tail.and_then(|(first, piece)| Some((u64::from_be_bytes(*first), piece.first_chunk::<4>()?)));
        let (first, piece) = place.ok_or_else(|| damaged("has no place in the log"))?;
        let payload = open_bytes(key, value, planted)?;
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
    fn is_halfway(&self) -> bool {
        self.seen < self.pieces
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::EntryType;

    use super::*;

    fn read(pieces: &[Change]) -> Result<Option<(Vec<Entry>, u32)>, Damaged> {
        let mut reader = ChunkReader::default();
        pieces.iter().try_fold(None, |_, piece| reader.take(&piece.key, value_of(piece), Planted::NONE))
    }

    fn value_of(piece: &Change) -> &[u8] {
        piece.value.as_deref().unwrap()
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
            assert!(pieces.iter().all(|piece| value_of(piece).len() <= PIECE + 4));
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
        let begun = reader.take(&whole[0].key, value_of(&whole[0]), Planted::NONE).unwrap();
        assert!(begun.is_none() && reader.is_halfway());
    }
}
