//! A history as one history for each shard, since an object's histories can be judged one by one.
//!
//! All tries under one op id with one payload are one operation, from the first that may have taken effect to the first
//! answer. Splits make children: their answer stands in the history of each. The end of a run stands in the history of each
//! of its shards, and so does a fresh read of the run. A claim that was never answered may have been granted any shard of
//! its run. Definite failures and stale reads say nothing here.
//!
//! An op id whose answer the service may have forgotten ([`oplog`]) is a new request: an answer that differs is one of another
//! operation, and a try that was never answered is one that may have happened beside the known one. Only what makes a fence
//! can do anything twice; a write of that age repeats what is there or meets a fence that has passed.
//!
//! Where a run was deleted, shards made afterwards begin at a fence that the history does not tell. The two lives of a name that
//! is used again are not told apart: [`crate::judge::judge`] leaves such names out.
//!
//! Limits, all to the service's favour. A definite refusal says how the shard stood at some moment (`LEASE_HELD`: that it was
//! held), which is not used: the recorder may have got it from any of several tries. A lost claim is offered to each shard of
//! its run by itself; [`crate::wgl::check_shards`] finds one that two shards need, but not two that three need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fences::{Fences, LostFences};
use super::shard::{
    Key, Known, Lease, Record, SOME_WORKER, Shard, ShardInput, ShardOutput, ShardState, Status, WorkerNo, Write,
};
use crate::history::{Call, HistoryError, Name, Op, Value, name};
use crate::invariants::facts::{self, Made, Range, Runs, cursor_key, is_grant, is_lease_write};
use crate::invariants::op_ids;
use crate::invariants::oplog::{self, OpLog};
use crate::wgl::Entry;

/// The history of one shard.
#[derive(Debug, Clone)]
pub struct ShardHistory<'a> {
    pub shard: Name<'a>,
    pub model: Shard<'a>,
    pub entries: Vec<Entry<ShardInput<'a>, ShardOutput<'a>>>,
    /// For each entry the call that it comes from; of several tries the one that was answered first.
    pub calls: Vec<Call<'a>>,
}

/// One operation: a call, or several tries of it.
#[derive(Debug, Clone, Copy)]
struct Operation<'a> {
    call: Call<'a>,
    invoked: usize,
    answered: Option<usize>,
}

/// The histories of all shards that were touched, in order of their names.
///
/// # Errors
///
/// Ops that are no history, such as a process with two calls at a time.
pub fn shards(ops: &[Op]) -> Result<Vec<ShardHistory<'_>>, HistoryError> {
    let calls = facts::judged(ops)?;
    let made = facts::made(&calls);
    let runs = facts::runs(&made, &calls);
    let numbers = op_ids::operations(&calls, &runs);
    let Joined { operations, of_call } = Joined::new(&calls, &OpLog::new(&calls, &runs, &numbers));
    let deleted_from = calls.iter().find(|c| c.f() == "delete-run" && !c.failed()).map(|c| c.at);
    let mut parts = Parts { operations, runs, deleted_from, by_shard: BTreeMap::new(), workers: HashMap::new() };
    parts.makers(&of_call, &made);
    parts.distribute();
    Ok(parts.finish())
}

/// The operations of a history: tries of one are joined.
#[derive(Debug)]
struct Joined<'a> {
    operations: Vec<Operation<'a>>,
    /// For each call that did not fail its place among the operations.
    of_call: Vec<Option<usize>>,
}

