//! The coordination state machine: runs, shards, leases, fences, cursors and splits.
//!
//! It is deterministic: `apply` is a function of the state and the command with its stamp. See `docs/protocol.md`.

pub mod answer;
pub mod command;
pub mod error;
pub mod ids;
pub mod limits;
pub mod range;

pub use answer::{Answer, Grant, Query, RunStatus, ShardStatus, ShardView, View};
pub use command::{Command, Cursor, LeaseRef, Op, ShardSpec};
pub use error::Rejection;
pub use ids::{Fence, Invalid, OpId, RunId, ShardId, Stamp, TenantId, WorkerId};
pub use range::{Key, Range};
