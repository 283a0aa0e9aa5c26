//! One run: its shards, its op log, and the order in which a mutation of it is decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, ChildShard, Grant, RunStatus, RunSummary, ShardCounts, ShardStatus};
use super::claims::Claims;
use super::command::{Command, Op};
use super::error::Rejection;
use super::ids::{Fence, OpId, RunId, ShardId, Stamp};
use super::oplog::{Entry, OpLog, Outcome, Payload, RunMark};
use super::range::Range;
use super::shard::{Root, Shard, Slot};
use crate::mutants::{Mutant, Planted};

/// What one entry of the log brings along beside its command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) index: u64,
    pub(super) now: Stamp,
    pub(super) payload: Payload,
    pub(super) planted: Planted,
    /// The fence of new shards: not below any that a deleted run of the tenant has granted.
    pub(super) floor: Fence,
    /// The tenant's quota of shards, and how many it has.
    pub(super) shards: Quota,
}

/// A quota and how much of it is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) field: &'static str,
    pub(super) max: u64,
    pub(super) used: u64,
}

impl Quota {
    /// Refuses `more` if it does not fit.
    pub(super) fn admit(self, more: usize) -> Result<(), Rejection> {
        let actual = self.used.saturating_add(more as u64);
        if actual <= self.max {
            return Ok(());
        }
        Err(Rejection::LimitExceeded { field: self.field.into(), max: self.max, actual })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) status: RunStatus,
    #[serde(with = "crate::bytes")]
    pub(super) metadata: Vec<u8>,
    /// Why it failed or was cancelled.
    pub(super) reason: Box<str>,
    pub(super) changed_at: u64,
    /// Children made by splits so far: the number of the next one.
    pub(super) children: u64,
    pub(super) roots: Vec<Root>,
    pub(super) shards: Vec<Shard>,
    pub(super) log: OpLog,
    /// Derived from `shards`, like all that follows.
    #[serde(skip)]
    pub(super) names: BTreeMap<ShardId, Slot>,
    #[serde(skip)]
    pub(super) counts: ShardCounts,
    #[serde(skip)]
    pub(super) claims: Claims,
}

impl Run {
    /// An Open run without shards, as `op_id` created it.
    pub(super) fn created(index: u64, payload: Payload, op_id: OpId, metadata: &[u8]) -> Self {
        let mut run = Run {
            status: RunStatus::Open,
            metadata: metadata.to_vec(),
            reason: "".into(),
            changed_at: index,
            children: 0,
            roots: Vec::new(),
            shards: Vec::new(),
            log: OpLog::default(),
            names: BTreeMap::new(),
            counts: ShardCounts::default(),
            claims: Claims::default(),
        };
        let entry = Entry::new(payload, index, None, run.mark(index));
        run.log.record(op_id, entry, &mut []);
        run
    }

    /// Decides one mutation: finds the record, asks the op log, then whether the state allows it, then carries it out.
    pub(super) fn apply(&mut self, cx: &Context, command: &Command) -> Result<Answer, Rejection> {
        let slot = command.op.shard().map(|name| self.slot(name)).transpose()?;
        if cx.planted.is(Mutant::OpLogAfterLease) {
            self.admit(cx, slot, &command.op)?;
        }
        if let Some(outcome) = self.log.find(command.op_id, cx.payload, cx.planted)? {
            return self.answer(command, outcome);
        }
        self.admit(cx, slot, &command.op)?;
        let outcome = self.carry_out(cx, slot, command)?;
        self.changed_at = cx.index;
        let answer = self.answer(command, &outcome)?;
        self.remember(cx, slot, command, outcome);
        Ok(answer)
    }

    /// What the state of the run, the shard and its lease says to an operation.
    fn admit(&self, cx: &Context, slot: Option<Slot>, op: &Op) -> Result<(), Rejection> {
        match (op, slot) {
            (Op::Acquire { .. }, Some(slot)) => self.admit_acquire(cx, slot),
            (Op::Claim { .. }, _) => self.admit_grants(),
            (Op::Unpark { .. }, Some(slot)) => self.admit_unpark(slot),
            (_, Some(slot)) => op.lease().map_or(Ok(()), |lease| self.admit_write(cx, slot, lease)),
            (_, None) => self.admit_run_op(cx, op),
        }
    }