impl<'a> Joined<'a> {
    fn new(calls: &[Call<'a>], log: &OpLog<'_, 'a>) -> Self {
        let mut joined = Self { operations: Vec::with_capacity(calls.len()), of_call: vec![None; calls.len()] };
        // By op id and what is asked; those whose digests are equal are compared. The last of equal ones is the one that counts.
        let mut known: HashMap<(Name<'a>, u64), Vec<usize>> = HashMap::new();
        for (place, call) in calls.iter().enumerate().filter(|(_, c)| !c.failed()) {
            let tries = call.op_id().map(|id| known.entry((id, oplog::request_digest(call))).or_default());
            let same = tries
                .as_ref()
                .and_then(|tries| tries.iter().rfind(|&&i| oplog::same_request(&joined.operations[i].call, call)));
            let (same, of) = match same {
                Some(&same) => (Some(same), joined.again(same, call, log)),
                None => (None, joined.push(call, call.at)),
            };
            if let Some(tries) = tries.filter(|_| same != Some(of)) {
                tries.push(of);
            }
            joined.of_call[place] = Some(of);
        }
        joined
    }

    fn push(&mut self, call: &Call<'a>, invoked: usize) -> usize {
        self.operations.push(Operation { call: *call, invoked, answered: call.ok().then(|| call.end()) });
        self.operations.len() - 1
    }

    /// Another try of an operation. Gives the operation that its answer is of.
    fn again(&mut self, same: usize, call: &Call<'a>, log: &OpLog<'_, 'a>) -> usize {
        let known = self.operations[same];
        let makes_fence = is_grant(call.f()) || call.f() == "unpark";
        if makes_fence && log.may_have_forgotten(&known.call, known.invoked, call.end()) {
            if !call.ok() {
                self.push(call, call.at);
                return same;
            }
            if known.answered.is_some() && !oplog::same_answer(&known.call, call) {
                return self.push(call, known.invoked);
            }
            if known.answered.is_none() {
                self.push(&known.call, known.invoked);
            }
        }
        let answered = call.ok().then(|| call.end());
        if answered.is_some_and(|at| known.answered.is_none_or(|known| at < known)) {
            (self.operations[same].call, self.operations[same].answered) = (*call, answered);
        }
        same
    }
}

/// A try to make a shard, and the range that it would have.
type Making<'a> = (Operation<'a>, Range<'a>);

#[derive(Debug)]
struct Part<'a> {
    entries: Vec<Entry<ShardInput<'a>, ShardOutput<'a>>>,
    calls: Vec<Call<'a>>,
    is_made: bool,
    fences: Fences,
    /// Renewals that were never answered, by fence.
    unsure: BTreeSet<i64>,
    /// Who wrote, or was shown as holder, under which fence.
    writers: BTreeSet<(i64, WorkerNo)>,
    /// Who was shown as holder under a fence that was not told.
    holders: BTreeSet<WorkerNo>,
    /// How many lost grants to one worker can matter, once all else is known.
    most_lost: Option<usize>,
    /// How many lost claims of each worker there were.
    lost_claims: HashMap<WorkerNo, usize>,
}

#[derive(Debug)]
struct Parts<'a> {
    operations: Vec<Operation<'a>>,
    /// The run of each shard, as far as it is known.
    runs: Runs<'a>,
    /// Where the first deletion of a run was invoked.
    deleted_from: Option<usize>,
    by_shard: BTreeMap<Name<'a>, Part<'a>>,
    workers: HashMap<Name<'a>, WorkerNo>,
}

