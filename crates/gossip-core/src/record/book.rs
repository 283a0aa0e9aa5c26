//! The books: what is on the disk, which records a write changes, and what a start finds.

use std::borrow::Cow;

use raft::eraftpb::Entry;

use super::chunks::Chunks;
use super::forms::{HardStateRecord, SnapshotHead};
use super::{Change, Changes, Damaged, PIECE, Values, open, open_bytes, seal, seal_bytes};
use crate::consensus::{Persist, Recovered, SnapshotRecord};
use crate::mutants::{Mutant, Planted};

const HARD_STATE: &[u8] = b"raft/hard";
const SNAPSHOT: &[u8] = b"raft/snapshot";
const PARTS: &[u8] = b"p";

fn part_key(snapshot: u64, part: u32) -> Vec<u8> {
    [PARTS, &snapshot.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// What is on one node's disk, without the contents.
#[derive(Debug, Default)]
pub struct Book {
    chunks: Chunks,
    /// Index and parts.
    snapshot: Option<(u64, u32)>,
}

impl Book {
    /// Reads all that a node needs for its start.
    ///
    /// # Errors
    /// A record is damaged or missing, or the database failed. The node must not start.
    pub fn recover<V: Values>(values: &V, planted: Planted) -> Result<(Recovered, Book), V::Error> {
        let mut recovered = Recovered::default();
        let mut snapshot = None;
        if let Some(value) = values.get(HARD_STATE)? {
            recovered.hard_state = open::<HardStateRecord>(HARD_STATE, value.as_ref(), planted)?.into();
        }
        if let Some(value) = values.get(SNAPSHOT)? {
            let head: SnapshotHead = open(SNAPSHOT, value.as_ref(), planted)?;
            recovered.snapshot = Some(read_snapshot(values, &head, planted)?);
            snapshot = Some((head.index, head.parts));
        }
        let (chunks, entries) = Chunks::read(values, planted)?;
        let start = recovered.snapshot.as_ref().map_or(1, |s| s.index + 1);
        let latest = if planted.is(Mutant::RecoverySeesAHole) { start - 1 } else { start };
        if entries.first().is_some_and(|first| first.index > latest) {
            return Err(Damaged(format!("entry {start} is missing")).into());
        }
        recovered.entries = entries;
        Ok((recovered, Book { chunks, snapshot }))
    }

    /// Puts the founding snapshot into an empty database.
    pub fn found(&mut self, record: &SnapshotRecord) -> Changes {
        let mut changes = Changes::new();
        self.put_snapshot(&mut changes, record);
        changes
    }

    /// Puts `writes`, in order, into one atomic step. `values` is the database as it stands before it.
    ///
    /// # Errors
    /// The database failed, or what it gave is damaged. The node must stop.
    pub fn put<V: Values>(&mut self, values: &V, writes: &[Persist]) -> Result<Changes, V::Error> {
        let mut changes = Changes::new();
        // Entries of one step become one chunk. Most steps are one write, whose entries need not be copied together.
        let mut appended: Cow<'_, [Entry]> = Cow::Borrowed(&[]);
        for write in writes {
            if let Some(state) = &write.hard_state {
                let value = Some(seal(HARD_STATE, &HardStateRecord::from(state)));
                changes.push(Change { key: HARD_STATE.to_vec(), value });
            }
            if let Some(record) = &write.snapshot {
                self.put_snapshot(&mut changes, record);
                if !write.keeps_log {
                    self.chunks.clear(&mut changes);
                    appended = Cow::Borrowed(&[]);
                }
            }
            if let Some(first) = write.entries.first() {
                if appended.is_empty() {
                    appended = Cow::Borrowed(&write.entries);
                } else {
                    let appended = appended.to_mut();
                    appended.retain(|entry| entry.index < first.index);
                    appended.extend_from_slice(&write.entries);
                }
            }
        }
        self.chunks.append(&mut changes, values, &appended)?;
        if let Some(index) = writes.iter().filter_map(|write| write.compact_to).max() {
            self.chunks.compact(&mut changes, index);
        }
        Ok(changes)
    }

    fn put_snapshot(&mut self, changes: &mut Changes, record: &SnapshotRecord) {
        if let Some((index, parts)) = self.snapshot {
            changes.extend((0..parts).map(|part| Change { key: part_key(index, part), value: None }));
        }
        let mut parts = 0;
        for (number, bytes) in (0u32..).zip(record.data.chunks(PIECE)) {
            let key = part_key(record.index, number);
            let value = Some(seal_bytes(&key, bytes));
            changes.push(Change { key, value });
            parts = number + 1;
        }
        let head = SnapshotHead::new(record.index, record.term, parts, &record.conf_state);
        changes.push(Change { key: SNAPSHOT.to_vec(), value: Some(seal(SNAPSHOT, &head)) });
        self.snapshot = Some((record.index, parts));
    }
}

fn read_snapshot<V: Values>(values: &V, head: &SnapshotHead, planted: Planted) -> Result<SnapshotRecord, V::Error> {
    let mut data = Vec::new();
    for part in 0..head.parts {
        let key = part_key(head.index, part);
        let value = values.get(&key)?.ok_or_else(|| {
            let what = format!("part {part} of the snapshot at {} is missing ({})", head.index, PARTS.escape_ascii());
            Damaged(what)
        })?;
        data.extend_from_slice(open_bytes(&key, value.as_ref(), planted)?);
    }
    Ok(SnapshotRecord { index: head.index, term: head.term, conf_state: head.conf_state(), data })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use raft::eraftpb::HardState;

    use super::*;

    /// A database in memory.
    #[derive(Default)]
    struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Memory {
        fn apply(&mut self, changes: Changes) {
            for Change { key, value } in changes {
                match value {
                    Some(value) => drop(self.0.insert(key, value)),
                    None => drop(self.0.remove(&key)),
                }
            }
        }
    }

    impl Values for Memory {
        type Error = Damaged;

        fn get(&self, key: &[u8]) -> Result<Option<impl AsRef<[u8]>>, Damaged> {
            Ok(self.0.get(key))
        }

        fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), Damaged>> {
            self.0.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix)).map(Ok)
        }
    }

    fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
        indexes.map(|index| Entry { index, term, data: vec![term as u8; 9].into(), ..Entry::default() }).collect()
    }

    fn snapshot(index: u64) -> SnapshotRecord {
        SnapshotRecord { index, term: 1, conf_state: Default::default(), data: vec![7; PIECE + 3] }
    }

    fn write(memory: &mut Memory, book: &mut Book, writes: &[Persist]) {
        let changes = book.put(memory, writes).unwrap();
        memory.apply(changes);
    }

    fn read(memory: &Memory) -> Recovered {
        Book::recover(memory, Planted::NONE).unwrap().0
    }

    #[test]
    fn what_is_replaced_cut_off_and_compacted_comes_back_as_it_was_meant() {
        let (mut memory, mut book) = (Memory::default(), Book::default());
        memory.apply(book.found(&snapshot(1)));
        write(&mut memory, &mut book, &[Persist { entries: entries(2..=5, 1), ..Persist::default() }]);
        let state = HardState { term: 3, vote: 2, commit: 4, ..HardState::default() };
        let replaced = Persist { entries: entries(4..=8, 3), hard_state: Some(state.clone()), ..Persist::default() };
        write(&mut memory, &mut book, &[replaced]);
        let recovered = read(&memory);
        assert_eq!(recovered.entries, [entries(2..=3, 1), entries(4..=8, 3)].concat());
        assert_eq!((recovered.hard_state, recovered.snapshot), (state, Some(snapshot(1))));

        let own = Persist { snapshot: Some(snapshot(6)), keeps_log: true, compact_to: Some(3), ..Persist::default() };
        write(&mut memory, &mut book, &[own]);
        let recovered = read(&memory);
        assert_eq!((recovered.entries, recovered.snapshot), (entries(4..=8, 3), Some(snapshot(6))));

        let leaders = Persist { snapshot: Some(snapshot(20)), entries: entries(21..=21, 4), ..Persist::default() };
        write(&mut memory, &mut book, &[Persist { entries: entries(9..=9, 3), ..Persist::default() }, leaders]);
        let recovered = read(&memory);
        assert_eq!((recovered.entries, recovered.snapshot), (entries(21..=21, 4), Some(snapshot(20))));
        assert_eq!(memory.0.len(), 5, "what was replaced is gone: hard state, head, two parts, one chunk");
    }

    #[test]
    fn a_missing_record_is_damage() {
        let (mut memory, mut book) = (Memory::default(), Book::default());
        memory.apply(book.found(&snapshot(1)));
        for index in 2..=4 {
            write(&mut memory, &mut book, &[Persist { entries: entries(index..=index, 1), ..Persist::default() }]);
        }
        let keys: Vec<Vec<u8>> = memory.0.keys().cloned().collect();
        let gone = |key: &Vec<u8>| {
            let mut memory = Memory(memory.0.clone());
            memory.0.remove(key);
            Book::recover(&memory, Planted::NONE).is_err()
        };
        let noticed: Vec<bool> = keys.iter().map(gone).collect();
        // Three entries, two parts, the head. The newest entry is missed by who knows that it was there: the store's witness.
        assert_eq!(noticed, [true, true, false, true, true, true]);
    }
}
