//! Where the entries are: chunks in the database, by their first index.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;
use sled::{Batch, Db};

use super::StoreError;
use super::record::{ChunkReader, ENTRIES, piece_key, seal_chunk};

/// First index to last index and number of pieces of each chunk on disk. They follow each other without a hole.
#[derive(Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, (u64, u32)>);

impl Chunks {
    /// Reads every entry.
    pub(super) fn read(db: &Db, trusting: bool) -> Result<(Self, Vec<Entry>), StoreError> {
        let (mut chunks, mut entries) = (Chunks::default(), Vec::<Entry>::new());
        let mut reader = ChunkReader::default();
        for item in db.scan_prefix(ENTRIES) {
            let (key, value) = item?;
            let Some((chunk, pieces)) = reader.take(&key, &value, trusting)? else { continue };
            if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
                if let Some(before) = entries.last()
                    && first.index != before.index + 1
                {
                    return Err(StoreError::Damaged(format!("entry {} is missing", before.index + 1)));
                }
                chunks.0.insert(first.index, (last.index, pieces));
            }
            entries.extend(chunk);
        }
        if reader.is_halfway() {
            return Err(StoreError::Damaged("the last entries are not whole".into()));
        }
        Ok((chunks, entries))
    }

    /// The last entry's index.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, &(last, _))| last)
    }

    /// Appends `entries`; whatever stood at and after the first one's index goes.
    pub(super) fn append(&mut self, batch: &mut Batch, db: &Db, entries: &[Entry]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        for (gone, (_, pieces)) in self.0.split_off(&first.index) {
            remove(batch, gone, pieces);
        }
        // The chunk before may reach into what is replaced.
        if let Some((&start, &(end, pieces))) = self.0.last_key_value()
            && end >= first.index
        {
            let mut kept = read_one(db, start, pieces)?;
            kept.retain(|entry| entry.index < first.index);
            remove(batch, start, pieces);
            self.put(batch, start, first.index - 1, &kept);
        }
        self.put(batch, first.index, last.index, entries);
        Ok(())
    }

    fn put(&mut self, batch: &mut Batch, first: u64, last: u64, entries: &[Entry]) {
        let pieces = seal_chunk(first, entries);
        self.0.insert(first, (last, pieces.len() as u32));
        pieces.into_iter().for_each(|(key, value)| batch.insert(key, value));
    }

    /// Removes the chunks that hold nothing after `index`.
    pub(super) fn compact(&mut self, batch: &mut Batch, index: u64) {
        while let Some((&first, &(last, pieces))) = self.0.first_key_value()
            && last <= index
        {
            remove(batch, first, pieces);
            self.0.remove(&first);
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self, batch: &mut Batch) {
        for (first, (_, pieces)) in std::mem::take(&mut self.0) {
            remove(batch, first, pieces);
        }
    }
}

fn remove(batch: &mut Batch, first: u64, pieces: u32) {
    (0..pieces).for_each(|piece| batch.remove(piece_key(first, piece)));
}

fn read_one(db: &Db, first: u64, pieces: u32) -> Result<Vec<Entry>, StoreError> {
    let missing = || StoreError::Damaged(format!("entry {first} is missing"));
    let mut reader = ChunkReader::default();
    for piece in 0..pieces {
        let key = piece_key(first, piece);
        let value = db.get(&key)?.ok_or_else(missing)?;
        if let Some((entries, _)) = reader.take(&key, &value, false)? {
            return Ok(entries);
        }
    }
    Err(missing())
}
