//! What several judges need to know of a history: which calls touched a shard, when an operation may have taken effect,
//! which leases were granted, which ranges shards were given. Derived once, from client calls alone; only the rates of clocks
//! are the nemesis's to tell.

use std::collections::{BTreeMap, HashMap};

use super::healing::{self, Healing};
use super::leases::{self, Lease};
use super::op_ids;
use crate::history::{self, Call, HistoryError, Name, OPEN_END, Op, Process, Value, name};
use crate::judge::Violation;

pub(crate) fn is_grant(f: &str) -> bool {
    matches!(f, "acquire" | "claim")
}

pub(crate) fn is_lease_write(f: &str) -> bool {
    matches!(f, "renew" | "checkpoint" | "complete" | "release" | "park" | "split-replace" | "split-residual")
}

pub(crate) fn is_lease_end(f: &str) -> bool {
    matches!(f, "complete" | "release" | "park" | "split-replace")
}

pub(crate) fn is_shard_end(f: &str) -> bool {
    matches!(f, "complete" | "split-replace")
}

pub(crate) fn is_run_end(f: &str) -> bool {
    matches!(f, "complete-run" | "fail-run" | "cancel-run")
}

/// What may make a run; a registration may, where its making is not recorded by itself.
pub(crate) fn is_run_maker(f: &str) -> bool {
    matches!(f, "register" | "create-run")
}

/// What changes a run or its shards.
pub(crate) fn is_change(f: &str) -> bool {
    is_grant(f) || is_lease_write(f) || is_run_end(f) || is_run_maker(f) || matches!(f, "unpark" | "start-run")
}

/// What is asked of the service about runs and shards.
pub(crate) fn is_of_service(f: &str) -> bool {
    is_change(f) || matches!(f, "delete-run" | "read-run" | "read-shard")
}

/// The calls that are judged. What else a recorder notes says nothing of the service, whatever it names; and a call that names
/// another run than its shard's can have done nothing, unless an answer says that it did.
///
/// # Errors
///
/// Ops that are no history.
pub(crate) fn judged(ops: &[Op]) -> Result<Vec<Call<'_>>, HistoryError> {
    let mut calls = history::calls(ops)?;
    calls.retain(|call| is_of_service(call.f()) || matches!(call.f(), "section" | "publish" | "read-view"));
    let may_be_misdirected = |call: &Call<'_>| call.open() && call.input("run").is_some() && call.shard().is_some();
    if calls.iter().any(may_be_misdirected) {
        let runs = runs(&made(&calls), &calls);
        let goes_astray = |call: &Call<'_>| {
            let of = call.shard().and_then(|shard| runs.get(&shard));
            of.zip(call.input("run")).is_some_and(|(of, named)| name(named) != *of)
        };
        calls.retain(|call| !(may_be_misdirected(call) && goes_astray(call)));
    }
    Ok(calls)
}

pub(crate) fn is_read(f: &str) -> bool {
    matches!(f, "read-shard" | "read-run" | "read-view")
}

pub(crate) fn is_cursor_write(f: &str) -> bool {
    matches!(f, "checkpoint" | "complete")
}

/// A status in lower case, however the recorder spelled it.
pub(crate) fn status(value: &Value) -> Option<String> {
    value.name().map(str::to_ascii_lowercase)
}

pub(crate) fn is_terminal(status: &str) -> bool {
    matches!(status, "done" | "split" | "cancelled")
}

pub(crate) fn is_run_terminal(status: &str) -> bool {
    matches!(status, "done" | "failed" | "cancelled")
}

/// A half-open range of keys. Keys are strings of hex digits, whose order is that of the bytes; none is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range<'a> {
    pub(crate) start: Option<&'a str>,
    pub(crate) end: Option<&'a str>,
}

impl<'a> Range<'a> {
    /// Of a map with `:start` and `:end`.
    pub(crate) fn of(value: &'a Value) -> Self {
        Self { start: bound(value.get("start")), end: bound(value.get("end")) }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.start.is_none_or(|start| start <= key) && self.end.is_none_or(|end| key < end)
    }

