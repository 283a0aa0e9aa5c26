//! `crash-recovery`: a steady stream of writes, of which each acknowledged one must be there at the end.
//!
//! Operations: claim, checkpoint, complete, split, park, release.
//! A violation: a cursor, a terminal state, a fence or a split that was acknowledged and is gone (S8), or came undone (S3, S7).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 60,
    side_roots: 0,
    claim: 70,
    wait: 10,
    checkpoints: 6,
    section: 0,
    renew: 20,
    finish: [5, 1, 2, 1, 1, 1],
    extra: [5, 2, 0, 1, 2, 0, 0],
};
