//! The shape of a command: what can be said of it without looking at the state.

use super::command::{Command, Cursor, LeaseRef, Op, ShardSpec};
use super::error::Rejection;
use super::ids::Invalid;
use super::limits::{
    MAX_CHILDREN, MAX_CURSOR_TOKEN, MAX_KEY, MAX_LEASE_MS, MAX_METADATA, MAX_REASON, MAX_ROOTS, MIN_LEASE_MS,
};
use super::range::{Key, Range};
use crate::mutants::{Mutant, Planted};

type Checked = Result<(), Rejection>;

impl Command {
    /// Checks names, sizes and numbers. The edge calls it before a command enters the log, and `apply` once more, since the log
    /// may hold what an older build let through.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` or `LIMIT_EXCEEDED` with the field as the request names it, for example `shards[3].range.start`.
    pub fn check(&self) -> Checked {
        self.check_with(Planted::NONE)
    }

    /// [`Self::check`] in a process with this bug.
    ///
    /// # Errors
    /// As there.
    pub fn check_with(&self, planted: Planted) -> Checked {
        self.tenant.recheck("tenant")?;
        self.run.recheck("run")?;
        if let Some(lease) = self.op.lease() {
            check_lease(lease)?;
        }
        match &self.op {
            Op::CreateRun { metadata } => at_most(|| "metadata".into(), MAX_METADATA, metadata.len()),
            Op::RegisterShards { shards, .. } => check_shards(shards),
            Op::StartRun | Op::CompleteRun | Op::DeleteRun | Op::Release { .. } => Ok(()),
            Op::FailRun { reason } | Op::CancelRun { reason } | Op::Park { reason, .. } => {
                at_most(|| "reason".into(), MAX_REASON, reason.len())
            }
            Op::Acquire { shard, worker, lease_ms } => {
                shard.recheck("shard")?;
                worker.recheck("worker")?;
                check_length(*lease_ms, planted)
            }
            Op::Claim { worker, lease_ms } => {
                worker.recheck("worker")?;
                check_length(*lease_ms, planted)
            }
            Op::Renew { lease_ms, .. } => check_length(*lease_ms, planted),
            Op::Checkpoint { cursor, .. } => check_cursor(cursor),
            Op::Complete { cursor, .. } => cursor.as_ref().map_or(Ok(()), check_cursor),
            Op::Unpark { shard } => Ok(shard.recheck("shard")?),
            Op::SplitReplace { cuts, .. } => check_cuts(cuts),
            Op::SplitResidual { at, .. } => check_key(|| "at".into(), at),
        }
    }
}

fn at_most(field: impl FnOnce() -> String, max: usize, actual: usize) -> Checked {
    if actual <= max {
        return Ok(());
    }
    Err(Rejection::LimitExceeded { field: field(), max: max as u64, actual: actual as u64 })
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Checked {
    Err(Invalid::new(field, problem).into())
}

fn check_lease(lease: &LeaseRef) -> Checked {
    lease.shard.recheck("lease.shard")?;
    lease.worker.recheck("lease.worker")?;
    Ok(())
}

fn check_length(lease_ms: u64, planted: Planted) -> Checked {
    if (MIN_LEASE_MS..=MAX_LEASE_MS).contains(&lease_ms) || planted.is(Mutant::LeaseLengthUnchecked) {
        return Ok(());
    }
    invalid("lease_ms", format!("must be {MIN_LEASE_MS} to {MAX_LEASE_MS}, is {lease_ms}"))
}

fn check_cursor(cursor: &Cursor) -> Checked {
    check_key(|| "cursor.key".into(), &cursor.key)?;
    at_most(|| "cursor.token".into(), MAX_CURSOR_TOKEN, cursor.token.len())
}

fn check_key(field: impl Fn() -> String, key: &Key) -> Checked {
    if key.is_empty() {
        return invalid(field(), "must not be empty");
    }
    at_most(field, MAX_KEY, key.len())
}

fn check_cuts(cuts: &[Key]) -> Checked {
    if cuts.is_empty() {
        return invalid("cuts", "must hold at least one key");
    }
    at_most(|| "cuts".into(), MAX_CHILDREN - 1, cuts.len())?;
    cuts.iter().enumerate().try_for_each(|(i, cut)| check_key(|| format!("cuts[{i}]"), cut))
}

fn check_shards(shards: &[ShardSpec]) -> Checked {
    if shards.is_empty() {
        return invalid("shards", "must hold at least one shard");
    }
    at_most(|| "shards".into(), MAX_ROOTS, shards.len())?;
    shards
        .iter()
        .enumerate()
        .try_for_each(|(i, spec)| check_spec(spec).map_err(|r| within(&format!("shards[{i}]."), r)))
}

fn check_spec(spec: &ShardSpec) -> Checked {
    spec.shard.recheck_root("shard")?;
    let Range { start, end } = &spec.range;
    at_most(|| "range.start".into(), MAX_KEY, start.len())?;
    at_most(|| "range.end".into(), MAX_KEY, end.len())?;
    if !spec.range.is_proper() {
        return invalid("range.start", "must be below range.end");
    }
    at_most(|| "metadata".into(), MAX_METADATA, spec.metadata.len())
}

/// Puts the path of the message that holds it before a refused field.
fn within(path: &str, rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::InvalidArgument(Invalid { field, problem }) => {
            Invalid::new(format!("{path}{field}"), problem).into()
        }
        Rejection::LimitExceeded { field, max, actual } => {
            Rejection::LimitExceeded { field: format!("{path}{field}"), max, actual }
        }
        other => other,
    }
}