    fn carry_out(&mut self, cx: &Context, slot: Option<Slot>, command: &Command) -> Result<Outcome, Rejection> {
        let Some(slot) = slot else { return self.carry_out_run_op(cx, command) };
        match &command.op {
            Op::Acquire { worker, lease_ms, .. } => Ok(self.grant(cx, slot, worker, *lease_ms)),
            Op::Renew { lease_ms, .. } => Ok(self.renew(cx, slot, *lease_ms)),
            Op::Checkpoint { cursor, .. } => self.checkpoint(cx, slot, cursor),
            Op::Release { .. } => Ok(self.release(cx, slot)),
            Op::Complete { cursor, .. } => self.complete(cx, slot, cursor.as_ref()),
            Op::Park { reason, .. } => Ok(self.park(slot, reason)),
            Op::Unpark { .. } => Ok(self.unpark(cx, slot)),
            Op::SplitReplace { cuts, .. } => self.split_replace(cx, slot, cuts),
            Op::SplitResidual { at, .. } => self.split_residual(cx, slot, at),
            _ => self.carry_out_run_op(cx, command),
        }
    }

    fn carry_out_run_op(&mut self, cx: &Context, command: &Command) -> Result<Outcome, Rejection> {
        match &command.op {
            Op::Claim { worker, lease_ms } => return self.claim(cx, worker, *lease_ms),
            Op::RegisterShards { shards, start } => self.register(cx, shards, *start)?,
            Op::StartRun => self.status = RunStatus::Active,
            Op::CompleteRun => self.status = RunStatus::Done,
            Op::FailRun { reason } => self.end(cx, RunStatus::Failed, reason),
            Op::CancelRun { reason } => self.end(cx, RunStatus::Cancelled, reason),
            op => unreachable!("{} is not an operation on a run that exists", op.name()),
        }
        Ok(self.mark(cx.index))
    }

    /// The run as this entry of the log leaves it.
    fn mark(&self, index: u64) -> Outcome {
        Outcome::Run(Box::new(RunMark {
            status: self.status,
            roots: self.roots.len() as u64,
            counts: self.counts,
            changed_at: index,
        }))
    }

    fn remember(&mut self, cx: &Context, slot: Option<Slot>, command: &Command, outcome: Outcome) {
        let owner = match &outcome {
            Outcome::Granted { slot, .. } => Some(*slot),
            _ => slot,
        };
        let entry = Entry::new(cx.payload, cx.index, owner, outcome);
        self.log.record(command.op_id, entry, &mut self.shards);
    }

    /// The answer to a command that had this outcome, now or the first time. An outcome that cannot be this command's is a
    /// conflict of op ids.
    fn answer(&self, command: &Command, outcome: &Outcome) -> Result<Answer, Rejection> {
        Ok(match outcome {
            Outcome::Run(mark) => Answer::Run(self.summary(&command.run, mark)),
            Outcome::Granted { slot, fence, granted, deadline, range, cursor } => {
                let shard = self.shard(*slot);
                Answer::Granted(Grant {
                    shard: shard.name.clone(),
                    worker: command.op.worker().ok_or(Rejection::OpIdConflict)?.clone(),
                    fence: *fence,
                    granted: *granted,
                    deadline: *deadline,
                    range: Range::clone(range),
                    cursor: cursor.as_deref().cloned(),
                    metadata: self.roots[shard.root as usize].metadata.clone(),
                })
            }
            Outcome::Renewed { granted, deadline } => Answer::Renewed { granted: *granted, deadline: *deadline },
            Outcome::Checkpointed => {
                Answer::Checkpointed { cursor: command.op.cursor().ok_or(Rejection::OpIdConflict)?.clone() }
            }
            Outcome::Released => Answer::Released,
            Outcome::Completed => Answer::Completed,
            Outcome::Parked => Answer::Parked,
            Outcome::Unparked { fence } => Answer::Unparked { fence: *fence },
            Outcome::Replaced { first, ranges } => Answer::Replaced {
                children: (*first..).zip(ranges).map(|(slot, range)| self.child(slot, range)).collect(),
            },
            Outcome::Split { residual, range } => Answer::Split { residual: self.child(*residual, range) },
        })
    }

