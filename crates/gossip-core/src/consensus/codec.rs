//! What the group writes into the log, snapshots and messages, as bytes.

use serde::{Deserialize, Serialize};

use crate::coordination::ids::Stamp;

/// The version of [`LogCommand`] and [`SnapshotData`](super::api::SnapshotData) on disk and on the wire.
const FORMAT: u8 = 1;

/// A command as it stands in the log, after the format byte.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LogCommand<C> {
    pub(super) stamp: Stamp,
    pub(super) command: C,
}

/// Our bytes: the format's version, then `postcard`.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("our own types can be encoded into memory")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(|e| e.to_string()),
        Some((version, _)) => Err(format!("format version {version}, this build reads {FORMAT}")),
        None => Err("no bytes".into()),
    }
}