impl<'a> Parts<'a> {
    fn part(&mut self, shard: &Name<'a>) -> &mut Part<'a> {
        if !self.by_shard.contains_key(shard) {
            self.by_shard.insert(shard.clone(), Part::new());
        }
        self.by_shard.get_mut(shard).expect("it was put there if it was not")
    }

    fn worker(&mut self, named: Option<&'a Value>) -> WorkerNo {
        let worker = named.map(name).unwrap_or_default();
        let next = self.workers.len() as WorkerNo;
        *self.workers.entry(worker).or_insert(next)
    }

    /// The making of each shard. A registration that was tried twice made it once; of tries that differ in the range only one
    /// can have made it.
    fn makers(&mut self, of_call: &[Option<usize>], made: &[Made<'a>]) {
        let mut makers: BTreeMap<_, Vec<Making<'a>>> = BTreeMap::new();
        for maker in made {
            let Some(place) = of_call[maker.call] else { continue };
            let operation = self.operations[place];
            let parent = operation.call.input("shard").map(name);
            let making = makers.entry((&maker.shard, parent, maker.range.order())).or_default();
            making.push((operation, maker.range));
        }
        for ((shard, ..), mut tries) in makers {
            let invoked = tries.iter().map(|(o, _)| o.invoked).min().unwrap_or_default();
            tries.sort_by_key(|(o, _)| o.answered.unwrap_or(usize::MAX));
            let Some((first, range)) = tries.first() else { continue };
            let cursor = inherited(&first.call, *range);
            let may_follow_deletion = self.deleted_from.is_some_and(|at| first.answered.is_none_or(|end| at < end));
            let fence = if may_follow_deletion { Known::Unknown } else { Known::Is(0) };
            let input = ShardInput::Create { start: range.start, end: range.end, cursor, fence };
            let operation = Operation { invoked, ..*first };
            let part = self.part(shard);
            part.is_made = true;
            part.push(&operation, input, Some(ShardOutput::Done));
        }
    }

    fn record(&mut self, field: impl Fn(&str) -> Option<&'a Value>) -> Record<'a> {
        let bound = |key| field(key).map_or(Known::Unknown, |v| Known::Is(facts::bound(Some(v))));
        let lease = match field("worker") {
            None => Known::Unknown,
            Some(Value::Nil) => Known::Is(Lease::None),
            worker => {
                let deadline = known(field("deadline").and_then(Value::as_i64));
                Known::Is(Lease::Held(self.worker(worker), deadline))
            }
        };
        Record {
            // A word that is no status is none that a shard ever has.
            status: known(field("status").and_then(facts::status).map(|s| Status::of(&s).unwrap_or(Status::Absent))),
            fence: known(field("fence").and_then(Value::as_i64)),
            lease,
            cursor: field("cursor").map_or(Known::Unknown, |c| Known::Is(cursor_key(Some(c)))),
            start: bound("start"),
            end: bound("end"),
        }
    }

    fn distribute(&mut self) {
        let mut of_runs = Vec::new();
        for operation in std::mem::take(&mut self.operations) {
            match (operation.call.f(), operation.answered) {
                ("read-run", _) => self.read_run(&operation),
                // It changes no shard, so that only its answer tells something.
                ("complete-run", None) => {}
                ("fail-run" | "cancel-run" | "complete-run", _) | ("claim", None) => of_runs.push(operation),
                _ => self.one(&operation),
            }
        }
        of_runs.sort_by_key(|operation| operation.invoked);
        for part in self.by_shard.values_mut() {
            part.most_lost = part.most_lost_grants();
        }
        for operation in &of_runs {
            let worker = self.worker(operation.call.output("worker"));
            let input = match operation.call.f() {
                "claim" => ShardInput::Grant { worker },
                "complete-run" => ShardInput::CompleteRun,
                _ => ShardInput::EndRun,
            };
            self.all_of_run(operation, input);
        }
    }

    /// An operation on each shard of a run. Where the run of a shard is not known, it may or may not have been touched.
    fn all_of_run(&mut self, operation: &Operation<'a>, input: ShardInput<'a>) {
        let run = operation.call.input("run").map(name);
        for (shard, part) in &mut self.by_shard {
            match self.runs.get(shard) {
                Some(of) if Some(of) != run.as_ref() => {}
                _ if !part.has_use_for(input) => {}
                Some(_) => part.push(operation, input, Some(ShardOutput::Done)),
                None => part.push(&Operation { answered: None, ..*operation }, input, None),
            }
        }
    }

    fn read_run(&mut self, operation: &Operation<'a>) {
        if operation.answered.is_none() || is_stale(&operation.call) {
            return;
        }
        for value in operation.call.output("shards").and_then(Value::items).unwrap_or_default() {
            if let Some(shard) = value.some("shard") {
                let seen = self.record(|key| value.get(key));
                self.part(&name(shard)).read(operation, seen);
            }
        }
    }

    /// An operation on one shard.
    fn one(&mut self, operation: &Operation<'a>) {
        let call = &operation.call;
        let Some(shard) = call.shard() else { return };
        if call.f() == "read-shard" {
            if operation.answered.is_some() && !is_stale(call) {
                let seen = self.record(|key| call.answer(key));
                self.part(&shard).read(operation, seen);
            }
            return;
        }
        let worker = self.worker(call.output("worker"));
        let part = self.part(&shard);
        match call.f() {
            f if is_grant(f) => part.grant(operation, worker),
            f if is_lease_write(f) => part.write(operation, worker),
            "unpark" => part.unpark(operation),
            _ => {}
        }
    }

    fn finish(self) -> Vec<ShardHistory<'a>> {
        self.by_shard.into_iter().map(|(shard, part)| part.finish(shard)).collect()
    }
}

impl<'a> Part<'a> {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            calls: Vec::new(),
            is_made: false,
            fences: Fences::default(),
            unsure: BTreeSet::new(),
            writers: BTreeSet::new(),
            holders: BTreeSet::new(),
            most_lost: None,
            lost_claims: HashMap::new(),
        }
    }

