//! What one node sees of its cluster.

use std::collections::BTreeMap;

use super::facts::{LEADER, LeaderHint};
use crate::membership::{NodeId, Standing, Status};

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
    /// The leader of the greatest term, `least_term` or later, that any node names which is not dead or gone. Who is suspected
    /// is not taken for a leader: a dead one is suspected long before it is known for dead. A hint: only the leader knows.
    pub fn leader(&self, least_term: u64) -> Option<LeaderHint> {
        let live = self.members.values().filter(|member| member.standing.status.is_live());
        let hints = live.filter_map(|member| member.facts.get(LEADER)?.parse::<LeaderHint>().ok());
        hints.filter(|hint| hint.term >= least_term && self.answers(hint.leader)).max()
    }

    fn answers(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.standing.status == Status::Alive)
    }
}
