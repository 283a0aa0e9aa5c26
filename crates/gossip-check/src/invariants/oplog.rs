//! What the service may have forgotten of its answers, as `docs/protocol.md` has it (*How long an answer can be replayed*).
//!
//! The answers of `complete`, of splits and of operations on runs stay as long as the run; those of the newest 1,024 deletions
//! longer. Those of all other mutations share a ring for each shard: the newest 64, fewer if they would hold more than 256 KiB of
//! ranges and cursors, but always three. An op id whose answer is forgotten is a new request.
//!
//! Whether an answer was forgotten is not in the history, so it is asked whether it *may* have been: whether so many other
//! operations may have put an answer into the ring between the earliest moment at which the answer may have been put there and
//! the moment in question. A call that was never answered may have done so at any time after its invocation; a claim that
//! never was, in any ring of its run. It is enough to count each op id once: the first that gets into a ring twice must have
//! been forgotten in between, and by so many others. Tries that the recorder does not note are taken to end with the call.
//!
//! The bytes are those of the longest range and cursor anywhere in the history, since what a lost grant held is not told. A
//! cursor's token stands beside its key, or as the `:ids` that Jepsen's tier keeps in it.
//!
//! Whether two requests are the same has three answers, since a recorder may note what the service is never sent, and may send
//! what is not known here. A difference in what is known to be sent makes them two; one in anything else, but for what is known
//! to be a note, leaves it open. So whichever list lacks a key, nobody is accused for it.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::facts::{Runs, cursor_key};
use super::op_ids::run_of;
use crate::history::{Call, Map, Name, Value};

/// Answers in a ring, if they are small.
const KEPT: usize = 64;
/// Answers in a ring, however large they are.
const ALWAYS_KEPT: usize = 3;
/// Deletions that a tenant remembers, whatever becomes of the run's name.
const KEPT_DELETIONS: usize = 1024;
/// Bytes of ranges and cursors in a ring.
const BYTES: usize = 256 * 1024;
/// Bytes of one id in a token, at most.
const ID_BYTES: usize = 8;
/// So many calls are looked through one by one.
const BLOCK: usize = 64;

/// What the service says in an answer.
pub(super) const ANSWERED: [&str; 7] = ["shard", "fence", "granted", "deadline", "cursor", "children", "residual"];

/// Whether the service said the same to both calls.
pub(crate) fn same_answer(a: &Call<'_>, b: &Call<'_>) -> bool {
    ANSWERED.iter().all(|key| a.answer(key) == b.answer(key))
}

/// What a request says to the service, as far as it is known here, which holds it against the first of its op id. At the top of a
/// registration `:start?` (or `:start`) asks to start the run.
const SENT: [&str; 15] = [
    "run", "shard", "worker", "op-id", "shards", "cuts", "at", "fence", "cursor", "ids", "reason", "lease-ms",
    "start?", "start", "metadata",
];

/// What a recorder notes of a call and does not send, or what the service does not hold against the first request of an op id.
const NOTED: [&str; 3] = ["node", "attempt", "wait-ms"];

/// Whether two calls may have sent the same: they tell of no difference in what is known to be sent.
pub(crate) fn same_request(a: &Call<'_>, b: &Call<'_>) -> bool {
    same_in(SENT, a, b)
}

fn same_in(keys: impl IntoIterator<Item = &'static str>, a: &Call<'_>, b: &Call<'_>) -> bool {
    a.f() == b.f() && keys.into_iter().all(|key| a.input(key) == b.input(key))
}

/// What a request says to the service, but for its op id.
fn asked() -> impl Iterator<Item = &'static str> {
    SENT.into_iter().filter(|key| *key != "op-id")
}

/// Whether two calls of which one tells no op id may be tries of one operation.
pub(crate) fn may_be_nameless_try(a: &Call<'_>, b: &Call<'_>) -> bool {
    let is_nameless = a.op_id().is_none() || b.op_id().is_none();
    is_nameless && same_in(asked(), a, b) && !(a.ok() && b.ok() && !same_answer(a, b))
}

