//! `gossip-convergence`: leaders and leases move while all nodes' views of the cluster are read; at the end all views are one.
//!
//! A watcher stands beside the workers. It asks each node how it stands, and notes as published what that node says of itself,
//! at a version: the log index that it has applied. And it reads each node's view of all others. The workers move it: they write.
//!
//! Operations: publish, read-view; acquire, claim, checkpoint, release, a few replays and reads to keep the log growing.
//! A violation: a fact that a node which it could reach does not see within the bound, or sees in an older version than before
//! (G2); live nodes whose final views differ or lack what was published (G1). A node that gives no final view has not converged.
//! Phases: leases are long, so that faults last long enough to see whether facts go round by way of a third node. After the
//! usual final reads the views are read until they are the same, or the time for that is over.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    sessions: 0,
    side_roots: 0,
    side_sessions: 0,
    claim: 50,
    wait: 10,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [1, 0, 0, 0, 0, 0],
    extra: [8, 1, 0, 1, 0, 0, 0, 0],
};
