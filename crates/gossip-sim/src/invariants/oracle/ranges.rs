//! S4: roots do not overlap, and the parts of a split are exactly what was split.

use gossip_core::coordination::range::Key;
use gossip_core::coordination::{Fence, Range, ShardId, ShardStatus};

use super::{ChildShard, Run, Shard};
use crate::invariants::{Checked, Rule, ensure};

impl Run {
    pub(super) fn add_root(&mut self, name: ShardId, range: Range, floor: Fence) -> Checked {
        let clash = self.roots.iter().find(|root| root.overlaps(&range));
        ensure(clash.is_none(), Rule::S4, || format!("root {name} {range} overlaps {clash:?}"))?;
        self.roots.push(range.clone());
        self.add(name, Shard::new(range, floor))
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
        let whole = shard.range.clone();
        let mut cursor = shard.cursor.clone();
        let starts = std::iter::once(&whole.start).chain(cuts);
        let ends = cuts.iter().chain(std::iter::once(&whole.end));
        let tiles = children.len() == cuts.len() + 1
            && children
                .iter()
                .zip(starts.zip(ends))
                .all(|(c, (start, end))| c.range.start == *start && c.range.end == *end);
        ensure(tiles, Rule::S4, || format!("{whole} cut at {cuts:02x?} became {children:?}"))?;
        for child in children {
            let mut shard = Shard::new(child.range.clone(), floor);
            // What is processed stays with the leftmost part.
            shard.cursor = cursor.take();
            self.add(child.shard.clone(), shard)?;
        }
        Ok(())
    }

    pub(super) fn split(&mut self, parent: &ShardId, at: &Key, residual: &ChildShard, floor: Fence) -> Checked {
        let shard = self.shard(parent)?;
        let tiles = residual.range.start == *at && residual.range.end == shard.range.end;
        ensure(tiles, Rule::S4, || format!("{} cut at {at:02x?} left {residual:?}", shard.range))?;
        shard.range.end = at.clone();
        let (kept, cursor) = (shard.range.clone(), shard.cursor.clone());
        let inside = kept.is_proper() && residual.range.is_proper();
        ensure(inside, Rule::S4, || format!("a part of {kept} and {residual:?} owns no key"))?;
        let stays = cursor.is_none_or(|cursor| kept.contains(&cursor.key));
        ensure(stays, Rule::S4, || format!("the cursor is not in {kept}"))?;
        self.add(residual.shard.clone(), Shard::new(residual.range.clone(), floor))
    }
}
