//! The facts that each node of the product publishes about itself.

use std::fmt;
use std::str::FromStr;

use crate::gossip::Invalid;
use crate::membership::NodeId;

/// Its part in consensus: `leader`, `follower`, `candidate` or `learner`.
pub const ROLE: &str = "role";
/// The name by which operators call it.
pub const NAME: &str = "name";
/// Whom it takes for the leader, and in which term: a [`LeaderHint`]; empty while it knows none.
pub const LEADER: &str = "leader";
/// The last log index that it applied, a decimal number.
pub const APPLIED: &str = "applied";
/// Version of the binary, and its commit where the build knew it.
pub const BUILD: &str = "build";
/// How many shards are Active in the replicated state as it applied it, a decimal number.
pub const ACTIVE_SHARDS: &str = "active-shards";
/// How many of them have a live lease, on the lease clock as of its last applied entry, a decimal number.
pub const LIVE_LEASES: &str = "live-leases";

/// Whom a node takes for the leader. One value, so that term and leader never come from two updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaderHint {
    /// The term of consensus; the hint with the greatest is the best.
    pub term: u64,
    /// The leader of that term.
    pub leader: NodeId,
}

impl fmt::Display for LeaderHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.leader, self.term)
    }
}

impl FromStr for LeaderHint {
    type Err = Invalid;

    /// Reads `leader@term`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts = text.split_once('@').and_then(|(leader, term)| Some((leader.parse().ok()?, term.parse().ok()?)));
        let (leader, term) = parts.ok_or(Invalid::new("leader", "must be two numbers, leader@term"))?;
        Ok(LeaderHint { term, leader })
    }
}
