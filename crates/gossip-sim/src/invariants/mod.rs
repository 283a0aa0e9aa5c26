//! What must hold at every step, one file each.
//!
//! | rule | statement | file |
//! |---|---|---|
//! | leader-per-term | at most one node leads in a term | `elections` |
//! | log-matching | entries with the same index and term are equal, and so is what precedes them | `logs` |
//! | applied-prefix | every node applies the same commands in the same order and answers them alike | `ledger` |
//! | lease-clock | stamps never fall | `oracle` |
//! | S1 | no grant and no write goes past a live lease, a deadline or an owner | `oracle/leases` |
//! | S2 | each grant and unpark raises the fence; writes carry the current one | `oracle/leases` |
//! | S3 | nothing succeeds on what has ended | `oracle` |
//! | S4 | the leaves tile the roots | `oracle/ranges`, `State::check_invariants` |
//! | S5 | one op id, one effect, one answer | `oracle/replays` |
//! | S6 | after the heal every shard comes to its end, every node serves; there is always something left to do before | `world/finish`, `world` |
//! | S7 | cursors move forward, inside the range | `oracle/leases` |
//! | state | the records are what the answers said, on every node; what is refused had to be, for this reason | `ledger`, `oracle/refusals`, `oracle/shape` |
//! | disk | a node whose disk is damaged never serves | `world/process` |
//! | voters | a node that was added holds something before it votes | `world/operator` |
//! | stopped | a node starts from a disk that is well, and its core never gives up | `world/process` |
//! | panic | no assertion of the core fails | `run` |
//! | history | the judge of `gossip-check` on what the workers saw (S1-S8, L) | `run` |

mod elections;
pub mod ledger;
mod logs;
pub mod oracle;

use std::fmt;

pub use elections::Elections;
pub use ledger::{Ledger, Watched};
pub use logs::Logs;

/// The rules, by the names of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one node leads in a term.
    LeaderPerTerm,
    /// Entries with the same index and term are equal.
    LogMatching,
    /// All nodes apply the same.
    AppliedPrefix,
    /// Stamps never fall.
    LeaseClock,
    /// Lease exclusivity.
    S1,
    /// Fence monotonicity.
    S2,
    /// Terminal irreversibility.
    S3,
    /// Coverage.
    S4,
    /// Idempotency.
    S5,
    /// Progress.
    S6,
    /// Cursors.
    S7,
    /// The records are what the answers said.
    State,
    /// A node whose disk is damaged never serves.
    Disk,
    /// Whoever got a vote holds something.
    Voters,
    /// The core stopped for no reason that a fault gave it.
    Stopped,
    /// The core panicked.
    Panic,
    /// What the judge found in the history.
    History(&'static str),
}

impl Rule {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::LeaderPerTerm => "leader-per-term",
            Rule::LogMatching => "log-matching",
            Rule::AppliedPrefix => "applied-prefix",
            Rule::LeaseClock => "lease-clock",
            Rule::S1 => "S1",
            Rule::S2 => "S2",
            Rule::S3 => "S3",
            Rule::S4 => "S4",
            Rule::S5 => "S5",
            Rule::S6 => "S6",
            Rule::S7 => "S7",
            Rule::State => "state",
            Rule::Disk => "disk",
            Rule::Voters => "voters",
            Rule::Stopped => "stopped",
            Rule::Panic => "panic",
            Rule::History(id) => id,
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How.
    pub what: String,
}

impl Violation {
    /// This rule was broken so.
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Violation { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.what)
    }
}

/// Whether a check found nothing.
pub type Checked = Result<(), Violation>;

/// Refuses with this rule unless `holds`.
fn ensure(holds: bool, rule: Rule, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(rule, what())) }
}
