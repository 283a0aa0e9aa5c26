//! The tokio driver's heart: one task that owns the group, pumps it, and holds back what is not durable yet.

mod budget;
mod handle;
mod pump;

pub(crate) use handle::RETRY_AFTER;
pub use handle::{Failure, Handle, ReadAnswer, StatusPage, Verdict};
pub use pump::{Driver, Parts, Stopped};

use gossip_core::consensus::{Group, Input, Output};
use gossip_core::coordination::State;

/// The group that the service replicates.
pub type ServiceGroup = Group<State>;
/// Its inputs.
pub type ServiceInput = Input<State>;
/// Its outputs.
pub type ServiceOutput = Output<State>;
