//! The local-cluster tier: real `gossip-worker` processes on this machine, driven, disturbed and judged.

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod gate;
pub mod logs;
pub mod pace;
pub mod proxy;
pub mod rng;
pub mod schedule;
pub mod store;
pub mod workload;
