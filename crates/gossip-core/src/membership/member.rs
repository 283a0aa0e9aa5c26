//! What is known of one node, and what nodes tell each other about it.

use serde::{Deserialize, Serialize};

pub use crate::consensus::NodeId;
use crate::time::Time;

/// The longest address, in bytes.
pub const MAX_ADDRESS: usize = 255;
/// The most other nodes one node keeps; claims about more are not taken.
pub const MAX_MEMBERS: usize = 4096;

/// How a node stands. At one incarnation the later word of this list wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It answers, or nobody has said otherwise.
    Alive,
    /// It did not answer somebody; it has time to refute.
    Suspect,
    /// It was suspected for the whole suspicion timeout.
    Dead,
    /// It said itself that it goes.
    Left,
}

impl Status {
    /// Whether the node still takes part: alive or merely suspected.
    pub const fn is_live(self) -> bool {
        matches!(self, Status::Alive | Status::Suspect)
    }
}

/// How a node stands at which of its incarnations: what is compared. Standings form a total order and every node keeps the
/// greatest it heard of, so that all end with the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Raised by the node itself and by no one else, to refute.
    pub incarnation: u64,
    /// How it stands at that incarnation.
    pub status: Status,
}

/// One node's word about a node: the unit of dissemination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whom it is about.
    pub node: NodeId,
    /// What it says.
    pub standing: Standing,
    /// Who said it first. Different accusers confirm a suspicion; the same one again does not.
    pub by: NodeId,
    /// Where the node is reached; empty when the claim does not say.
    pub address: String,
}

/// What one node holds of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is reached.
    pub address: String,
    /// How it stands.
    pub standing: Standing,
    /// Since when its status is what it is, on the clock of the node that holds this.
    pub since: Time,
}
