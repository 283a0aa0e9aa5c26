//! `full-lifecycle`: everything that the service can do, on a main run and on a side run that is cancelled on the way.
//!
//! Operations: all of them.
//! A violation: any of S1 to S8, or a shard without a linearization.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 60,
    side_roots: 8,
    claim: 60,
    wait: 20,
    checkpoints: 4,
    section: 20,
    renew: 20,
    finish: [5, 2, 3, 2, 2, 2],
    extra: [6, 3, 1, 3, 3, 1, 2],
};
