//! What a node keeps on disk: who it is, its log, its newest snapshot.
//!
//! One thread owns the database (see [`thread`]). Every value carries a checksum over its key and itself; what does not match ends the
//! process, it is never served.

mod chunks;
mod disk;
mod identity;
mod record;
pub mod thread;
mod witness;

#[cfg(test)]
mod tests;

pub use disk::{Disk, StoreError};
pub use identity::{Card, Identity, Stranger, look};

use gossip_core::consensus::{Persist, Recovered};

/// A durable store of one node. `gossip-worker` runs on [`Disk`]; tests may bring another.
pub trait Storage: Send {
    /// Applies `writes` in order as one atomic step, and returns when that is durable (`sync`) or handed to the system.
    ///
    /// # Errors
    /// The node must stop: nobody knows what is on disk.
    fn write(&mut self, writes: &[Persist], sync: bool) -> Result<(), StoreError>;
}

/// A store that was just opened, with what it holds.
#[derive(Debug)]
pub struct Opened {
    /// To write to.
    pub disk: Disk,
    /// Who the node is.
    pub card: Card,
    /// Log and snapshot.
    pub recovered: Recovered,
}
