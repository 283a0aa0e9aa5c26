//! Linearizability: is there an order of operations that each took effect between its invocation and its answer, and that a
//! sequential [`Model`] allows?
//!
//! The search is Wing and Gong's with Lowe's improvements: a doubly linked list of events from which an operation is lifted
//! when it is placed and put back when that led nowhere, and a memory of the configurations already tried (which operations
//! are placed, which state that led to). Operations that were never answered stay open for ever: they may take effect at
//! any time after their invocation, or never. The search stops at a limit of time or memory and then says *unknown*.
//!
//! J. M. Wing, C. Gong, "Testing and Verifying Concurrent Objects", 1993. G. Lowe, "Testing for Linearizability", 2017.

mod budget;
mod claims;
mod events;
mod explain;
mod frontier;
pub mod generate;
mod memo;
mod search;
mod shards;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use budget::Budget;
use search::{End, Search};

pub use shards::{Anomaly, ShardsChecked, check_parts, check_shards};

/// A sequential specification.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Input: Clone + Eq + Hash + Debug;
    type Output: Clone + Eq + Hash + Debug;

    fn init(&self) -> Self::State;

    /// The state after an operation, or none if it cannot happen in this state. An operation without output was never
    /// answered; it may have had any.
    fn step(&self, state: &Self::State, input: &Self::Input, output: Option<&Self::Output>) -> Option<Self::State>;

    /// Whether the operation never changes a state, but for what becomes known of it. Saying so makes the search faster.
    fn is_read(&self, _input: &Self::Input) -> bool {
        false
    }

    /// Whether an operation that was never answered can change nothing any more: not in this state, and not in any that
    /// operations lead to from it. Two configurations that differ in such operations alone are one to the search, which
    /// otherwise grows with every subset of them.
    fn is_spent(&self, _state: &Self::State, _input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        false
    }
}

/// An operation of a history. Times are in any unit that orders them; places in the history do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<I, O> {
    pub invoked: u64,
    /// None: open for ever.
    pub answered: Option<u64>,
    pub input: I,
    pub output: Option<O>,
}

/// When to give up. The time holds for all of a check: for making ready, for the search, and for making small what fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub time: Duration,
    /// Bytes of remembered configurations.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), memory: 1 << 30 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    Time,
    Memory,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<S> {
    /// Places in the entries, in the order of a linearization. Open operations that need not have happened are missing.
    Linearizable(Vec<usize>),
    Illegal(Failure<S>),
    Unknown(Exhausted),
}

/// Why a history has no linearization. Operations are places in the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<S> {
    /// The operation whose answer no order explains; up to this answer the history is linearizable.
    pub stuck: usize,
    /// A linearization of what was answered before it, as long as one was found.
    pub prefix: Vec<usize>,
    /// The smallest part of the history found that shows the failure, in order of invocation; ends with `stuck`'s answer.
    pub part: Vec<usize>,
    /// States in which everything before that answer could have left the object, at most [`STATES_SHOWN`].
    pub states: Vec<S>,
}

pub const STATES_SHOWN: usize = 8;

/// Searches for a linearization of `entries`, which may be in any order.
///
/// Equal times count as concurrent.
pub fn check<M: Model>(model: &M, entries: &[Entry<M::Input, M::Output>], limits: Limits) -> Outcome<M::State> {
    let budget = Budget { deadline: Instant::now() + limits.time, memory: limits.memory, work: u64::MAX };
    match Search::run(model, entries, model.init(), budget) {
        (End::Found(order), _) => Outcome::Linearizable(order),
        (End::Stuck(stuck), work) => Outcome::Illegal(explain::failure(model, entries, stuck, budget, work)),
        (End::Exhausted(what), _) => Outcome::Unknown(what),
    }
}
