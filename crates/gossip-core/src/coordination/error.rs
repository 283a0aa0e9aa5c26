//! Why a mutation or a read was refused. Every refusal is definite: nothing changed.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::answer::{RunStatus, ShardStatus};
use super::ids::{Fence, Invalid};

/// A refusal by the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Rejection {
    /// A field is malformed.
    #[error("{0}")]
    InvalidArgument(Invalid),
    /// A size or number is past its bound.
    #[error("{field}: at most {max} allowed, is {actual}")]
    LimitExceeded {
        /// The field or the quota.
        field: String,
        /// The bound.
        max: u64,
        /// What was asked for.
        actual: u64,
    },
    /// The op id was used before with another payload, or by another worker.
    #[error("this op id was used for another request")]
    OpIdConflict,
    /// The tenant has no such run.
    #[error("no such run")]
    RunNotFound,
    /// A run of this name exists, made under another op id.
    #[error("a run of this name exists")]
    RunExists,
    /// The run is Active: no more roots.
    #[error("the run is {}, shards can be registered only while it is open", status.name())]
    RunNotOpen {
        /// Where it is.
        status: RunStatus,
    },
    /// The run is Open: start it first.
    #[error("the run has not been started")]
    RunNotStarted,
    /// The run is Done, Failed or Cancelled.
    #[error("the run is {}", status.name())]
    RunEnded {
        /// Where it is.
        status: RunStatus,
    },
    /// Completion is refused while shards are unfinished.
    #[error("{active} shards are active and {parked} parked")]
    RunUnfinished {
        /// Active shards.
        active: u64,
        /// Parked shards.
        parked: u64,
    },
    /// Only an ended run can be deleted.
    #[error("the run is {}, only an ended run can be deleted", status.name())]
    RunNotEnded {
        /// Where it is.
        status: RunStatus,
    },
    /// The run has no such shard.
    #[error("no such shard")]
    ShardNotFound,
    /// A shard of this name exists in the run.
    #[error("shard {shard} exists already")]
    ShardExists {
        /// The name.
        shard: String,
    },
    /// Two roots would own the same key.
    #[error("shard {shard} overlaps shard {other}")]
    ShardOverlap {
        /// The new one.
        shard: String,
        /// The one it overlaps.
        other: String,
    },
    /// The shard is Done, Split or Cancelled.
    #[error("the shard is {}", status.name())]
    ShardTerminal {
        /// Where it is.
        status: ShardStatus,
    },
    /// The shard is set aside.
    #[error("the shard is parked")]
    ShardParked,
    /// Unpark needs a parked shard.
    #[error("the shard is not parked")]
    ShardNotParked,
    /// A lease is live.
    #[error("another lease is live for {remaining_ms} ms more at most")]
    LeaseHeld {
        /// Until it expires, if it is not renewed or released before.
        remaining_ms: u64,
    },
    /// A claim found no free shard.
    #[error("no shard is free")]
    NoShardFree {
        /// Until the first live lease expires; `None` when no shard is Active.
        remaining_ms: Option<u64>,
    },
    /// The write's fence is not the current one.
    #[error("the fence is {current}")]
    FenceMismatch {
        /// The current fence.
        current: Fence,
    },
    /// The fence is right, but the lease is past its deadline or was given back.
    #[error("the lease has ended")]
    LeaseExpired,
    /// The fence is right, but another worker holds the lease.
    #[error("another worker holds the lease")]
    NotOwner,
    /// The cursor would move back.
    #[error("the cursor would move back")]
    CursorRegression,
    /// The cursor would leave the range.
    #[error("the cursor is outside of the shard's range")]
    CursorOutOfRange,
    /// A cut is not strictly inside the range, not rising, or behind the cursor.
    #[error("{field}: {problem}")]
    SplitPointInvalid {
        /// Which cut.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Rejection::InvalidArgument(invalid)
    }
}

impl Rejection {
    /// The machine-readable reason: stable, in the error table of `docs/errors.md`.
    pub fn reason(&self) -> &'static str {
        match self {
            Rejection::InvalidArgument(_) => "INVALID_ARGUMENT",
            Rejection::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Rejection::OpIdConflict => "OP_ID_CONFLICT",
            Rejection::RunNotFound => "RUN_NOT_FOUND",
            Rejection::RunExists => "RUN_EXISTS",
            Rejection::RunNotOpen { .. } => "RUN_NOT_OPEN",
            Rejection::RunNotStarted => "RUN_NOT_STARTED",
            Rejection::RunEnded { .. } => "RUN_ENDED",
            Rejection::RunUnfinished { .. } => "RUN_UNFINISHED",
            Rejection::RunNotEnded { .. } => "RUN_NOT_ENDED",
            Rejection::ShardNotFound => "SHARD_NOT_FOUND",
            Rejection::ShardExists { .. } => "SHARD_EXISTS",
            Rejection::ShardOverlap { .. } => "SHARD_OVERLAP",
            Rejection::ShardTerminal { .. } => "SHARD_TERMINAL",
            Rejection::ShardParked => "SHARD_PARKED",
            Rejection::ShardNotParked => "SHARD_NOT_PARKED",
            Rejection::LeaseHeld { .. } => "LEASE_HELD",
            Rejection::NoShardFree { .. } => "NO_SHARD_FREE",
            Rejection::FenceMismatch { .. } => "FENCE_MISMATCH",
            Rejection::LeaseExpired => "LEASE_EXPIRED",
            Rejection::NotOwner => "NOT_OWNER",
            Rejection::CursorRegression => "CURSOR_REGRESSION",
            Rejection::CursorOutOfRange => "CURSOR_OUT_OF_RANGE",
            Rejection::SplitPointInvalid { .. } => "SPLIT_POINT_INVALID",
        }
    }
}
