//! A Raft group around any [`StateMachine`], sans-IO.
//!
//! `raft` 0.7 does the protocol; this module gives it time, randomness, storage, stamps, waiters and bounds. See
//! `docs/protocol.md`.

pub mod api;
mod batch;
mod clock;
mod codec;
mod drive;
mod group;
mod incoming;
mod log;
pub mod machine;
mod members;
mod reads;
mod requests;
mod waiters;

pub use api::{
    Change, Config, Consistency, Input, Member, Members, NodeId, Output, Persist, Recovered, Refusal, Role,
    SnapshotData, SnapshotRecord, Status, Ticket, Token,
};
pub use group::Group;
pub use incoming::BadMessage;
pub use log::StartError;
pub use machine::{RestoreError, StateMachine};
