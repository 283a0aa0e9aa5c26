//! The oracle's own reading of the core's words. The types are shared, since both speak of the same requests; what follows from them
//! is worked out here once more, without the core's functions.

use gossip_core::coordination::{Cursor, LeaseRef, Op, RunStatus, ShardId, ShardStatus, Stamp};

/// The lease under which a write is made.
pub(super) fn lease_of(op: &Op) -> Option<&LeaseRef> {
    match op {
        Op::Renew { lease, .. } | Op::Checkpoint { lease, .. } | Op::Release { lease } => Some(lease),
        Op::Complete { lease, .. } | Op::Park { lease, .. } => Some(lease),
        Op::SplitReplace { lease, .. } | Op::SplitResidual { lease, .. } => Some(lease),
        Op::Acquire { .. } | Op::Claim { .. } | Op::Unpark { .. } => None,
        Op::CreateRun { .. } | Op::RegisterShards { .. } | Op::StartRun | Op::DeleteRun => None,
        Op::CompleteRun | Op::FailRun { .. } | Op::CancelRun { .. } => None,
    }
}

/// The shard that a request names.
pub(super) fn shard_of(op: &Op) -> Option<&ShardId> {
    match op {
        Op::Acquire { shard, .. } | Op::Unpark { shard } => Some(shard),
        _ => lease_of(op).map(|lease| &lease.shard),
    }
}

/// The cursor that a request brings along.
pub(super) fn cursor_of(op: &Op) -> Option<&Cursor> {
    match op {
        Op::Checkpoint { cursor, .. } => Some(cursor),
        Op::Complete { cursor, .. } => cursor.as_ref(),
        _ => None,
    }
}

/// Whether a run has come to its end.
pub(super) fn run_is_over(status: RunStatus) -> bool {
    !(status == RunStatus::Open || status == RunStatus::Active)
}

/// Whether a shard has come to its end.
pub(super) fn shard_is_over(status: ShardStatus) -> bool {
    !(status == ShardStatus::Active || status == ShardStatus::Parked)
}

/// The lease clock so many milliseconds from `now`.
pub(super) fn later(now: Stamp, millis: u64) -> Stamp {
    Stamp(now.0.saturating_add(millis))
}
