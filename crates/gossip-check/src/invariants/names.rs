//! Names that stand for several things, which the calls of a history do not tell apart.
//!
//! When a run is deleted its name is free (`docs/protocol.md`, *Names used again*): a run made again under it is another one, and so
//! are its shards, whatever they are called. A shard's name counts within its run, and most calls do not say which run they mean.
//! To judge two lives as one would accuse a service that is right. So every call about such a run or its shards is left out, the
//! rest is judged, and the verdict is *unknown* where nothing is violated.
//!
//! A run has two lives, as far as anybody knows, if a call about it may belong to the one before a deletion, and an answer to the
//! one after it: one that came after something that may have made the run once more. Where nothing in the history made it, whoever
//! made it first may have done so again: then it is an answer to a call that was sent after the deletion was answered, or was asked
//! for and never answered. A shard of which the history tells no run may be of any run that was deleted, or that is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::facts::{is_of_now, is_of_service, is_run_maker, shards_and_run};
use crate::history::{Call, Name, OPEN_END, Op, Value, name};

/// What of a history cannot be told apart.
pub(crate) struct Unclear {
    /// The ops of all else.
    pub(crate) rest: Vec<Op>,
    /// One sentence for each name.
    pub(crate) left_out: Vec<String>,
}

/// Looks for what cannot be told apart in `ops`, whose calls are `calls`; none if there is nothing.
pub(crate) fn unclear(ops: &[Op], calls: &[Call<'_>]) -> Option<Unclear> {
    let runs = RunsOf::new(calls);
    let left_out = runs.unclear(calls);
    if left_out.is_empty() {
        return None;
    }
    let gone: HashSet<usize> = calls
        .iter()
        .filter(|c| c.f() != "delete-run" && runs.of(c).iter().any(|subject| left_out.contains_key(subject)))
        .flat_map(|c| [Some(c.at), c.completed_at])
        .flatten()
        .collect();
    let kept = ops.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, op)| op.clone());
    Some(Unclear { rest: kept.collect(), left_out: left_out.into_values().collect() })
}

