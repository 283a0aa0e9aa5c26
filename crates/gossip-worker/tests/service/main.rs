//! The service as its users meet it: real processes, real ports, real disks.

mod cluster;
mod garbage;
mod kit;
mod life;
mod membership;
mod start_up;