    fn child(&self, slot: Slot, range: &Range) -> ChildShard {
        ChildShard { shard: self.shard(slot).name.clone(), range: range.clone() }
    }

    fn summary(&self, name: &RunId, mark: &RunMark) -> RunSummary {
        // An ending gives the reason once and for all; answers from before it had none.
        let ended = matches!(mark.status, RunStatus::Failed | RunStatus::Cancelled);
        RunSummary {
            run: name.clone(),
            status: mark.status,
            metadata: self.metadata.clone(),
            reason: if ended { self.reason.to_string() } else { String::new() },
            roots: mark.roots,
            counts: mark.counts,
            changed_at: mark.changed_at,
        }
    }

    /// The run as it stands.
    pub(super) fn summary_now(&self, name: &RunId) -> RunSummary {
        let (status, roots) = (self.status, self.roots.len() as u64);
        self.summary(name, &RunMark { status, roots, counts: self.counts, changed_at: self.changed_at })
    }

    /// Where the shard of this name stands.
    pub(super) fn slot(&self, name: &ShardId) -> Result<Slot, Rejection> {
        self.names.get(name).copied().ok_or(Rejection::ShardNotFound)
    }

    pub(super) fn shard(&self, slot: Slot) -> &Shard {
        &self.shards[slot as usize]
    }

    /// Changes a shard's status, lease or range and keeps counts and index true. Other fields may be changed in place.
    pub(super) fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Shard)) {
        let shard = &mut self.shards[slot as usize];
        self.claims.remove(slot, shard);
        *self.counts.of(shard.status) -= 1;
        change(shard);
        *self.counts.of(shard.status) += 1;
        self.claims.insert(slot, shard);
    }

    /// Adds a shard and returns its slot.
    pub(super) fn add(&mut self, shard: Shard) -> Slot {
        let slot = Slot::try_from(self.shards.len()).expect("the quota keeps shards below 2^32");
        let taken = self.names.insert(shard.name.clone(), slot);
        assert!(taken.is_none(), "two shards of one name: {}", shard.name);
        *self.counts.of(shard.status) += 1;
        self.claims.insert(slot, &shard);
        self.shards.push(shard);
        slot
    }

    /// Adds a child of `parent` made by a split.
    pub(super) fn add_child(&mut self, cx: &Context, parent: Slot, range: Arc<Range>) -> Slot {
        let Shard { name, root, .. } = self.shard(parent);
        let child = Shard::new(name.child(self.children), *root, Some(parent), range, cx.floor);
        self.children += 1;
        self.add(child)
    }

    /// Makes anew all that is derived. The shards come out of a snapshot, without any of it.
    pub(super) fn reindex(&mut self) {
        self.names.clear();
        self.claims.clear();
        self.counts = ShardCounts::default();
        for (slot, shard) in (0..).zip(&self.shards) {
            self.names.insert(shard.name.clone(), slot);
            self.claims.insert(slot, shard);
            *self.counts.of(shard.status) += 1;
        }
        self.log.reindex(&mut self.shards);
    }
}

impl ShardCounts {
    /// Adds another run's.
    pub(super) fn add(&mut self, other: ShardCounts) {
        self.active += other.active;
        self.parked += other.parked;
        self.done += other.done;
        self.split += other.split;
        self.cancelled += other.cancelled;
    }

    /// The count of one status.
    pub(super) fn of(&mut self, status: ShardStatus) -> &mut u64 {
        match status {
            ShardStatus::Active => &mut self.active,
            ShardStatus::Parked => &mut self.parked,
            ShardStatus::Done => &mut self.done,
            ShardStatus::Split => &mut self.split,
            ShardStatus::Cancelled => &mut self.cancelled,
        }
    }
}
