//! The sizes past which a request is refused, each with its own error.

use serde::{Deserialize, Serialize};

/// Bytes of a key.
pub const MAX_KEY: usize = 4 * 1024;
/// Bytes of a cursor's opaque token.
pub const MAX_CURSOR_TOKEN: usize = 64 * 1024;
/// Bytes of a shard's metadata, and of a run's.
pub const MAX_METADATA: usize = 16 * 1024;
/// Bytes of the reason of a park or of a run's ending.
pub const MAX_REASON: usize = 1024;
/// Roots registered in one run.
pub const MAX_ROOTS: usize = 10_000;
/// Children of one split.
pub const MAX_CHILDREN: usize = 256;
/// Rows of one page of a listing.
pub const MAX_PAGE: usize = 1_000;
/// Bytes of one page of a listing: it ends before the row that would take it past this, though not before its first.
pub const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// The shortest lease, in milliseconds: below it a hiccup of the network would lose every lease.
pub const MIN_LEASE_MS: u64 = 100;
/// The longest lease, in milliseconds: one day.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1000;
/// Answers kept for each shard beyond those that are never evicted: the newest this many.
pub const OP_LOG_PER_SHARD: usize = 64;
/// Bytes of ranges and cursors that the evictable answers of one shard may hold: grants of shards with large cursors are
/// kept for fewer than [`OP_LOG_PER_SHARD`] operations, and always for at least three.
pub const OP_LOG_BYTES_PER_SHARD: usize = 256 * 1024;
/// Deletions of runs remembered for each tenant, so that a retried deletion does not hit a new run of the same name.
pub const DELETIONS_PER_TENANT: usize = 1_024;
/// Tenants remembered whose runs are all deleted: the newest this many.
pub const IDLE_TENANTS: usize = 1_024;

/// What an operator may set. It is part of the replicated state, so that every node decides alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Live (not deleted) shards of one tenant, terminal ones counted.
    pub shards_per_tenant: u64,
    /// Live runs of one tenant, ended ones counted.
    pub runs_per_tenant: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas { shards_per_tenant: 1_000_000, runs_per_tenant: 10_000 }
    }
}