    /// For sorting: minus infinity first.
    pub(crate) fn order(&self) -> (&'a str, bool, &'a str) {
        (self.start.unwrap_or(""), self.end.is_none(), self.end.unwrap_or(""))
    }
}

impl std::fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {})", self.start.unwrap_or("-inf"), self.end.unwrap_or("+inf"))
    }
}

/// A bound of a range; `nil` and the empty string are infinity.
pub(crate) fn bound(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|key| !key.is_empty())
}

/// The key of a cursor, which is a key or a map with a token beside it.
pub(crate) fn cursor_key(cursor: Option<&Value>) -> Option<&str> {
    let cursor = cursor?;
    cursor.as_str().or_else(|| cursor.get("key").and_then(Value::as_str))
}

/// What an invariant's check found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many comparisons were made.
    pub(crate) count: u64,
    pub(crate) violations: Vec<Violation>,
}

impl Tally {
    /// One comparison, and the violation that it found.
    pub(crate) fn add(&mut self, outcome: Option<Violation>) {
        self.count += 1;
        self.violations.extend(outcome);
    }
}

/// A shard that a call may have made.
#[derive(Debug, Clone)]
pub(crate) struct Made<'a> {
    pub(crate) shard: Name<'a>,
    pub(crate) range: Range<'a>,
    /// Registered, not split off.
    pub(crate) is_root: bool,
    pub(crate) run: Option<Name<'a>>,
    /// Place in [`Facts::calls`].
    pub(crate) call: usize,
}

/// A fresh sight of a shard's record.
#[derive(Debug, Clone)]
pub(crate) struct Sight<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) shard: Name<'a>,
    /// Of a read of the run; in a read of the shard the answer is the record.
    record: Option<&'a Value>,
}

impl<'a> Sight<'a> {
    /// `nil` is none.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.explicit(key).filter(|v| !v.is_nil())
    }

    /// An explicit `nil` is told from nothing.
    pub(crate) fn explicit(&self, key: &str) -> Option<&'a Value> {
        match self.record {
            Some(record) => record.get(key),
            None => self.call.answer(key),
        }
    }

    pub(crate) fn status(&self) -> Option<String> {
        self.get("status").and_then(status)
    }

    pub(crate) fn is_final(&self) -> bool {
        is_final(&self.call)
    }
}

pub(crate) fn is_final(call: &Call<'_>) -> bool {
    call.input("final?").is_some_and(Value::is_truthy)
}

/// Whether a read promised to show the newest. One that was asked to be stale may show the past.
pub(crate) fn is_fresh(call: &Call<'_>) -> bool {
    ["stale", "stale?"].into_iter().all(|key| !call.output(key).is_some_and(Value::is_truthy))
}

/// Whether an answer is of now, as all are but those of stale reads.
pub(crate) fn is_of_now(call: &Call<'_>) -> bool {
    !is_read(call.f()) || is_fresh(call)
}

/// The run of each shard, as far as it is known.
pub(crate) type Runs<'a> = HashMap<Name<'a>, Name<'a>>;

/// Everything that the judges look at.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) ops: &'a [Op],
    /// In order of invocation.
    pub(crate) calls: Vec<Call<'a>>,
    /// Calls of each shard, as places in `calls`, in order of invocation.
    pub(crate) by_shard: BTreeMap<Name<'a>, Vec<usize>>,
    pub(crate) leases: BTreeMap<Name<'a>, Vec<Lease<'a>>>,
    /// For each call the number of the operation that it is a try of.
    pub(crate) operations: Vec<usize>,
    /// For each call the earliest place in the history where its effect may stand.
    pub(crate) effect_from: Vec<usize>,
    pub(crate) made: Vec<Made<'a>>,
    /// The range that each shard was made with, as far as it is known.
    pub(crate) ranges: HashMap<Name<'a>, Range<'a>>,
    /// The run that each shard belongs to.
    pub(crate) runs: Runs<'a>,
    /// Where the first deletion of each run was invoked, of those that may have happened.
    deleted_from: HashMap<Name<'a>, usize>,
    /// How the end of all faults went.
    pub(crate) healing: Healing<'a>,
    /// Whether monotonic clocks kept within the drift margin.
    pub(crate) rates_are_sane: bool,
}

