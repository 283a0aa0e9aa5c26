//! The workers: clients that take leases, do the work under them, and misbehave in every way that a client may.
//!
//! One worker has one operation under way. It asks the node that it takes for the leader, follows hints, tries again under the same
//! op id after an answer was lost, and calls an operation indefinite once any of its attempts was.

mod brief;
mod grind;
mod habits;
mod learn;
mod reads;
mod script;
mod told;

use std::collections::VecDeque;
use std::time::Duration;

use gossip_check::history::Value;
use gossip_core::coordination::{
    Answer, Command, Cursor, Fence, LeaseRef, Op, OpId, Query, Range, RunId, RunStatus, ShardId, TenantId, TenantQuery,
    WorkerId,
};
use gossip_core::mutants::Mutant;
use gossip_core::time::Time;

use super::clock::Clock;
use super::node::Caller;
use super::queue::{MILLI, Nanos};
use super::request::{Ask, Failure, Reply};
use super::{Event, World};
use crate::faults::Fault;
use crate::faults::options::Options;
use crate::history;
use crate::reach::Event as Rare;
use crate::rng::{Rng, Subject};

use grind::Grind;
pub(super) use learn::Directory;
pub(super) use told::stands_in_history;
use told::{is_told, told};

/// A grant that takes longer at the first attempt came out of the line of waiters.
const PROMPT: Duration = Duration::from_millis(40);
/// Attempts at one operation.
const TRIES: u32 = 5;

/// A lease as its holder knows it.
#[derive(Clone, Debug)]
struct Lease {
    run: RunId,
    token: LeaseRef,
    range: Range,
    cursor: Option<Cursor>,
    /// On the worker's own clock.
    believed_until: Time,
}

/// A worker, or the operator.
#[derive(Debug)]
pub(super) struct Worker {
    place: usize,
    pub(super) name: WorkerId,
    process: i64,
    pub(super) clock: Clock,
    rng: Rng,
    steps: u32,
    held: Vec<Lease>,
    /// Leases that it has given up, lost, or does not believe in any more.
    past: VecDeque<Lease>,
    /// Commands of late, with the time of their first sending and the count of operations then.
    sent: VecDeque<Sent>,
    /// What it will do first.
    intents: VecDeque<Command>,
    /// The node that it takes for the leader.
    guess: usize,
    call: Option<Call>,
    /// A stale read: where, and how far that node had applied.
    stale: Option<(usize, u64)>,
    /// What comes to it while it is stopped. `None`: it runs.
    pub(super) stopped: Option<Vec<Late>>,
    has_steps: bool,
    /// How long it rests before its next step, if that is not drawn.
    rest: Option<Nanos>,
    /// It comes back from a rest past its deadline and is about to write.
    late_write: bool,
    grind: Option<Grind>,
    /// Steps taken.
    taken: u32,
    /// Its own clock when it was stopped.
    stopped_at: Time,
}

/// What a worker finds when it goes on.
#[derive(Debug)]
pub(super) enum Late {
    Step,
    Answer(Caller, Box<Reply>),
    Patience(Caller),
}

#[derive(Clone, Debug)]
struct Sent {
    command: Command,
    first: Time,
    operation: u64,
    succeeded: bool,
}

/// An operation that is about to begin.
#[derive(Debug)]
pub(super) struct Draft {
    ask: Ask,
    /// The node to ask, if it matters which.
    at: Option<usize>,
    /// Of a replay: when its op id was first sent.
    first: Option<Time>,
    /// Not in the history: it differs from an earlier one in what histories do not tell, or whoever begins it tells of it.
    untold: bool,
}

impl Draft {
    /// One of the operator's questions.
    pub(super) fn new(ask: Ask, at: Option<usize>) -> Self {
        Draft { ask, at, first: None, untold: true }
    }

    pub(super) fn submit(command: Command, wait: Nanos) -> Self {
        Draft { ask: Ask::Submit { command, wait, unchecked: false }, at: None, first: None, untold: false }
    }

    fn query(query: TenantQuery, stale: bool, at: usize) -> Self {
        Draft { ask: Ask::Query { query, stale }, at: Some(at), first: None, untold: false }
    }
}

