//! `full-lifecycle`: everything that the service can do, on main runs that come to their end by themselves and on side runs that are
//! cancelled and failed by turns while others work on them.
//!
//! Operations: all of them. register, under load as well; acquire, claim, in line or not; section, checkpoint, renew, release,
//! complete, park, unpark, split-replace, split-residual; complete-run, before its time and in time; cancel-run, fail-run;
//! delete-run, before its time and in time; late writes, replays, reused op ids, wrong cursors; reads of shards and of runs.
//! A violation: any of S1 to S8, or a shard without a linearization. A run in which no deletion succeeded, or none was refused
//! because its run had not ended, is unknown.
//! Phases: the usual ones. A side run lives for a hundred sessions of which a sixth is its own, some seconds; then it is ended under
//! its holders' hands. One session in ten first founds a brief run, which nobody else works on: it tries to delete it, ends it and
//! deletes it. A deletion that was lost leaves the judge in doubt about a run for good, so that no other is put to it.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 60,
    sessions: 120,
    side_roots: 8,
    side_sessions: 15,
    claim: 60,
    wait: 20,
    checkpoints: 4,
    section: 20,
    renew: 40,
    finish: [5, 2, 3, 2, 2, 2],
    extra: [6, 3, 1, 3, 1, 3, 1, 2],
};
