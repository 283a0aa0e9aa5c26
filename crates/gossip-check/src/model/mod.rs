//! Sequential specifications, for the search in [`crate::wgl`].

mod counter;
mod fences;
mod partition;
mod register;
mod set;
mod shard;
mod spent;

#[cfg(test)]
mod tests;

pub use counter::{Counter, CounterInput, CounterOutput};
pub use fences::LostFences;
pub use partition::{ShardHistory, shards};
pub use register::{Register, RegisterInput, RegisterOutput};
pub use set::{Set, SetInput, SetOutput};
pub use shard::{
    Key, Known, Lease, Record, SOME_WORKER, Shard, ShardInput, ShardOutput, ShardState, Status, WorkerNo, Write,
};
