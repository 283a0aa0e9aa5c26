//! What the log must at least hold, said beside the database.
//!
//! sled takes a record whose checksum does not match for the torn end of its own log, and drops it with all that follows: a bit that
//! flipped in what was acknowledged would go unnoticed. So after each durable write a small file beside the database says how far
//! the log reached. It is not synced: after a crash of the machine it may say less than was durable, never more.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gossip_core::record::Reach;

use super::StoreError;

/// Two slots, written in turn, so that one is whole whatever is torn.
const SLOT: usize = 28;

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
    number: u64,
    said: Reach,
}

fn encode(number: u64, reach: Reach) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&number.to_le_bytes());
    slot[8..16].copy_from_slice(&reach.last.to_le_bytes());
    slot[16..24].copy_from_slice(&reach.term.to_le_bytes());
    let sum = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Reach)> {
    let (body, sum) = slot.split_at_checked(24)?;
    if crc32fast::hash(body).to_le_bytes() != sum {
        return None;
    }
    let number = |at: usize| body[at..at + 8].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Some((number(0), Reach { last: number(8), term: number(16) }))
}

impl Witness {
    /// Opens or makes the file.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("witness");
        let fail = |source| StoreError::Io { what: format!("cannot open {}", path.display()), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail)?;
        let newest = bytes.chunks(SLOT).filter_map(decode).max_by_key(|(number, _)| *number);
        let (number, said) = newest.unwrap_or_default();
        Ok(Witness { file, path, number, said })
    }

    /// Holds what the database gave back against what was said.
    pub(super) fn check(&self, found: Reach) -> Result<(), StoreError> {
        let Reach { last, term } = self.said;
        if found.last >= last && found.term >= term {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the log reached entry {last} in term {term} and now ends at entry {} in term {}",
            found.last, found.term
        )))
    }

    /// Before a write: the log may become shorter, by a leader's word, and must not look damaged after a crash in between.
    pub(super) fn prepare(&mut self, after: Reach) -> Result<(), StoreError> {
        if after.last >= self.said.last {
            return Ok(());
        }
        self.say(Reach { last: after.last, ..self.said })?;
        self.file.sync_data().map_err(|source| self.failed(source))
    }

    /// After a durable write.
    pub(super) fn say(&mut self, reach: Reach) -> Result<(), StoreError> {
        if reach == self.said {
            return Ok(());
        }
        self.number += 1;
        let at = self.number % 2 * SLOT as u64;
        self.file.write_all_at(&encode(self.number, reach), at).map_err(|source| self.failed(source))?;
        self.said = reach;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> StoreError {
        StoreError::Io { what: format!("cannot write {}", self.path.display()), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_newest_whole_slot() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness::open(folder.path()).unwrap();
        witness.say(Reach { last: 5, term: 1 }).unwrap();
        witness.say(Reach { last: 9, term: 2 }).unwrap();
        let mut bytes = std::fs::read(&witness.path).unwrap();
        assert_eq!(Witness::open(folder.path()).unwrap().said, Reach { last: 9, term: 2 });
        // The newest one is torn: the one before it still holds.
        let at = usize::try_from(witness.number % 2).unwrap() * SLOT;
        bytes[at + 3] ^= 1;
        std::fs::write(&witness.path, bytes).unwrap();
        assert_eq!(Witness::open(folder.path()).unwrap().said, Reach { last: 5, term: 1 });
    }

    #[test]
    fn a_log_that_lost_its_end_is_noticed_and_one_that_was_cut_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness::open(folder.path()).unwrap();
        witness.say(Reach { last: 9, term: 2 }).unwrap();
        assert!(witness.check(Reach { last: 9, term: 2 }).is_ok());
        assert!(witness.check(Reach { last: 8, term: 2 }).is_err());
        assert!(witness.check(Reach { last: 9, term: 1 }).is_err());
        witness.prepare(Reach { last: 7, term: 3 }).unwrap();
        assert!(witness.check(Reach { last: 7, term: 2 }).is_ok());
    }
}
