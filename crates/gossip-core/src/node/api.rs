//! The words between a node and its driver.

use std::time::Duration;

use super::message::Message;
use crate::membership::{self, NodeId};

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// Where the others reach it, at most [`membership::MAX_ADDRESS`] bytes, not empty.
    pub address: String,
    /// Puts this life of the node behind its earlier ones and should be higher: a durable count of starts, or the wall clock
    /// at the start in milliseconds. A lower one, or the same, heals as soon as another node shows what it holds of the earlier
    /// life. What others see as the incarnation is greater: the low bits, drawn from `seed`, tell lives apart.
    pub incarnation: u64,
    /// All randomness of the node. Different on each node and in each life.
    pub seed: u64,
    /// The failure detector.
    pub membership: membership::Config,
    /// How often facts are compared with another node's.
    pub sync_interval: Duration,
    /// In a cluster of more nodes than this the interval is stretched by `log2(n / this) + 1`, as memberlist does (there: above
    /// 32), so that digests, which grow with n, do not fill the network.
    pub sync_stretch_above: usize,
    /// The most bytes of facts in one message; at least one delta is sent.
    pub delta_bytes: usize,
}

impl Config {
    /// The default settings.
    pub fn new(id: NodeId, address: impl Into<String>, incarnation: u64, seed: u64) -> Self {
        Config {
            id,
            address: address.into(),
            incarnation,
            seed,
            membership: membership::Config::default(),
            sync_interval: Duration::from_millis(500),
            sync_stretch_above: 32,
            delta_bytes: 64 * 1024,
        }
    }
}

/// A node to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// Where it is reached.
    pub address: String,
}

/// What the driver tells the node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Nothing but that time has passed: due when [`super::Node::deadline`] is reached.
    Tick,
    /// A message, from whom the transport says it came.
    Packet {
        /// The sender.
        from: NodeId,
        /// What it said.
        message: Message,
    },
    /// A value to tell all nodes, in the place of the key's last one.
    Publish {
        /// 1 to 64 bytes. Those of the product are in [`super::facts`].
        key: String,
        /// At most 1024 bytes.
        value: String,
    },
    /// Nodes through which to find the others. Tried again for as long as they are not known. Each call takes the place of the
    /// last, so that nodes which are no longer named are no longer tried.
    Join {
        /// All of them; this one among them does no harm.
        peers: Vec<Peer>,
    },
    /// Say farewell to the others. [`Event::Departed`] follows.
    Leave,
}

/// What the node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this; it may be lost, repeated or reordered. [`super::Node::address`] knows where `to` is.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Something changed in the view.
    Event(Event),
}

/// A change of this node's view. Whenever [`super::Node::view`] has changed, there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// New, back, no longer suspected, or at a new incarnation; also this node itself, once it refuted.
    MemberAlive(NodeId),
    /// Did not answer.
    MemberSuspect(NodeId),
    /// Did not refute in time.
    MemberDead(NodeId),
    /// Said farewell; also this node itself.
    MemberLeft(NodeId),
    /// Remembered no longer, nor its facts.
    MemberForgotten(NodeId),
    /// An owner, or this node itself, has a new value, or none since its life ended; [`super::Node::view`] tells.
    FactChanged {
        /// Whose.
        owner: NodeId,
        /// Which.
        key: String,
    },
    /// The farewell is said; the process may end.
    Departed,
}
