//! What the database holds beside the node's own records, which are [`gossip_core::record`]'s.

use gossip_core::record::{Change, Changes, Damaged, PIECE, Values};
use sled::{Batch, Db};

use super::StoreError;

pub(super) const FORMAT: &[u8] = b"meta/format";
/// Whose database it is: the life of the node's identity, which stands in a file of its own.
pub(super) const OWNER: &[u8] = b"meta/owner";

/// How many writes there have been, the one counted that says so.
pub(super) const WRITES: &[u8] = b"meta/writes";

/// The layout of everything here. A store of another one is refused.
pub(super) const VERSION: u32 = 2;

/// Bytes of one segment of sled's log: more than four times what [`PIECE`] lets a page grow to.
pub(super) const SEGMENT: usize = 2 << 20;
const _: () = assert!(SEGMENT > 4 * 20 * PIECE);

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        StoreError::Damaged(damaged.0)
    }
}

/// sled, as [`gossip_core::record`] reads it.
pub(super) struct Records<'a>(pub(super) &'a Db);

impl Values for Records<'_> {
    type Error = StoreError;

    fn get(&self, key: &[u8]) -> Result<Option<impl AsRef<[u8]>>, StoreError> {
        Ok(self.0.get(key)?)
    }

    fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), StoreError>> {
        self.0.scan_prefix(prefix).map(|item| item.map_err(StoreError::from))
    }
}

/// Changes, as sled takes them.
pub(super) fn batch(changes: Changes) -> Batch {
    let mut batch = Batch::default();
    for Change { key, value } in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}
