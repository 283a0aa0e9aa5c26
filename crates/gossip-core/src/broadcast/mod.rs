//! Dissemination of payloads to every node, sans-IO: each node publishes, every node ends up with everything.
//!
//! The overlay is a star that nobody configures. The first node with something to say, or the first to find the hub gone, takes
//! the hub's role in a new epoch; on a tie the lower number wins. A leaf gathers what it published for a window and sends it to
//! the hub; the hub gathers what the leaves sent for a window and sends it to everybody else. With `n` nodes under load that is
//! at most `n - 1` messages up and `n - 1` down in one window, however many payloads there are.
//!
//! * **Acknowledgements ride on the next message.** Every message carries its sender's version vector, the highest gap-free
//!   version of each origin (Parker et al. 1983), which says at once what it has and what it lacks. A message for an
//!   acknowledgement alone is sent only after [`Config::ack_delay`] without any other.
//! * **Loss shows in the vector.** A node that is behind a sender after taking its message asks for the rest; an unacknowledged
//!   tail is sent again.
//! * **Fail-over.** A leaf whose hub does not acknowledge within [`Broadcast::failover_after`] asks a few random nodes whether they
//!   hear the hub. If one does, only this leaf's own link is broken and it goes on through that node; if none does within half a
//!   second more ([`Config::min_failover`] / 2, longer where acknowledgements take long), it takes the role over. Both sides of a
//!   partition do so, and the views merge by epoch when it heals: a hub keeps probing whom it cannot reach.
//! * **Anti-entropy.** In addition each node sends its vector to one random node every [`Config::digest`], which repairs what
//!   no rule above foresaw. Otherwise nothing is sent while nobody lacks anything.
//!
//! Time-outs adapt to measured acknowledgement delays by RFC 6298's estimator.

mod api;
mod engine;
mod failover;
mod peer;
mod store;
mod versions;

pub use api::{Ask, Config, History, Input, Message, NodeIndex, Output, Run, View};
pub use engine::Broadcast;
pub use versions::{Origin, Versions};
