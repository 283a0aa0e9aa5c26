//! `concurrent-acquisition`: everybody wants the same shard at the same moment, in line or not.
//!
//! Operations: acquire and claim with and without waiting; section, a checkpoint, release; replays; reads of the shard and of the
//! run.
//! A violation: two holders (S1), fences out of order (S2), a waiter that is granted what it was not (L).
//! Phases: the usual ones.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 1,
    sessions: 0,
    side_roots: 0,
    side_sessions: 0,
    claim: 30,
    wait: 60,
    checkpoints: 1,
    section: 50,
    renew: 0,
    finish: [1, 0, 0, 0, 0, 0],
    extra: [6, 1, 0, 1, 1, 0, 0, 0],
};
