//! The service as its users meet it: real processes, real ports, real disks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bounds;
mod cluster;
mod founding;
mod garbage;
mod gossip;
mod kit;
mod life;
mod membership;
mod start_up;
