//! S4: roots do not overlap, and the parts of a split are exactly what was split.

use std::fmt;

use gossip_core::coordination::range::Key;
use gossip_core::coordination::{Fence, Range, ShardId, ShardStatus};

use super::{ChildShard, Run, Shard};
use crate::invariants::{Checked, Rule, ensure};

/// The keys that a shard owns: a copy of a [`Range`], compared by rules of its own.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Span {
    first: Box<[u8]>,
    /// Past the last one; empty: there is none.
    end: Box<[u8]>,
}

impl From<&Range> for Span {
    fn from(range: &Range) -> Self {
        Span { first: range.start.clone(), end: range.end.clone() }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:02x?}, {:02x?})", self.first, self.end)
    }
}

impl Span {
    /// Whether this is what the core calls the range.
    pub(super) fn is(&self, range: &Range) -> bool {
        self.first == range.start && self.end == range.end
    }

    fn ends_after(&self, key: &[u8]) -> bool {
        self.end.is_empty() || *key < *self.end
    }

    pub(super) fn begins_before(&self, key: &[u8]) -> bool {
        *self.first < *key
    }

    /// Whether the key is one of these.
    pub(super) fn owns(&self, key: &[u8]) -> bool {
        *self.first <= *key && self.ends_after(key)
    }

    /// Whether a cut here leaves keys on both sides.
    pub(super) fn is_cut_at(&self, key: &[u8]) -> bool {
        *self.first < *key && self.ends_after(key)
    }

    /// Whether there is no such key.
    pub(super) fn is_empty(&self) -> bool {
        !self.ends_after(&self.first)
    }

    /// Whether a key belongs to both: the later one of the first keys does if any does.
    pub(super) fn meets(&self, other: &Span) -> bool {
        let later = if self.first < other.first { &other.first } else { &self.first };
        self.owns(later) && other.owns(later)
    }
}

impl Run {
    pub(super) fn add_root(&mut self, name: ShardId, span: Span, floor: Fence) -> Checked {
        let clash = self.roots.iter().find(|root| root.meets(&span));
        ensure(clash.is_none(), Rule::S4, || format!("root {name} {span:?} overlaps {clash:?}"))?;
        self.roots.push(span.clone());
        self.add(name, Shard::new(span, floor))
    }

    fn add(&mut self, name: ShardId, shard: Shard) -> Checked {
        let twice = self.shards.insert(name.clone(), shard);
        ensure(twice.is_none(), Rule::S4, || format!("two shards are named {name}"))
    }

    pub(super) fn replaced(
        &mut self,
        parent: &ShardId,
        cuts: &[Key],
        children: &[ChildShard],
        floor: Fence,
    ) -> Checked {
        let shard = self.shard(parent)?;
        (shard.status, shard.lease) = (ShardStatus::Split, None);
        let whole = shard.span.clone();
        let mut cursor = shard.cursor.clone();
        let starts = std::iter::once(&whole.first).chain(cuts);
        let ends = cuts.iter().chain(std::iter::once(&whole.end));
        let tiles = children.len() == cuts.len() + 1
            && children
                .iter()
                .zip(starts.zip(ends))
                .all(|(c, (start, end))| c.range.start == *start && c.range.end == *end);
        ensure(tiles, Rule::S4, || format!("{whole:?} cut at {cuts:02x?} became {children:?}"))?;
        for child in children {
            let mut shard = Shard::new(Span::from(&child.range), floor);
            // What is processed stays with the leftmost part.
            shard.cursor = cursor.take();
            self.add(child.shard.clone(), shard)?;
        }
        Ok(())
    }

    pub(super) fn split(&mut self, parent: &ShardId, at: &Key, residual: &ChildShard, floor: Fence) -> Checked {
        let shard = self.shard(parent)?;
        let right = Span::from(&residual.range);
        let tiles = right.first == *at && right.end == shard.span.end;
        ensure(tiles, Rule::S4, || format!("{:?} cut at {at:02x?} left {residual:?}", shard.span))?;
        shard.span.end = at.clone();
        let (kept, cursor) = (shard.span.clone(), shard.cursor.clone());
        ensure(!kept.is_empty() && !right.is_empty(), Rule::S4, || {
            format!("a part of {kept:?} and {right:?} owns no key")
        })?;
        let stays = cursor.is_none_or(|cursor| kept.owns(&cursor.key));
        ensure(stays, Rule::S4, || format!("the cursor is not in {kept:?}"))?;
        self.add(residual.shard.clone(), Shard::new(right, floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans as stretches of a sorted list of keys, in which every end stands too: slow, and hard to get wrong.
    #[test]
    fn spans_hold_and_share_what_a_list_of_keys_says() {
        let mut keys: Vec<Vec<u8>> = (0..6).map(|n| vec![n]).chain([vec![], vec![2, 0], vec![2, 0, 9]]).collect();
        keys.sort();
        let place = |key: &[u8]| keys.iter().position(|known| known == key).expect("every end is in the list");
        let stretch =
            |range: &Range| place(&range.start)..if range.end.is_empty() { keys.len() } else { place(&range.end) };
        let all: Vec<Range> =
            keys.iter().flat_map(|first| keys.iter().map(|end| Range::new(first.clone(), end.clone()))).collect();
        for one in &all {
            let (span, held) = (Span::from(one), stretch(one));
            assert_eq!(span.is_empty(), held.is_empty(), "{span:?}");
            for (at, key) in keys.iter().enumerate() {
                assert_eq!(span.owns(key), held.contains(&at), "{span:?} and {key:?}");
                assert_eq!(span.is_cut_at(key), held.contains(&at) && at > held.start, "{span:?} and {key:?}");
            }
            for two in &all {
                let shared = stretch(two).any(|at| held.contains(&at));
                assert_eq!(span.meets(&Span::from(two)), shared, "{span:?} and {two:?}");
            }
        }
    }
}