impl<'a> Facts<'a> {
    /// `rates_are_sane`: as the caller knows it; otherwise as the history's skews show it.
    pub(crate) fn new(ops: &'a [Op], rates_are_sane: Option<bool>) -> Result<Self, HistoryError> {
        Ok(Self::of(ops, judged(ops)?, rates_are_sane))
    }

    /// `calls` are those of `ops`, as [`judged`] gives them.
    pub(crate) fn of(ops: &'a [Op], calls: Vec<Call<'a>>, rates_are_sane: Option<bool>) -> Self {
        let made = made(&calls);
        let ranges = ranges(&made, &calls);
        let runs = runs(&made, &calls);
        let mut by_shard: BTreeMap<Name<'a>, Vec<usize>> = BTreeMap::new();
        for (i, call) in calls.iter().enumerate() {
            if let Some(shard) = call.shard() {
                by_shard.entry(shard).or_default().push(i);
            }
        }
        let leases = by_shard.iter().map(|(shard, places)| (shard.clone(), leases::granted(&calls, places))).collect();
        let operations = op_ids::operations(&calls, &runs);
        Self {
            ops,
            by_shard,
            leases,
            effect_from: effect_from(&calls, &operations),
            operations,
            runs,
            deleted_from: deleted_from(&calls),
            healing: healing::of_history(ops, &calls),
            made,
            ranges,
            rates_are_sane: rates_are_sane.unwrap_or_else(|| sane_rates(ops)),
            calls,
        }
    }

