//! `shard-acquisition`: workers claim and acquire whatever is free, work a little and give it back, finish it or set it aside.
//!
//! Operations: claim, acquire, in line or not; checkpoint, release, complete, park, unpark; late writes of zombies; replays; reads
//! of shards and of the run; wrong cursors.
//! A violation: two grants of one shard that overlap (S1), a fence that does not rise (S2), a finished shard that is granted or
//! moves (S3), an acknowledged end that is gone (S8).
//! Phases: the usual ones. Shards end, so that the load moves on to a fresh run before this one's are used up.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 40,
    sessions: 110,
    side_roots: 0,
    side_sessions: 0,
    claim: 70,
    wait: 20,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [6, 2, 2, 1, 0, 0],
    extra: [6, 1, 0, 2, 1, 1, 0, 0],
};
