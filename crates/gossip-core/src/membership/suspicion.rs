//! A suspicion: how long a node has to refute, and who confirmed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::config::Config;
use super::member::NodeId;
use crate::time::Time;

/// How long a suspicion with `confirmations` lasts in a cluster of `nodes` (Lifeguard, section IV.B):
/// `max(min, max - (max - min) * log(C + 1) / log(K + 1))` with `min = alpha * max(1, log10 n) * probe_interval` and
/// `max = beta * min`. K is at most `n - 2`: the node itself and the suspect confirm nothing.
pub fn suspicion_timeout(config: &Config, nodes: usize, confirmations: usize) -> Duration {
    let scale = (nodes.max(1) as f64).log10().max(1.0);
    let min = config.probe_interval.mul_f64(config.suspicion_alpha * scale);
    let wanted = config.suspicion_confirmations.min(nodes.saturating_sub(2));
    if confirmations >= wanted {
        return min;
    }
    let max = min.mul_f64(config.suspicion_beta.max(1.0));
    let share = (confirmations as f64 + 1.0).ln() / (wanted as f64 + 1.0).ln();
    max - (max - min).mul_f64(share)
}

/// One suspicion that this node holds.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    started: Time,
    nodes: usize,
    first: NodeId,
    confirmed_by: BTreeSet<NodeId>,
    /// Somebody holds the node dead: as good as every confirmation.
    condemned: bool,
    deadline: Time,
}

impl Suspicion {
    pub(super) fn new(config: &Config, nodes: usize, by: NodeId, now: Time) -> Self {
        Suspicion {
            started: now,
            nodes,
            first: by,
            confirmed_by: BTreeSet::new(),
            condemned: false,
            deadline: now + suspicion_timeout(config, nodes, 0),
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// How many others confirmed it.
    pub(super) fn confirmations(&self) -> usize {
        self.confirmed_by.len()
    }

    /// In whose name `teller` passes it on: in its own only if its own probe failed, else in that of who accused first. Whoever
    /// merely heard of a suspicion confirms nothing (Lifeguard, section IV.B: confirmations are independent).
    pub(super) fn accuser(&self, teller: NodeId) -> NodeId {
        if self.confirmed_by.contains(&teller) { teller } else { self.first }
    }

    /// Counts an accuser that has not been counted yet, as long as confirmations still shorten the time. True if it did.
    pub(super) fn confirm(&mut self, config: &Config, by: NodeId) -> bool {
        let counts = by != self.first
            && !self.condemned
            && self.confirmed_by.len() < config.suspicion_confirmations
            && self.confirmed_by.insert(by);
        if counts {
            self.deadline = self.started + suspicion_timeout(config, self.nodes, self.confirmed_by.len());
        }
        counts
    }

    /// Takes another's finding that the node is dead: what is left is the shortest time.
    pub(super) fn condemn(&mut self, config: &Config) {
        self.condemned = true;
        self.deadline = self.started + suspicion_timeout(config, self.nodes, usize::MAX);
    }

    /// Gives back time in which this node itself could not hear.
    pub(super) fn delay(&mut self, by: Duration) {
        self.started = self.started + by;
        self.deadline = self.deadline + by;
    }
}