/// What a name may stand for twice: a run, or a shard whose run is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject<'a> {
    Run(Name<'a>),
    Stray(Name<'a>),
}

/// The runs of each shard.
struct RunsOf<'a>(HashMap<Name<'a>, BTreeSet<Name<'a>>>);

impl<'a> RunsOf<'a> {
    fn new(calls: &[Call<'a>]) -> Self {
        let mut runs = Self(HashMap::new());
        let (mut splits, mut seen) = (Vec::new(), Vec::new());
        for call in calls.iter().filter(|c| !c.failed()) {
            match (call.f(), call.input("run").map(name)) {
                ("register", Some(run)) => runs.add(listed(call.input("shards")), &run),
                ("split-replace" | "split-residual", _) => splits.push(call),
                _ => {}
            }
            seen.extend(shards_and_run(call).filter(|_| is_of_now(call)));
        }
        runs.add_kin(&splits);
        // Who made a shard says where it is. An answer that shows it elsewhere does not move it.
        let made: HashSet<Name<'a>> = runs.0.keys().cloned().collect();
        for (shard, run) in seen.into_iter().filter(|(shard, _)| !made.contains(shard)) {
            runs.add(vec![shard], &run);
        }
        runs.add_kin(&splits);
        runs
    }

    /// A shard and what was split off it are in one run. Upwards, where nothing else tells the parent's, the last split first;
    /// downwards in order of invocation: so one pass is enough for each.
    fn add_kin(&mut self, splits: &[&Call<'a>]) {
        for split in splits.iter().rev() {
            let Some(parent) = split.shard().filter(|parent| !self.0.contains_key(parent)) else { continue };
            let of_children = split_off(split).into_iter().filter_map(|child| self.0.get(&child).cloned());
            for run in of_children.flatten().collect::<BTreeSet<_>>() {
                self.add(vec![parent.clone()], &run);
            }
        }
        for split in splits {
            let of_parent = split.shard().and_then(|parent| self.0.get(&parent).cloned()).unwrap_or_default();
            for run in &of_parent {
                self.add(split_off(split), run);
            }
        }
    }

    fn add(&mut self, shards: Vec<Name<'a>>, run: &Name<'a>) {
        for shard in shards {
            let known = self.0.entry(shard).or_default();
            if !known.contains(run) {
                known.insert(run.clone());
            }
        }
    }

    /// What a call is about.
    fn of(&self, call: &Call<'a>) -> Vec<Subject<'a>> {
        let mut subjects: Vec<Subject<'a>> = call.input("run").map(|run| Subject::Run(name(run))).into_iter().collect();
        if let Some(shard) = call.shard() {
            match self.0.get(&shard) {
                Some(runs) => subjects.extend(runs.iter().cloned().map(Subject::Run)),
                None if subjects.is_empty() => subjects.push(Subject::Stray(shard)),
                None => {}
            }
        }
        subjects
    }

    /// All that is not clear, with a sentence that says why. A shard of which the history tells no run may be of any that is left out.
    fn unclear(&self, calls: &[Call<'a>]) -> BTreeMap<Subject<'a>, String> {
        let mut unclear = self.in_themselves(calls);
        if unclear.keys().any(|subject| matches!(subject, Subject::Run(_))) {
            for subject in calls.iter().flat_map(|call| self.of(call)) {
                if let Subject::Stray(shard) = &subject {
                    let why = format!("shard {shard}: no call says whether it is in one of the runs that are left out");
                    unclear.entry(subject).or_insert(why);
                }
            }
        }
        unclear
    }

    fn in_themselves(&self, calls: &[Call<'a>]) -> BTreeMap<Subject<'a>, String> {
        let mut unclear = BTreeMap::new();
        let shared: BTreeMap<_, _> = self.0.iter().filter(|(_, runs)| runs.len() > 1).collect();
        for (shard, runs) in shared {
            let list = runs.iter().map(|run| run.as_ref()).collect::<Vec<_>>().join(", ");
            for run in runs {
                let why = format!("run {run}: a shard {shard} is in each of the runs {list}");
                unclear.entry(Subject::Run(run.clone())).or_insert(why);
            }
        }
        let deletions: Vec<&Call<'a>> = calls.iter().filter(|c| c.f() == "delete-run" && !c.failed()).collect();
        if deletions.is_empty() {
            return unclear;
        }
        let mut seen: BTreeMap<Subject<'a>, Seen> = BTreeMap::new();
        for call in calls.iter().filter(|c| c.f() != "delete-run" && !c.failed()) {
            for subject in self.of(call) {
                seen.entry(subject).or_default().note(call);
            }
        }
        let all = Deletions::new(deletions.iter().copied());
        let mut by_run: HashMap<Name<'a>, Vec<&Call<'a>>> = HashMap::new();
        for deletion in deletions {
            by_run.entry(deletion.input("run").map(name).unwrap_or_default()).or_default().push(deletion);
        }
        for (subject, seen) in seen {
            let (what, two) = match &subject {
                Subject::Run(run) => {
                    let own = Deletions::new(by_run.get(run).into_iter().flatten().copied());
                    (format!("run {run}"), seen.has_two_lives(&own))
                }
                Subject::Stray(shard) => (format!("shard {shard}"), seen.has_two_lives(&all)),
            };
            if two {
                let why = format!(
                    "{what}: it may have been deleted and made again, and no call says which of the two it means"
                );
                unclear.entry(subject).or_insert(why);
            }
        }
        unclear
    }
}

fn split_off<'a>(split: &Call<'a>) -> Vec<Name<'a>> {
    let residual = split.output("residual").and_then(|r| r.some("shard")).map(name);
    listed(split.output("children")).into_iter().chain(residual).collect()
}

fn listed(shards: Option<&Value>) -> Vec<Name<'_>> {
    let shards = shards.and_then(Value::items).unwrap_or_default();
    shards.iter().filter_map(|value| value.some("shard").map(name)).collect()
}

/// Deletions that may have happened: the place where each ended, in order, each with the first invocation of it and all later ones.
struct Deletions(Vec<(usize, usize)>);

impl Deletions {
    fn new<'c, 'a: 'c>(calls: impl Iterator<Item = &'c Call<'a>>) -> Self {
        let mut spans: Vec<(usize, usize)> = calls.map(|c| (c.end(), c.at)).collect();
        spans.sort_unstable();
        let mut first = OPEN_END;
        for (_, at) in spans.iter_mut().rev() {
            first = first.min(*at);
            *at = first;
        }
        Self(spans)
    }

    /// Whether one that was not over at a place had happened before another, as far as anybody knows: it was over, or was asked for and
    /// never answered.
    fn may_be_between(&self, from: usize, until: usize) -> bool {
        let later = &self.0[self.0.partition_point(|(end, _)| *end <= from)..];
        let open = later.partition_point(|(end, _)| *end < OPEN_END);
        let is_over = later.first().is_some_and(|(end, _)| *end < until);
        is_over || later.get(open).is_some_and(|(_, at)| *at < until)
    }

    /// Where the first one ended that was not over at a place, and the first invocation of all such.
    fn after(&self, place: usize) -> Option<(usize, usize)> {
        self.0.get(self.0.partition_point(|(end, _)| *end <= place)).copied()
    }
}

/// When calls about a run were seen: places in the history.
struct Seen {
    first: usize,
    last_answered: Option<usize>,
    /// Of the answered calls, the invocation that came last.
    last_asked: Option<usize>,
    /// Calls that may have made it.
    makers: Vec<(usize, usize)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { first: OPEN_END, last_answered: None, last_asked: None, makers: Vec::new() }
    }
}

impl Seen {
    fn note(&mut self, call: &Call<'_>) {
        // It may show what is long gone, as may what a recorder notes of its own.
        if !is_of_service(call.f()) || !is_of_now(call) {
            return;
        }
        self.first = self.first.min(call.at);
        if call.ok() {
            self.last_answered = self.last_answered.max(Some(call.end()));
            self.last_asked = self.last_asked.max(Some(call.at));
        }
        if is_run_maker(call.f()) {
            self.makers.push((call.at, call.end()));
        }
    }

    fn has_two_lives(&self, deletions: &Deletions) -> bool {
        // One that was over before anything was seen of the run is of a life that this history does not tell.
        let Some((_, from)) = deletions.after(self.first) else { return false };
        if self.makers.is_empty() {
            // Whoever made it may have done so again.
            return self.last_asked.is_some_and(|at| deletions.may_be_between(self.first, at));
        }
        let Some(answered) = self.last_answered else { return false };
        // Made after that deletion was asked for, and before something was answered.
        from < answered && self.makers.iter().any(|&(at, end)| at < answered && from < end)
    }
}
