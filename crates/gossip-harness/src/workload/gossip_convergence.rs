//! `gossip-convergence`: leaders and leases move while every node's view of the cluster is read; at the end all views are one.
//!
//! Operations: acquire, checkpoint, release; reads of each node's view.
//! A violation: live nodes whose final views differ (G1).

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 6,
    side_roots: 0,
    claim: 50,
    wait: 10,
    checkpoints: 3,
    section: 0,
    renew: 0,
    finish: [1, 0, 0, 0, 0, 0],
    extra: [8, 1, 0, 1, 0, 0, 0],
};
