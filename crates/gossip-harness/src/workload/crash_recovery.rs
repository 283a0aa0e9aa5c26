//! `crash-recovery`: a steady stream of writes, of which each acknowledged one must be there at the end.
//!
//! Operations: claim and acquire; checkpoint, renew, complete, split both ways, park, unpark, release; zombies' late writes;
//! replays; reads of shards and of the run.
//! A violation: a cursor, a terminal state, a fence or a split that was acknowledged and is gone (S8), or came undone (S3, S7).
//! Phases: the usual ones. The load moves on to fresh runs; the final reads take in every one of them.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 60,
    sessions: 130,
    side_roots: 0,
    side_sessions: 0,
    claim: 70,
    wait: 10,
    checkpoints: 6,
    section: 0,
    renew: 20,
    finish: [5, 1, 2, 1, 1, 1],
    extra: [5, 2, 0, 1, 1, 2, 0, 0],
};
