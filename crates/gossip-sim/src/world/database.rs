//! What stands in for the service's database: ordered keys and values, and a log of atomic batches in front of them.
//!
//! A batch that is not synced may be lost in a crash of the machine, torn at any byte, or stand behind a hole. The log is read back
//! as such a database reads its own, up to the first batch that is not whole. What a whole batch holds it does not check: the
//! records' own checksums ([`gossip_core::record`]) are the node's.

use std::collections::{BTreeMap, VecDeque};

use gossip_core::record::{Change, Changes, Damaged, Values};

use crate::faults::{Fault, FaultSet};
use crate::reach::Reach;
use crate::rng::Rng;

/// Length and checksum of a batch in the log.
const HEAD: usize = 8;

/// One machine's database.
#[derive(Debug, Default)]
pub(super) struct Database {
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Written and not yet synced, in order.
    log: VecDeque<Changes>,
}

impl Database {
    /// Writes a batch without a sync.
    pub(super) fn apply(&mut self, changes: Changes) {
        self.log.push_back(changes);
    }

    /// All that was written is durable.
    pub(super) fn sync(&mut self) {
        for Change { key, value } in self.log.drain(..).flatten() {
            match value {
                Some(value) => drop(self.synced.insert(key, value)),
                None => drop(self.synced.remove(&key)),
            }
        }
    }

    /// The machine loses its power: of what was not synced that comes back which the log still holds whole.
    pub(super) fn crash(&mut self, rng: &mut Rng, faults: FaultSet, reach: &mut Reach) {
        const HOW: [Fault; 3] = [Fault::LostTail, Fault::TornTail, Fault::ReorderedTail];
        let possible: Vec<Fault> = HOW.into_iter().filter(|&fault| faults.has(fault)).collect();
        if let Some(&fault) = rng.pick(&possible)
            && !self.log.is_empty()
        {
            let batches = self.log.len();
            let bytes = damage(encode(&self.log), fault, &self.log, rng);
            self.log = decode(&bytes);
            if self.log.len() < batches {
                reach.fault(fault);
            }
        }
        self.sync();
    }

    /// Flips one bit of a value, or cuts it short, behind the database's back. Says whether there was a value.
    pub(super) fn spoil(&mut self, rng: &mut Rng) -> bool {
        let at = rng.index(self.synced.len());
        let Some(value) = self.synced.values_mut().nth(at) else { return false };
        let byte = rng.index(value.len());
        if rng.chance(200_000) {
            value.truncate(byte);
        } else {
            value[byte] ^= 1 << rng.below(8);
        }
        true
    }
}

impl Values for Database {
    type Error = Damaged;

    fn get(&self, key: &[u8]) -> Result<Option<impl AsRef<[u8]>>, Damaged> {
        let newest = self.log.iter().rev().flat_map(|changes| changes.iter().rev()).find(|change| change.key == key);
        Ok(match newest {
            Some(change) => change.value.as_ref(),
            None => self.synced.get(key),
        })
    }

    /// Only a process that starts scans, and a log that is read back is merged first.
    fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), Damaged>> {
        assert!(self.log.is_empty(), "a database in use is scanned");
        self.synced.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix)).map(Ok)
    }
}

/// Bytes of the log of which a crash left only a part.
fn damage(mut bytes: Vec<u8>, fault: Fault, log: &VecDeque<Changes>, rng: &mut Rng) -> Vec<u8> {
    match fault {
        Fault::TornTail => bytes.truncate(rng.index(bytes.len())),
        Fault::ReorderedTail => {
            // Later bytes reached the disk, these did not.
            let from = rng.index(bytes.len());
            let to = from + 1 + rng.index(bytes.len() - from);
            bytes[from..to].fill(0);
        }
        _ => {
            let kept = rng.index(log.len() + 1);
            bytes.truncate(log.iter().take(kept).map(|changes| HEAD + body(changes).len()).sum());
        }
    }
    bytes
}

fn body(changes: &Changes) -> Vec<u8> {
    let plain: Vec<(&[u8], Option<&[u8]>)> = changes.iter().map(|c| (c.key.as_slice(), c.value.as_deref())).collect();
    postcard::to_stdvec(&plain).expect("bytes can be encoded into memory")
}

fn encode(log: &VecDeque<Changes>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for changes in log {
        let body = body(changes);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
    }
    bytes
}

/// The batches up to the first one that is not whole.
fn decode(mut bytes: &[u8]) -> VecDeque<Changes> {
    let mut log = VecDeque::new();
    while let Some((changes, rest)) = decode_one(bytes) {
        log.push_back(changes);
        bytes = rest;
    }
    log
}

fn decode_one(bytes: &[u8]) -> Option<(Changes, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if body.is_empty() || crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let plain: Vec<(Vec<u8>, Option<Vec<u8>>)> = postcard::from_bytes(body).ok()?;
    Some((plain.into_iter().map(|(key, value)| Change { key, value }).collect(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Subject;

    fn put(key: u8, value: &[u8]) -> Changes {
        vec![Change { key: vec![key], value: Some(value.to_vec()) }, Change { key: vec![0], value: None }]
    }

    #[test]
    fn whatever_a_crash_leaves_is_some_first_batches() {
        let mut lost = [0; 3];
        for seed in 0..300 {
            for (place, fault) in [Fault::LostTail, Fault::TornTail, Fault::ReorderedTail].into_iter().enumerate() {
                let mut database = Database::default();
                database.apply(put(9, b"synced"));
                database.sync();
                (1..=4).for_each(|key| database.apply(put(key, &[key; 20])));
                let mut rng = Rng::stream(seed, Subject::Disk(place as u32));
                database.crash(&mut rng, FaultSet::of(&[fault]), &mut Reach::default());
                let keys: Vec<u8> = database.synced.keys().map(|key| key[0]).collect();
                let first: Vec<u8> = (1..keys.len() as u8).chain([9]).collect();
                assert_eq!(keys, first, "{fault:?} with seed {seed}");
                lost[place] += 5 - keys.len();
            }
        }
        assert!(lost.iter().all(|&batches| batches > 300), "{lost:?}");
    }

    #[test]
    fn the_newest_change_of_a_key_counts_whether_synced_or_not() {
        let mut database = Database::default();
        let get = |database: &Database| database.get(&[1]).unwrap().map(|value| value.as_ref().to_vec());
        database.apply(put(1, b"a"));
        assert_eq!(get(&database), Some(b"a".to_vec()));
        database.sync();
        database.apply(put(1, b"b"));
        assert_eq!(get(&database), Some(b"b".to_vec()));
        database.apply(vec![Change { key: vec![1], value: None }]);
        assert_eq!(get(&database), None);
    }
}