    pub(crate) fn shard_calls<'s>(&'s self, places: &'s [usize]) -> impl Iterator<Item = &'s Call<'a>> {
        places.iter().map(|&i| &self.calls[i])
    }

    /// The run that a call is about, as far as it is known.
    pub(crate) fn run_of(&self, call: &Call<'a>) -> Option<Name<'a>> {
        op_ids::run_of(call, &self.runs)
    }

    /// Answered reads that promised to be fresh.
    pub(crate) fn fresh_reads<'s>(&'s self, f: &'s str) -> impl Iterator<Item = &'s Call<'a>> {
        self.calls.iter().filter(move |call| call.f() == f && call.ok() && is_fresh(call))
    }

    /// Answered final reads that promised to be fresh, one node's or all.
    pub(crate) fn final_reads<'s>(&'s self, f: &'s str) -> impl Iterator<Item = &'s Call<'a>> {
        self.fresh_reads(f).filter(|call| is_final(call))
    }

    /// Shards that are surely there, each with the place of the first answer that made it or was about it.
    pub(crate) fn known_shards(&self) -> BTreeMap<Name<'a>, usize> {
        let mut known: BTreeMap<Name<'a>, usize> = BTreeMap::new();
        let makers = self.made.iter().map(|m| (m.shard.clone(), &self.calls[m.call]));
        let about = self.by_shard.iter().flat_map(|(s, places)| places.iter().map(|&i| (s.clone(), &self.calls[i])));
        // A recorder's note is no answer.
        let about = about.filter(|(_, call)| is_of_service(call.f()));
        for (shard, call) in makers.chain(about).filter(|(_, call)| call.ok()) {
            let first = known.entry(shard).or_insert(call.end());
            *first = call.end().min(*first);
        }
        known
    }

    /// Whether a call that names this shard is surely about the one that is known by the name, and not about one of another run.
    pub(crate) fn is_meant(&self, call: &Call<'a>, shard: &str) -> bool {
        call.input("run").is_none_or(|run| self.runs.get(shard) == Some(&name(run)))
    }

    /// Whether a shard's run may have been deleted before a place; of a shard whose run is not known, any run.
    pub(crate) fn may_be_gone(&self, shard: &str, place: usize) -> bool {
        match self.runs.get(shard) {
            Some(run) => self.may_be_deleted(run, place),
            None => self.any_may_be_deleted(place),
        }
    }

    /// Whether any run may have been deleted before a place.
    pub(crate) fn any_may_be_deleted(&self, place: usize) -> bool {
        self.deleted_from.values().any(|at| *at < place)
    }

    /// Whether a run may have been deleted before a place.
    pub(crate) fn may_be_deleted(&self, run: &str, place: usize) -> bool {
        self.deleted_from.get(run).is_some_and(|at| *at < place)
    }

    /// Every fresh sight of a shard's record, from reads of the shard and of its run.
    pub(crate) fn sights(&self) -> Vec<Sight<'a>> {
        self.sights_in(is_fresh)
    }

    /// Every sight of a shard's record that may be of the past.
    pub(crate) fn stale_sights(&self) -> Vec<Sight<'a>> {
        self.sights_in(|call| !is_fresh(call))
    }

    fn sights_in(&self, is_wanted: fn(&Call<'a>) -> bool) -> Vec<Sight<'a>> {
        let reads = |f: &'static str| self.calls.iter().filter(move |c| c.f() == f && c.ok() && is_wanted(c));
        let mut sights = Vec::new();
        for call in reads("read-shard") {
            if let Some(shard) = call.shard() {
                sights.push(Sight { call: *call, shard, record: None });
            }
        }
        for call in reads("read-run") {
            for record in call.output("shards").and_then(Value::items).unwrap_or_default() {
                if let Some(shard) = record.some("shard") {
                    sights.push(Sight { call: *call, shard: name(shard), record: Some(record) });
                }
            }
        }
        sights
    }

    /// One thing that must not be: a sentence, and the places in the history that show it, the last being the culprit.
    pub(crate) fn violation(&self, message: String, places: impl IntoIterator<Item = usize>) -> Violation {
        let mut places: Vec<usize> = places.into_iter().filter(|&p| p != OPEN_END).collect();
        places.sort_unstable();
        places.dedup();
        Violation {
            message,
            time: places.last().map_or(0, |&p| self.ops[p].time),
            ops: places.into_iter().map(|p| self.ops[p].index).collect(),
        }
    }
}

fn deleted_from<'a>(calls: &[Call<'a>]) -> HashMap<Name<'a>, usize> {
    let mut from = HashMap::new();
    for call in calls.iter().filter(|c| c.f() == "delete-run" && !c.failed()) {
        from.entry(call.input("run").map(name).unwrap_or_default()).or_insert(call.at);
    }
    from
}

/// A replayed answer proves an effect at some moment since the first try of its operation that may have taken effect, not since
/// the replay was asked for.
fn effect_from(calls: &[Call<'_>], operations: &[usize]) -> Vec<usize> {
    let mut first: HashMap<usize, usize> = HashMap::new();
    for (call, operation) in calls.iter().zip(operations).filter(|(c, _)| !c.failed()) {
        first.entry(*operation).or_insert(call.at);
    }
    calls.iter().zip(operations).map(|(c, operation)| first.get(operation).copied().unwrap_or(c.at)).collect()
}

pub(crate) fn made<'a>(calls: &[Call<'a>]) -> Vec<Made<'a>> {
    let mut made = Vec::new();
    for (i, call) in calls.iter().enumerate().filter(|(_, c)| !c.failed()) {
        let shards: &[Value] = match call.f() {
            "register" => call.input("shards").and_then(Value::items).unwrap_or_default(),
            "split-replace" => call.output("children").and_then(Value::items).unwrap_or_default(),
            "split-residual" => call.output("residual").map(std::slice::from_ref).unwrap_or_default(),
            _ => continue,
        };
        for value in shards {
            let Some(shard) = value.some("shard") else { continue };
            made.push(Made {
                shard: name(shard),
                range: Range::of(value),
                is_root: call.f() == "register",
                run: call.input("run").map(name),
                call: i,
            });
        }
    }
    made
}

