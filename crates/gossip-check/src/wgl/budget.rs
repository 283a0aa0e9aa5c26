//! What a search may spend.

use std::time::Instant;

use super::Exhausted;

/// The clock is looked at once in so much work.
const WORK_BETWEEN_LOOKS: u64 = 1024;

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) deadline: Instant,
    /// Bytes.
    pub(super) memory: usize,
    /// A unit is one operation looked at, whatever for: a step of the search takes as many as it has to go through.
    pub(super) work: u64,
}

/// Counts work, and looks at the clock by work and not by steps: with very many open operations one step can be long.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Budget,
    spent: u64,
    next_look: u64,
}

impl Meter {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, spent: 0, next_look: WORK_BETWEEN_LOOKS }
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) fn work(&mut self, units: usize) -> Result<(), Exhausted> {
        self.spent += units as u64;
        if self.spent > self.budget.work {
            return Err(Exhausted::Time);
        }
        if self.spent < self.next_look {
            return Ok(());
        }
        self.next_look = self.spent + WORK_BETWEEN_LOOKS;
        if Instant::now() > self.budget.deadline { Err(Exhausted::Time) } else { Ok(()) }
    }

    pub(super) fn memory(&self, bytes: usize) -> Result<(), Exhausted> {
        if bytes > self.budget.memory { Err(Exhausted::Memory) } else { Ok(()) }
    }
}