    fn push(&mut self, operation: &Operation<'a>, input: ShardInput<'a>, output: Option<ShardOutput<'a>>) {
        self.entries.push(Entry {
            invoked: operation.invoked as u64,
            answered: operation.answered.map(|at| at as u64),
            input,
            output: output.filter(|_| operation.answered.is_some()),
        });
        self.calls.push(operation.call);
    }

    fn grant(&mut self, operation: &Operation<'a>, worker: WorkerNo) {
        let call = &operation.call;
        let fence = call.output_int("fence");
        if operation.answered.is_some() {
            self.fences.tell(fence);
        }
        let output = ShardOutput::Granted {
            fence: known(fence),
            cursor: call.answer("cursor").map_or(Known::Unknown, |c| Known::Is(cursor_key(Some(c)))),
            granted: call.output_int("granted"),
            deadline: known(call.output_int("deadline")),
        };
        self.push(operation, ShardInput::Grant { worker }, Some(output));
    }

    fn unpark(&mut self, operation: &Operation<'a>) {
        let fence = operation.call.output_int("fence");
        if operation.answered.is_some() {
            self.fences.tell(fence);
        }
        self.push(operation, ShardInput::Unpark, Some(ShardOutput::Unparked { fence: known(fence) }));
    }

    fn write(&mut self, operation: &Operation<'a>, worker: WorkerNo) {
        let call = &operation.call;
        let fence = call.input_int("fence");
        if let Some(fence) = fence {
            self.fences.see(fence);
            self.writers.insert((fence, worker));
        }
        let cursor = || cursor_key(call.input("cursor"));
        let mut output = ShardOutput::Done;
        let what = match call.f() {
            "renew" => {
                if operation.answered.is_none() {
                    self.unsure.extend(fence);
                    return;
                }
                let (granted, deadline) = (call.output_int("granted"), known(call.output_int("deadline")));
                output = ShardOutput::Renewed { granted, deadline };
                Write::Renew
            }
            "checkpoint" => Write::Checkpoint(cursor()),
            "release" => Write::Release,
            "complete" => Write::Complete(cursor()),
            "park" => Write::Park,
            "split-replace" => Write::SplitReplace,
            "split-residual" => Write::SplitResidual(facts::bound(call.input("at"))),
            _ => return,
        };
        self.push(operation, ShardInput::Write { worker, fence, what }, Some(output));
    }

    fn read(&mut self, operation: &Operation<'a>, record: Record<'a>) {
        self.fences.read(record.fence);
        if let Known::Is(Lease::Held(worker, _)) = record.lease {
            match record.fence {
                Known::Is(fence) => self.writers.insert((fence, worker)),
                Known::Unknown => self.holders.insert(worker),
            };
        }
        self.push(operation, ShardInput::Read, Some(ShardOutput::Record(record)));
    }

