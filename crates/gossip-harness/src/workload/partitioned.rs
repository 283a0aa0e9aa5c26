//! `full-partition` and `asymmetric-partition`: leases on both sides of a cut.
//!
//! Operations: acquire, section, checkpoint, renew, release, reads from any node.
//! A violation: holders on both sides (S1), a write accepted on the side that lost (S2), a read from the past (L).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    side_roots: 0,
    claim: 20,
    wait: 30,
    checkpoints: 5,
    section: 40,
    renew: 40,
    finish: [7, 3, 0, 0, 0, 0],
    extra: [4, 1, 0, 5, 0, 0, 0],
};
