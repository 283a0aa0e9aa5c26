//! How an object may stand at a moment of its history: every configuration, found by going forward through time.
//!
//! An operation is placed no earlier than an answer demands it, so that few configurations are alive at a time. That loses
//! none: in any linearization each operation can wait until just before the next answer.

use std::collections::{BTreeSet, HashSet};

use super::budget::Meter;
use super::{Entry, Model};

/// Configurations alive at a time beyond which it gives up.
const MOST_ALIVE: usize = 256;

/// The state at a moment, and what had taken effect by then of the operations that were answered later or never.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Standing<S> {
    pub(super) state: S,
    pub(super) early: BTreeSet<usize>,
}

/// All standings just before a moment; none when there are too many, or when it takes more than it may.
pub(super) fn standings<M: Model>(
    model: &M,
    entries: &[Entry<M::Input, M::Output>],
    until: u64,
    mut meter: Meter,
) -> Option<Vec<Standing<M::State>>> {
    let mut alive = vec![Standing { state: model.init(), early: BTreeSet::new() }];
    let mut pending: Vec<usize> = Vec::new();
    for (_, is_answer, operation) in events(entries, until) {
        meter.work(1).ok()?;
        if !is_answer {
            pending.push(operation);
            continue;
        }
        let mut next = HashSet::new();
        for standing in alive {
            let place = Placing { model, entries, pending: &pending };
            place.until_placed(standing, operation, &mut next, &mut meter)?;
        }
        pending.retain(|p| *p != operation);
        alive = next.into_iter().collect();
        if alive.len() > MOST_ALIVE {
            return None;
        }
    }
    Some(alive)
}

fn events<I, O>(entries: &[Entry<I, O>], until: u64) -> Vec<(u64, bool, usize)> {
    let invocations = entries.iter().enumerate().map(|(i, e)| (e.invoked, false, i));
    let answers = entries.iter().enumerate().filter_map(|(i, e)| Some((e.answered?, true, i)));
    let mut events: Vec<_> = invocations.chain(answers).filter(|(at, ..)| *at < until).collect();
    events.sort_unstable();
    events
}

struct Placing<'a, M: Model> {
    model: &'a M,
    entries: &'a [Entry<M::Input, M::Output>],
    pending: &'a [usize],
}

impl<M: Model> Placing<'_, M> {
    /// All ways to place pending operations until this one is.
    fn until_placed(
        &self,
        from: Standing<M::State>,
        operation: usize,
        placed: &mut HashSet<Standing<M::State>>,
        meter: &mut Meter,
    ) -> Option<()> {
        let mut seen = HashSet::new();
        let mut todo = vec![from];
        while let Some(mut standing) = todo.pop() {
            meter.work(1).ok()?;
            if standing.early.remove(&operation) {
                placed.insert(standing);
                continue;
            }
            for next in self.after(&standing, meter)? {
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        Some(())
    }

    fn after(&self, standing: &Standing<M::State>, meter: &mut Meter) -> Option<Vec<Standing<M::State>>> {
        let mut all = Vec::new();
        for p in self.pending.iter().filter(|p| !standing.early.contains(p)) {
            meter.work(1).ok()?;
            let entry = &self.entries[*p];
            let Some(state) = self.model.step(&standing.state, &entry.input, entry.output.as_ref()) else { continue };
            let is_idle = state == standing.state;
            if is_idle && entry.answered.is_none() {
                continue;
            }
            meter.work(standing.early.len()).ok()?;
            let mut early = standing.early.clone();
            early.insert(*p);
            // What is spent is as good as not placed, and there would be a standing for each subset of it.
            early.retain(|p| {
                let Entry { answered, input, output, .. } = &self.entries[*p];
                answered.is_some() || !self.model.is_spent(&state, input, output.as_ref())
            });
            let next = Standing { state, early };
            // A read that fits may as well be placed at once: it is in nobody's way.
            if is_idle && self.model.is_read(&entry.input) {
                return Some(vec![next]);
            }
            all.push(next);
        }
        Some(all)
    }
}
