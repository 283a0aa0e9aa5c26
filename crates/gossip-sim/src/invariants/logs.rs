//! Log matching: an entry is known by its index and term. Two entries with the same index and term hold the same, and follow an
//! entry of the same term; by induction the logs before them are equal.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;

use super::{Checked, Rule, ensure};
use crate::rng::mix;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    term: u64,
    digest: u64,
    /// The term of the entry before it, where a node had it.
    after: Option<u64>,
}

/// Every entry that any node has written.
#[derive(Debug, Default)]
pub struct Logs {
    by_index: BTreeMap<u64, Vec<Known>>,
}

impl Logs {
    /// A node writes `entries` behind an entry of `previous_term`, where it is known.
    ///
    /// # Errors
    /// Another node wrote something else under the same index and term.
    pub fn written(&mut self, entries: &[Entry], previous_term: Option<u64>) -> Checked {
        let mut after = previous_term;
        for entry in entries {
            let new = Known { term: entry.term, digest: digest(entry), after };
            let known = self.by_index.entry(entry.index).or_default();
            match known.iter_mut().find(|known| known.term == new.term) {
                Some(old) => {
                    let same =
                        old.digest == new.digest && (old.after == after || old.after.is_none() || after.is_none());
                    ensure(same, Rule::LogMatching, || {
                        format!("two entries at index {} of term {} differ: {old:?}, {new:?}", entry.index, entry.term)
                    })?;
                    old.after = old.after.or(after);
                }
                None => known.push(new),
            }
            after = Some(entry.term);
        }
        Ok(())
    }
}

/// Takes bytes into a fingerprint.
pub(super) fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let hash = words.by_ref().fold(hash, |hash, word| {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        mix(hash ^ word)
    });
    let rest = words.remainder().iter().fold(1u64, |word, &byte| word << 8 | u64::from(byte));
    mix(hash ^ rest)
}

fn digest(entry: &Entry) -> u64 {
    fold(fold(entry.entry_type as u64, &entry.data), &entry.context)
}
