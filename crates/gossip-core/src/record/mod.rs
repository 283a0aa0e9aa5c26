//! What a node keeps on its disk, as keys and values: the records, their checksums, and what is made of them at a start.
//!
//! Sans-IO, so that the service's store and the simulator's disk run the same code: a store puts the [`Changes`] of a [`Book`] into
//! its database as one atomic batch, and at a start lets [`Book::recover`] read all of it.
//!
//! A value is a CRC-32 over key and payload, little endian, then the payload in `postcard`. What does not match ends the process;
//! it is never served.

mod book;
mod chunks;
mod forms;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::mutants::{Mutant, Planted};

pub use book::Book;

/// Bytes of one value at most. sled, the service's database, keeps a page that is larger than a quarter of a segment in a file of its
/// own, and such files stay long after what is in them has gone. A page holds up to 20 values.
pub const PIECE: usize = 16 * 1024;

/// A record is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

/// One key's new value; `None`: it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The value under its checksum.
    pub value: Option<Vec<u8>>,
}

/// What is to be written in one atomic step. Of several changes of one key the last counts.
pub type Changes = Vec<Change>;

/// A database, to be read.
pub trait Values {
    /// Why it could not be read.
    type Error: From<Damaged>;

    /// The value of a key.
    ///
    /// # Errors
    /// The database failed.
    fn get(&self, key: &[u8]) -> Result<Option<impl AsRef<[u8]>>, Self::Error>;

    /// All keys that begin with `prefix`, in order, with their values.
    fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), Self::Error>>;
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// A value for `key`.
pub fn seal<T: Serialize>(key: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_extend(value, vec![0; 4]).expect("our own types can be encoded into memory");
    let sum = checksum(key, &bytes[4..]);
    bytes[..4].copy_from_slice(&sum);
    bytes
}

/// A value for `key` that is bytes.
pub fn seal_bytes(key: &[u8], payload: &[u8]) -> Vec<u8> {
    [&checksum(key, payload), payload].concat()
}

/// The payload of a value of `key`.
///
/// # Errors
/// Its checksum does not match.
pub fn open_bytes<'a>(key: &[u8], value: &'a [u8], planted: Planted) -> Result<&'a [u8], Damaged> {
    let damaged = || Damaged(format!("the checksum of record {} does not match", key.escape_ascii()));
    let (sum, payload) = value.split_at_checked(4).ok_or_else(damaged)?;
    if sum != checksum(key, payload) && !planted.is(Mutant::ChecksumUnchecked) {
        return Err(damaged());
    }
    Ok(payload)
}

/// What a value of `key` holds.
///
/// # Errors
/// Its checksum does not match, or another build wrote it.
pub fn open<T: DeserializeOwned>(key: &[u8], value: &[u8], planted: Planted) -> Result<T, Damaged> {
    postcard::from_bytes(open_bytes(key, value, planted)?)
        .map_err(|e| Damaged(format!("record {} cannot be read: {e}", key.escape_ascii())))
}

#[cfg(test)]
mod tests {
    use super::forms::HardStateRecord;
    use super::*;

    const STATE: HardStateRecord = HardStateRecord { term: 5, vote: 2, commit: 9 };

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let value = seal(b"key", &STATE);
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open::<HardStateRecord>(b"key", &flipped, Planted::NONE).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_value_that_ends_early_is_noticed_wherever_it_ends() {
        let value = seal(b"key", &STATE);
        for end in 0..value.len() {
            assert!(open::<HardStateRecord>(b"key", &value[..end], Planted::NONE).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        let value = seal(b"key", &STATE);
        assert!(open::<HardStateRecord>(b"kez", &value, Planted::NONE).is_err());
    }
}
