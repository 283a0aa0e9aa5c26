//! `process-pause`: holders and leaders that stand still past a deadline and go on as if nothing had happened.
//!
//! Operations: acquire and claim, in line or not; section, in which a worker may stand still; checkpoint, renew, complete, release;
//! late writes; replays; reads of shards and of the run.
//! A violation: a late write accepted (S2, L), two holders (S1), a finished shard that moves (S3).
//! Phases: the usual ones. A lease must run out while somebody stands still, or the run is unknown. Shards end, so that the
//! load moves on to fresh runs.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 12,
    sessions: 80,
    side_roots: 0,
    side_sessions: 0,
    claim: 40,
    wait: 30,
    checkpoints: 5,
    section: 50,
    renew: 40,
    finish: [6, 3, 1, 0, 0, 0],
    extra: [5, 2, 0, 2, 1, 0, 0, 0],
};