/// Whether two calls surely sent the same: they differ in nothing, but for what is known not to be sent.
pub(crate) fn surely_same_request(a: &Call<'_>, b: &Call<'_>) -> bool {
    let holds = |call: &Call<'_>, (key, said): (&Value, &Value)| {
        call.invoke.value.as_map().is_some_and(|own| own.at(key) == Some(said))
    };
    same_request(a, b) && [(a, b), (b, a)].into_iter().all(|(one, other)| said(one).all(|pair| holds(other, pair)))
}

/// All that an invocation tells, but for notes of the recorder.
fn said<'a>(call: &Call<'a>) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let pairs = call.invoke.value.as_map().into_iter().flat_map(Map::iter);
    pairs.filter(|(key, said)| !said.is_nil() && !matches!(key, Value::Keyword(name) if NOTED.contains(&&**name)))
}

/// A number that equal requests share, so that they can be looked up instead of compared one by one.
pub(crate) fn request_digest(call: &Call<'_>) -> u64 {
    digest(SENT.into_iter().map(|key| call.input(key)))
}

/// As [`request_digest`], whatever the op ids are.
pub(crate) fn asked_digest(call: &Call<'_>) -> u64 {
    digest(asked().map(|key| call.input(key)))
}

/// A number that equal answers share.
pub(crate) fn answer_digest(call: &Call<'_>) -> u64 {
    digest(ANSWERED.into_iter().map(|key| call.answer(key)))
}

fn digest<'a>(said: impl Iterator<Item = Option<&'a Value>>) -> u64 {
    said.fold(0, |so_far: u64, value| so_far.rotate_left(5) ^ value.map_or(0, Value::digest))
}

/// Whether the answer to such an operation can be forgotten while its run is there.
fn is_evictable(f: &str) -> bool {
    matches!(f, "acquire" | "claim" | "renew" | "checkpoint" | "release" | "park" | "unpark")
}

/// A call that may have put an answer into a ring.
#[derive(Debug, Clone, Copy)]
struct Logged {
    at: usize,
    end: usize,
    operation: usize,
}

/// Calls that may have put an answer into one ring.
#[derive(Debug, Default)]
struct Ring {
    /// In order of invocation.
    logged: Vec<Logged>,
    /// At each whole block: of the operations up to there those that reach furthest, one more than are ever asked for. So a
    /// question costs the same however many calls there were.
    furthest: Vec<Vec<Logged>>,
}

impl Ring {
    fn new(logged: Vec<Logged>) -> Self {
        let mut reach: HashMap<usize, Logged> = HashMap::new();
        let mut order: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut furthest = Vec::with_capacity(logged.len() / BLOCK);
        for block in logged.chunks_exact(BLOCK) {
            for call in block {
                let known = reach.entry(call.operation).or_insert(*call);
                order.remove(&(known.end, call.operation));
                known.end = known.end.max(call.end);
                order.insert((known.end, call.operation));
            }
            furthest.push(order.iter().rev().take(KEPT + 1).map(|(_, operation)| reach[operation]).collect());
        }
        Self { logged, furthest }
    }

    /// Enough of the calls that were invoked before a place to tell how many operations reach beyond another one.
    fn before(&self, until: usize) -> impl Iterator<Item = &Logged> {
        let begun = self.logged.partition_point(|logged| logged.at < until);
        let blocks = begun / BLOCK;
        let earlier = blocks.checked_sub(1).map_or(&[][..], |last| &self.furthest[last]);
        earlier.iter().chain(&self.logged[blocks * BLOCK..begun])
    }
}

/// Deletions that may have happened: places of the invocation, in order, each with the last end of all up to there.
#[derive(Debug, Default)]
struct Deletions(Vec<(usize, usize)>);

impl Deletions {
    fn push(&mut self, deletion: &Call<'_>) {
        let end = self.0.last().map_or(0, |(_, end)| *end).max(deletion.end());
        self.0.push((deletion.at, end));
    }

    /// Whether one may have happened between two places.
    fn between(&self, from: usize, until: usize) -> bool {
        let begun = self.0.partition_point(|(at, _)| *at < until);
        begun > 0 && from < self.0[begun - 1].1
    }
}

