//! `lease-exclusivity`: many workers fight for few shards and do two things under each lease.
//!
//! The *unfenced section* is a critical section that only the holder's belief protects: entered and left on the holder's own clock,
//! and noted at the true times. Two of them on one shard must not overlap in real time while monotonic rates are sane (S1). A
//! holder that stalled in one, and finds on leaving that its belief is over, says so: that part is its own risk, and accuses
//! nobody. The *fenced effect* is a checkpoint under the lease's fence: one below a fence already granted must never be
//! accepted, whatever clocks do (S2). Some holders stall past their deadline and then write.
//!
//! Operations: acquire and claim, in line or not; section, checkpoint, renew, release; zombies' late writes; replays and reused op
//! ids; reads of shards and of the run; wrong cursors.
//! A violation: overlapping grants, beliefs or sections (S1), a stale fence accepted (S2).
//! Phases: the usual ones. Under `pause-random-node` a lease must run out while somebody stands still, or the run is unknown.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 4,
    sessions: 0,
    side_roots: 0,
    side_sessions: 0,
    claim: 10,
    wait: 50,
    checkpoints: 4,
    section: 70,
    renew: 30,
    finish: [7, 3, 0, 0, 0, 0],
    extra: [6, 1, 1, 2, 1, 0, 0, 0],
};
