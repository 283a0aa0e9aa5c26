//! What the Raft group asks of the state machine that it replicates.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::coordination::ids::Stamp;

/// A deterministic state machine. Its commands are kept in the log with `postcard`.
pub trait StateMachine: Debug {
    /// A mutation as it stands in the log.
    type Command: Clone + Debug + Serialize + DeserializeOwned;
    /// What a mutation that was applied answers, refusals included.
    type Answer: Clone + Debug;
    /// A read.
    type Query: Clone + Debug;
    /// What a read answers, refusals included.
    type View: Clone + Debug;
    /// What a waiter waits on: see [`StateMachine::blocked_on`].
    type WaitKey: Clone + Debug + Ord;

    /// Applies the committed entry at `index`, stamped by its leader. Stamps never fall from entry to entry.
    ///
    /// Never panics on a command that passed the edge's checks, and never on one that a newer or older build let through.
    fn apply(&mut self, index: u64, stamp: Stamp, command: &Self::Command) -> Self::Answer;

    /// Reads the state as it stands.
    fn read(&self, query: &Self::Query) -> Self::View;

    /// If this answer only says "not now", what the command must wait for and the stamp at which it is worth asking again at
    /// the latest. `None`: the answer is final.
    fn blocked_on(&self, command: &Self::Command, answer: &Self::Answer) -> Option<(Self::WaitKey, Stamp)>;

    /// What became free when `command` was answered so: waiters on these keys are worth asking again.
    fn released_by(&self, command: &Self::Command, answer: &Self::Answer) -> Vec<Self::WaitKey>;

    /// The whole state as bytes, the same on every node that applied the same entries.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the state by a snapshot's.
    ///
    /// # Errors
    /// A snapshot that cannot be read: the node must stop.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;
}

/// A snapshot that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot cannot be read: {0}")]
pub struct RestoreError(pub String);