#[derive(Debug)]
struct Rings<'a> {
    by_shard: HashMap<Name<'a>, Ring>,
    /// Of each run, as far as it is told: which shard they were granted is not.
    lost_claims: HashMap<Option<Name<'a>>, Ring>,
    deletions: HashMap<Option<Name<'a>>, Deletions>,
    any_deletion: Deletions,
    kept: usize,
}

/// Answers about one history. What it takes to know is gathered when it is first asked, which few histories do.
#[derive(Debug)]
pub(crate) struct OpLog<'c, 'a> {
    calls: &'c [Call<'a>],
    runs: &'c Runs<'a>,
    /// As [`super::op_ids::operations`] numbers them.
    operations: &'c [usize],
    rings: OnceCell<Rings<'a>>,
}

impl<'c, 'a> OpLog<'c, 'a> {
    pub(crate) fn new(calls: &'c [Call<'a>], runs: &'c Runs<'a>, operations: &'c [usize]) -> Self {
        Self { calls, runs, operations, rings: OnceCell::new() }
    }

    /// Whether what was answered to `call`, and put into the op log at place `from` or later, may be forgotten at some place
    /// before `until`.
    pub(crate) fn may_have_forgotten(&self, call: &Call<'a>, from: usize, until: usize) -> bool {
        let rings = self.rings.get_or_init(|| self.rings());
        if call.f() == "delete-run" {
            return rings.any_deletion.0.len() > KEPT_DELETIONS;
        }
        let run = run_of(call, self.runs);
        rings.deleted(&run, from, until)
            || (is_evictable(call.f()) && self.others(rings, call, run, from, until) >= rings.kept)
    }

    /// How many other operations may have been put into the ring in between; counts no further than it must.
    fn others(&self, rings: &Rings<'a>, call: &Call<'a>, run: Option<Name<'a>>, from: usize, until: usize) -> usize {
        let place = self.calls.partition_point(|other| other.at < call.at);
        let own = self.operations.get(place).copied();
        let mut others: HashSet<usize> = HashSet::new();
        for ring in self.rings_of(rings, call, &run) {
            for logged in ring.before(until).filter(|logged| from < logged.end && Some(logged.operation) != own) {
                others.insert(logged.operation);
                if others.len() >= rings.kept {
                    return rings.kept;
                }
            }
        }
        others.len()
    }

    /// The rings that the answer may be in, and the lost claims that may be in one of them. A claim of which nothing is known
    /// may have been in that of any shard of its run.
    fn rings_of<'r>(
        &'r self,
        rings: &'r Rings<'a>,
        call: &Call<'a>,
        run: &'r Option<Name<'a>>,
    ) -> impl Iterator<Item = &'r Ring> {
        let may_be = |other: Option<&Name<'a>>| run.is_none() || other.is_none() || other == run.as_ref();
        let own = call.shard();
        let of_shard = own.as_ref().and_then(|shard| rings.by_shard.get(shard));
        let any = rings.by_shard.iter().filter(move |(shard, _)| own.is_none() && may_be(self.runs.get(*shard)));
        let lost = rings.lost_claims.iter().filter(move |(other, _)| may_be(other.as_ref()));
        of_shard.into_iter().chain(any.map(|(_, ring)| ring)).chain(lost.map(|(_, ring)| ring))
    }

    fn rings(&self) -> Rings<'a> {
        let mut by_shard: HashMap<Name<'a>, Vec<Logged>> = HashMap::new();
        let mut lost_claims: HashMap<Option<Name<'a>>, Vec<Logged>> = HashMap::new();
        let mut deletions: HashMap<Option<Name<'a>>, Deletions> = HashMap::new();
        let mut any_deletion = Deletions::default();
        for (call, &operation) in self.calls.iter().zip(self.operations).filter(|(c, _)| !c.failed()) {
            if call.f() == "delete-run" {
                deletions.entry(run_of(call, self.runs)).or_default().push(call);
                any_deletion.push(call);
            }
            if !is_evictable(call.f()) {
                continue;
            }
            let logged = Logged { at: call.at, end: call.end(), operation };
            match call.shard() {
                Some(shard) => by_shard.entry(shard).or_default().push(logged),
                None => lost_claims.entry(run_of(call, self.runs)).or_default().push(logged),
            }
        }
        Rings {
            by_shard: by_shard.into_iter().map(|(shard, logged)| (shard, Ring::new(logged))).collect(),
            lost_claims: lost_claims.into_iter().map(|(run, logged)| (run, Ring::new(logged))).collect(),
            deletions,
            any_deletion,
            kept: kept(self.calls),
        }
    }
}

