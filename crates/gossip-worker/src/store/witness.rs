//! What the database must at least hold, said beside it.
//!
//! sled takes a record whose checksum does not match for the torn end of its own log, and drops it with all that follows: a bit that
//! flipped in what was acknowledged would go unnoticed, a vote as well as an entry. So every write carries its number, and after
//! each durable one a small file beside the database repeats it. That file is not synced: after a crash of the machine it may
//! say less than was durable, never more.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// A number and its checksum. Two slots, written in turn, so that one is whole whatever is torn.
const SLOT: usize = 12;

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
    said: u64,
    /// Where the next one goes.
    slot: u64,
}

fn encode(writes: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&writes.to_le_bytes());
    let sum = crc32fast::hash(&slot[..8]);
    slot[8..].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<u64> {
    let (body, sum) = slot.split_first_chunk::<8>()?;
    (crc32fast::hash(body).to_le_bytes() == sum).then(|| u64::from_le_bytes(*body))
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
        let slots = bytes.chunks(SLOT).zip(0..);
        let newest = slots.filter_map(|(slot, at)| Some((decode(slot)?, at))).max();
        let (said, slot) = newest.map_or((0, 0), |(said, at)| (said, (at + 1) % 2));
        Ok(Witness { file, path, said, slot })
    }

    /// Holds the number of the newest write that the database gave back against what was said.
    pub(super) fn check(&self, found: u64) -> Result<(), StoreError> {
        if found >= self.said {
            return Ok(());
        }
        let said = self.said;
        Err(StoreError::Damaged(format!("write {said} was durable, and the newest in the database is {found}")))
    }

    /// After a durable write.
    pub(super) fn say(&mut self, writes: u64) -> Result<(), StoreError> {
        let at = self.slot * SLOT as u64;
        let fail = |source| StoreError::Io { what: format!("cannot write {}", self.path.display()), source };
        self.file.write_all_at(&encode(writes), at).map_err(fail)?;
        (self.said, self.slot) = (writes, 1 - self.slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(folder: &Path) -> u64 {
        Witness::open(folder).unwrap().said
    }

    #[test]
    fn it_remembers_the_newest_whole_slot() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(said(folder.path()), 0);
        for number in 1..=4 {
            let mut witness = Witness::open(folder.path()).unwrap();
            witness.say(2 * number - 1).unwrap();
            witness.say(2 * number).unwrap();
            let whole = std::fs::read(&witness.path).unwrap();
            assert_eq!((whole.len(), said(folder.path())), (2 * SLOT, 2 * number));
            // The newest one is torn: the one before it still holds, and is the one that is kept next.
            let mut torn = whole.clone();
            torn[SLOT + 3] ^= 1;
            std::fs::write(&witness.path, torn).unwrap();
            assert_eq!(said(folder.path()), 2 * number - 1);
            std::fs::write(&witness.path, whole).unwrap();
        }
    }

    #[test]
    fn a_database_that_lost_a_durable_write_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness::open(folder.path()).unwrap();
        witness.say(9).unwrap();
        assert!(witness.check(9).is_ok());
        assert!(witness.check(10).is_ok(), "a write that need not be durable may be there");
        assert!(witness.check(8).is_err());
    }
}
