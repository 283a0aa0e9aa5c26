//! The catalogue of invariants. Each has a file of its own with its statement and its argument at the head, and a `check`
//! that counts what it compared: nothing compared is *unknown*, never a pass.

pub(crate) mod coverage;
mod deletions;
mod existence;
pub(crate) mod facts;
mod floors;
mod g1;
mod g2;
pub(crate) mod healing;
mod lease_clock;
pub(crate) mod leases;
mod makers;
pub(crate) mod names;
pub(crate) mod op_ids;
pub(crate) mod oplog;
mod origins;
mod refusals;
mod run_status;
mod s1;
mod s2;
mod s3;
mod s4;
mod s5;
mod s6;
mod s7;
mod s8;
mod shown;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use facts::{Facts, Tally};

/// What is judged, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
    G1,
    /// Judged where a bound is set.
    G2,
    /// That the nemesis did what the schedule's name says.
    Faults,
    /// That each name stands for one thing; reported only where it does not.
    Names,
}

impl Invariant {
    /// All that every history can be judged by. [`Invariant::G2`] needs a bound, [`Invariant::Faults`] to be told what to look
    /// for; [`Invariant::Names`] is about the history.
    pub const CATALOGUE: [Self; 9] =
        [Self::S1, Self::S2, Self::S3, Self::S4, Self::S5, Self::S6, Self::S7, Self::S8, Self::G1];

    pub fn id(self) -> &'static str {
        match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::S4 => "S4",
            Self::S5 => "S5",
            Self::S6 => "S6",
            Self::S7 => "S7",
            Self::S8 => "S8",
            Self::G1 => "G1",
            Self::G2 => "G2",
            Self::Faults => "F",
            Self::Names => "N",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::S1 => "Lease exclusivity",
            Self::S2 => "Fence monotonicity",
            Self::S3 => "Terminal irreversibility",
            Self::S4 => "Shard coverage",
            Self::S5 => "Idempotency",
            Self::S6 => "Progress",
            Self::S7 => "Cursor",
            Self::S8 => "Durability",
            Self::G1 => "Gossip convergence",
            Self::G2 => "Gossip speed",
            Self::Faults => "Faults took hold",
            Self::Names => "Names told apart",
        }
    }

    /// [`Invariant::G2`]: the bound is in nanoseconds.
    pub(crate) fn check_speed(facts: &Facts<'_>, bound: i64) -> Tally {
        g2::check(facts, bound)
    }

    pub(crate) fn check(self, facts: &Facts<'_>) -> Tally {
        match self {
            Self::S1 => s1::check(facts),
            Self::S2 => s2::check(facts),
            Self::S3 => s3::check(facts),
            Self::S4 => s4::check(facts),
            Self::S5 => s5::check(facts),
            Self::S6 => s6::check(facts),
            Self::S7 => s7::check(facts),
            Self::S8 => s8::check(facts),
            Self::G1 => g1::check(facts),
            Self::G2 | Self::Faults | Self::Names => Tally::default(),
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// There is no invariant of this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no invariant has the id {0:?}")]
pub struct UnknownInvariant(String);

impl FromStr for Invariant {
    type Err = UnknownInvariant;

    /// From an id, in either case.
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let all = Self::CATALOGUE.into_iter().chain([Self::G2, Self::Faults, Self::Names]);
        all.into_iter().find(|i| i.id().eq_ignore_ascii_case(id)).ok_or_else(|| UnknownInvariant(id.to_owned()))
    }
}
