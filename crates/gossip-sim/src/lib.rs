//! A deterministic world around `gossip-core`: nodes, network, disks, clocks and workers in virtual time, all from one seed.
//!
//! [`run::run`] plays one seed and says what was violated, what was reached and what it cost. The binary `gossip-sim` sweeps
//! over seeds, replays one with a readable trace, and shrinks a failing one.

pub mod faults;
pub mod history;
pub mod invariants;
pub mod reach;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod sweep;
pub mod trace;
pub mod world;
