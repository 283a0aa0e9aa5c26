//! One node's view of its cluster: the failure detector and the facts, joined into one sans-IO machine.
//!
//! Consensus is a [`crate::consensus::Group`] beside it. Nothing here decides a lease: what this machine says is a hint.

mod api;
pub mod facts;
mod machine;
mod message;
mod sync;
mod view;

pub use api::{Config, Event, Input, Output, Peer};
pub use machine::Node;
pub use message::{Body, DecodeError, Entry, MAX_INCARNATION, MAX_MESSAGE, Message};
pub use view::{MemberView, View};
