//! The world around the nodes: time, network, disks, clocks.

pub mod clock;
pub mod disk;
pub mod net;
pub mod queue;
