//! Operations on runs: register, start, complete, fail, cancel. (Create and delete stand with the tenant.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::{RunStatus, ShardStatus};
use super::command::{Op, ShardSpec};
use super::error::Rejection;
use super::limits::MAX_ROOTS;
use super::range::Range;
use super::run::{Context, Quota, Run};
use super::shard::{Root, Shard};
use crate::mutants::{Mutant, Planted};

impl Run {
    /// What the run's status says to an operation on the run.
    pub(super) fn admit_run_op(&self, cx: &Context, op: &Op) -> Result<(), Rejection> {
        let status = self.status;
        match op {
            Op::CreateRun { .. } => Err(Rejection::RunExists),
            _ if status.is_terminal() => Err(Rejection::RunEnded { status }),
            Op::RegisterShards { .. } | Op::StartRun if status != RunStatus::Open => {
                Err(Rejection::RunNotOpen { status })
            }
            Op::CompleteRun if status == RunStatus::Open => Err(Rejection::RunNotStarted),
            Op::CompleteRun => self.admit_completion(cx.planted),
            _ => Ok(()),
        }
    }

    fn admit_completion(&self, planted: Planted) -> Result<(), Rejection> {
        let (active, parked) = (self.counts.active, self.counts.parked);
        if active + parked == 0 || planted.is(Mutant::CompleteRunIgnoresActive) {
            return Ok(());
        }
        Err(Rejection::RunUnfinished { active, parked })
    }

    /// Ends the run and fences the workers of every shard that is unfinished.
    pub(super) fn end(&mut self, cx: &Context, status: RunStatus, reason: &str) {
        self.status = status;
        self.reason = reason.into();
        if cx.planted.is(Mutant::CancelDoesNotFence) {
            return;
        }
        self.claims.clear();
        for shard in self.shards.iter_mut().filter(|shard| !shard.status.is_terminal()) {
            *self.counts.of(shard.status) -= 1;
            shard.status = ShardStatus::Cancelled;
            shard.lease = None;
            shard.fence = shard.fence.next();
            self.counts.cancelled += 1;
        }
    }

    pub(super) fn register(&mut self, cx: &Context, specs: &[ShardSpec], start: bool) -> Result<(), Rejection> {
        // Shards are neither leased nor split while the run is Open: all that exist are free roots.
        Quota { field: "shards", max: MAX_ROOTS as u64, used: self.roots.len() as u64 }.admit(specs.len())?;
        cx.shards.admit(specs.len())?;
        self.check_names(specs)?;
        let ranges = self.check_overlaps(specs)?;
        for (spec, range) in specs.iter().zip(ranges) {
            let root = u32::try_from(self.roots.len()).expect("roots are bounded by MAX_ROOTS");
            self.roots.push(Root { range: range.clone(), metadata: spec.metadata.clone() });
            self.add(Shard::new(spec.shard.clone(), root, None, range, cx.floor));
        }
        if start {
            self.status = RunStatus::Active;
        }
        Ok(())
    }

    fn check_names(&self, specs: &[ShardSpec]) -> Result<(), Rejection> {
        let mut seen = BTreeSet::new();
        match specs.iter().find(|spec| self.names.contains_key(&spec.shard) || !seen.insert(&spec.shard)) {
            Some(twice) => Err(Rejection::ShardExists { shard: twice.shard.to_string() }),
            None => Ok(()),
        }
    }

    /// Checks that no two roots own the same key. Roots never overlap, so that only a new one's neighbours can be in its way.
    fn check_overlaps(&self, specs: &[ShardSpec]) -> Result<Vec<Arc<Range>>, Rejection> {
        let mut new: BTreeMap<Arc<Range>, &ShardSpec> = BTreeMap::new();
        let mut ranges = Vec::with_capacity(specs.len());
        for spec in specs {
            let range = Arc::new(spec.range.clone());
            let old = self.claims.neighbours(&range).into_iter().flatten().map(|slot| self.shard(slot));
            let old = old.map(|shard| (&shard.range, &shard.name));
            let before = new.range::<Range, _>(..&*range).next_back();
            let after = new.range::<Range, _>(&*range..).next();
            let new_ones = before.into_iter().chain(after).map(|(range, spec)| (range, &spec.shard));
            if let Some((_, other)) = old.chain(new_ones).find(|(other, _)| other.overlaps(&range)) {
                return Err(Rejection::ShardOverlap { shard: spec.shard.to_string(), other: other.to_string() });
            }
            new.insert(range.clone(), spec);
            ranges.push(range);
        }
        Ok(ranges)
    }
}
