//! The smallest part of a history that still fails.
//!
//! The history is cut off behind the answer that no order explains, and before the invocation that it belongs to, with all
//! ways in which the object may have stood there. Of the operations in between, each is let go that need not have happened
//! for the failure: it is made open, so that it may take effect or not, and the rest must still fail. Leaving it out
//! altogether would be too much: without the write, any read of it fails.
//!
//! An operation that had not been answered by then is never what fails, since it may as well not have happened. It is in the part
//! only if it must have: if what is left, but for the stuck operation, has no order without it.
//!
//! At last comes the operation that made the stuck one impossible, if it stands before the cut.
//!
//! Effort is counted in work and not in time, so that the same history always gives the same part, unless the time of the whole
//! check runs out: then the part stays as large as it was by then.

use std::collections::HashSet;
use std::time::Instant;

use super::budget::{Budget, Meter};
use super::frontier::{Standing, standings};
use super::search::{End, Search, Stuck};
use super::{Entry, Failure, Model};

/// Work of one trial at least; it may have twice as much as the search that failed.
const TRIAL_WORK: u64 = 10_000;
/// And at most, unless the history is longer.
const MOST_TRIAL_WORK: u64 = 5_000_000;
/// Work on the way to the cut, for each operation.
const WORK_TO_CUT: u64 = 1_000;
/// Work of all that makes the part small.
const MOST_WORK: u64 = 100_000_000;
/// Operations beyond which nothing is tried.
const MOST_OPERATIONS: usize = 256;

/// `work`: of the search that failed.
pub(super) fn failure<M: Model>(
    model: &M,
    entries: &[Entry<M::Input, M::Output>],
    stuck: Stuck<M::State>,
    budget: Budget,
    work: u64,
) -> Failure<M::State> {
    let Stuck { operation, prefix, states } = stuck;
    let mut window = Window::new(model, entries, operation, budget, work);
    let mut part = window.needed();
    let open: HashSet<usize> = window.open.iter().copied().collect();
    let placed = prefix.iter().copied().filter(|p| open.contains(p)).collect();
    part.extend(window.must_have_happened(&part, placed));
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

/// The smallest part that is found of which `holds` still holds, if it does of all: nothing first, then all but large
/// stretches, all but single ones last.
fn smallest(mut all: Vec<usize>, mut holds: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    if all.is_empty() || holds(&[]) {
        return Vec::new();
    }
    let mut size = all.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < all.len() {
            let to = (from + size).min(all.len());
            let fewer: Vec<usize> = all[..from].iter().chain(&all[to..]).copied().collect();
            if holds(&fewer) {
                all = fewer;
            } else {
                from = to;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    all
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
    /// Work that is left for all trials.
    left: u64,
}

impl<'a, M: Model> Window<'a, M> {
    fn new(model: &'a M, entries: &'a [Entry<M::Input, M::Output>], stuck: usize, budget: Budget, work: u64) -> Self {
        let until = entries[stuck].answered.unwrap_or(u64::MAX);
        let in_play = (0..entries.len()).filter(|i| *i != stuck && entries[*i].invoked <= until);
        let (mut answered, open): (Vec<usize>, Vec<usize>) =
            in_play.partition(|i| entries[*i].answered.is_some_and(|at| at <= until));
        let cut = entries[stuck].invoked;
        let to_cut = (TRIAL_WORK + WORK_TO_CUT * entries.len() as u64).min(MOST_WORK);
        let standings = match standings(model, entries, cut, Meter::new(Budget { work: to_cut, ..budget })) {
            Some(standings) => {
                answered.retain(|i| entries[*i].answered >= Some(cut));
                standings
            }
            // Too much goes on at once: the part begins with the history.
            None => vec![Standing { state: model.init(), early: [].into() }],
        };
        answered.sort_by_key(|i| (entries[*i].invoked, *i));
        let trial = (2 * work).min(MOST_TRIAL_WORK).max(TRIAL_WORK + entries.len() as u64);
        let budget = Budget { work: trial, ..budget };
        Self { model, entries, stuck, answered, open, standings, budget, left: MOST_WORK }
    }

    /// Answered operations without which there is no failure.
    fn needed(&mut self) -> Vec<usize> {
        let answered = self.answered.clone();
        if answered.len() > MOST_OPERATIONS {
            return answered;
        }
        smallest(answered, |needed| self.fails(needed))
    }

    /// Whether there is no linearization even if only these operations must have happened.
    fn fails(&mut self, needed: &[usize]) -> bool {
        let must: Vec<usize> = needed.iter().copied().chain([self.stuck]).collect();
        let may = self.others(needed, &self.open);
        (0..self.standings.len()).all(|from| matches!(self.search(from, &must, &may), Some(End::Stuck(_))))
    }

    /// Of operations that had not been answered those without which what is needed, but for the stuck one, has no order.
    fn must_have_happened(&mut self, needed: &[usize], open: Vec<usize>) -> Vec<usize> {
        smallest(open, |open| {
            let may = self.others(needed, open);
            (0..self.standings.len()).any(|from| matches!(self.search(from, needed, &may), Some(End::Found(_))))
        })
    }

    /// What else may have happened, if these of the open operations may.
    fn others(&self, needed: &[usize], open: &[usize]) -> Vec<usize> {
        self.answered.iter().filter(|i| !needed.contains(i)).chain(open).copied().collect()
    }

    /// What comes of a search from a standing; none when it is too much.
    fn search(&mut self, from: usize, must: &[usize], may: &[usize]) -> Option<End<M::State>> {
        let Standing { state, early } = &self.standings[from];
        let is_left = |i: &&usize| !early.contains(i);
        let can_matter = |i: &&usize| {
            let entry = &self.entries[**i];
            !self.model.is_spent(state, &entry.input, entry.output.as_ref())
        };
        self.left = self.left.checked_sub((must.len() + may.len()) as u64)?;
        if Instant::now() > self.budget.deadline {
            return None;
        }
        let must = must.iter().filter(is_left).map(|i| self.entries[*i].clone());
        let may = may.iter().filter(is_left).filter(can_matter).map(|i| opened(&self.entries[*i]));
        let entries: Vec<_> = must.chain(may).collect();
        let budget = Budget { work: self.budget.work.min(self.left), ..self.budget };
        let (end, work) = Search::run(self.model, &entries, state.clone(), budget);
        self.left = self.left.saturating_sub(work);
        Some(end)
    }
}

/// The same operation, which may or may not take effect.
fn opened<I: Clone, O: Clone>(entry: &Entry<I, O>) -> Entry<I, O> {
    Entry { answered: None, ..entry.clone() }
}
