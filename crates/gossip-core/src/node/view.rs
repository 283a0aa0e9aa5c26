//! What one node sees of its cluster.

use std::collections::BTreeMap;

use super::facts::{LEADER, LeaderHint};
use crate::membership::{NodeId, Standing};

/// What one node sees of its cluster, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Every node that is known, this one included, by id.
    pub members: BTreeMap<NodeId, MemberView>,
}

/// What one node sees of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Where it is reached.
    pub address: String,
    /// How it stands.
    pub standing: Standing,
    /// What it published, by key.
    pub facts: BTreeMap<String, String>,
}

impl View {
    /// The leader of the greatest term that any node which is not dead or gone names. A hint: only the leader knows.
    pub fn leader(&self) -> Option<LeaderHint> {
        let live = self.members.values().filter(|member| member.standing.status.is_live());
        live.filter_map(|member| member.facts.get(LEADER)?.parse().ok()).max()
    }
}
