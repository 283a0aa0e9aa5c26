//! `checkpoint-fence`: cursors moved by holders, by zombies and by replays.
//!
//! Operations: acquire and claim, in line or not; many checkpoints, renew, release; writes after the deadline; requests sent again
//! under their op id after the lease is over, and op ids used for another request; reads; wrong cursors.
//! A violation: a cursor that moves back or leaves its range (S7), a stale fence accepted (S2), an op id with two effects or two
//! meanings (S5), an acknowledged cursor that is gone at the end (S8).
//! Phases: the usual ones. A lease must have run out.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    sessions: 0,
    side_roots: 0,
    side_sessions: 0,
    claim: 10,
    wait: 30,
    checkpoints: 12,
    section: 0,
    renew: 30,
    finish: [5, 5, 0, 0, 0, 0],
    extra: [3, 3, 4, 2, 1, 0, 0, 0],
};
