//! Messages between nodes: one gRPC stream a direction, carrying Raft and gossip.
//!
//! Nothing here is trusted to arrive. A queue that is full drops what does not fit; of Raft's messages it says so to the group,
//! which sends again. Raft and gossip have a queue each, and Raft goes first: gossip in any amount costs Raft one frame in 16.

mod codec;
mod inbound;
mod link;
mod outbound;
mod queue;

pub use inbound::Inbound;
pub use outbound::Outbound;

/// The largest message taken from another node: one entry beyond the group's own bound still passes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Bytes of one part of a snapshot on the wire.
const PART: usize = 512 << 10;

/// What this node says of itself at the start of each stream.
#[derive(Clone, Debug)]
pub struct Local {
    /// The cluster's id.
    pub cluster: String,
    /// Raft's number.
    pub id: u64,
    /// The name given by `--id`.
    pub name: String,
}
