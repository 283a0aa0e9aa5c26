//! Lease, fence and lease clock without anything else, every interleaving of them: an exhaustive search with `stateright`.
//!
//! Two workers share one shard. Requests, answers and writes stay under way as long as they like, leadership moves at any moment, and
//! a worker's clock may fall behind. What is held:
//!
//! - *beliefs never overlap*: no two workers believe in a lease at the same moment (S1, as believed);
//! - *no write is lost*: each accepted write builds on the one accepted before it (what fencing is for);
//! - *stamps never fall*.
//!
//! The sound design passes. Each of its parts is then left out, and the search must come back with a run that shows what the part
//! was for. Without fencing the lease alone protects nothing, as M. Kleppmann shows in "How to do distributed locking" (2016).

use stateright::{Checker, Model, Property};

/// Ticks of a lease on the lease clock.
const LEASE: u8 = 3;
/// Ticks by which a holder gives up early.
const MARGIN: u8 = 1;
/// The search ends at this tick of real time.
const HORIZON: u8 = 8;

/// The design, or a design without one of its parts.
#[derive(Clone, Copy, Debug)]
struct Design {
    /// A write needs the current fence.
    fenced: bool,
    /// A holder counts from before it asked, not from the answer.
    counts_from_asking: bool,
    /// Ticks by which a worker's clock may fall behind in all.
    drift: u8,
    /// By how much a new leader's clock is ahead of the last stamp: 0 unless it takes its wall clock.
    jump: i8,
    /// A new leader goes on from the last stamp, instead of beginning again.
    goes_on: bool,
}

const SOUND: Design = Design { fenced: true, counts_from_asking: true, drift: MARGIN, jump: 0, goes_on: true };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Real time.
    now: u8,
    shard: Shard,
    /// What the leader's clock shows more than real time: it goes on from the stamp at the start of its term.
    ahead: i8,
    workers: [Worker; 2],
    /// Writes accepted so far.
    accepted: u8,
    stamps_fell: bool,
}

/// The replicated record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Shard {
    fence: u8,
    deadline: u8,
    cursor: u8,
    /// The last stamp applied.
    stamp: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Worker {
    /// Its clock is so many ticks behind.
    behind: u8,
    /// A request under way, with the time on its own clock when it was sent.
    asked: Option<u8>,
    /// An answer under way, to the request of that time: fence and cursor.
    answer: Option<(u8, u8, u8)>,
    /// A lease: fence, cursor and the time on its own clock until which it believes in it.
    lease: Option<(u8, u8, u8)>,
    /// A write under way: fence and cursor.
    write: Option<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A tick passes; one worker's clock may miss it.
    Tick {
        missed_by: Option<usize>,
    },
    /// Another leader takes over.
    FailOver,
    Ask(usize),
    /// The request arrives and is decided.
    Decide(usize),
    Hear(usize),
    Write(usize),
    /// The write arrives and is decided.
    Land(usize),
}

impl State {
    fn own_clock(&self, worker: usize) -> u8 {
        self.now - self.workers[worker].behind
    }

    fn believes(&self, worker: usize) -> bool {
        self.workers[worker].lease.is_some_and(|(_, _, until)| self.own_clock(worker) < until)
    }

    /// Whatever the leader proposes is stamped by its clock.
    fn apply(&mut self, design: Design) -> u8 {
        let clock = (self.now as i8 + self.ahead) as u8;
        let stamp = if design.goes_on { clock.max(self.shard.stamp) } else { clock };
        self.stamps_fell |= stamp < self.shard.stamp;
        self.shard.stamp = stamp;
        stamp
    }

    /// A leader that starts its term now.
    fn fail_over(&mut self, design: Design) {
        let start = if design.goes_on { self.shard.stamp as i8 + design.jump } else { 0 };
        self.ahead = start - self.now as i8;
    }

    /// A lease that ran out is of no more use to its holder: states that differ by it are one.
    fn forget(&mut self) {
        for worker in 0..2 {
            if !self.believes(worker) {
                self.workers[worker].lease = None;
            }
        }
    }

    fn decide(&mut self, worker: usize, design: Design) {
        let Some(asked) = self.workers[worker].asked.take() else { return };
        let stamp = self.apply(design);
        if stamp >= self.shard.deadline {
            self.shard.fence += 1;
            self.shard.deadline = stamp + LEASE;
            self.workers[worker].answer = Some((asked, self.shard.fence, self.shard.cursor));
        }
    }

    fn hear(&mut self, worker: usize, design: Design) {
        let own = self.own_clock(worker);
        let Some((asked, fence, cursor)) = self.workers[worker].answer.take() else { return };
        let from = if design.counts_from_asking { asked } else { own };
        self.workers[worker].lease = Some((fence, cursor, from + LEASE - MARGIN));
    }

    fn land(&mut self, worker: usize, design: Design) {
        let Some((fence, cursor)) = self.workers[worker].write.take() else { return };
        self.apply(design);
        if fence == self.shard.fence || !design.fenced {
            self.shard.cursor = cursor;
            self.accepted += 1;
        }
    }
}