impl<'a> Rings<'a> {
    /// Whether the run may have been deleted in between, and its op log with it; of a run that is not known, any.
    fn deleted(&self, run: &Option<Name<'a>>, from: usize, until: usize) -> bool {
        let of_run = |run| self.deletions.get(run).is_some_and(|deletions| deletions.between(from, until));
        match run {
            Some(_) => of_run(run) || of_run(&None),
            None => self.any_deletion.between(from, until),
        }
    }
}

/// How many answers a ring of this history keeps.
fn kept(calls: &[Call<'_>]) -> usize {
    let bytes =
        calls.iter().map(largest_key).max().unwrap_or(0) * 2 + calls.iter().map(cursor_bytes).max().unwrap_or(0);
    BYTES.checked_div(bytes).unwrap_or(KEPT).clamp(ALWAYS_KEPT, KEPT)
}

/// Bytes of the longest bound of a range that the call names.
fn largest_key(call: &Call<'_>) -> usize {
    let listed = ["shards", "children"].iter().filter_map(|key| call.output(key)?.items()).flatten();
    let ranges = listed.chain(call.output("residual"));
    let bounds = ranges.flat_map(|range| ["start", "end"].map(|key| range.some(key)));
    bounds.flatten().filter_map(Value::as_str).map(|hex| hex.len().div_ceil(2)).max().unwrap_or(0)
}

/// Bytes of the cursor that the call names.
fn cursor_bytes(call: &Call<'_>) -> usize {
    let cursor = call.output("cursor");
    let key = cursor_key(cursor).map_or(0, |hex| hex.len().div_ceil(2));
    let token = cursor.and_then(|c| c.some("token")).and_then(Value::as_str).map_or(0, str::len);
    let ids = call.output("ids").and_then(Value::items).map_or(0, |ids| ids.len() * ID_BYTES);
    key + token + ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One operation for each call, of which each is over before the next begins.
    fn one_by_one(count: usize) -> Vec<Logged> {
        (0..count).map(|i| Logged { at: 2 * i, end: 2 * i + 1, operation: i }).collect()
    }

    /// Operations that reach beyond `from`, counted the slow way.
    fn reaching(logged: &[Logged], from: usize, until: usize) -> usize {
        let all = logged.iter().filter(|l| l.at < until && from < l.end).map(|l| l.operation);
        all.collect::<HashSet<_>>().len().min(KEPT)
    }

    #[test]
    fn a_question_costs_the_same_in_a_long_history() {
        let ring = Ring::new(one_by_one(100_000));
        for until in [1, 127, 128, 129, 100_000, 200_000] {
            assert!(ring.before(until).count() <= KEPT + 1 + BLOCK, "{until}");
        }
    }

    #[test]
    fn a_ring_tells_how_many_reach_beyond_a_place() {
        // Retries of few operations, some that never end, many at a time.
        let mut logged = one_by_one(700);
        for (i, call) in logged.iter_mut().enumerate() {
            call.operation = (i * i) % 97;
            call.end = if i % 31 == 0 { usize::MAX } else { call.at + 1 + (i * 37) % 150 };
        }
        let ring = Ring::new(logged.clone());
        for from in (0..1400).step_by(13) {
            for until in (from..1400).step_by(29) {
                let found: HashSet<usize> = ring.before(until).filter(|l| from < l.end).map(|l| l.operation).collect();
                assert_eq!(found.len().min(KEPT), reaching(&logged, from, until), "{from} {until}");
            }
        }
    }
}
