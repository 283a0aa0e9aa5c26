//! What requests and answers are made of.

use std::fmt;

use crate::clock::Moment;

/// Half-open range of byte strings, `[start, end)`. An empty `start` is minus infinity, an empty `end` plus infinity.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first key inside.
    pub start: Vec<u8>,
    /// The first key past it.
    pub end: Vec<u8>,
}

impl Range {
    /// The range from `start` to just before `end`.
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Range { start: start.into(), end: end.into() }
    }
}

/// How far a shard has been processed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The last key fully processed; never empty.
    pub key: Vec<u8>,
    /// The caller's own resume data; never compared by the service.
    pub token: Vec<u8>,
}

impl Cursor {
    /// A cursor without a token.
    pub fn at(key: impl Into<Vec<u8>>) -> Self {
        Cursor { key: key.into(), token: Vec::new() }
    }
}

/// A root shard to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSpec {
    /// Its name, unique in the run.
    pub shard: String,
    /// What it owns. Roots must not overlap.
    pub range: Range,
    /// Opaque to the service; children inherit it.
    pub metadata: Vec<u8>,
}

impl ShardSpec {
    /// A shard without metadata.
    pub fn new(shard: impl Into<String>, start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        ShardSpec { shard: shard.into(), range: Range::new(start, end), metadata: Vec::new() }
    }
}

/// The token of a lease: what every write under it carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The shard.
    pub shard: String,
    /// The holder.
    pub worker: String,
    /// The fence of the grant.
    pub fence: u64,
}

/// A lease as granted. `granted_ms` and `deadline_ms` are on the cluster's lease clock, which has no relation to any other;
/// a holder goes by `believed_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What every write carries.
    pub lease: LeaseRef,
    /// The lease clock at the grant.
    pub granted_ms: u64,
    /// The lease ends when the lease clock reaches this.
    pub deadline_ms: u64,
    /// Until when the holder may believe to hold it, on its own clock: counted from before the request was first sent, less the
    /// drift margin. After a wait in line it may have passed already, although the lease is live: renew at once.
    pub believed_until: Moment,
    /// What the shard owns.
    pub range: Range,
    /// Where the last holder stopped.
    pub cursor: Option<Cursor>,
    /// As registered.
    pub metadata: Vec<u8>,
}

/// A renewed lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The lease clock at the renewal.
    pub granted_ms: u64,
    /// The lease ends when the lease clock reaches this.
    pub deadline_ms: u64,
    /// As in [`Grant::believed_until`].
    pub believed_until: Moment,
}

/// A shard made by a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its name.
    pub shard: String,
    /// What it owns.
    pub range: Range,
}

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// As in histories and tables.
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
    /// As in histories and tables.
    pub fn name(self) -> &'static str {
        match self {
            ShardStatus::Active => "active",
            ShardStatus::Parked => "parked",
            ShardStatus::Done => "done",
            ShardStatus::Split => "split",
            ShardStatus::Cancelled => "cancelled",
        }
    }

    /// Whether it ended for ever.
    pub fn is_terminal(self) -> bool {
        matches!(self, ShardStatus::Done | ShardStatus::Split | ShardStatus::Cancelled)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ShardStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its name.
    pub run: String,
    /// Where it is.
    pub status: RunStatus,
    /// As given at its creation.
    pub metadata: Vec<u8>,
    /// Why it failed or was cancelled; empty otherwise.
    pub reason: String,
    /// Root shards registered.
    pub roots: u64,
    /// How its shards stand.
    pub counts: Counts,
    /// The log index of the last change to the run or one of its shards.
    pub changed_at: u64,
}

/// Shards of a run by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its name.
    pub shard: String,
    /// The shard from which a split made it.
    pub parent: Option<String>,
    /// What it owns now.
    pub range: Range,
    /// Where it is.
    pub status: ShardStatus,
    /// The current fence.
    pub fence: u64,
    /// The lease on record. It stays when it has expired.
    pub lease: Option<LeaseRecord>,
    /// How far it is processed.
    pub cursor: Option<Cursor>,
    /// As registered.
    pub metadata: Vec<u8>,
    /// Why it is parked; empty otherwise.
    pub reason: String,
}

/// A lease on record, live while the lease clock is below its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The holder.
    pub worker: String,
    /// The lease clock at the grant or the last renewal, in milliseconds.
    pub granted_ms: u64,
    /// In milliseconds of the lease clock.
    pub deadline_ms: u64,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Reflects every mutation that was answered before the read was sent.
    #[default]
    Linearizable,
    /// The answering node's state at once, however old.
    Stale,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In order of their names.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}

/// What was read, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// The log index whose state was read.
    pub applied: u64,
    /// The lease clock at that index, in milliseconds.
    pub lease_clock_ms: u64,
    /// Whether it may be older than mutations that were answered before.
    pub stale: bool,
}
