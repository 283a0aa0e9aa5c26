//! The record of one shard.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::answer::ShardStatus;
use super::command::Cursor;
use super::ids::{Fence, OpId, ShardId, Stamp, WorkerId};
use super::range::Range;
use crate::mutants::{Mutant, Planted};

/// A shard's place in [`super::run::Run::shards`]. Shards leave a run only together with it, so a slot stays true.
pub(super) type Slot = u32;

/// What all shards that came from one root by splits have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    /// As registered. The leaves tile it at all times.
    pub(super) range: Arc<Range>,
    /// Opaque to the service; children inherit it.
    #[serde(with = "crate::bytes")]
    pub(super) metadata: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shard {
    pub(super) name: ShardId,
    /// Index into [`super::run::Run::roots`].
    pub(super) root: u32,
    /// The shard from which a split made it.
    pub(super) parent: Option<Slot>,
    pub(super) range: Arc<Range>,
    pub(super) status: ShardStatus,
    pub(super) fence: Fence,
    /// The lease on record, live or expired.
    pub(super) lease: Option<Lease>,
    pub(super) cursor: Option<Arc<Cursor>>,
    /// Why it is parked.
    pub(super) reason: Box<str>,
    /// The evictable entries of the op log that belong to this shard, oldest first. Derived from the op log.
    #[serde(skip)]
    pub(super) recent: VecDeque<OpId>,
    /// What they hold: see [`super::limits::OP_LOG_BYTES_PER_SHARD`].
    #[serde(skip)]
    pub(super) recent_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) worker: WorkerId,
    pub(super) granted: Stamp,
    pub(super) deadline: Stamp,
}

impl Shard {
    /// A new Active shard without a lease.
    pub(super) fn new(name: ShardId, root: u32, parent: Option<Slot>, range: Arc<Range>, fence: Fence) -> Self {
        Shard {
            name,
            root,
            parent,
            range,
            status: ShardStatus::Active,
            fence,
            lease: None,
            cursor: None,
            reason: "".into(),
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }
}

/// Whether a lease with this deadline is live: strictly before it.
pub(super) fn is_live(deadline: Stamp, now: Stamp, planted: Planted) -> bool {
    now < deadline || (planted.is(Mutant::ExpiryOffByOne) && now == deadline)
}