/// The range of each shard. An answered maker beats those that were never answered; where several of these differ, nobody
/// knows which of them it was.
fn ranges<'a>(made: &[Made<'a>], calls: &[Call<'a>]) -> HashMap<Name<'a>, Range<'a>> {
    let mut known: HashMap<Name<'a>, (usize, Option<Range<'a>>)> = HashMap::new();
    for m in made {
        let end = calls[m.call].end();
        let (best, range) = known.entry(m.shard.clone()).or_insert((end, Some(m.range)));
        if end < *best {
            (*best, *range) = (end, Some(m.range));
        } else if end == OPEN_END && *best == OPEN_END && *range != Some(m.range) {
            *range = None;
        }
    }
    known.into_iter().filter_map(|(shard, (_, range))| Some((shard, range?))).collect()
}

/// Which run each shard belongs to: that of its registration; what was split off is in its parent's. A shard of which the makers do not
/// tell it is in the run that an answer about it named.
pub(crate) fn runs<'a>(made: &[Made<'a>], calls: &[Call<'a>]) -> Runs<'a> {
    let mut runs: Runs<'a> = HashMap::new();
    for m in made {
        if let Some(run) = &m.run {
            runs.insert(m.shard.clone(), run.clone());
        }
    }
    kin(&mut runs, made, calls);
    for (shard, run) in calls.iter().filter(|call| is_of_now(call)).flat_map(shards_and_run) {
        runs.entry(shard).or_insert(run);
    }
    kin(&mut runs, made, calls);
    runs
}

/// A shard and what was split off it are in one run.
fn kin<'a>(runs: &mut Runs<'a>, made: &[Made<'a>], calls: &[Call<'a>]) {
    let parent = |m: &Made<'a>| calls[m.call].input("shard").map(name);
    let pairs: Vec<(Name<'a>, &Name<'a>)> =
        made.iter().filter(|m| !m.is_root).filter_map(|m| Some((parent(m)?, &m.shard))).collect();
    // Upwards the last of them first, downwards in order of invocation: so one pass is enough for each.
    for (parent, child) in pairs.iter().rev() {
        if let Some(run) = runs.get(*child).cloned() {
            runs.entry(parent.clone()).or_insert(run);
        }
    }
    for (parent, child) in pairs {
        if let Some(run) = runs.get(&parent).cloned() {
            runs.entry(child.clone()).or_insert(run);
        }
    }
}

/// The shards that an answer tells to be of a run which it names.
pub(crate) fn shards_and_run<'a>(call: &Call<'a>) -> impl Iterator<Item = (Name<'a>, Name<'a>)> + use<'a> {
    let run = call.output("run").filter(|_| call.ok() && is_of_service(call.f())).map(name);
    let records = call.output("shards").and_then(Value::items).filter(|_| call.f() == "read-run").unwrap_or_default();
    let own = call.shard();
    run.into_iter().flat_map(move |run| {
        let listed = records.iter().filter_map(|record| record.some("shard").map(name));
        own.clone().into_iter().chain(listed).map(move |shard| (shard, run.clone()))
    })
}

/// A holder counts its lease shorter by this much, so that rates off by less cannot make beliefs overlap.
const DRIFT_MARGIN_PPM: u64 = 100_000;

/// Whether no skew in the history went beyond the drift margin. The value of a `:skew` is a map from nodes to their clocks
/// (`{"n1" {:wall-ms 0, :rate-ppm 960000}}`), or one node's clock alone (`{:node "n1", :rate-ppm 960000}`), or a list of
/// either; whatever tells no `:rate-ppm` tells of no rate.
fn sane_rates(ops: &[Op]) -> bool {
    let mut skews = ops.iter().filter(|op| op.process == Process::Nemesis && op.f == "skew");
    skews.all(|op| is_sane(&op.value))
}

fn is_sane(skew: &Value) -> bool {
    let rate = skew.get("rate-ppm").and_then(Value::as_i64);
    let own = rate.is_none_or(|ppm| ppm.abs_diff(1_000_000) <= DRIFT_MARGIN_PPM);
    let clocks = skew.as_map().into_iter().flat_map(|clocks| clocks.iter().map(|(_, clock)| clock));
    own && clocks.chain(skew.items().unwrap_or_default()).all(is_sane)
}