/// An operation under way.
#[derive(Debug)]
struct Call {
    f: &'static str,
    ask: Ask,
    /// What the history says of it, if it stands there.
    value: Option<Value>,
    /// Before the first attempt, on the worker's own clock.
    first: Time,
    asked: usize,
    pinned: bool,
    attempt: u64,
    tries: u32,
    indefinite: bool,
    /// Of a read of a run that is at its shards: the status that it showed.
    status: Option<RunStatus>,
}

impl Worker {
    pub(super) fn new(options: &Options, place: usize) -> Self {
        let mut rng = Rng::stream(options.seed, Subject::Worker(place as u32));
        let rate = options.draw_rate(&mut rng, Fault::WorkerRate);
        let reading = rng.below(1 << 42);
        let name = format!("w{place}");
        // The last one, if any: a run with fewer workers is a run without.
        let grind = options.grinding.filter(|_| place + 1 == options.workers).map(Grind::new);
        let extra = if grind.is_some() { grind::STEPS } else { 0 };
        Worker {
            place,
            name: WorkerId::parse("worker", &name).expect("a good name"),
            process: place as i64,
            clock: Clock::new(reading, rate),
            steps: if place == options.workers { 0 } else { options.steps.saturating_add(extra) },
            held: Vec::new(),
            past: VecDeque::new(),
            sent: VecDeque::new(),
            intents: script::founding(options, place, &mut rng),
            guess: rng.index(options.nodes),
            call: None,
            stale: None,
            stopped: None,
            has_steps: place < options.workers,
            rest: None,
            late_write: false,
            grind,
            taken: 0,
            stopped_at: Time::ZERO,
            rng,
        }
    }

    fn op_id(&mut self) -> OpId {
        OpId(self.rng.wide())
    }

    pub(super) fn command(&mut self, run: &RunId, op: Op) -> Command {
        let op_id = self.op_id();
        Command { tenant: tenant_of(run), run: run.clone(), op_id, op }
    }

    /// The number of its process in the history.
    pub(super) fn process(&self) -> i64 {
        self.process
    }

    /// The lease that it holds on this shard.
    pub(super) fn lease_on(&self, shard: &ShardId) -> Option<LeaseRef> {
        self.held.iter().rev().map(|lease| &lease.token).find(|token| token.shard == *shard).cloned()
    }

    /// Stops it, as a pause of its machine does.
    pub(super) fn stop(&mut self, now: Nanos) {
        if self.stopped.is_none() {
            (self.stopped, self.stopped_at) = (Some(Vec::new()), self.clock.read(now));
        }
    }

    /// Whether a lease that it believed in when it was stopped has run out since.
    fn outslept(&self, now: Nanos) -> bool {
        let slept = self.stopped_at..self.clock.read(now);
        self.held.iter().any(|lease| slept.contains(&lease.believed_until))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.call.is_none() && self.stopped.is_none()
    }
}

/// The owner of a run. Side runs have one of their own: where runs are deleted, the fences of later shards begin higher, and
/// histories tell nothing of side runs.
fn tenant_of(run: &RunId) -> TenantId {
    let name = if stands_in_history(run) { "main" } else { "side" };
    TenantId::parse("tenant", name).expect("a good name")
}

/// A read in the name of the tenant of the runs that stand in the history.
pub(super) fn ask_of(query: Query) -> TenantQuery {
    TenantQuery { tenant: TenantId::parse("tenant", "main").expect("a good name"), query }
}

impl World {
    /// The worker takes its next step.
    pub(super) fn step(&mut self, place: usize) {
        let now = self.queue.now();
        let over = now >= self.options.storm.saturating_mul(2) || self.finish.is_some() || self.is_long_over(now);
        let worker = &mut self.workers[place];
        if let Some(late) = &mut worker.stopped {
            return late.push(Late::Step);
        }
        if worker.call.is_some() {
            return;
        }
        if worker.steps == 0 || over {
            return self.retire_worker(place);
        }
        worker.steps -= 1;
        let step = (place, worker.taken);
        worker.taken += 1;
        // A stream for each step: one that is left out does not move what the others draw.
        worker.rng = Rng::stream(self.options.seed, Subject::Step(place as u32, step.1));
        match self.choose(place).filter(|_| !self.skipped.contains(&step)) {
            Some(draft) => {
                self.begun.push(step);
                self.begin(place, draft);
            }
            None => self.think(place),
        }
    }

