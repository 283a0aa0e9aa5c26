//! The service: the core of `gossip-core` with tokio, tonic and sled around it.

mod accept;
pub mod clock;
pub mod config;
pub mod ctl;
pub mod dev;
pub mod driver;
pub mod gauges;
pub mod gossip;
pub mod join;
pub mod maelstrom;
pub mod node;
pub mod pool;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod transport;

/// What this binary is: its version, and the commit that was checked out when it was built, where the build knew one.
pub const BUILD: &str = env!("GOSSIP_BUILD");
