//! `checkpoint-fence`: cursors moved by holders, by zombies and by replays.
//!
//! Operations: acquire, many checkpoints, renew, release; writes after the deadline; op ids sent again and used twice.
//! A violation: a cursor that moves back or leaves its range (S7), a stale fence accepted (S2), an op id with two effects (S5), an
//! acknowledged cursor that is gone at the end (S8).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    side_roots: 0,
    claim: 10,
    wait: 30,
    checkpoints: 12,
    section: 0,
    renew: 30,
    finish: [5, 5, 0, 0, 0, 0],
    extra: [3, 3, 2, 2, 0, 0, 0],
};
