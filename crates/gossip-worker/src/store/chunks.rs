//! Where the entries are: chunks in the database, by their first index.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;
use sled::{Batch, Db};

use super::StoreError;
use super::record::{ENTRIES, chunk_key, open_chunk, seal_chunk};

/// First index to last index of each chunk on disk. They follow each other without a hole.
#[derive(Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, u64>);

impl Chunks {
    /// Reads every entry.
    pub(super) fn read(db: &Db, trusting: bool) -> Result<(Self, Vec<Entry>), StoreError> {
        let (mut chunks, mut entries) = (Chunks::default(), Vec::<Entry>::new());
        for item in db.scan_prefix(ENTRIES) {
            let (key, value) = item?;
            let chunk = open_chunk(&key, &value, trusting)?;
            if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
                if let Some(before) = entries.last()
                    && first.index != before.index + 1
                {
                    return Err(StoreError::Damaged(format!("entry {} is missing", before.index + 1)));
                }
                chunks.0.insert(first.index, last.index);
            }
            entries.extend(chunk);
        }
        Ok((chunks, entries))
    }

    /// The last entry's index.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, &last)| last)
    }

    /// Appends `entries`; whatever stood at and after the first one's index goes.
    pub(super) fn append(&mut self, batch: &mut Batch, db: &Db, entries: &[Entry]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        for (gone, _) in self.0.split_off(&first.index) {
            batch.remove(chunk_key(gone));
        }
        // The chunk before may reach into what is replaced.
        if let Some((&start, end)) = self.0.last_key_value()
            && *end >= first.index
        {
            let key = chunk_key(start);
            let value = db.get(&key)?;
            let value = value.ok_or_else(|| StoreError::Damaged(format!("entry {start} is missing")))?;
            let kept: Vec<_> = open_chunk(&key, &value, false)?.into_iter().filter(|e| e.index < first.index).collect();
            let value = seal_chunk(&key, &kept);
            batch.insert(key, value);
            self.0.insert(start, first.index - 1);
        }
        let key = chunk_key(first.index);
        let value = seal_chunk(&key, entries);
        batch.insert(key, value);
        self.0.insert(first.index, last.index);
        Ok(())
    }

    /// Removes the chunks that hold nothing after `index`.
    pub(super) fn compact(&mut self, batch: &mut Batch, index: u64) {
        while let Some((&first, &last)) = self.0.first_key_value()
            && last <= index
        {
            batch.remove(chunk_key(first));
            self.0.remove(&first);
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self, batch: &mut Batch) {
        for (first, _) in std::mem::take(&mut self.0) {
            batch.remove(chunk_key(first));
        }
    }
}
