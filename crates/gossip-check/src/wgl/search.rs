//! The search: places one operation after the other, takes back what leads nowhere.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::budget::{Budget, Meter};
use super::events::{Events, Place};
use super::memo::{Memo, Placed, StateId};
use super::{Entry, Exhausted, Model, STATES_SHOWN};

/// Where the search got stuck for good.
#[derive(Debug, Clone)]
pub(super) struct Stuck<S> {
    pub(super) operation: usize,
    pub(super) prefix: Vec<usize>,
    /// States before the answer that could not be explained.
    pub(super) states: Vec<S>,
}

#[derive(Debug)]
pub(super) enum End<S> {
    Found(Vec<usize>),
    Stuck(Stuck<S>),
    Exhausted(Exhausted),
}

/// The bit of an operation.
#[derive(Debug, Clone, Copy)]
enum Bit {
    Answered(usize),
    /// With an equal operation invoked earlier, if there is one: of equals only the first unplaced is tried.
    Open(usize, Option<usize>),
}

/// An operation that was placed.
#[derive(Debug)]
struct Step {
    operation: usize,
    before: StateId,
    /// Open operations placed earlier that are spent since, by bit.
    spent: Vec<usize>,
    /// How many open operations had been set aside before.
    aside: usize,
}

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    entries: &'a [Entry<M::Input, M::Output>],
    events: Events,
    bits: Vec<Bit>,
    /// The open operations, by bit.
    open: Vec<usize>,
    placed: Placed,
    memo: Memo<M::State>,
    state: StateId,
    path: Vec<Step>,
    /// Open operations that were not placed and are spent: nobody need pass by them any more.
    aside: Vec<usize>,
    meter: Meter,
    furthest: u32,
    stuck: Option<(usize, Vec<usize>, Vec<StateId>)>,
}

impl<'a, M: Model> Search<'a, M> {
    /// Looks for one linearization, and says how much work that was.
    pub(super) fn run(
        model: &'a M,
        entries: &'a [Entry<M::Input, M::Output>],
        init: M::State,
        budget: Budget,
    ) -> (End<M::State>, u64) {
        let mut meter = Meter::new(budget);
        let numbered = match number(entries, &mut meter) {
            Ok(numbered) => numbered,
            Err(what) => return (End::Exhausted(what), meter.spent()),
        };
        let mut search = Self::new(model, entries, init, numbered, meter);
        let end = search.look().unwrap_or_else(End::Exhausted);
        (end, search.meter.spent())
    }

    fn new(
        model: &'a M,
        entries: &'a [Entry<M::Input, M::Output>],
        init: M::State,
        (bits, answered, open): Numbered,
        meter: Meter,
    ) -> Self {
        let mut memo = Memo::new();
        Self {
            model,
            entries,
            events: Events::new(entries),
            bits,
            placed: Placed::new(answered, open.len()),
            state: memo.state_id(init),
            memo,
            open,
            path: Vec::new(),
            aside: Vec::new(),
            meter,
            furthest: 0,
            stuck: None,
        }
    }

    fn look(&mut self) -> Result<End<M::State>, Exhausted> {
        let mut place = self.events.first();
        while !self.events.all_answers_lifted() {
            match self.advance(place)? {
                Some(next) => place = next,
                None => return Ok(End::Stuck(self.stuck())),
            }
        }
        Ok(End::Found(self.placed_so_far()))
    }

    /// One step at a place of the list: the place to go on from, or none when everything has been tried.
    fn advance(&mut self, place: Place) -> Result<Option<Place>, Exhausted> {
        self.meter.work(1)?;
        if self.events.is_invocation(place) {
            if self.try_place(place)? {
                return Ok(Some(self.events.first()));
            }
            // An operation that was just set aside still knows its place.
            return Ok(Some(self.events.next(place)));
        }
        // An answer, or the end: what was invoked before it has been tried.
        if let Some(operation) = self.events.answered(place) {
            self.note_stuck(operation);
        }
        Ok(self.take_back())
    }