    fn finish(mut self, shard: Name<'a>) -> ShardHistory<'a> {
        let lost_fences = self.fences.lost();
        self.forget_workers(&lost_fences);
        self.drop_lost_grants();
        let init = if self.is_made { ShardState::absent() } else { ShardState::unknown() };
        let model = Shard { init, lost_fences, unsure: self.unsure };
        ShardHistory { shard, model, entries: self.entries, calls: self.calls }
    }

    /// How many unanswered grants to one worker can matter: each that took effect made a fence that no answer told, so that no
    /// more can have than there are such fences. Of equal ones those that were invoked first can do whatever others can. One
    /// more, since it is asked what would be without one ([`crate::wgl::check_shards`]). None if nobody knows.
    fn most_lost_grants(&self) -> Option<usize> {
        let lost = self.fences.lost();
        if lost.is_empty() {
            return Some(0);
        }
        let begins = |e: &Entry<_, _>| !matches!(e.input, ShardInput::Create { fence: Known::Unknown, .. });
        let is_known = self.is_made && self.entries.iter().all(begins);
        lost.count().filter(|_| is_known).map(|count| count + 1)
    }

    /// Whether one more operation on the whole run can matter; they come in order of invocation.
    fn has_use_for(&mut self, input: ShardInput<'a>) -> bool {
        let ShardInput::Grant { worker } = input else { return true };
        let claims = self.lost_claims.entry(worker).or_default();
        *claims += 1;
        self.most_lost.is_none_or(|most| *claims <= most)
    }

    /// Leaves out unanswered grants that cannot matter.
    fn drop_lost_grants(&mut self) {
        let Some(most) = self.most_lost else { return };
        let mut lost: Vec<(u64, usize, WorkerNo)> = Vec::new();
        for (i, entry) in self.entries.iter().enumerate().filter(|(_, e)| e.answered.is_none()) {
            if let ShardInput::Grant { worker } = entry.input {
                lost.push((entry.invoked, i, worker));
            }
        }
        lost.sort_unstable();
        let mut of_worker: HashMap<WorkerNo, usize> = HashMap::new();
        let mut keep = vec![true; self.entries.len()];
        for (_, i, worker) in lost {
            let before = of_worker.entry(worker).or_default();
            *before += 1;
            keep[i] = *before <= most;
        }
        let (mut entries, mut calls) = (keep.iter(), keep.iter());
        self.entries.retain(|_| entries.next().is_none_or(|keep| *keep));
        self.calls.retain(|_| calls.next().is_none_or(|keep| *keep));
    }

    /// Unanswered grants whose worker never wrote under a fence that may be theirs are all alike.
    fn forget_workers(&mut self, lost: &LostFences) {
        let wrote: BTreeSet<WorkerNo> = self
            .writers
            .iter()
            .filter(|(fence, _)| lost.contains(Known::Is(*fence)))
            .map(|(_, worker)| *worker)
            .chain(self.holders.iter().copied())
            .collect();
        for entry in self.entries.iter_mut().filter(|e| e.answered.is_none()) {
            if let ShardInput::Grant { worker } = &mut entry.input
                && !wrote.contains(worker)
            {
                *worker = SOME_WORKER;
            }
        }
    }
}

fn known<T>(told: Option<T>) -> Known<T> {
    told.map_or(Known::Unknown, Known::Is)
}

/// The child with the lowest range goes on from its parent's cursor, which is not told; others have none.
fn inherited<'a>(call: &Call<'a>, range: Range<'a>) -> Known<Key<'a>> {
    if call.f() != "split-replace" {
        return Known::Is(None);
    }
    let children = call.output("children").and_then(Value::items).unwrap_or_default();
    let first = children.iter().map(Range::of).min_by_key(Range::order);
    if first == Some(range) { Known::Unknown } else { Known::Is(None) }
}

fn is_stale(call: &Call<'_>) -> bool {
    ["stale", "stale?"].iter().any(|key| call.output(key).is_some_and(Value::is_truthy))
}
