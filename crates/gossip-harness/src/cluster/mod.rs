//! A cluster of real nodes on this machine.

mod local;
mod ports;
mod process;
mod watchdog;
mod wiring;

pub use local::{Cluster, Node, NodeEnded, Plan};
pub use ports::Port;
pub use process::Process;
pub use watchdog::Watchdog;
pub use wiring::Wiring;