    fn try_place(&mut self, operation: usize) -> Result<bool, Exhausted> {
        let entry = &self.entries[operation];
        let is_open = entry.answered.is_none();
        let before = self.memo.state(self.state);
        if is_open && self.model.is_spent(before, &entry.input, entry.output.as_ref()) {
            self.events.lift(operation);
            self.aside.push(operation);
            return Ok(false);
        }
        if let Bit::Open(_, Some(twin)) = self.bits[operation]
            && !self.placed.has_open(twin)
        {
            return Ok(false);
        }
        let Some(after) = self.model.step(before, &entry.input, entry.output.as_ref()) else { return Ok(false) };
        // What need not happen and changes nothing did not happen.
        if is_open && after == *before {
            return Ok(false);
        }
        let after = self.memo.state_id(after);
        let spent = self.place(operation, after)?;
        let is_new = self.memo.insert(&self.placed, after);
        let step = Step { operation, before: self.state, spent, aside: self.aside.len() };
        if !is_new {
            self.unplace(&step);
            return Ok(false);
        }
        self.meter.memory(self.memo.bytes())?;
        self.path.push(step);
        self.state = after;
        self.events.lift(operation);
        Ok(true)
    }

    /// Counts the operation among those placed. Gives the open ones, by bit, that are spent in the state that it leads to.
    fn place(&mut self, operation: usize, after: StateId) -> Result<Vec<usize>, Exhausted> {
        let mut spent = Vec::new();
        match self.bits[operation] {
            Bit::Answered(bit) => self.placed.set_answered(bit),
            Bit::Open(bit, _) => {
                self.placed.set_open(bit);
                self.placed.set_live(bit);
            }
        }
        if after != self.state {
            self.meter.work(self.placed.live_count())?;
            let state = self.memo.state(after);
            let is_spent = |bit: &usize| {
                let entry = &self.entries[self.open[*bit]];
                self.model.is_spent(state, &entry.input, entry.output.as_ref())
            };
            spent.extend(self.placed.live().filter(is_spent));
            spent.iter().for_each(|bit| self.placed.clear_live(*bit));
        }
        Ok(spent)
    }

    fn unplace(&mut self, step: &Step) {
        step.spent.iter().for_each(|bit| self.placed.set_live(*bit));
        match self.bits[step.operation] {
            Bit::Answered(bit) => self.placed.clear_answered(bit),
            Bit::Open(bit, _) => {
                self.placed.clear_open(bit);
                self.placed.clear_live(bit);
            }
        }
    }

    /// Takes back the last operation that something else could have been placed instead of.
    fn take_back(&mut self) -> Option<Place> {
        loop {
            let step = self.path.pop()?;
            // In the opposite order of lifting, as the list needs it.
            while self.aside.len() > step.aside {
                let operation = self.aside.pop()?;
                self.events.put_back(operation);
            }
            let was_idle = self.state == step.before;
            self.events.put_back(step.operation);
            self.unplace(&step);
            self.state = step.before;
            // A read that fits is in nobody's way: what failed with it fails without it.
            if !(was_idle && self.model.is_read(&self.entries[step.operation].input)) {
                return Some(self.events.next(step.operation));
            }
        }
    }

    fn note_stuck(&mut self, operation: usize) {
        let rank = self.events.rank(operation);
        if rank > self.furthest {
            self.furthest = rank;
            self.stuck = Some((operation, self.placed_so_far(), Vec::new()));
        }
        if let Some((_, _, states)) = self.stuck.as_mut().filter(|_| rank == self.furthest)
            && states.len() < STATES_SHOWN
            && !states.contains(&self.state)
        {
            states.push(self.state);
        }
    }

    fn stuck(&self) -> Stuck<M::State> {
        let (operation, prefix, states) = self.stuck.as_ref().expect("a failed search met an answer");
        Stuck {
            operation: *operation,
            prefix: prefix.clone(),
            states: states.iter().map(|id| self.memo.state(*id).clone()).collect(),
        }
    }

    fn placed_so_far(&self) -> Vec<usize> {
        self.path.iter().map(|step| step.operation).collect()
    }
}

/// Bits, how many operations were answered, which are open.
type Numbered = (Vec<Bit>, usize, Vec<usize>);

/// Numbers the operations.
fn number<I: Eq + Hash, O: Eq + Hash>(entries: &[Entry<I, O>], meter: &mut Meter) -> Result<Numbered, Exhausted> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|i| entries[*i].invoked);
    let mut bits = vec![Bit::Answered(0); entries.len()];
    let mut answered = 0;
    let mut open: Vec<usize> = Vec::new();
    let mut last: HashMap<(&I, Option<&O>), usize, FixedState> = HashMap::default();
    for i in order {
        meter.work(1)?;
        let entry = &entries[i];
        if entry.answered.is_some() {
            bits[i] = Bit::Answered(answered);
            answered += 1;
            continue;
        }
        let twin = last.insert((&entry.input, entry.output.as_ref()), open.len());
        bits[i] = Bit::Open(open.len(), twin);
        open.push(i);
    }
    Ok((bits, answered, open))
}
