//! S1, S2 and S7 of one shard: who may hold it, with which fence, and where its cursor may go.

use gossip_core::coordination::answer::Grant;
use gossip_core::coordination::{Answer, Command, Cursor, Fence, LeaseRef, Op, ShardStatus, Stamp};

use super::plain::{later, shard_is_over};
use super::{Lease, Run, Shard};
use crate::invariants::{Checked, Rule, Violation, ensure};

impl Run {
    pub(super) fn granted(&mut self, now: Stamp, command: &Command, grant: &Grant) -> Result<bool, Violation> {
        let (worker, lease_ms) = match &command.op {
            Op::Acquire { shard, worker, lease_ms } => {
                ensure(*shard == grant.shard, Rule::State, || format!("{shard} was asked for, {grant:?} given"))?;
                (worker, *lease_ms)
            }
            Op::Claim { worker, lease_ms } => (worker, *lease_ms),
            op => return Err(Violation::new(Rule::State, format!("{} was answered with {grant:?}", op.name()))),
        };
        let first = matches!(command.op, Op::Acquire { .. }) || !self.is_free_before(now, &grant.range.start);
        let shard = self.shard(&grant.shard)?;
        ensure(shard.status == ShardStatus::Active, Rule::S3, || format!("{grant:?} on {shard:?}"))?;
        ensure(shard.live(now).is_none(), Rule::S1, || format!("{grant:?} over the live lease of {shard:?}"))?;
        ensure(grant.fence > shard.fence, Rule::S2, || format!("{grant:?} does not raise the fence of {shard:?}"))?;
        let lease = grant.worker == *worker && grant.granted == now && grant.deadline == later(now, lease_ms);
        ensure(lease, Rule::S1, || format!("at {now:?} {worker} asked for {lease_ms} ms and got {grant:?}"))?;
        ensure(grant.cursor == shard.cursor, Rule::S7, || format!("{grant:?} has lost the cursor of {shard:?}"))?;
        ensure(shard.span.is(&grant.range), Rule::S4, || format!("{grant:?} has not the range of {shard:?}"))?;
        ensure(first, Rule::State, || format!("{grant:?} is not the first shard that is free"))?;
        let taken_over = shard.lease.is_some();
        shard.ran_out = if taken_over { Some(shard.fence) } else { shard.ran_out };
        shard.fence = grant.fence;
        shard.lease = Some(Lease { worker: worker.clone(), granted: now, deadline: grant.deadline });
        Ok(taken_over)
    }

    /// Whether a shard that begins before this key could be claimed.
    fn is_free_before(&self, now: Stamp, key: &[u8]) -> bool {
        let free = |shard: &Shard| shard.status == ShardStatus::Active && shard.live(now).is_none();
        self.shards.values().any(|shard| free(shard) && shard.span.begins_before(key))
    }
}

impl Shard {
    /// Whether a write under `lease` may be accepted at all.
    pub(super) fn written(&self, now: Stamp, lease: &LeaseRef) -> Checked {
        ensure(!shard_is_over(self.status), Rule::S3, || format!("{lease:?} writes to {self:?}"))?;
        ensure(lease.fence == self.fence, Rule::S2, || format!("{lease:?} writes to {self:?}"))?;
        let owner = self.live(now).is_some_and(|live| live.worker == lease.worker);
        ensure(owner, Rule::S1, || format!("at {now:?} {lease:?} writes to {self:?}"))
    }

    /// Takes over a write that touches this shard alone.
    pub(super) fn wrote(&mut self, now: Stamp, op: &Op, lease: &LeaseRef, answer: &Answer) -> Checked {
        self.written(now, lease)?;
        match (op, answer) {
            (Op::Renew { lease_ms, .. }, Answer::Renewed { granted, deadline }) => {
                let held = self
                    .lease
                    .as_mut()
                    .filter(|held| *granted == now && *deadline == held.deadline.max(later(now, *lease_ms)));
                let Some(held) = held else {
                    return Err(Violation::new(Rule::S1, format!("at {now:?} {op:?} was answered {answer:?}")));
                };
                (held.granted, held.deadline) = (now, *deadline);
            }
            (Op::Checkpoint { cursor, .. }, Answer::Checkpointed { cursor: kept }) => {
                ensure(cursor == kept, Rule::S7, || format!("{cursor:?} was sent, {kept:?} kept"))?;
                self.move_cursor(cursor)?;
            }
            (Op::Release { .. }, Answer::Released) => self.lease = None,
            (Op::Complete { cursor, .. }, Answer::Completed) => {
                cursor.iter().try_for_each(|cursor| self.move_cursor(cursor))?;
                (self.lease, self.status) = (None, ShardStatus::Done);
            }
            (Op::Park { .. }, Answer::Parked) => (self.lease, self.status) = (None, ShardStatus::Parked),
            _ => return Err(Violation::new(Rule::State, format!("{op:?} was answered {answer:?}"))),
        }
        Ok(())
    }

    fn move_cursor(&mut self, cursor: &Cursor) -> Checked {
        ensure(self.span.owns(&cursor.key), Rule::S7, || format!("{cursor:?} leaves the range of {self:?}"))?;
        let forward = self.cursor.as_ref().is_none_or(|old| old.key <= cursor.key);
        ensure(forward, Rule::S7, || format!("{cursor:?} moves back the cursor of {self:?}"))?;
        self.cursor = Some(cursor.clone());
        Ok(())
    }

    pub(super) fn unparked(&mut self, fence: Fence) -> Checked {
        ensure(self.status == ShardStatus::Parked, Rule::S3, || format!("{self:?} was unparked"))?;
        ensure(fence > self.fence, Rule::S2, || format!("the fence of {self:?} was {fence} after an unpark"))?;
        (self.status, self.fence) = (ShardStatus::Active, fence);
        Ok(())
    }
}