impl Model for Design {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let workers = [Worker::default(), Worker::default()];
        vec![State { now: 0, shard: Shard::default(), ahead: 0, workers, accepted: 0, stamps_fell: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < HORIZON {
            actions.push(Action::Tick { missed_by: None });
            let late = (0..2).filter(|&worker| state.workers[worker].behind < self.drift);
            actions.extend(late.map(|worker| Action::Tick { missed_by: Some(worker) }));
        }
        actions.push(Action::FailOver);
        for (number, worker) in state.workers.iter().enumerate() {
            let free = worker.asked.is_none() && worker.answer.is_none();
            if free && worker.write.is_none() && !state.believes(number) {
                actions.push(Action::Ask(number));
            }
            if worker.asked.is_some() {
                actions.push(Action::Decide(number));
            }
            if worker.answer.is_some() {
                actions.push(Action::Hear(number));
            }
            if worker.write.is_none() && state.believes(number) {
                actions.push(Action::Write(number));
            }
            if worker.write.is_some() {
                actions.push(Action::Land(number));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick { missed_by } => {
                state.now += 1;
                if let Some(worker) = missed_by {
                    state.workers[worker].behind += 1;
                }
            }
            Action::FailOver => state.fail_over(*self),
            Action::Ask(worker) => state.workers[worker].asked = Some(last.own_clock(worker)),
            Action::Decide(worker) => state.decide(worker, *self),
            Action::Hear(worker) => state.hear(worker, *self),
            Action::Write(worker) => {
                let (fence, cursor, until) = state.workers[worker].lease?;
                state.workers[worker].lease = Some((fence, cursor + 1, until));
                state.workers[worker].write = Some((fence, cursor + 1));
            }
            Action::Land(worker) => state.land(worker, *self),
        }
        state.forget();
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        // Beyond these nothing new can happen, only more of the same.
        let few = state.shard.fence <= 3 && state.accepted <= 2 && state.ahead <= 3;
        few && state.workers.iter().all(|worker| worker.lease.is_none_or(|(_, cursor, _)| cursor <= 2))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BELIEFS, |_, state: &State| !(state.believes(0) && state.believes(1))),
            Property::always(WRITES, |_, state: &State| state.shard.cursor == state.accepted),
            Property::always(STAMPS, |_, state: &State| !state.stamps_fell),
            Property::sometimes("a lease is taken over", |_, state: &State| {
                state.shard.fence >= 2 && state.workers.iter().any(|worker| worker.lease.is_some())
            }),
            Property::sometimes("a write is late", |_, state: &State| {
                state.workers.iter().any(|worker| worker.write.is_some_and(|(fence, _)| fence < state.shard.fence))
            }),
        ]
    }
}

const BELIEFS: &str = "beliefs never overlap";
const WRITES: &str = "no write is lost";
const STAMPS: &str = "stamps never fall";

/// Searches every run of this design and says which of the three does not hold.
fn broken(design: Design) -> Vec<&'static str> {
    let checker = design.checker().spawn_bfs().join();
    for reached in ["a lease is taken over", "a write is late"] {
        assert!(checker.discovery(reached).is_some(), "{design:?} never came to where {reached}");
    }
    [BELIEFS, WRITES, STAMPS].into_iter().filter(|property| checker.discovery(property).is_some()).collect()
}

#[test]
fn lease_and_fence_and_lease_clock_hold_together() {
    let checker = SOUND.checker().spawn_bfs().join();
    assert!(checker.is_done());
    assert!(checker.unique_state_count() > 100_000, "{} states are too few", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn without_fencing_a_late_write_undoes_what_its_successor_did() {
    let design = Design { fenced: false, ..SOUND };
    assert_eq!(broken(design), [WRITES]);
    let path = design.checker().spawn_bfs().join().discovery(WRITES).expect("a run that loses a write");
    // The holder's write is under way while its lease runs out and another worker writes.
    let steps = path.into_vec();
    let lost = steps.iter().position(|(state, _)| state.shard.cursor != state.accepted).expect("it loses one");
    let ticks = steps[..lost].iter().filter(|(_, action)| matches!(action, Some(Action::Tick { .. }))).count();
    assert!(ticks >= usize::from(LEASE), "{steps:?}");
    assert!(matches!(steps[lost - 1].1, Some(Action::Land(_))), "{steps:?}");
}

#[test]
fn beyond_the_margin_beliefs_overlap_and_the_fence_still_holds() {
    assert_eq!(broken(Design { drift: MARGIN + 1, ..SOUND }), [BELIEFS]);
}

#[test]
fn a_leader_that_stamps_by_its_wall_clock_ends_leases_early_and_the_fence_still_holds() {
    assert_eq!(broken(Design { jump: 3, ..SOUND }), [BELIEFS]);
}

#[test]
fn a_holder_that_counts_from_the_answer_believes_too_long_and_the_fence_still_holds() {
    assert_eq!(broken(Design { counts_from_asking: false, ..SOUND }), [BELIEFS]);
}

#[test]
fn a_leader_that_begins_again_lets_stamps_fall() {
    assert_eq!(broken(Design { goes_on: false, ..SOUND }), [STAMPS]);
}
