//! Who waits for what: acquires for their shard, claims for any shard of their run.

use super::answer::{Answer, ShardStatus};
use super::command::{Command, Op};
use super::error::Rejection;
use super::ids::{RunId, ShardId, Stamp, TenantId};
use super::state::State;

/// What a waiter waits on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitKey {
    /// One shard: an acquire that found a live lease.
    Shard(TenantId, RunId, ShardId),
    /// Any shard of a run: a claim that found none free.
    Run(TenantId, RunId),
}

impl WaitKey {
    fn shard(command: &Command, shard: &ShardId) -> WaitKey {
        WaitKey::Shard(command.tenant.clone(), command.run.clone(), shard.clone())
    }

    fn run(command: &Command) -> WaitKey {
        WaitKey::Run(command.tenant.clone(), command.run.clone())
    }
}

impl State {
    pub(super) fn wait_of(&self, command: &Command, answer: &Result<Answer, Rejection>) -> Option<(WaitKey, Stamp)> {
        let now = self.data.clock;
        let run = self.run(&command.tenant, &command.run).ok()?;
        match (&command.op, answer) {
            (Op::Acquire { shard, .. }, Err(Rejection::LeaseHeld { .. })) => {
                let lease = run.shard(run.slot(shard).ok()?).lease.as_ref();
                Some((WaitKey::shard(command, shard), lease.map_or(now, |lease| lease.deadline)))
            }
            // Without an Active shard only an unpark or the run's end can change the answer: both wake.
            (Op::Claim { .. }, Err(Rejection::NoShardFree { .. })) => {
                let earliest = run.claims.next_deadline().unwrap_or(Stamp(u64::MAX));
                Some((WaitKey::run(command), if run.claims.has_free() { now } else { earliest }))
            }
            _ => None,
        }
    }

    /// Waiters are woken also for an answer that is final, such as that the shard is Done.
    pub(super) fn woken_by(&self, command: &Command, answer: &Result<Answer, Rejection>) -> Vec<WaitKey> {
        if answer.is_err() {
            return Vec::new();
        }
        let run_key = || WaitKey::run(command);
        match &command.op {
            Op::Release { lease } | Op::SplitReplace { lease, .. } => {
                vec![WaitKey::shard(command, &lease.shard), run_key()]
            }
            Op::Complete { lease, .. } | Op::Park { lease, .. } => vec![WaitKey::shard(command, &lease.shard)],
            Op::Unpark { .. } | Op::SplitResidual { .. } | Op::CompleteRun => vec![run_key()],
            Op::FailRun { .. } | Op::CancelRun { .. } => self.woken_by_end(command),
            _ => Vec::new(),
        }
    }

    fn woken_by_end(&self, command: &Command) -> Vec<WaitKey> {
        let shards = self.run(&command.tenant, &command.run).map(|run| &run.shards[..]).unwrap_or_default();
        let cancelled = shards.iter().filter(|shard| shard.status == ShardStatus::Cancelled);
        let shard_keys = cancelled.map(|shard| WaitKey::shard(command, &shard.name));
        shard_keys.chain([WaitKey::run(command)]).collect()
    }
}
