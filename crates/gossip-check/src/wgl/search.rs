//! The search: places one operation after the other, takes back what leads nowhere.

use std::time::Instant;

use super::events::{Events, Place};
use super::memo::{Memo, Placed, StateId};
use super::{Entry, Exhausted, Model, STATES_SHOWN};

/// The clock and the memory are looked at once in so many steps.
const STEPS_BETWEEN_LOOKS: u64 = 1024;

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

/// When a search gives up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) deadline: Instant,
    /// Bytes.
    pub(super) memory: usize,
    pub(super) steps: u64,
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
    /// Operations placed, with the state before each.
    path: Vec<(usize, StateId)>,
    budget: Budget,
    steps: u64,
    furthest: u32,
    stuck: Option<(usize, Vec<usize>, Vec<StateId>)>,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, entries: &'a [Entry<M::Input, M::Output>], init: M::State, budget: Budget) -> Self {
        let (bits, answered, open) = number(entries);
        let mut search = Self {
            model,
            entries,
            events: Events::new(entries),
            bits,
            placed: Placed::new(answered, open.len()),
            memo: Memo::new(open.len()),
            open,
            state: 0,
            path: Vec::new(),
            budget,
            steps: 0,
            furthest: 0,
            stuck: None,
        };
        search.state = search.state_id(init);
        search
    }

    fn state_id(&mut self, state: M::State) -> StateId {
        let Self { model, entries, open, memo, .. } = self;
        memo.state_id(state, open.len(), |state, bit| {
            let entry = &entries[open[bit]];
            model.is_spent(state, &entry.input, entry.output.as_ref())
        })
    }

    /// Looks for one linearization.
    pub(super) fn run(&mut self) -> End<M::State> {
        let mut place = self.events.first();
        while !self.events.all_answers_lifted() {
            match self.advance(place) {
                Ok(Some(next)) => place = next,
                Ok(None) => return End::Stuck(self.stuck()),
                Err(what) => return End::Exhausted(what),
            }
        }
        End::Found(self.placed_so_far())
    }

    /// One step at a place of the list: the place to go on from, or none when everything has been tried.
    fn advance(&mut self, place: Place) -> Result<Option<Place>, Exhausted> {
        self.look_at_limits()?;
        if self.events.is_invocation(place) {
            if self.try_place(place) {
                return Ok(Some(self.events.first()));
            }
            return Ok(Some(self.events.next(place)));
        }
        // An answer, or the end: what was invoked before it has been tried.
        if let Some(operation) = self.events.answered(place) {
            self.note_stuck(operation);
        }
        Ok(self.take_back())
    }

    fn try_place(&mut self, operation: usize) -> bool {
        let entry = &self.entries[operation];
        let is_open = entry.answered.is_none();
        if let Bit::Open(_, Some(twin)) = self.bits[operation]
            && !self.placed.has_open(twin)
        {
            return false;
        }
        let before = self.memo.state(self.state);
        let Some(after) = self.model.step(before, &entry.input, entry.output.as_ref()) else { return false };
        // What need not happen and changes nothing did not happen.
        if is_open && after == *before {
            return false;
        }
        let after = self.state_id(after);
        self.set(operation);
        if !self.memo.insert(&self.placed, after) {
            self.clear(operation);
            return false;
        }
        self.path.push((operation, self.state));
        self.state = after;
        self.events.lift(operation);
        true
    }

    /// Takes back the last operation that something else could have been placed instead of.
    fn take_back(&mut self) -> Option<Place> {
        loop {
            let (operation, before) = self.path.pop()?;
            let was_idle = self.state == before;
            self.events.put_back(operation);
            self.clear(operation);
            self.state = before;
            // A read that fits is in nobody's way: what failed with it fails without it.
            if !(was_idle && self.model.is_read(&self.entries[operation].input)) {
                return Some(self.events.next(operation));
            }
        }
    }

    fn set(&mut self, operation: usize) {
        match self.bits[operation] {
            Bit::Answered(bit) => self.placed.set_answered(bit),
            Bit::Open(bit, _) => self.placed.set_open(bit),
        }
    }

    fn clear(&mut self, operation: usize) {
        match self.bits[operation] {
            Bit::Answered(bit) => self.placed.clear_answered(bit),
            Bit::Open(bit, _) => self.placed.clear_open(bit),
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
        self.path.iter().map(|(operation, _)| *operation).collect()
    }

    fn look_at_limits(&mut self) -> Result<(), Exhausted> {
        self.steps += 1;
        if self.steps > self.budget.steps {
            return Err(Exhausted::Time);
        }
        if !self.steps.is_multiple_of(STEPS_BETWEEN_LOOKS) {
            return Ok(());
        }
        if self.memo.bytes() > self.budget.memory {
            return Err(Exhausted::Memory);
        }
        if Instant::now() > self.budget.deadline {
            return Err(Exhausted::Time);
        }
        Ok(())
    }
}

/// Numbers the operations: bits, how many were answered, which are open.
fn number<I: Eq, O: Eq>(entries: &[Entry<I, O>]) -> (Vec<Bit>, usize, Vec<usize>) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|i| entries[*i].invoked);
    let mut bits = vec![Bit::Answered(0); entries.len()];
    let mut answered = 0;
    let mut open: Vec<usize> = Vec::new();
    for i in order {
        let entry = &entries[i];
        if entry.answered.is_some() {
            bits[i] = Bit::Answered(answered);
            answered += 1;
            continue;
        }
        let equal = |o: &usize| entries[*o].input == entry.input && entries[*o].output == entry.output;
        bits[i] = Bit::Open(open.len(), open.iter().rposition(equal));
        open.push(i);
    }
    (bits, answered, open)
}
