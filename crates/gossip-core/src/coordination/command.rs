//! What callers may ask of the state machine.
//!
//! Shapes are checked by [`Command::check`] before a command enters the log; what depends on the state is checked by `apply`.

use serde::{Deserialize, Serialize};

use super::ids::{Fence, OpId, RunId, ShardId, TenantId, WorkerId};
use super::range::{Key, Range};

/// One mutation with its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The tenant that asks. It sees nothing of other tenants.
    pub tenant: TenantId,
    /// The run that is spoken of.
    pub run: RunId,
    /// The caller's key: the same key and payload get the first answer again.
    pub op_id: OpId,
    /// What to do.
    pub op: Op,
}

/// The mutations. They stand in logs and are hashed for the op log as `postcard` writes them: new ones go to the end, and no field
/// is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Makes a run, Open.
    CreateRun {
        /// Opaque to the service.
        #[serde(with = "crate::bytes")]
        metadata: Vec<u8>,
    },
    /// Adds root shards to an Open run.
    RegisterShards {
        /// All or none are added.
        shards: Vec<ShardSpec>,
        /// Starts the run in the same step.
        start: bool,
    },
    /// Open -> Active: no more roots, shards may be acquired.
    StartRun,
    /// Active -> Done; refused while a shard is Active or Parked.
    CompleteRun,
    /// Open, Active -> Failed: cancels and fences every unfinished shard.
    FailRun {
        /// For people.
        reason: String,
    },
    /// Open, Active -> Cancelled: cancels and fences every unfinished shard.
    CancelRun {
        /// For people.
        reason: String,
    },
    /// Removes an ended run and all that is known of it.
    DeleteRun,
    /// Takes one shard's lease if none is live.
    Acquire {
        /// The shard.
        shard: ShardId,
        /// Who will hold the lease.
        worker: WorkerId,
        /// Its length on the lease clock.
        lease_ms: u64,
    },
    /// Takes the lease of the first free shard, in order of the range's start.
    Claim {
        /// Who will hold the lease.
        worker: WorkerId,
        /// Its length on the lease clock.
        lease_ms: u64,
    },
    /// Moves the deadline to `lease_ms` from now; never back.
    Renew {
        /// The lease.
        lease: LeaseRef,
        /// The new length, counted from now.
        lease_ms: u64,
    },
    /// Moves the cursor forward.
    Checkpoint {
        /// The lease.
        lease: LeaseRef,
        /// The last key fully processed.
        cursor: Cursor,
    },
    /// Gives the lease back; the cursor stays.
    Release {
        /// The lease.
        lease: LeaseRef,
    },
    /// Active -> Done.
    Complete {
        /// The lease.
        lease: LeaseRef,
        /// A last move of the cursor; an empty shard needs none.
        cursor: Option<Cursor>,
    },
    /// Active -> Parked: nobody gets the shard until an operator unparks it.
    Park {
        /// The lease.
        lease: LeaseRef,
        /// For people.
        reason: String,
    },
    /// Parked -> Active, by an operator; raises the fence.
    Unpark {
        /// The shard.
        shard: ShardId,
    },
    /// Active -> Split: the range is cut at `cuts`, each part becomes a new shard.
    SplitReplace {
        /// The lease.
        lease: LeaseRef,
        /// 1 to 255 keys, rising, strictly inside the range and beyond the cursor; each is the first key of a child. The
        /// first child inherits the cursor.
        cuts: Vec<Key>,
    },
    /// Cuts the range at `at`: the shard keeps `[start, at)` and its lease, a new sibling owns `[at, end)`.
    SplitResidual {
        /// The lease.
        lease: LeaseRef,
        /// Strictly inside the range and beyond the cursor.
        at: Key,
    },
}

/// A root shard to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSpec {
    /// Its name, without `~`.
    pub shard: ShardId,
    /// What it owns.
    pub range: Range,
    /// Opaque to the service.
    #[serde(with = "crate::bytes")]
    pub metadata: Vec<u8>,
}

/// The token of a lease: what every write under it carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseRef {
    /// The shard.
    pub shard: ShardId,
    /// The holder.
    pub worker: WorkerId,
    /// The fence of the grant.
    pub fence: Fence,
}

/// How far a shard has been processed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The last key fully processed; never empty.
    #[serde(with = "crate::bytes")]
    pub key: Key,
    /// The caller's own resume data; never compared.
    #[serde(with = "crate::bytes")]
    pub token: Vec<u8>,
}

impl Command {
    /// Bytes that it takes in the log.
    pub fn size(&self) -> usize {
        size(self)
    }
}

/// Bytes in postcard's form.
pub(super) fn size(value: &impl Serialize) -> usize {
    let size = postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default());
    size.expect("commands and rows have sequences of known length only")
}

impl Op {
    /// The shard that is named, if one is.
    pub fn shard(&self) -> Option<&ShardId> {
        match self {
            Op::Acquire { shard, .. } | Op::Unpark { shard } => Some(shard),
            _ => self.lease().map(|l| &l.shard),
        }
    }

    /// The lease under which a write is made, if it needs one.
    pub fn lease(&self) -> Option<&LeaseRef> {
        match self {
            Op::Renew { lease, .. }
            | Op::Checkpoint { lease, .. }
            | Op::Release { lease }
            | Op::Complete { lease, .. }
            | Op::Park { lease, .. }
            | Op::SplitReplace { lease, .. }
            | Op::SplitResidual { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// The worker that asks, if the operation has one.
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Op::Acquire { worker, .. } | Op::Claim { worker, .. } => Some(worker),
            _ => self.lease().map(|l| &l.worker),
        }
    }

    /// The cursor that is handed in, if one is.
    pub fn cursor(&self) -> Option<&Cursor> {
        match self {
            Op::Checkpoint { cursor, .. } => Some(cursor),
            Op::Complete { cursor, .. } => cursor.as_ref(),
            _ => None,
        }
    }

    /// The name used in logs, metrics and histories.
    pub fn name(&self) -> &'static str {
        match self {
            Op::CreateRun { .. } => "create-run",
            Op::RegisterShards { .. } => "register",
            Op::StartRun => "start-run",
            Op::CompleteRun => "complete-run",
            Op::FailRun { .. } => "fail-run",
            Op::CancelRun { .. } => "cancel-run",
            Op::DeleteRun => "delete-run",
            Op::Acquire { .. } => "acquire",
            Op::Claim { .. } => "claim",
            Op::Renew { .. } => "renew",
            Op::Checkpoint { .. } => "checkpoint",
            Op::Release { .. } => "release",
            Op::Complete { .. } => "complete",
            Op::Park { .. } => "park",
            Op::Unpark { .. } => "unpark",
            Op::SplitReplace { .. } => "split-replace",
            Op::SplitResidual { .. } => "split-residual",
        }
    }
}
