//! The words between the dissemination and its driver, and between its nodes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::versions::{Origin, Versions};

/// A node's place in the list of nodes, the same list on every node.
pub type NodeIndex = u32;

/// Who is the hub. Of two views the later epoch holds, then the lower hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Raised by whoever takes the role; 0: nobody has yet.
    pub epoch: u64,
    /// Who has the role; without meaning in epoch 0.
    pub hub: NodeIndex,
}

impl View {
    pub(super) fn beats(self, other: View) -> bool {
        self.epoch > other.epoch || (self.epoch == other.epoch && self.hub < other.hub)
    }
}

/// What the sender wants of the receiver, at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Nothing.
    #[default]
    None,
    /// A sign of life.
    Reply,
    /// What it lacks; its versions are exact, whatever was sent to it before.
    Pull,
    /// Whether the receiver hears the hub.
    Hub,
}

/// Consecutive payloads of one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<P> {
    /// Who published them.
    pub origin: Origin,
    /// The version of the first one.
    pub first: u64,
    /// At least one, in order of their versions.
    pub payloads: Vec<P>,
}

/// What nodes send each other. There is one kind: payloads, if any, under a header that tells how the sender stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message<P> {
    /// The sender's life, see [`Origin::life`].
    pub life: u64,
    /// The hub as the sender knows it.
    pub view: View,
    /// Whether the sender is the hub or heard from it lately.
    pub hears_hub: bool,
    /// Whether the receiver is the node through which the sender hears everything.
    pub parent: bool,
    /// What the sender wants at once.
    pub ask: Ask,
    /// Everything the sender has, `runs` included: an acknowledgement.
    pub versions: Versions,
    /// New payloads, as far as the sender can tell.
    pub runs: Vec<Run<P>>,
}

/// What is kept of an origin's payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// All of them, delivered in order of their versions.
    All,
    /// The newest one: each payload stands for all before it.
    Newest,
}

/// The settings. Nodes may differ in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a payload is held on its way in all, so that others can join it: a fifth of it at a leaf, the rest at the hub.
    pub batch: Duration,
    /// A leaf acknowledges after this if it had nothing to send meanwhile.
    pub ack_delay: Duration,
    /// The least time after which a leaf gives up on a hub that does not acknowledge, beyond [`Config::batch`].
    pub min_failover: Duration,
    /// The longest time between two probes of a node that does not answer.
    pub max_probe: Duration,
    /// Time between two digests to a random node.
    pub digest: Duration,
    /// How many nodes a leaf asks whether they hear the hub.
    pub asks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            batch: Duration::from_millis(300),
            ack_delay: Duration::from_secs(2),
            min_failover: Duration::from_secs(1),
            max_probe: Duration::from_secs(2),
            digest: Duration::from_secs(10),
            asks: 3,
        }
    }
}

impl Config {
    pub(super) fn leaf_window(&self) -> Duration {
        self.batch / 5
    }

    pub(super) fn hub_window(&self) -> Duration {
        self.batch - self.leaf_window()
    }
}

/// What the driver tells the node.
#[derive(Clone, Debug)]
pub enum Input<P> {
    /// Nothing but that time has passed: due when [`super::Broadcast::deadline`] is reached.
    Wake,
    /// A payload of this node. It is there for this node at once; there is no [`Output::Deliver`] for it.
    Publish(P),
    /// A message of another node.
    Message {
        /// Who sent it.
        from: NodeIndex,
        /// What it sent.
        message: Message<P>,
    },
}

/// What the node tells the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this. Loss, delay, duplication and reordering are allowed for.
    Send {
        /// To whom.
        to: NodeIndex,
        /// What.
        message: Message<P>,
    },
    /// Another node's payload, once for each version that is kept.
    Deliver {
        /// Who published it.
        origin: Origin,
        /// Its version.
        version: u64,
        /// The payload.
        payload: P,
    },
}
