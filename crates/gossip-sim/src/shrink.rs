//! Leaves out of a failing run what it does not need to fail.
//!
//! Each subject draws from a stream of its own, so that what stays behaves as before and most of what is left out changes nothing
//! else. A smaller run counts if it breaks the same rule.

use crate::faults::options::Options;
use crate::faults::schedule;
use crate::invariants::{Rule, Violation};
use crate::run::{Cut, Plan, run};

/// The smallest plan that was found to break the same rule, or `None` if the plan breaks none.
pub fn shrink(plan: &Plan) -> Option<(Plan, Violation)> {
    let violation = run(plan).violation?;
    let mut best = Best { plan: plan.clone(), violation };
    best.fewer_kinds();
    best.fewer_strikes();
    best.less_work();
    best.fewer_strikes();
    best.fewer_operations();
    Some((best.plan, best.violation))
}

struct Best {
    plan: Plan,
    violation: Violation,
}

impl Best {
    fn rule(&self) -> Rule {
        self.violation.rule
    }

    /// Takes `plan` if it still fails in the same way.
    fn take(&mut self, plan: Plan) -> bool {
        match run(&plan).violation {
            Some(violation) if violation.rule == self.rule() => {
                (self.plan, self.violation) = (plan, violation);
                true
            }
            _ => false,
        }
    }

    fn fewer_kinds(&mut self) {
        let kinds = self.plan.options().faults;
        for fault in kinds.iter() {
            let mut plan = self.plan.clone();
            plan.cut.kinds = plan.cut.kinds.with(fault);
            self.take(plan);
        }
    }

    /// Leaves out planned faults.
    fn fewer_strikes(&mut self) {
        let Plan { seed, level, length, nodes, .. } = self.plan;
        let drawn = schedule::draw(&Options::draw(seed, level, length, nodes));
        let kinds = self.plan.cut.kinds;
        let numbers: Vec<usize> = (0..drawn.len()).filter(|&number| !kinds.has(drawn[number].fault)).collect();
        self.fewer(&numbers, |cut| &mut cut.strikes);
    }

    /// Leaves out operations of workers, until none can be left out alone.
    fn fewer_operations(&mut self) {
        loop {
            let before = self.plan.cut.operations.len();
            // The last ones first: what came just before the violation is rarely needed.
            let mut begun = run(&self.plan).begun;
            begun.reverse();
            self.fewer(&begun, |cut| &mut cut.operations);
            if self.plan.cut.operations.len() == before {
                return;
            }
        }
    }

    /// Leaves out of `all` what is not needed, many at once first.
    fn fewer<T: Copy + Ord>(&mut self, all: &[T], of: fn(&mut Cut) -> &mut Vec<T>) {
        let mut chunk = all.len().div_ceil(2).max(1);
        loop {
            for some in all.chunks(chunk) {
                let mut plan = self.plan.clone();
                let cut = of(&mut plan.cut);
                let fresh: Vec<T> = some.iter().copied().filter(|one| !cut.contains(one)).collect();
                if !fresh.is_empty() {
                    cut.extend(fresh);
                    cut.sort_unstable();
                    self.take(plan);
                }
            }
            if chunk == 1 {
                return;
            }
            chunk = chunk.div_ceil(2);
        }
    }

    fn less_work(&mut self) {
        let options = self.plan.options();
        for workers in [1, 2, 3, options.workers / 2].into_iter().filter(|&workers| workers < options.workers) {
            let mut plan = self.plan.clone();
            plan.cut.workers = Some(workers);
            if self.take(plan) {
                break;
            }
        }
        let mut steps = self.plan.options().steps.min(10_000);
        while steps > 1 {
            let mut plan = self.plan.clone();
            plan.cut.steps = Some(steps * 3 / 4);
            if !self.take(plan) {
                break;
            }
            steps = steps * 3 / 4;
        }
    }
}
