//! Splits: one shard becomes several, and no key is lost or owned twice.

use std::sync::Arc;

use super::answer::ShardStatus;
use super::command::Cursor;
use super::error::Rejection;
use super::oplog::Outcome;
use super::range::{Key, Range};
use super::run::{Context, Run};
use super::shard::{Shard, Slot};
use crate::mutants::{Mutant, Planted};

impl Run {
    pub(super) fn split_replace(&mut self, cx: &Context, slot: Slot, cuts: &[Key]) -> Result<Outcome, Rejection> {
        let parent = self.shard(slot);
        let mut previous: Option<&Key> = None;
        for (i, cut) in cuts.iter().enumerate() {
            check_cut(parent, cut, cx.planted).map_err(|problem| refused(format!("cuts[{i}]"), problem))?;
            if previous.is_some_and(|previous| cut <= previous) {
                return Err(refused(format!("cuts[{i}]"), "must be above the cut before it"));
            }
            previous = Some(cut);
        }
        cx.shards.admit(cuts.len() + 1)?;

        let ranges = parts(&parent.range, cuts, cx.planted);
        assert_tiles(&parent.range, &ranges, cx.planted);
        let cursor = first_cursor(parent, cx.planted);
        self.change(slot, |shard| {
            shard.lease = None;
            shard.status = ShardStatus::Split;
        });
        let mut children =
            ranges.iter().map(|range| self.add_child(cx, slot, range.clone())).collect::<Vec<_>>().into_iter();
        let first = children.next().expect("a split has two children at least");
        self.shards[first as usize].cursor = cursor;
        Ok(Outcome::Replaced { first, ranges })
    }

    pub(super) fn split_residual(&mut self, cx: &Context, slot: Slot, at: &Key) -> Result<Outcome, Rejection> {
        let parent = self.shard(slot);
        check_cut(parent, at, cx.planted).map_err(|problem| refused("at".into(), problem))?;
        cx.shards.admit(1)?;

        let whole = parent.range.clone();
        let kept = Arc::new(Range::new(whole.start.clone(), at.clone()));
        let start = if cx.planted.is(Mutant::ResidualOverlaps) { &whole.start } else { at };
        let range = Arc::new(Range::new(start.clone(), whole.end.clone()));
        assert_tiles(&whole, &[kept.clone(), range.clone()], cx.planted);
        self.change(slot, |shard| shard.range = kept);
        let residual = self.add_child(cx, slot, range.clone());
        Ok(Outcome::Split { residual, range })
    }
}

fn refused(field: String, problem: &str) -> Rejection {
    Rejection::SplitPointInvalid { field, problem: problem.into() }
}

/// Where the first child goes on: where its parent was.
fn first_cursor(parent: &Shard, planted: Planted) -> Option<Arc<Cursor>> {
    if planted.is(Mutant::SplitMovesCursor) {
        let from = parent.cursor.as_ref().map_or(&parent.range.start, |cursor| &cursor.key);
        return Some(Arc::new(Cursor { key: [&from[..], &[0]].concat().into(), token: Vec::new() }));
    }
    parent.cursor.clone()
}

/// A cut leaves keys on both sides, and what is processed stays on the left.
fn check_cut(parent: &Shard, cut: &Key, planted: Planted) -> Result<(), &'static str> {
    if !parent.range.contains(cut, planted) || *cut == parent.range.start {
        return Err("must lie strictly inside the shard's range");
    }
    if parent.cursor.as_ref().is_some_and(|cursor| *cut <= cursor.key) {
        return Err("must be above the cursor");
    }
    Ok(())
}

fn parts(whole: &Range, cuts: &[Key], planted: Planted) -> Box<[Arc<Range>]> {
    let starts = cuts.iter().map(|cut| {
        let mut start = cut.to_vec();
        if planted.is(Mutant::SplitDropsBoundary) {
            start.push(0);
        }
        start.into_boxed_slice()
    });
    let starts = std::iter::once(whole.start.clone()).chain(starts);
    let ends = cuts.iter().chain(std::iter::once(&whole.end));
    starts.zip(ends).map(|(start, end)| Arc::new(Range::new(start, end.clone()))).collect()
}

/// Stops the node rather than lose a key. A planted bug passes, since it must be caught from outside.
fn assert_tiles(whole: &Range, parts: &[Arc<Range>], planted: Planted) {
    if planted != Planted::NONE {
        return;
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { panic!("a split into nothing") };
    assert!(first.start == whole.start && last.end == whole.end, "a split changes the ends of {whole}");
    assert!(parts.iter().all(|part| part.is_proper()), "a split of {whole} makes an empty shard");
    assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "a split of {whole} leaves a gap or an overlap");
}
