//! The local-cluster tier: real `gossip-worker` processes on this machine, driven, disturbed and judged.

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod gate;
pub mod logs;
pub mod mutants;
pub mod nemesis;
pub mod pace;
pub mod proxy;
pub mod recorder;
pub mod rng;
pub mod runner;
pub mod schedule;
pub mod store;
pub mod verdict;
pub mod workload;
