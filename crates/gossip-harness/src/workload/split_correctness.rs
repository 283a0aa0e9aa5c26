//! `split-correctness`: shards are split while others read, finish and fight for them.
//!
//! Operations: acquire, claim, checkpoint, split-replace, split-residual, complete, release, reads.
//! A violation: leaves that do not tile the roots exactly, at any read (S4); a write on a shard that was split (S3).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 8,
    side_roots: 0,
    claim: 70,
    wait: 10,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [4, 1, 3, 0, 3, 3],
    extra: [4, 2, 1, 3, 0, 0, 0],
};
