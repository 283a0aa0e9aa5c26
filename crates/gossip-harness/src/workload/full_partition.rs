//! `full-partition`: leases on both sides of a cut that nothing passes.
//!
//! Operations: acquire and claim, in line or not; section, checkpoint, renew, release; zombies' late writes; replays; many reads, of
//! shards and of the run, from any node: the side that lost included.
//! A violation: holders on both sides (S1), a write accepted on the side that lost (S2), a read from the past (L).
//! Phases: the usual ones. A lease must have run out: one whose holder could not reach the side that kept the majority.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    sessions: 0,
    side_roots: 0,
    side_sessions: 0,
    claim: 20,
    wait: 30,
    checkpoints: 5,
    section: 40,
    renew: 40,
    finish: [7, 3, 0, 0, 0, 0],
    extra: [4, 1, 0, 8, 2, 0, 0, 0],
};
