//! A client for a gossip-rs cluster.

mod client;
pub mod clock;
mod cluster;
mod convert;
mod error;
mod opid;
mod options;
mod pool;
mod retry;
mod runs;
mod shards;
pub mod types;

pub use client::Client;
pub use cluster::{Health, JoinResponse, Member, NodeStatus, Role};
pub use error::{DEADLINE, Error, TRANSPORT, UNREACHABLE};
pub use opid::OpId;
pub use options::Options;
