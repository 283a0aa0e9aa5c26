//! `split-correctness`: shards are split while others read, finish and fight for them.
//!
//! Operations: acquire and claim, of children as of roots; checkpoint, split-replace, split-residual, complete, release; zombies'
//! late writes; replays and reused op ids; reads of single shards, children first, and of the whole run at one moment.
//! A violation: leaves that do not tile the roots exactly, at any read (S4); a write on a shard that was split (S3).
//! Phases: the usual ones. The load moves on to a fresh run before all is split and finished.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 16,
    sessions: 150,
    side_roots: 0,
    side_sessions: 0,
    claim: 70,
    wait: 10,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [4, 1, 3, 0, 3, 3],
    extra: [4, 2, 1, 3, 2, 0, 0, 0],
};
