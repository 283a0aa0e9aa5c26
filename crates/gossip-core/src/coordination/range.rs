//! Half-open ranges of byte-string keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mutants::{Mutant, Planted};

/// A key: a byte string, ordered by its bytes.
pub type Key = Box<[u8]>;

/// `[start, end)`. An empty `start` is minus infinity, an empty `end` plus infinity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first key inside; empty: from the very beginning.
    #[serde(with = "crate::bytes")]
    pub start: Key,
    /// The first key past it; empty: to the very end.
    #[serde(with = "crate::bytes")]
    pub end: Key,
}

impl Range {
    /// The range from `start` to just before `end`.
    pub fn new(start: impl Into<Key>, end: impl Into<Key>) -> Self {
        Range { start: start.into(), end: end.into() }
    }

    /// Whether `start < end`, infinities counted.
    pub fn is_proper(&self) -> bool {
        self.end.is_empty() || self.start < self.end
    }

    /// Whether `key` lies inside.
    pub fn contains(&self, key: &[u8], planted: Planted) -> bool {
        let at_end = planted.is(Mutant::EndCountsAsInside) && key == &self.end[..];
        key >= &self.start[..] && (self.end.is_empty() || key < &self.end[..] || at_end)
    }

    /// Whether some key lies in both.
    pub fn overlaps(&self, other: &Range) -> bool {
        (self.end.is_empty() || other.start < self.end) && (other.end.is_empty() || self.start < other.end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn side(f: &mut fmt::Formatter<'_>, key: &[u8], infinity: &str) -> fmt::Result {
            if key.is_empty() {
                return f.write_str(infinity);
            }
            key.iter().try_for_each(|b| write!(f, "{b:02x}"))
        }
        f.write_str("[")?;
        side(f, &self.start, "-inf")?;
        f.write_str(", ")?;
        side(f, &self.end, "+inf")?;
        f.write_str(")")
    }
}
