//! Sequential specifications, for the search in [`crate::wgl`].

mod counter;
mod partition;
mod register;
mod set;
mod shard;

#[cfg(test)]
mod tests;

pub use counter::{Counter, CounterInput, CounterOutput};
pub use partition::{ShardHistory, shards};
pub use register::{Register, RegisterInput, RegisterOutput};
pub use set::{Set, SetInput, SetOutput};
pub use shard::{
    Key, Known, Lease, LostFences, Record, SOME_WORKER, Shard, ShardInput, ShardOutput, ShardState, Status, WorkerNo,
    Write,
};
