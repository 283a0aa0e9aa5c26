//! Who is in the cluster and who answers: SWIM with Lifeguard, sans-IO.
//!
//! Sources: A. Das, I. Gupta, A. Motivala, "SWIM", DSN 2002; A. Dadgar, J. Phillips, J. Currey, "Lifeguard: Local Health
//! Awareness for More Accurate Failure Detection", DSN-W 2018 (arXiv 1707.00788). What differs is said in `docs/gossip.md`.

mod claims;
mod config;
mod health;
mod machine;
mod member;
mod news;
mod probes;
mod relays;
mod ring;
mod suspicion;

pub use config::Config;
pub use machine::{Effect, Membership, ProbeMessage};
pub use member::{Claim, MAX_ADDRESS, MAX_MEMBERS, Member, NodeId, Standing, Status};
pub use news::retransmit_limit;
pub use suspicion::suspicion_timeout;
