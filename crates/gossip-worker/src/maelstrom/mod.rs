//! The third driver of the core: one Maelstrom node for every workload that the core can serve.
//!
//! | workload | rides on |
//! |---|---|
//! | `echo`, `unique-ids` | nothing, and the client's op ids: no message between nodes |
//! | `broadcast`, `g-set`, `g-counter`, `pn-counter` | [`gossip_core::broadcast`] |
//! | `lin-kv`, `txn-list-append`, `kafka` | [`gossip_core::consensus::Group`], each with its own state machine |
//!
//! `docs/maelstrom.md` has the figures.

mod kv;
mod logs;
mod node;
mod replica;
pub mod report;
mod spread;
mod stdio;
mod txn;
mod wire;

pub use node::{Node, Settings};
pub use stdio::{Stopped, run};
pub use wire::{Body, Caller, Code, Envelope, Fault};
