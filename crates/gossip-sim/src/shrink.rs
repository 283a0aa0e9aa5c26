//! Leaves out of a failing run what it does not need to fail.
//!
//! Each subject draws from a stream of its own, so that what stays behaves as before and most of what is left out changes nothing
//! else. A smaller run counts if it breaks the same rule.

use crate::faults::schedule;
use crate::invariants::{Rule, Violation};
use crate::run::{Plan, run};

/// The smallest plan that was found to break the same rule, or `None` if the plan breaks none.
pub fn shrink(plan: &Plan) -> Option<(Plan, Violation)> {
    let violation = run(plan).violation?;
    let mut best = Best { plan: plan.clone(), violation };
    best.fewer_kinds();
    best.fewer_strikes();
    best.less_work();
    best.fewer_strikes();
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

    /// Leaves out planned faults, many at once first.
    fn fewer_strikes(&mut self) {
        let drawn = schedule::draw(&crate::faults::options::Options::draw(
            self.plan.seed,
            self.plan.level,
            self.plan.length,
            self.plan.nodes,
        ));
        let mut chunk = drawn.len().div_ceil(2).max(1);
        loop {
            for start in (0..drawn.len()).step_by(chunk) {
                let mut plan = self.plan.clone();
                let before = plan.cut.strikes.len();
                let fresh = (start..drawn.len().min(start + chunk))
                    .filter(|number| !plan.cut.kinds.has(drawn[*number].fault))
                    .filter(|number| !self.plan.cut.strikes.contains(number));
                plan.cut.strikes.extend(fresh);
                if plan.cut.strikes.len() > before {
                    self.take(plan);
                }
            }
            if chunk == 1 {
                self.plan.cut.strikes.sort_unstable();
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
