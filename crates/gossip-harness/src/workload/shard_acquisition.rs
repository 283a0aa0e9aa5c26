//! `shard-acquisition`: workers claim and acquire whatever is free, work a little and give it back or finish it.
//!
//! Operations: claim, acquire, checkpoint, release, complete, reads.
//! A violation: two grants of one shard that overlap (S1), a fence that does not rise (S2), a finished shard that is granted (S3).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 40,
    side_roots: 0,
    claim: 70,
    wait: 20,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [6, 2, 2, 0, 0, 0],
    extra: [6, 1, 0, 2, 0, 0, 0],
};
