//! At most one node leads in a term.

use std::collections::BTreeMap;

use gossip_core::consensus::NodeId;

use super::{Checked, Rule, ensure};

/// Who led when.
#[derive(Debug, Default)]
pub struct Elections {
    leaders: BTreeMap<u64, NodeId>,
}

impl Elections {
    /// `node` leads in `term`.
    ///
    /// # Errors
    /// Another node did.
    pub fn leads(&mut self, node: NodeId, term: u64) -> Checked {
        let first = *self.leaders.entry(term).or_insert(node);
        ensure(first == node, Rule::LeaderPerTerm, || format!("nodes {first} and {node} both lead in term {term}"))
    }

    /// Terms that had a leader.
    pub fn count(&self) -> usize {
        self.leaders.len()
    }
}
