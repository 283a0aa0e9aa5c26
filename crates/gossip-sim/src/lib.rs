//! A deterministic world around `gossip-core`: nodes, network, disks, clocks and workers in virtual time, all from one seed.

pub mod faults;
pub mod invariants;
pub mod reach;
pub mod rng;
pub mod trace;
pub mod world;
