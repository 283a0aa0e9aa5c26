//! Where the entries are. Those that were written together are one value, a chunk, under the index of the first: a database's cost
//! is by value.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;

use super::forms::EntryRecord;
use super::{Change, Changes, Damaged, Values, open_bytes, seal};
use crate::mutants::Planted;

const ENTRIES: &[u8] = b"e";

fn key_of(first: u64) -> Vec<u8> {
    [ENTRIES, &first.to_be_bytes()].concat()
}

/// First index to last index of each chunk on disk. They follow each other without a hole.
#[derive(Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, u64>);

impl Chunks {
    /// Reads every entry.
    pub(super) fn read<V: Values>(values: &V, planted: Planted) -> Result<(Self, Vec<Entry>), V::Error> {
        let (mut chunks, mut entries) = (Chunks::default(), Vec::<Entry>::new());
        for item in values.scan(ENTRIES) {
            let (key, value) = item?;
            let chunk = open_chunk(key.as_ref(), value.as_ref(), planted)?;
            if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
                if let Some(before) = entries.last()
                    && first.index != before.index + 1
                {
                    return Err(Damaged(format!("entry {} is missing", before.index + 1)).into());
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
    pub(super) fn append<V: Values>(
        &mut self,
        changes: &mut Changes,
        values: &V,
        entries: &[Entry],
    ) -> Result<(), V::Error> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        for (gone, _) in self.0.split_off(&first.index) {
            changes.push(Change { key: key_of(gone), value: None });
        }
        // The chunk before may reach into what is replaced.
        if let Some((&start, end)) = self.0.last_key_value()
            && *end >= first.index
        {
            let key = key_of(start);
            let mut kept = match values.get(&key)? {
                Some(value) => open_chunk(&key, value.as_ref(), Planted::NONE)?,
                None => return Err(Damaged(format!("entry {start} is missing")).into()),
            };
            kept.retain(|entry| entry.index < first.index);
            let value = Some(seal_chunk(&key, &kept));
            changes.push(Change { key, value });
            self.0.insert(start, first.index - 1);
        }
        let key = key_of(first.index);
        let value = Some(seal_chunk(&key, entries));
        changes.push(Change { key, value });
        self.0.insert(first.index, last.index);
        Ok(())
    }

    /// Removes the chunks that hold nothing after `index`.
    pub(super) fn compact(&mut self, changes: &mut Changes, index: u64) {
        while let Some((&first, &last)) = self.0.first_key_value()
            && last <= index
        {
            changes.push(Change { key: key_of(first), value: None });
            self.0.remove(&first);
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self, changes: &mut Changes) {
        for (first, _) in std::mem::take(&mut self.0) {
            changes.push(Change { key: key_of(first), value: None });
        }
    }
}

/// A chunk of entries that follow each other.
fn seal_chunk(key: &[u8], entries: &[Entry]) -> Vec<u8> {
    seal(key, &entries.iter().map(EntryRecord::of).collect::<Vec<_>>())
}

/// The entries of a chunk.
fn open_chunk(key: &[u8], value: &[u8], planted: Planted) -> Result<Vec<Entry>, Damaged> {
    let damaged = |why: String| Damaged(format!("record {} {why}", key.escape_ascii()));
    let first = key.get(ENTRIES.len()..).and_then(|tail| tail.try_into().ok()).map(u64::from_be_bytes);
    let first = first.ok_or_else(|| damaged("has no index".into()))?;
    let records: Vec<EntryRecord<'_>> =
        postcard::from_bytes(open_bytes(key, value, planted)?).map_err(|e| damaged(format!("cannot be read: {e}")))?;
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
        entry.set_entry_type(raft::eraftpb::EntryType::EntryConfChange);
        entry.data = b"data".to_vec().into();
        let next = Entry { index: 8, term: 4, ..Entry::default() };
        let key = key_of(7);
        let entries = vec![entry, next];
        assert_eq!(open_chunk(&key, &seal_chunk(&key, &entries), Planted::NONE).unwrap(), entries);
    }
}
