//! The service around `gossip-core`: gRPC, sled, tokio.

pub mod clock;
pub mod driver;
pub mod store;
