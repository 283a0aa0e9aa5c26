//! `concurrent-acquisition`: everybody wants the same shard at the same moment, in line or not.
//!
//! Operations: acquire with and without waiting, release.
//! A violation: two holders (S1), fences out of order (S2), a waiter that is granted what it was not (L).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 1,
    side_roots: 0,
    claim: 30,
    wait: 60,
    checkpoints: 1,
    section: 50,
    renew: 0,
    finish: [1, 0, 0, 0, 0, 0],
    extra: [6, 1, 0, 1, 0, 0, 0],
};
