//! Claims on their way: each rides on a bounded number of messages.

use std::collections::{BTreeMap, BTreeSet};

use super::member::{Claim, NodeId};

/// How often one node sends one claim on: `lambda * ceil(log10(n + 1))` (SWIM, section 4.1: a multiple of log n; the base and
/// the rounding are memberlist's).
pub fn retransmit_limit(lambda: u32, nodes: usize) -> u32 {
    lambda * ((nodes as f64 + 1.0).log10().ceil() as u32)
}

/// The claims to send on, at most one about each node, those sent least first.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    claims: BTreeMap<NodeId, (u32, Claim)>,
    order: BTreeSet<(u32, NodeId)>,
}

impl News {
    /// Whether there is something to tell a node: nobody is told about himself.
    pub(super) fn is_for(&self, node: NodeId) -> bool {
        self.claims.len() > usize::from(self.holds(node))
    }

    pub(super) fn holds(&self, node: NodeId) -> bool {
        self.claims.contains_key(&node)
    }

    /// Takes up a claim in the place of what was said of that node before.
    pub(super) fn push(&mut self, claim: Claim) {
        self.drop(claim.node);
        self.order.insert((0, claim.node));
        self.claims.insert(claim.node, (0, claim));
    }

    pub(super) fn drop(&mut self, node: NodeId) {
        if let Some((sent, _)) = self.claims.remove(&node) {
            self.order.remove(&(sent, node));
        }
    }

    /// Up to `count` claims for one message, none about `besides`; those that have been sent `limit` times end here.
    pub(super) fn take(&mut self, count: usize, limit: u32, besides: Option<NodeId>) -> Vec<Claim> {
        let chosen: Vec<_> =
            self.order.iter().filter(|(_, node)| Some(*node) != besides).take(count).copied().collect();
        let mut taken = Vec::with_capacity(chosen.len());
        for (sent, node) in chosen {
            self.order.remove(&(sent, node));
            let Some(entry) = self.claims.get_mut(&node) else { continue };
            taken.push(entry.1.clone());
            if sent + 1 >= limit {
                self.claims.remove(&node);
            } else {
                entry.0 = sent + 1;
                self.order.insert((sent + 1, node));
            }
        }
        taken
    }
}
