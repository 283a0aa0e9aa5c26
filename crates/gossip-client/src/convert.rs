//! The contract's messages as our types and back.

use gossip_proto::v1;

use crate::error::{Error, TRANSPORT};
use crate::types::{
    Child, Consistency, Counts, Cursor, LeaseRecord, LeaseRef, Range, Read, RunInfo, RunStatus, ShardInfo, ShardSpec,
    ShardStatus,
};

/// An answer that the contract does not allow. The call itself may well have taken place.
pub(crate) fn missing(what: &str) -> Error {
    Error::own(TRANSPORT, false, format!("the answer has no valid `{what}`"))
}

/// The field, which an answer of this service always has.
pub(crate) fn need<T>(field: Option<T>, name: &str) -> Result<T, Error> {
    field.ok_or_else(|| missing(name))
}

impl From<Range> for v1::Range {
    fn from(range: Range) -> Self {
        v1::Range { start: range.start, end: range.end }
    }
}

impl From<v1::Range> for Range {
    fn from(range: v1::Range) -> Self {
        Range { start: range.start, end: range.end }
    }
}

impl From<Cursor> for v1::Cursor {
    fn from(cursor: Cursor) -> Self {
        v1::Cursor { key: cursor.key, token: cursor.token }
    }
}

impl From<v1::Cursor> for Cursor {
    fn from(cursor: v1::Cursor) -> Self {
        Cursor { key: cursor.key, token: cursor.token }
    }
}

impl From<&LeaseRef> for v1::Lease {
    fn from(lease: &LeaseRef) -> Self {
        v1::Lease { shard: lease.shard.clone(), worker: lease.worker.clone(), fence: lease.fence }
    }
}

impl From<v1::Lease> for LeaseRef {
    fn from(lease: v1::Lease) -> Self {
        LeaseRef { shard: lease.shard, worker: lease.worker, fence: lease.fence }
    }
}

impl From<ShardSpec> for v1::ShardSpec {
    fn from(spec: ShardSpec) -> Self {
        v1::ShardSpec { shard: spec.shard, range: Some(spec.range.into()), metadata: spec.metadata }
    }
}

impl From<Consistency> for v1::Consistency {
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::Linearizable => v1::Consistency::Linearizable,
            Consistency::Stale => v1::Consistency::Stale,
        }
    }
}

impl From<ShardStatus> for v1::ShardStatus {
    fn from(status: ShardStatus) -> Self {
        match status {
            ShardStatus::Active => v1::ShardStatus::Active,
            ShardStatus::Parked => v1::ShardStatus::Parked,
            ShardStatus::Done => v1::ShardStatus::Done,
            ShardStatus::Split => v1::ShardStatus::Split,
            ShardStatus::Cancelled => v1::ShardStatus::Cancelled,
        }
    }
}

fn shard_status(status: v1::ShardStatus) -> Result<ShardStatus, Error> {
    match status {
        v1::ShardStatus::Unspecified => Err(missing("status")),
        v1::ShardStatus::Active => Ok(ShardStatus::Active),
        v1::ShardStatus::Parked => Ok(ShardStatus::Parked),
        v1::ShardStatus::Done => Ok(ShardStatus::Done),
        v1::ShardStatus::Split => Ok(ShardStatus::Split),
        v1::ShardStatus::Cancelled => Ok(ShardStatus::Cancelled),
    }
}

fn run_status(status: v1::RunStatus) -> Result<RunStatus, Error> {
    match status {
        v1::RunStatus::Unspecified => Err(missing("status")),
        v1::RunStatus::Open => Ok(RunStatus::Open),
        v1::RunStatus::Active => Ok(RunStatus::Active),
        v1::RunStatus::Done => Ok(RunStatus::Done),
        v1::RunStatus::Failed => Ok(RunStatus::Failed),
        v1::RunStatus::Cancelled => Ok(RunStatus::Cancelled),
    }
}

pub(crate) fn run(run: Option<v1::Run>) -> Result<RunInfo, Error> {
    let run = need(run, "run")?;
    let counts = run.counts.unwrap_or_default();
    Ok(RunInfo {
        status: run_status(run.status())?,
        run: run.run,
        metadata: run.metadata,
        reason: run.reason,
        roots: run.roots,
        counts: Counts {
            active: counts.active,
            parked: counts.parked,
            done: counts.done,
            split: counts.split,
            cancelled: counts.cancelled,
        },
        changed_at: run.changed_at,
    })
}

pub(crate) fn shard(shard: Option<v1::Shard>) -> Result<ShardInfo, Error> {
    let shard = need(shard, "shard")?;
    let lease = shard.lease.clone().map(|lease| LeaseRecord {
        worker: lease.worker,
        granted_ms: lease.granted_ms,
        deadline_ms: lease.deadline_ms,
    });
    Ok(ShardInfo {
        status: shard_status(shard.status())?,
        shard: shard.shard,
        parent: Some(shard.parent).filter(|parent| !parent.is_empty()),
        range: need(shard.range, "range")?.into(),
        fence: shard.fence,
        lease,
        cursor: shard.cursor.map(Cursor::from),
        metadata: shard.metadata,
        reason: shard.reason,
    })
}

pub(crate) fn child(child: v1::ChildShard) -> Result<Child, Error> {
    Ok(Child { shard: child.shard, range: need(child.range, "range")?.into() })
}

pub(crate) fn read<T>(value: T, info: Option<v1::ReadInfo>) -> Result<Read<T>, Error> {
    let info = need(info, "read")?;
    Ok(Read { value, applied: info.applied_index, lease_clock_ms: info.lease_clock_ms, stale: info.stale })
}