    fn is_long_over(&self, now: Nanos) -> bool {
        self.options.steps == u32::MAX && now >= self.options.storm
    }

    fn retire_worker(&mut self, place: usize) {
        if std::mem::take(&mut self.workers[place].has_steps) {
            self.busy -= 1;
        }
    }

    fn think(&mut self, place: usize) {
        let (low, high) = self.options.think;
        let worker = &mut self.workers[place];
        let drawn = worker.rng.within(low, high);
        let pause = worker.rest.take().unwrap_or(drawn);
        self.queue.after(pause, Event::Step { worker: place });
    }

    /// The next step, for workers and for the operator after the heal.
    fn go_on(&mut self, place: usize) {
        if place == self.options.workers {
            self.queue.after(0, Event::Finish);
        } else {
            self.think(place);
        }
    }

    pub(super) fn begin(&mut self, place: usize, draft: Draft) {
        let now = self.queue.now();
        self.operations += 1;
        let worker = &mut self.workers[place];
        let (f, value) = told(&draft.ask);
        let value = value.filter(|_| is_told(&draft.ask) && !draft.untold);
        if let Some(value) = &value {
            self.history.invoke(now, worker.process, f, value.clone());
        }
        self.trace.line(now, || format!("{} invokes {f} {}", worker.name, describe(&draft.ask)));
        let first = draft.first.unwrap_or(worker.clock.read(now));
        let asked = draft.at.unwrap_or(worker.guess);
        let pinned = draft.at.is_some();
        let (ask, indefinite, status) = (draft.ask, false, None);
        worker.call = Some(Call { f, ask, value, first, asked, pinned, attempt: 0, tries: 0, indefinite, status });
        self.attempt(place, 0);
    }

    /// Sends the operation under way, once more or for the first time.
    fn attempt(&mut self, place: usize, delay: Nanos) {
        let caller = self.next_attempt(place);
        let worker = &mut self.workers[place];
        let Some(call) = &mut worker.call else { return };
        call.attempt = caller.attempt;
        call.tries += 1;
        let wait = if let Ask::Submit { wait, .. } = &call.ask { *wait } else { 0 };
        // Some do not wait as long as they said they would.
        let hasty = wait > 0 && worker.rng.chance(100_000);
        let patience = if hasty { wait / 2 } else { wait + worker.rng.within(300, 900) * MILLI };
        let (asked, ask) = (call.asked, call.ask.clone());
        let doubled = matches!(ask, Ask::Submit { .. }) && worker.rng.chance(20_000);
        if doubled {
            // Nobody waits for the copy, which may arrive much later and then take effect if the first one did not.
            call.indefinite = true;
            let late = worker.rng.within(0, 400) * MILLI;
            let nobody = Caller { party: place, attempt: 0 };
            self.send(asked, nobody, ask.clone(), patience, delay + late);
        }
        self.send(asked, caller, ask, patience, delay);
        self.queue.after(delay + patience, Event::Patience { caller });
    }

    pub(super) fn out_of_patience(&mut self, caller: Caller) {
        let worker = &mut self.workers[caller.party];
        if let Some(late) = &mut worker.stopped {
            return late.push(Late::Patience(caller));
        }
        if worker.call.as_ref().is_some_and(|call| call.attempt == caller.attempt) {
            self.try_again(caller.party, Failure::DEADLINE);
        }
    }

    pub(super) fn answered(&mut self, caller: Caller, reply: Reply) {
        let worker = &mut self.workers[caller.party];
        if let Some(late) = &mut worker.stopped {
            return late.push(Late::Answer(caller, Box::new(reply)));
        }
        if worker.call.as_ref().is_none_or(|call| call.attempt != caller.attempt) {
            return;
        }
        match reply.failure() {
            Some(failure) => self.try_again(caller.party, failure),
            None => self.succeed(caller.party, reply),
        }
    }

    /// After a failure: asks elsewhere, or gives up.
    fn try_again(&mut self, place: usize, failure: Failure) {
        let nodes = self.machines.len();
        let hint = failure.leader.and_then(|id| self.places.get(id as usize).copied());
        let worker = &mut self.workers[place];
        let Some(call) = &mut worker.call else { return };
        call.indefinite |= !failure.definite;
        if !failure.elsewhere || call.tries >= TRIES || worker.rng.chance(50_000) {
            return self.give_up_call(place, failure);
        }
        if !call.pinned {
            call.asked = hint.filter(|&hint| hint != call.asked).unwrap_or((call.asked + 1) % nodes);
            worker.guess = call.asked;
        }
        let delay = if hint.is_some() { 0 } else { worker.rng.within(5, 120) * MILLI };
        self.attempt(place, delay);
    }

