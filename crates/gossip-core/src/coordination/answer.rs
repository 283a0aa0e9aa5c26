//! What the state machine answers: outcomes of mutations and views of the state.

use serde::{Deserialize, Serialize};

use super::command::Cursor;
use super::ids::{Fence, RunId, ShardId, Stamp, TenantId, WorkerId};
use super::limits::{MAX_METADATA, MAX_PAGE_BYTES};
use super::range::Range;

/// The outcome of a mutation that took place. It is kept in the op log and replayed for the same op id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The run after create, register, start, complete, fail or cancel.
    Run(RunSummary),
    /// The run is gone.
    RunDeleted,
    /// After acquire and claim.
    Granted(Grant),
    /// After renew.
    Renewed {
        /// The lease clock when it was renewed.
        granted: Stamp,
        /// The lease ends when the lease clock reaches this.
        deadline: Stamp,
    },
    /// After checkpoint: the cursor that is now kept.
    Checkpointed {
        /// The cursor.
        cursor: Cursor,
    },
    /// After release.
    Released,
    /// After complete.
    Completed,
    /// After park.
    Parked,
    /// After unpark.
    Unparked {
        /// The raised fence.
        fence: Fence,
    },
    /// After split-replace.
    Replaced {
        /// The new shards in order of their ranges.
        children: Vec<ChildShard>,
    },
    /// After split-residual.
    Split {
        /// The new right sibling.
        residual: ChildShard,
    },
}

/// A lease as granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The shard: for a claim, the one that was chosen.
    pub shard: ShardId,
    /// Its holder.
    pub worker: WorkerId,
    /// What every write under this lease carries.
    pub fence: Fence,
    /// The lease clock at the grant.
    pub granted: Stamp,
    /// The lease ends when the lease clock reaches this.
    pub deadline: Stamp,
    /// What the shard owns.
    pub range: Range,
    /// Where the last holder stopped.
    pub cursor: Option<Cursor>,
    /// As registered.
    pub metadata: Vec<u8>,
}

/// A shard made by a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildShard {
    /// Its name.
    pub shard: ShardId,
    /// What it owns.
    pub range: Range,
}

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RunStatus {
    /// Shards may be registered.
    Open,
    /// Shards may be acquired.
    Active,
    /// Every shard came to its end.
    Done,
    /// Ended by `fail`.
    Failed,
    /// Ended by `cancel`.
    Cancelled,
}

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ShardStatus {
    /// Unfinished; leased or free.
    Active,
    /// Set aside until an operator unparks it.
    Parked,
    /// Processed to its end.
    Done,
    /// Replaced by its children.
    Split,
    /// Its run failed or was cancelled.
    Cancelled,
}

impl RunStatus {
    /// Whether it ended for ever.
    pub fn is_terminal(self) -> bool {
        matches!(self, RunStatus::Done | RunStatus::Failed | RunStatus::Cancelled)
    }

    /// As in histories: `open`, `active`, ...
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Open => "open",
            RunStatus::Active => "active",
            RunStatus::Done => "done",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }
}

impl ShardStatus {
    /// Whether it ended for ever.
    pub fn is_terminal(self) -> bool {
        matches!(self, ShardStatus::Done | ShardStatus::Split | ShardStatus::Cancelled)
    }

    /// As in histories: `active`, `parked`, ...
    pub fn name(self) -> &'static str {
        match self {
            ShardStatus::Active => "active",
            ShardStatus::Parked => "parked",
            ShardStatus::Done => "done",
            ShardStatus::Split => "split",
            ShardStatus::Cancelled => "cancelled",
        }
    }
}

/// A run with its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its name.
    pub run: RunId,
    /// Where it is.
    pub status: RunStatus,
    /// As given at its creation.
    pub metadata: Vec<u8>,
    /// Why it failed or was cancelled; empty otherwise.
    pub reason: String,
    /// Root shards registered.
    pub roots: u64,
    /// How its shards stand.
    pub counts: ShardCounts,
    /// The log index of the last change to the run or one of its shards.
    pub changed_at: u64,
}

/// Shards of a run by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// Active, leased or not.
    pub active: u64,
    /// Parked.
    pub parked: u64,
    /// Done.
    pub done: u64,
    /// Split.
    pub split: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// A shard as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// Its name.
    pub shard: ShardId,
    /// The shard from which a split made it.
    pub parent: Option<ShardId>,
    /// What it owns now.
    pub range: Range,
    /// Where it is.
    pub status: ShardStatus,
    /// The current fence.
    pub fence: Fence,
    /// The lease on record. It stays on record when it has expired: nothing changes at expiry.
    pub lease: Option<LeaseView>,
    /// How far it is processed.
    pub cursor: Option<Cursor>,
    /// As registered; children inherit it.
    pub metadata: Vec<u8>,
    /// Why it is parked; empty otherwise.
    pub reason: String,
}

/// A lease on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its holder.
    pub worker: WorkerId,
    /// The lease clock at the grant or the last renewal.
    pub granted: Stamp,
    /// Live while the lease clock is below this.
    pub deadline: Stamp,
}

/// A read in a tenant's name: it sees nothing of other tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantQuery {
    /// The tenant that asks.
    pub tenant: TenantId,
    /// What it asks.
    pub query: Query,
}

/// What can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// One run.
    Run {
        /// The run.
        run: RunId,
    },
    /// A tenant's runs in order of their names.
    Runs {
        /// Only those after this one.
        after: Option<RunId>,
        /// At most this many, 1 to [`super::limits::MAX_PAGE`].
        limit: usize,
    },
    /// One shard.
    Shard {
        /// Its run.
        run: RunId,
        /// The shard.
        shard: ShardId,
    },
    /// A run's shards in order of their names.
    Shards {
        /// The run.
        run: RunId,
        /// Only those after this one.
        after: Option<ShardId>,
        /// Only those with this status.
        status: Option<ShardStatus>,
        /// At most this many, 1 to [`super::limits::MAX_PAGE`].
        limit: usize,
    },
}

impl Query {
    /// Bytes that the answer may have, as far as they are worth counting: a listing's page. A single row is less than 100 KiB.
    pub fn page_bytes(&self) -> usize {
        match self {
            Query::Runs { limit, .. } | Query::Shards { limit, .. } => {
                limit.saturating_mul(MAX_METADATA).min(MAX_PAGE_BYTES)
            }
            Query::Run { .. } | Query::Shard { .. } => 0,
        }
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// Of [`Query::Run`].
    Run(RunSummary),
    /// Of [`Query::Runs`].
    Runs {
        /// The page.
        runs: Vec<RunSummary>,
        /// More follow.
        more: bool,
    },
    /// Of [`Query::Shard`].
    Shard(ShardView),
    /// Of [`Query::Shards`].
    Shards {
        /// The page.
        shards: Vec<ShardView>,
        /// More follow.
        more: bool,
    },
}
