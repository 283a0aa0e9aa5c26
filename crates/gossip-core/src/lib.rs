//! The gossip-rs node, sans-IO: `handle(now, input)`, then `poll()` until it is empty.
//!
//! Nothing in this crate reads a clock, a socket, a file or the system's randomness. Three drivers pump it: the service
//! (`gossip-worker`), the simulator (`gossip-sim`) and the Maelstrom binary.

pub mod broadcast;
mod bytes;
pub mod consensus;
pub mod coordination;
pub mod gossip;
pub mod membership;
pub mod mutants;
pub mod node;

pub mod time;