    fn give_up_call(&mut self, place: usize, failure: Failure) {
        let now = self.queue.now();
        let parties = self.options.workers as i64 + 1;
        let worker = &mut self.workers[place];
        let Some(call) = worker.call.take() else { return };
        let definite = !call.indefinite;
        self.trace.line(now, || {
            let word = if definite { "fail" } else { "info" };
            format!("{} {word} {} {}", worker.name, call.f, failure.reason)
        });
        if let Some(value) = &call.value {
            self.history.failed(now, worker.process, call.f, value.clone(), failure.reason, definite);
        }
        if !definite {
            worker.process += parties;
            self.reach.event(Rare::Indefinite);
        }
        if failure == Failure::DEADLINE {
            self.reach.reason(failure.reason);
        }
        let worker = &mut self.workers[place];
        if let Ask::Submit { command, .. } = &call.ask {
            if failure.reason == "RUN_NOT_ENDED" && call.value.is_some() {
                self.reach.event(Rare::DeletionRefused);
            }
            // What the history was not told is never sent again: nobody could judge the answer.
            let hidden = call.value.is_none() && is_told(&call.ask) && !self.planted.is(Mutant::UntoldIsReplayed);
            if !hidden {
                worker.found_again(command, failure);
            }
            worker.leave_unsure(command, true);
            worker.lost(command, failure, definite);
            if !definite && !hidden {
                worker.remember(command, call.first, self.operations, false);
            }
        }
        self.heard(place, Err(failure));
        self.go_on(place);
    }

    fn succeed(&mut self, place: usize, reply: Reply) {
        let now = self.queue.now();
        let Some(call) = self.workers[place].call.take() else { return };
        let Call { f, first, asked, tries, indefinite, .. } = call;
        if let (Ask::Submit { wait: 1.., .. }, Reply::Applied(Ok(Answer::Granted(_))), 1) = (&call.ask, &reply, tries)
            && self.workers[place].clock.read(now) - first > PROMPT
        {
            self.reach.event(Rare::WaitGranted);
        }
        self.heard(place, Ok(&reply));
        let name = &self.workers[place].name;
        match (&call.ask, reply) {
            (Ask::Submit { command, .. }, Reply::Applied(Ok(answer))) => {
                self.trace.line(now, || format!("{name} ok {f} {answer:?}"));
                self.workers[place].leave_unsure(command, indefinite);
                let believed = self.learn(place, command, &answer, first);
                if let Some(value) = call.value {
                    let process = self.workers[place].process;
                    self.history.ok(now, process, f, history::completion(value, &answer, believed));
                }
            }
            (Ask::Query { .. }, Reply::Read { applied, view: Ok(view) }) => {
                self.trace.line(now, || format!("{name} ok {f} at n{} applied {applied}", asked + 1));
                return self.seen(place, call, applied, &view);
            }
            _ => {}
        }
        self.go_on(place);
    }

    pub(super) fn resume_worker(&mut self, place: usize) {
        let Some(late) = self.workers[place].stopped.take() else { return };
        if self.workers[place].outslept(self.queue.now()) {
            self.reach.fault(Fault::PauseWorker);
        }
        for event in late {
            match event {
                Late::Step => self.step(place),
                Late::Answer(caller, reply) => self.answered(caller, *reply),
                Late::Patience(caller) => self.out_of_patience(caller),
            }
        }
    }
}

fn describe(ask: &Ask) -> String {
    match ask {
        Ask::Submit { command, wait, .. } => format!("{command:?} wait {} ms", wait / MILLI),
        Ask::Query { query, stale } => format!("{:?}{}", query.query, if *stale { " stale" } else { "" }),
        Ask::Change(change) => format!("{change:?}"),
    }
}

/// The lease that a grant gives.
fn lease_of(run: &RunId, shard: &ShardId, worker: &WorkerId, fence: Fence) -> (RunId, LeaseRef) {
    (run.clone(), LeaseRef { shard: shard.clone(), worker: worker.clone(), fence })
}
