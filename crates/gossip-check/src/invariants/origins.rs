//! Where the cursor of a split-off shard comes from, a part of S7.
//!
//! The leftmost child of a split begins with its parent's cursor. So a cursor that it shows was written on it, or on its parent,
//! or on the shard whose leftmost child that was, and so on; a write whose answer was lost may be the one. (Other shards begin with
//! none, which the shard model knows.) Where the history does not tell how the first of them was made, its cursor could be any.

use std::collections::{HashMap, HashSet};

use super::facts::{Facts, Range, cursor_key, is_cursor_write};
use crate::history::{Name, Value, name};

/// Who may have written which cursor.
pub(super) struct Origins<'a> {
    /// The first invocation that may have written a cursor on a shard.
    written: HashMap<(Name<'a>, &'a str), usize>,
    /// The parent of each leftmost child.
    parents: HashMap<Name<'a>, Name<'a>>,
    made: HashSet<Name<'a>>,
    /// What is known of cursors already looked for: the first invocation that may have written it on the shard or those before.
    known: HashMap<(Name<'a>, &'a str), Option<usize>>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(facts: &Facts<'a>) -> Self {
        let mut origins = Self {
            written: HashMap::new(),
            parents: HashMap::new(),
            made: facts.made.iter().map(|m| m.shard.clone()).collect(),
            known: HashMap::new(),
        };
        for call in facts.calls.iter().filter(|c| !c.failed()) {
            let Some(shard) = call.shard() else { continue };
            if is_cursor_write(call.f())
                && let Some(key) = cursor_key(call.input("cursor"))
            {
                origins.written.entry((shard, key)).or_insert(call.at);
            } else if call.f() == "split-replace" {
                let children = call.output("children").and_then(Value::items).unwrap_or_default();
                let leftmost = children.iter().min_by_key(|child| Range::of(child).order());
                if let Some(child) = leftmost.and_then(|child| child.some("shard")) {
                    origins.parents.entry(name(child)).or_insert(shard);
                }
            }
        }
        origins
    }

    /// Whether a cursor that a leftmost child shows at some place may have been written before it. Of others it is not asked.
    pub(super) fn may_be(&mut self, shard: &Name<'a>, key: &'a str, place: usize) -> bool {
        !self.parents.contains_key(shard) || self.first_written(shard, key).is_some_and(|at| at < place)
    }

    /// The first invocation that may have written the cursor on the shard or on those that it inherits from: 0 if it could be any.
    pub(super) fn first_written(&mut self, shard: &Name<'a>, key: &'a str) -> Option<usize> {
        let mut path = Vec::new();
        let mut at = shard.clone();
        let mut first = loop {
            if let Some(known) = self.known.get(&(at.clone(), key)) {
                break *known;
            }
            // None is written before it is looked for, which ends a circle of names.
            self.known.insert((at.clone(), key), None);
            path.push(at.clone());
            match self.parents.get(&at) {
                Some(parent) => at = parent.clone(),
                None if self.made.contains(&at) => break None,
                None => break Some(0),
            }
        };
        for shard in path.into_iter().rev() {
            let own = self.written.get(&(shard.clone(), key)).copied();
            first = own.into_iter().chain(first).min();
            self.known.insert((shard, key), first);
        }
        first
    }
}
