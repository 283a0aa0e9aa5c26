//! `lease-exclusivity`: many workers fight for few shards and do two things under each lease.
//!
//! The *unfenced section* is a critical section that only the holder's belief protects: entered and left on the holder's own clock.
//! Two of them on one shard must not overlap in real time while monotonic rates are sane (S1). The *fenced effect* is a checkpoint
//! under the lease's fence: one below a fence already granted must never be accepted, whatever clocks do (S2). Some holders stall
//! past their deadline and then write.
//!
//! Operations: acquire, section, checkpoint, renew, release; zombies' late writes; replays.
//! A violation: overlapping grants or beliefs (S1), a stale fence accepted (S2).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 4,
    side_roots: 0,
    claim: 10,
    wait: 50,
    checkpoints: 4,
    section: 70,
    renew: 30,
    finish: [7, 3, 0, 0, 0, 0],
    extra: [6, 1, 1, 2, 0, 0, 0],
};
