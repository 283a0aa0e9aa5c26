//! The service: the core of `gossip-core` with tokio, tonic and sled around it.

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
pub mod server;
pub mod store;
pub mod telemetry;
pub mod transport;
