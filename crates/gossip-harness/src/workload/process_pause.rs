//! `process-pause`: holders and leaders that stand still past a deadline and go on as if nothing had happened.
//!
//! Operations: acquire, section, checkpoint, renew, complete, release.
//! A violation: a late write accepted (S2), two holders (S1), a finished shard that moves (S3).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 12,
    side_roots: 0,
    claim: 40,
    wait: 30,
    checkpoints: 5,
    section: 50,
    renew: 40,
    finish: [5, 4, 1, 0, 0, 0],
    extra: [5, 2, 0, 2, 0, 0, 0],
};
