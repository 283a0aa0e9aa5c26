//! The smallest part of a history that still fails.
//!
//! The history is cut off behind the answer that no order explains, and before the invocation that it belongs to, with all
//! ways in which the object may have stood there. Of the operations in between, each is let go that need not have happened
//! for the failure: it is made open, so that it may take effect or not, and the rest must still fail. Leaving it out
//! altogether would be too much: without the write, any read of it fails. At last come the operation that made the stuck
//! one impossible, if it stands before the cut, and those that had not been answered but did take effect, as it seems.
//!
//! Effort is counted in steps and not in time, so that the same history always gives the same part.

use std::time::Instant;

use super::frontier::{Standing, standings};
use super::search::{Budget, End, Search, Stuck};
use super::{Entry, Failure, Limits, Model};

/// Steps of one trial.
const TRIAL_STEPS: u64 = 10_000;
/// Steps on the way to the cut, for each operation.
const STEPS_TO_CUT: u64 = 1_000;
/// Operations beyond which nothing is tried.
const MOST_OPERATIONS: usize = 256;

pub(super) fn failure<M: Model>(
    model: &M,
    entries: &[Entry<M::Input, M::Output>],
    stuck: Stuck<M::State>,
    limits: Limits,
) -> Failure<M::State> {
    let Stuck { operation, prefix, states } = stuck;
    let window = Window::new(model, entries, operation, Instant::now() + limits.time, limits.memory);
    let mut part = window.needed();
    part.extend(window.open.iter().filter(|open| prefix.contains(open)));
    part.extend(blocker(model, entries, &prefix, operation));
    part.push(operation);
    part.sort_by_key(|i| (entries[*i].invoked, *i));
    part.dedup();
    Failure { stuck: operation, prefix, part, states }
}

/// The last operation of a linearization after which the stuck one was impossible.
fn blocker<M: Model>(
    model: &M,
    entries: &[Entry<M::Input, M::Output>],
    prefix: &[usize],
    stuck: usize,
) -> Option<usize> {
    let possible =
        |state: &M::State| model.step(state, &entries[stuck].input, entries[stuck].output.as_ref()).is_some();
    let mut state = model.init();
    let mut found = None;
    for operation in prefix {
        let entry = &entries[*operation];
        let next = model.step(&state, &entry.input, entry.output.as_ref())?;
        if possible(&state) && !possible(&next) {
            found = Some(*operation);
        }
        state = next;
    }
    found
}

struct Window<'a, M: Model> {
    model: &'a M,
    entries: &'a [Entry<M::Input, M::Output>],
    stuck: usize,
    /// Operations answered between the cut and the stuck one's answer.
    answered: Vec<usize>,
    /// Those invoked by then that were not answered by then.
    open: Vec<usize>,
    /// How things may have stood at the cut.
    standings: Vec<Standing<M::State>>,
    budget: Budget,
}

impl<'a, M: Model> Window<'a, M> {
    fn new(
        model: &'a M,
        entries: &'a [Entry<M::Input, M::Output>],
        stuck: usize,
        deadline: Instant,
        memory: usize,
    ) -> Self {
        let until = entries[stuck].answered.unwrap_or(u64::MAX);
        let in_play = (0..entries.len()).filter(|i| *i != stuck && entries[*i].invoked <= until);
        let (mut answered, open): (Vec<usize>, Vec<usize>) =
            in_play.partition(|i| entries[*i].answered.is_some_and(|at| at <= until));
        let cut = entries[stuck].invoked;
        let steps = TRIAL_STEPS + STEPS_TO_CUT * entries.len() as u64;
        let standings = match standings(model, entries, cut, steps) {
            Some(standings) => {
                answered.retain(|i| entries[*i].answered >= Some(cut));
                standings
            }
            // Too much goes on at once: the part begins with the history.
            None => vec![Standing { state: model.init(), early: [].into() }],
        };
        answered.sort_by_key(|i| (entries[*i].invoked, *i));
        let budget = Budget { deadline, memory, steps: TRIAL_STEPS };
        Self { model, entries, stuck, answered, open, standings, budget }
    }

    /// Answered operations without which there is no failure.
    fn needed(&self) -> Vec<usize> {
        let mut needed = self.answered.clone();
        if needed.len() > MOST_OPERATIONS {
            return needed;
        }
        let mut size = needed.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < needed.len() {
                let to = (from + size).min(needed.len());
                let fewer: Vec<usize> = needed[..from].iter().chain(&needed[to..]).copied().collect();
                if self.fails(&fewer) {
                    needed = fewer;
                } else {
                    from = to;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        needed
    }

    /// Whether there is no linearization even if only these operations must have happened.
    fn fails(&self, needed: &[usize]) -> bool {
        self.standings.iter().all(|standing| {
            let is_left = |i: &&usize| !standing.early.contains(i);
            let must = needed.iter().chain([&self.stuck]).filter(is_left).map(|i| self.entries[*i].clone());
            let may = self.answered.iter().filter(|i| !needed.contains(i)).chain(&self.open);
            let may = may.filter(is_left).map(|i| opened(&self.entries[*i]));
            let entries: Vec<_> = must.chain(may).collect();
            let mut search = Search::new(self.model, &entries, standing.state.clone(), self.budget);
            matches!(search.run(), End::Stuck(_))
        })
    }
}

/// The same operation, which may or may not take effect.
fn opened<I: Clone, O: Clone>(entry: &Entry<I, O>) -> Entry<I, O> {
    Entry { answered: None, ..entry.clone() }
}
