//! The coordination state machine: runs, shards, leases, fences, cursors and splits.
//!
//! It is deterministic: `apply` is a function of the state and the command with its stamp. See `docs/protocol.md`.
//!
//! The way of a command: [`State`] checks its shape (`check`), finds tenant and run (`state`); the run finds the shard, asks the op
//! log (`oplog`), then whether the record admits it (`leases`, `runs`), and carries it out (`leases`, `runs`, `splits`).

pub mod answer;
mod check;
mod claims;
pub mod command;
pub mod error;
pub mod ids;
mod invariants;
mod leases;
pub mod limits;
mod machine;
mod oplog;
pub mod range;
mod reads;
mod run;
mod runs;
mod shard;
mod snapshot;
mod splits;
mod state;
mod waits;

pub use answer::{Answer, Grant, Query, RunStatus, ShardStatus, ShardView, TenantQuery, View};
pub use command::{Command, Cursor, LeaseRef, Op, ShardSpec};
pub use error::Rejection;
pub use ids::{Fence, Invalid, OpId, RunId, ShardId, Stamp, TenantId, WorkerId};
pub use invariants::{Rule, Violation};
pub use range::{Key, Range};
pub use state::{State, Totals};
pub use waits::WaitKey;
