//! Requests into the core's words, answers into the contract's.

use gossip_core::consensus::Consistency;
use gossip_core::coordination::answer::{ChildShard, LeaseView, RunSummary};
use gossip_core::coordination::limits::MAX_PAGE;
use gossip_core::coordination::{
    Cursor, Fence, Grant, Invalid, LeaseRef, Range, RunStatus, ShardId, ShardStatus, ShardView, WorkerId,
};
use gossip_proto::v1;

use crate::driver::ReadAnswer;

pub(super) fn consistency(number: i32) -> Result<Consistency, Invalid> {
    match v1::Consistency::try_from(number) {
        Ok(v1::Consistency::Unspecified | v1::Consistency::Linearizable) => Ok(Consistency::Linearizable),
        Ok(v1::Consistency::Stale) => Ok(Consistency::Stale),
        Err(_) => Err(Invalid::new("consistency", format!("{number} is none"))),
    }
}

pub(super) fn page_size(asked: u32) -> Result<usize, Invalid> {
    match asked {
        0 => Ok(100),
        asked if asked as usize <= MAX_PAGE => Ok(asked as usize),
        asked => Err(Invalid::new("page_size", format!("must be at most {MAX_PAGE}, is {asked}"))),
    }
}

pub(super) fn lease(lease: Option<v1::Lease>) -> Result<LeaseRef, Invalid> {
    let lease = lease.ok_or_else(|| Invalid::new("lease", "is missing"))?;
    Ok(LeaseRef {
        shard: ShardId::parse("lease.shard", &lease.shard)?,
        worker: WorkerId::parse("lease.worker", &lease.worker)?,
        fence: Fence(lease.fence),
    })
}

pub(super) fn cursor(cursor: v1::Cursor) -> Cursor {
    Cursor { key: cursor.key.into(), token: cursor.token }
}

/// An absent range is all keys.
pub(super) fn range(range: Option<v1::Range>) -> Range {
    let v1::Range { start, end } = range.unwrap_or_default();
    Range::new(start, end)
}

pub(super) fn shard_status(number: i32) -> Result<Option<ShardStatus>, Invalid> {
    Ok(match v1::ShardStatus::try_from(number) {
        Ok(v1::ShardStatus::Unspecified) => None,
        Ok(v1::ShardStatus::Active) => Some(ShardStatus::Active),
        Ok(v1::ShardStatus::Parked) => Some(ShardStatus::Parked),
        Ok(v1::ShardStatus::Done) => Some(ShardStatus::Done),
        Ok(v1::ShardStatus::Split) => Some(ShardStatus::Split),
        Ok(v1::ShardStatus::Cancelled) => Some(ShardStatus::Cancelled),
        Err(_) => return Err(Invalid::new("status", format!("{number} is none"))),
    })
}

pub(super) fn wire_range(range: Range) -> v1::Range {
    v1::Range { start: range.start.into(), end: range.end.into() }
}

pub(super) fn wire_cursor(cursor: Cursor) -> v1::Cursor {
    v1::Cursor { key: cursor.key.into(), token: cursor.token }
}

pub(super) fn wire_child(child: ChildShard) -> v1::ChildShard {
    v1::ChildShard { shard: child.shard.to_string(), range: Some(wire_range(child.range)) }
}

pub(super) fn wire_grant(grant: Grant) -> v1::GrantResponse {
    v1::GrantResponse {
        lease: Some(v1::Lease {
            shard: grant.shard.to_string(),
            worker: grant.worker.to_string(),
            fence: grant.fence.0,
        }),
        granted_ms: grant.granted.0,
        deadline_ms: grant.deadline.0,
        range: Some(wire_range(grant.range)),
        cursor: grant.cursor.map(wire_cursor),
        metadata: grant.metadata,
    }
}

pub(super) fn wire_run(run: RunSummary) -> v1::Run {
    let status = match run.status {
        RunStatus::Open => v1::RunStatus::Open,
        RunStatus::Active => v1::RunStatus::Active,
        RunStatus::Done => v1::RunStatus::Done,
        RunStatus::Failed => v1::RunStatus::Failed,
        RunStatus::Cancelled => v1::RunStatus::Cancelled,
    };
    let counts = run.counts;
    v1::Run {
        run: run.run.to_string(),
        status: status.into(),
        metadata: run.metadata,
        reason: run.reason,
        roots: run.roots,
        counts: Some(v1::ShardCounts {
            active: counts.active,
            parked: counts.parked,
            done: counts.done,
            split: counts.split,
            cancelled: counts.cancelled,
        }),
        changed_at: run.changed_at,
    }
}

fn wire_shard_status(status: ShardStatus) -> v1::ShardStatus {
    match status {
        ShardStatus::Active => v1::ShardStatus::Active,
        ShardStatus::Parked => v1::ShardStatus::Parked,
        ShardStatus::Done => v1::ShardStatus::Done,
        ShardStatus::Split => v1::ShardStatus::Split,
        ShardStatus::Cancelled => v1::ShardStatus::Cancelled,
    }
}

fn wire_lease(lease: LeaseView) -> v1::LeaseRecord {
    v1::LeaseRecord { worker: lease.worker.to_string(), granted_ms: lease.granted.0, deadline_ms: lease.deadline.0 }
}

pub(super) fn wire_shard(shard: ShardView) -> v1::Shard {
    v1::Shard {
        shard: shard.shard.to_string(),
        parent: shard.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        range: Some(wire_range(shard.range)),
        status: wire_shard_status(shard.status).into(),
        fence: shard.fence.0,
        lease: shard.lease.map(wire_lease),
        cursor: shard.cursor.map(wire_cursor),
        metadata: shard.metadata,
        reason: shard.reason,
    }
}

pub(super) fn read_info(read: &ReadAnswer, consistency: i32) -> v1::ReadInfo {
    v1::ReadInfo {
        applied_index: read.applied,
        stale: consistency == v1::Consistency::Stale as i32,
        lease_clock_ms: read.lease_clock_ms,
    }
}
