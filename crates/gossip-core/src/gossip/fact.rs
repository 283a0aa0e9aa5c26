//! Facts, their versions and their bounds.

use serde::{Deserialize, Serialize};

use crate::membership::NodeId;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 64;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1024;
/// The most keys of one node.
pub const MAX_KEYS: usize = 64;

/// Orders all that one owner ever published, and how much of it a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The owner's incarnation when this life of it began. Facts of an earlier life end with it.
    pub incarnation: u64,
    /// Counts what the owner published in this life, from 1.
    pub counter: u64,
}

/// One value that an owner published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// At most [`MAX_KEY`] bytes, not empty.
    pub key: String,
    /// At most [`MAX_VALUE`] bytes.
    pub value: String,
    /// Its place in what the owner published.
    pub counter: u64,
}

/// What one node sends another of one owner's facts: all that is newer than `after`, or a first part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Whose facts.
    pub owner: NodeId,
    /// The life of the owner in which it published them.
    pub incarnation: u64,
    /// What the receiver must have already; zero for one that has nothing of this life.
    pub after: u64,
    /// By rising counter. Empty only if the owner published nothing yet in this life; then `after` is zero.
    pub facts: Vec<Fact>,
}

/// Something that breaks a bound. Nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Which part.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Invalid {
    pub(crate) const fn new(field: &'static str, problem: &'static str) -> Self {
        Invalid { field, problem }
    }
}

/// Holds a key and a value to their bounds.
pub(super) fn check(key: &str, value: &str) -> Result<(), Invalid> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Invalid::new("key", "must have 1 to 64 bytes"));
    }
    if value.len() > MAX_VALUE {
        return Err(Invalid::new("value", "must have at most 1024 bytes"));
    }
    Ok(())
}

impl Delta {
    /// Holds a delta of another node to the bounds and the order of its facts.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.facts.len() > MAX_KEYS {
            return Err(Invalid::new("facts", "must be at most 64"));
        }
        if self.facts.is_empty() && self.after != 0 {
            return Err(Invalid::new("facts", "must not be empty after others"));
        }
        let mut last = self.after;
        for fact in &self.facts {
            check(&fact.key, &fact.value)?;
            if fact.counter <= last {
                return Err(Invalid::new("counter", "must rise from fact to fact"));
            }
            last = fact.counter;
        }
        Ok(())
    }
}
